(* The worlds of the library's tests, by the first argument. *)

open Soil_sim

let number text = Option.value (int_of_string_opt text) ~default:(-1)

(* A client counts on a server's disk: every node waits for another. *)
let register world =
  let path = "/data/value" in
  let serve () =
    let value = ref (if Soil.Fs.exists path then int_of_string (Soil.Fs.read_file path) else 0) in
    Printf.printf "starts with %d\n%!" !value;
    Soil.Tcp.serve (Soil.Tcp.listen ~port:7 ()) @@ fun conn ->
    let reader = Soil.Reader.create conn in
    let rec answer () =
      match Soil.Reader.line_opt reader with
      | Some "add" ->
          incr value;
          Soil.Fs.write_file path (string_of_int !value);
          Soil.File_descriptor.write_string conn (string_of_int !value ^ "\n");
          answer ()
      | Some _ | None -> ()
    in
    answer ()
  in
  let server = task world ~name:"server" ~disks:[ ("data", Ext4 (mib 16)) ] serve in
  let client () =
    Soil.Clock.sleep 1.;
    let conn = Soil.Tcp.connect_host ~timeout:8. "server" ~port:7 in
    let reader = Soil.Reader.create conn in
    for _ = 1 to 20 do
      Soil.Clock.sleep 0.5;
      Soil.File_descriptor.write_string conn "add\n";
      print_endline (Soil.Reader.line reader)
    done
  in
  let clients = List.init 3 (fun i -> task world ~name:(Printf.sprintf "client%d" i) client) in
  every world (seconds 2.) (Faults.slow_link (server :: clients));
  every world (seconds 5.) ~lasting:(seconds 1.) (Faults.late_names ());
  finally world (fun () ->
      let last node = match lines node with (_, text) :: _ -> number text | [] -> 0 in
      let most = List.fold_left (fun most node -> max most (last node)) 0 clients in
      if most <> 60 then fail "sum" (Printf.sprintf "%d in place of 60" most))

let careless word world = ignore (node world ~name:"careless" ~arguments:[ word ] "./careless.exe")

(* Many tasks that are ready at once: the seed says in which order they run. *)
let race world =
  let turn () =
    let order = Buffer.create 8 in
    let run i () =
      Soil.Clock.sleep 1.;
      Buffer.add_string order (string_of_int i)
    in
    ignore (Soil.Task.all (List.init 5 run));
    print_endline (Buffer.contents order)
  in
  ignore (task world ~name:"race" turn)

(* What was found after each start must be what was durable before it. *)
let words node = List.rev_map (fun (_, text) -> String.split_on_char ' ' text) (lines node)

let journal ?(arguments = []) image world =
  let node = node world ~name:"journal" ~arguments ~disks:[ ("data", image) ] "./journal.exe" in
  every world (seconds 2.) ~lasting:(seconds 0.5) (Faults.power_cut [ node ]);
  every world (seconds 3.) ~lasting:(seconds 0.5) (Faults.kill_during [ node ]);
  every world (seconds 5.) ~lasting:(seconds 1.) (Faults.slow_disk [ node ]);
  finally world (fun () ->
      let check durable = function
        | [ "synced"; n ] -> number n
        | [ "found"; n ] when number n < durable ->
            fail "durable" (Printf.sprintf "found %s after %d was synced" n durable)
        | _ -> durable
      in
      if List.fold_left check 0 (words node) < 100 then fail "progress" "less than 100 numbers")

let store world =
  let node = node world ~name:"store" ~disks:[ ("data", Ext4 (mib 32)) ] "./store.exe" in
  every world (seconds 2.) ~lasting:(seconds 0.5) (Faults.power_cut [ node ]);
  every world (seconds 3.) ~lasting:(seconds 0.5) (Faults.kill_during [ node ]);
  let durable = Hashtbl.create 8 in
  finally world (fun () ->
      let check = function
        | [ "set"; key; n ] -> Hashtbl.replace durable key (number n)
        | [ "found"; key; n ] ->
            let least = Option.value (Hashtbl.find_opt durable key) ~default:0 in
            if number n < least then
              fail "durable" (Printf.sprintf "found %s %s after %d was set" key n least)
        | _ -> ()
      in
      List.iter check (words node))

(* TCP against itself: every byte arrives once and in order, whatever the network does; on a healthy
   path it doesn't stall. *)
let transfer world =
  let total = 300_000 in
  let byte i = Char.chr (((i * 7919) lsr 5) land 255) in
  let serve () =
    Soil.Tcp.serve (Soil.Tcp.listen ~port:7 ()) @@ fun conn ->
    let bytes = Bytes.create 4096 in
    let rec receive at =
      let n = Soil.File_descriptor.read conn bytes 0 4096 in
      for i = 0 to n - 1 do
        if Bytes.get bytes i <> byte (at + i) then Printf.printf "wrong %d\n%!" (at + i)
      done;
      if n > 0 then receive (at + n) else Printf.printf "received %d\n%!" at
    in
    receive 0
  in
  let server = task world ~name:"server" serve in
  let send () =
    let endpoint = Soil.Net.Endpoint.of_string (address server ^ ":7") in
    let conn = Soil.Tcp.connect endpoint in
    let piece = 1000 in
    for i = 0 to (total / piece) - 1 do
      Soil.Clock.sleep 0.1;
      let text = String.init piece (fun j -> byte ((i * piece) + j)) in
      Soil.File_descriptor.write_string conn text
    done;
    Soil.File_descriptor.close conn;
    print_endline "sent"
  in
  let client = task world ~name:"client" send in
  let nodes = [ server; client ] in
  List.iter
    (fun (period, fault) -> every world (seconds period) fault)
    [
      (5., Faults.lossy nodes);
      (6., Faults.unordered nodes);
      (7., Faults.corrupt nodes);
      (8., Faults.slow_link nodes);
      (9., Faults.one_way nodes);
      (10., Faults.partition nodes);
      (11., Faults.slow_reader nodes);
      (12., Faults.pause nodes);
    ];
  finally world (fun () ->
      let wrong = List.find_opt (function "wrong" :: _ -> true | _ -> false) (words server) in
      if wrong <> None then fail "integrity" "a byte differs";
      match words server with
      | [ [ "received"; n ] ] when number n = total -> ()
      | _ -> fail "stall" "not all bytes have arrived")

(* Faults that last for less time than the node needs for the messages of a kill in a turn. *)
let idle world =
  let rec tick () =
    Soil.Clock.sleep 1.;
    print_endline "tick";
    tick ()
  in
  let node = task world ~name:"idle" tick in
  every world (seconds 2.) ~lasting:(seconds 0.1) (Faults.kill_during [ node ]);
  at world (seconds 29.) (fun () -> if not (is_up node) then fail "calm" "the node is down")

(* A program that has ended by itself isn't started by the end of a fault. *)
let ended world =
  let run () =
    for _ = 1 to 30 do
      print_endline "runs";
      Soil.Clock.sleep 0.1
    done;
    print_endline "ends"
  in
  let node = task world ~name:"short" run in
  every world (seconds 1.5) ~lasting:(seconds 1.) (Faults.kill_during [ node ]);
  finally world (fun () ->
      match lines node with
      | (_, "ends") :: _ -> ()
      | _ -> fail "ended" "the program runs again, or never ended")

(* A program that needs longer to stop than the fault lasts runs again nevertheless. *)
let stopped world =
  let run () =
    Fun.protect
      ~finally:(fun () -> Soil.Task.protect (fun () -> Soil.Clock.sleep 3.))
      (fun () -> Soil.Clock.sleep infinity)
  in
  let node = task world ~name:"slow" run in
  every world (seconds 6.) ~lasting:(seconds 0.5) (Faults.stop [ node ]);
  at world (seconds 29.) (fun () ->
      if not (is_up node) then fail "stopped" "the program doesn't run")

let second = seconds 1.

let () =
  match Sys.argv.(1) with
  | "register" -> main ~duration:(20 * second) ~calm:(5 * second) register
  | "idle" -> main ~duration:(30 * second) ~calm:(5 * second) idle
  | "race" -> main ~duration:(3 * second) ~calm:second race
  | "ext4" -> main ~duration:(30 * second) ~calm:(5 * second) (journal (Ext4 (mib 16)))
  | "early" ->
      let journal = journal ~arguments:[ "early" ] (Ext4 (mib 16)) in
      main ~duration:(30 * second) ~calm:(5 * second) journal
  | "fat" -> main ~duration:(30 * second) ~calm:(5 * second) (journal (Fat (mib 16)))
  | "store" -> main ~duration:(30 * second) ~calm:(5 * second) store
  | "transfer" -> main ~duration:(200 * second) ~calm:(140 * second) transfer
  | "stopped" -> main ~duration:(30 * second) ~calm:(10 * second) stopped
  | "ended" -> main ~duration:(60 * second) ~calm:second ended
  | "program" -> main (fun world -> ignore (node world ~name:"program" Sys.argv.(2)))
  | "disk" ->
      let disks = [ ("data", File Sys.argv.(2)) ] in
      main (fun world -> ignore (node world ~name:"disk" ~disks "./journal.exe"))
  | word -> main ~duration:(3 * second) ~calm:second (careless word)
