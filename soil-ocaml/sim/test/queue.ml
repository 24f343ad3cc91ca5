(* A job queue with at-least-once delivery: producers put jobs into a broker with [Soil.Kv], workers
   take them, each for a time, and acknowledge them when a journal has their effects, in which each
   job counts once. *)

module Key = Soil.Kv.Key
module Faults = Soil_sim.Faults
module Sets = Soil_sim.Sets

let second = Soil_sim.seconds 1.
let jobs = Key.v "jobs"

(* Requests and responses are lines, one on a connection. A program whose disk fails ends, and
   starts again: a volume that has refused a commit may refuse all changes until it is
   mounted again. *)
let serve answer =
  let handle conn =
    let request = Soil.Reader.(line (create conn)) in
    match answer (String.split_on_char ' ' request) with
    | text -> Soil.File_descriptor.write_string conn ("ok " ^ text ^ "\n")
    | exception Soil.Error { code = Io; _ } -> exit 1
  in
  Soil.Tcp.serve (Soil.Tcp.listen ~port:7 ()) handle

let call address request =
  Soil.Task.timeout 3. @@ fun () ->
  Soil.Tcp.with_connection (Soil.Net.Endpoint.of_string (address ^ ":7")) @@ fun conn ->
  Soil.File_descriptor.write_string conn (request ^ "\n");
  let response = Soil.Reader.(line (create conn)) in
  match String.split_on_char ' ' response with
  | "ok" :: words -> String.concat " " words
  | _ -> failwith response

(* A worker has so many seconds for a job before another may take it. *)
let lease = 2.

let ok = function
  | Ok v -> v
  | Error e -> Soil.Error.fail Io "queue" ~detail:(Soil.Kv.error_to_string e)

let broker () =
  let store = ok (Soil.Kv.connect "/data/queue") in
  let taken = Hashtbl.create 16 in
  let is_free (key, _) =
    match Hashtbl.find_opt taken (Key.basename key) with
    | Some until -> Soil.Clock.monotonic () >= until
    | None -> true
  in
  let take () =
    match Soil.Kv.list store jobs with
    | Error (`Not_found _) -> "none"
    | found -> (
        match List.find_opt is_free (ok found) with
        | None -> "none"
        | Some (key, _) ->
            let id = Key.basename key in
            if Hashtbl.mem taken id then print_endline "again";
            Hashtbl.replace taken id (Soil.Clock.monotonic () +. lease);
            id)
  in
  serve @@ function
  | [ "put"; id ] ->
      ok (Soil.Kv.set store Key.(jobs / id) "");
      ""
  | [ "take" ] -> take ()
  | [ "acknowledge"; id ] ->
      (match Soil.Kv.remove store Key.(jobs / id) with
      | Ok () | Error (`Not_found _) -> Hashtbl.remove taken id
      | Error _ as e -> ok e);
      ""
  | _ -> "none"

(* The effects are lines of one length in a file, the synced ones in memory, too. *)
let journal () =
  let path = "/data/effects" and length = 9 in
  let text = if Soil.Fs.exists path then Soil.Fs.read_file path else "" in
  let seen = Hashtbl.create 64 and lines = ref 0 in
  let rec load n =
    let line =
      if (n + 1) * length <= String.length text then String.sub text (n * length) length else ""
    in
    match Scanf.sscanf_opt line "%8d\n%!" Fun.id with
    | Some id ->
        Hashtbl.replace seen (Printf.sprintf "%08d" id) ();
        incr lines;
        load (n + 1)
    | None -> ()
  in
  load 0;
  let file = Soil.Fs.open_ ~mode:Write path in
  let lock = Soil.Task.Mutex.create () in
  let add id =
    Soil.Task.Mutex.protect lock @@ fun () ->
    if Hashtbl.mem seen id then print_endline "known"
    else
      let line = Bytes.of_string (id ^ "\n") in
      Soil.Fs.pwrite file ~position:(!lines * length) line 0 length;
      Soil.Fs.sync file;
      incr lines;
      Hashtbl.replace seen id ()
  in
  serve @@ function
  | [ "add"; id ] ->
      add id;
      ""
  | [ "read" ] ->
      Soil.Task.Mutex.protect lock @@ fun () ->
      let text = Soil.Fs.read_file path in
      let line n = String.sub text (n * length) (length - 1) in
      String.concat " " (List.init !lines line)
  | _ -> ""

