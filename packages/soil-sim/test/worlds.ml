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

(* Nodes behind a router reach a server outside, which sees the router; from outside nothing reaches
   them. Corruption is found as without a router. *)
let behind world =
  let echo () =
    Soil.Tcp.serve (Soil.Tcp.listen ~port:7 ()) @@ fun conn ->
    print_endline (Soil.Net.Address.to_string (Soil.Tcp.peer conn).address);
    ignore (Soil.File_descriptor.copy ~src:conn ~dst:conn ())
  in
  let echo_datagrams () =
    let socket = Soil.Udp.bind ~port:7 () in
    let bytes = Bytes.create 1500 in
    while true do
      let n, peer = Soil.Udp.receive socket bytes 0 1500 in
      Soil.Udp.send socket peer bytes 0 n
    done
  in
  let server =
    task world ~name:"server" (fun () -> Soil.Task.iter (fun f -> f ()) [ echo; echo_datagrams ])
  in
  let hidden = task world ~name:"hidden" echo in
  let address node = Soil.Net.Address.of_string (address node) in
  let compare_with text receive =
    let bytes = Bytes.create (String.length text) in
    receive bytes;
    print_endline (if String.equal (Bytes.to_string bytes) text then "equal" else "wrong")
  in
  let text i = String.init 200 (fun j -> Char.chr ((i + 1) * (j + 7) land 255)) in
  let say_if_lost what f =
    match f () with
    | () -> print_endline what
    | exception Soil.Error { code = Timed_out | Unreachable; _ } -> print_endline ("lost " ^ what)
  in
  let converse i =
    let conn = Soil.Tcp.connect (Soil.Net.endpoint (address server) 7) in
    Soil.File_descriptor.write_string conn (text i);
    compare_with (text i) (fun b -> Soil.File_descriptor.really_read conn b 0 (Bytes.length b));
    Soil.File_descriptor.close conn
  in
  let send_datagram i () =
    let socket = Soil.Udp.bind ~port:0 () in
    Fun.protect ~finally:(fun () -> Soil.File_descriptor.close socket) @@ fun () ->
    Soil.Udp.send_string socket (Soil.Net.endpoint (address server) 7) (text i);
    compare_with (text i) (fun b ->
        ignore (Soil.Udp.receive ~timeout:0.1 socket b 0 (Bytes.length b)))
  in
  let ping () =
    let { Soil.Icmp.hop_limit; _ } = Soil.Icmp.ping ~timeout:0.1 (address server) in
    if hop_limit <> 63 then Printf.printf "wrong hop limit %d\n%!" hop_limit
  in
  let connect address () =
    Soil.Tcp.with_connection ~timeout:1. (Soil.Net.endpoint address 7) ignore
  in
  let client () =
    for i = 1 to 60 do
      Soil.Clock.sleep 0.3;
      converse i;
      for _ = 1 to 4 do
        say_if_lost "udp" (send_datagram i);
        say_if_lost "echo" ping
      done
    done;
    (* In the calm part. *)
    Soil.Clock.sleep (Float.max 0. (140. -. Soil.Clock.monotonic ()));
    say_if_lost "hidden" (connect (address hidden))
  in
  let client = task world ~name:"client" client in
  let router = nat world ~name:"router" [ hidden; client ] in
  let outsider () =
    Soil.Clock.sleep 1.;
    List.iter
      (fun (name, address) -> say_if_lost name (connect address))
      [
        ("server", address server);
        ("hidden", address hidden);
        ("router", Soil.Net.Address.of_string (nat_address router));
      ]
  in
  let outsider = task world ~name:"outsider" outsider in
  (* One at a time: two wrong bits may have a right checksum. *)
  every world (seconds 4.) ~lasting:(seconds 1.2) (Faults.corrupt ~share:0.25 [ server; client ]);
  finally world (fun () ->
      let said node text = List.length (List.filter (fun (_, line) -> line = text) (lines node)) in
      let expect what holds = if not holds then fail "nat" what in
      let starts_with prefix (_, line) = String.starts_with ~prefix line in
      expect "a byte or a hop differs" (not (List.exists (starts_with "wrong") (lines client)));
      expect "not all exchanges were possible"
        (said client "equal" > 180 && said client "echo" > 120);
      expect "corruption had no effect" (said client "lost udp" + said client "lost echo" > 0);
      expect "neighbours don't meet" (said client "hidden" = 1);
      expect "the server sees others"
        (said server (nat_address router) = 60 && List.length (lines server) = 61);
      let outside = List.rev_map snd (lines outsider) in
      expect "the outsider reaches another" (outside = [ "server"; "lost hidden"; "lost router" ]))