let rec worker broker journal =
  let work () =
    match call broker "take" with
    | "none" -> Soil.Clock.sleep 0.2
    | id ->
        Soil.Clock.sleep (float (Soil.Random.int 200) /. 1e3);
        ignore (call journal ("add " ^ id));
        ignore (call broker ("acknowledge " ^ id))
  in
  (try work ()
   with Soil.Error _ | Soil.Task.Timeout _ | Failure _ | End_of_file -> Soil.Clock.sleep 0.3);
  worker broker journal

module Load = struct
  type operation = Sets.operation
  type result = Sets.result
  type client = { broker : string; journal : string }

  let connect ~number:_ = function [ broker; journal ] -> { broker; journal } | _ -> assert false
  let added = Hashtbl.create 4

  (* Each of the first clients puts some jobs, then all read. *)
  let operation rng ~number =
    let n = Option.value (Hashtbl.find_opt added number) ~default:0 in
    if n < 100 && number < 2 && not (Soil_sim.Generate.chance rng 0.1) then (
      Hashtbl.replace added number (n + 1);
      Sets.Add (Printf.sprintf "%08d" ((number * 1000) + n)))
    else Read

  let perform client = function
    | Sets.Add id ->
        ignore (call client.broker ("put " ^ id));
        Sets.Added
    | Read -> (
        match call client.journal "read" with
        | "" -> Elements []
        | text -> Elements (String.split_on_char ' ' text))

  let think rng = Soil_sim.Generate.float rng 0.6
  let operation_to_string = function Sets.Add id -> "put " ^ id | Read -> "read"

  let result_to_string = function
    | Sets.Added -> "done"
    | Elements list -> Printf.sprintf "%d effects" (List.length list)
end

let () =
  Soil_sim.main ~duration:(70 * second) ~calm:(25 * second) @@ fun world ->
  let disks = [ ("data", Soil_sim.Ext4 (Soil_sim.mib 16)) ] in
  let at_exit = Soil_sim.Restarts second in
  let broker = Soil_sim.task world ~name:"broker" ~disks ~at_exit broker in
  let journal = Soil_sim.task world ~name:"journal" ~disks ~at_exit journal in
  let address = Soil_sim.address in
  let work () = worker (address broker) (address journal) in
  let workers =
    List.init 3 (fun i -> Soil_sim.task world ~name:(Printf.sprintf "worker%d" i) work)
  in
  let history =
    Soil_sim.workload world (module Load) ~clients:3 ~operations:10_000 [ broker; journal ]
  in
  let stores = [ broker; journal ] in
  let all = stores @ workers in
  let every seconds ?lasting fault =
    Soil_sim.every world
      ?lasting:(Option.map Soil_sim.seconds lasting)
      (Soil_sim.seconds seconds) fault
  in
  every 5. ~lasting:1. (Faults.power_cut stores);
  every 6. ~lasting:1. (Faults.kill_during stores);
  every 4. ~lasting:1. (Faults.kill_during workers);
  every 8. (Faults.pause workers);
  every 9. ~lasting:3. (Faults.isolate all);
  every 9. (Faults.lossy all);
  every 12. (Faults.disk_errors stores);
  every 15. (Faults.slow_disk stores);
  every 15. (Faults.clock_drift all);
  let seen = Hashtbl.create 4 in
  List.iter (fun node -> Soil_sim.on_line node (fun text -> Hashtbl.replace seen text ())) stores;
  Soil_sim.sometimes world "a job is given to another worker" (fun () -> Hashtbl.mem seen "again");
  Soil_sim.sometimes world "an effect is known" (fun () -> Hashtbl.mem seen "known");
  Soil_sim.finally world (fun () ->
      let history = history () in
      Soil_sim.check "effects" (Sets.check ~stale:true history);
      let is_late (operation : _ Soil_sim.History.operation) =
        operation.invoked > 60 * second && operation.invoked < 65 * second
      in
      let check (operation : _ Soil_sim.History.operation) =
        match operation.outcome with
        | Failed | Unknown -> Soil_sim.fail "calm" "an operation fails without a fault"
        | Returned _ -> ()
      in
      List.iter check (List.filter is_late history);
      let adds =
        List.filter (fun (o : _ Soil_sim.History.operation) -> o.operation <> Sets.Read) history
      in
      if List.length adds < 50 then Soil_sim.fail "progress" "less than 50 jobs")