let rec tick () =
  Soil.Clock.sleep 1.;
  print_endline "tick";
  tick ()

(* Faults that last for less time than the node needs for the messages of a kill in a turn. *)
let idle world =
  let node = task world ~name:"idle" tick in
  every world (seconds 2.) ~lasting:(seconds 0.1) (Faults.kill_during [ node ]);
  at world (seconds 29.) (fun () -> if not (is_up node) then fail "calm" "the node is down")

(* Several faults wait for messages of one node; one is taken back. *)
let several world =
  let node = task world ~name:"ticks" tick in
  let struck = ref [] in
  let inject w _ =
    let strike name k = World.at_message w node ~name k (fun () -> struck := name :: !struck) in
    let (_ : unit -> unit) = strike "late" 5 in
    let take_back = strike "taken back" 4 in
    let (_ : unit -> unit) = strike "early" 3 in
    take_back ();
    Some ("three", ignore)
  in
  every world (seconds 10.) (Faults.make ~name:"several" inject);
  finally world (fun () ->
      let rec in_order = function
        | "late" :: "early" :: rest -> in_order rest
        | [] -> true
        | _ -> false
      in
      if !struck = [] || not (in_order !struck) then fail "strikes" (String.concat " " !struck))

(* A load whose clients do as the test says. *)
module Load (Client : sig
  val connect : unit -> unit
  val perform : unit -> unit
end) =
struct
  type operation = unit
  type result = unit
  type client = unit

  let connect ~number:_ _ = Client.connect ()
  let operation _ ~number:_ = ()
  let perform () () = Client.perform ()
  let think _ = 0.1
  let operation_to_string () = "op"
  let result_to_string () = "done"
end

let wait_for_ever () = Soil.Clock.sleep infinity

let load ?operations ?(connect = ignore) perform world =
  let module Load = Load (struct
    let connect = connect
    let perform = perform
  end) in
  let (_ : unit -> (unit, unit) History.t) = workload world (module Load) ?operations [] in
  ()

(* A second of operations, or operations until the calm part, beside faults. *)
let faulted ?operations world =
  load ?operations ignore world;
  let nodes = List.init 2 (fun i -> task world ~name:(Printf.sprintf "n%d" i) wait_for_ever) in
  every world (seconds 5.) (Faults.pause nodes)

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
  let has_ended = ref false in
  on_line node (fun line ->
      if !has_ended then fail "ended" "the program runs again";
      if line = "ends" then has_ended := true);
  finally world (fun () -> if not !has_ended then fail "ended" "the program never ended")

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

(* A check fails at a line, while the program behind it ends. *)
let last_words world =
  let node = task world ~name:"node" (fun () -> print_endline "bad") in
  on_line node (fun _ ->
      Unix.sleepf 0.1;
      fail "line" "bad")

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
  | "nat" -> main ~duration:(200 * second) ~calm:(70 * second) behind
  | "stopped" -> main ~duration:(30 * second) ~calm:(10 * second) stopped
  | "ended" -> main ~duration:(60 * second) ~calm:second ended
  | "broken" -> main ~duration:(10 * second) ~calm:second (load (fun () -> failwith "broken"))
  | "hanging" -> main ~duration:(10 * second) ~calm:second (load wait_for_ever)
  | "unconnected" -> main ~duration:(10 * second) ~calm:second (load ~connect:wait_for_ever ignore)
  | "short-load" -> main ~duration:(30 * second) ~calm:(10 * second) (faulted ~operations:10)
  | "long-load" -> main ~duration:(30 * second) ~calm:(10 * second) (faulted ?operations:None)
  | "empty" -> main ignore
  | "last-words" -> main last_words
  | "several" -> main ~duration:(60 * second) ~calm:(10 * second) several
  | "no-ports" -> main (fun world -> ignore (nat world ~name:"router" ~most:0 []))
  | "program" -> main (fun world -> ignore (node world ~name:"program" Sys.argv.(2)))
  | "routers" ->
      main (fun world ->
          let node = task world ~name:"node" ignore in
          List.iter (fun name -> ignore (nat world ~name [ node ])) [ "router"; "other" ])
  | "disk" ->
      let disks = [ ("data", File Sys.argv.(2)) ] in
      main (fun world -> ignore (node world ~name:"disk" ~disks "./journal.exe"))
  | word -> main ~duration:(3 * second) ~calm:second (careless word)
