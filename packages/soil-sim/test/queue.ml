(* [Soil_jobs] between producers and a journal, in which each job counts once: no job that a
   producer has put is lost, and none is put twice, with crashes and failures of both. *)

module Key = Soil.Kv.Key
module Faults = Soil_sim.Faults
module Sets = Soil_sim.Sets

let second = Soil_sim.seconds 1.

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

let ok = function
  | Ok v -> v
  | Error e -> Soil.Error.fail Io "queue" ~detail:(Soil.Kv.error_to_string e)

let limits =
  {
    Soil_jobs.default_limits with
    attempts = 3;
    backoff = { first = 0.1; most = 1.; jitter = 0.5 };
    key_seconds = 30.;
  }

(* Jobs whose function has returned must not run again in this process, with a write that fails or
   is late. *)
let service journal () =
  let store = ok (Soil.Kv.connect "/data/queue") in
  let jobs = Soil_jobs.load ~limits (Soil_jobs.kv store (Key.v "jobs")) in
  let returned = Hashtbl.create 64 in
  let perform (job : Soil_jobs.job) =
    if Hashtbl.mem returned job.id then print_endline "repeated";
    if job.attempt > 1 then print_endline "again";
    Soil.Clock.sleep (float (Soil.Random.int 200) /. 1e3);
    ignore (call journal (Printf.sprintf "add %s %s" job.payload (job.id :> string)));
    Hashtbl.replace returned job.id ()
  in
  let revive () =
    let revive (letter : Soil_jobs.letter) =
      if Soil_jobs.retry jobs letter.job.id then print_endline "revived"
    in
    List.iter revive (Soil_jobs.dead jobs)
  in
  let ends_with_disk f = try f () with Soil.Error { code = Io; _ } -> exit 1 in
  let put = function
    | [ "put"; id ] -> (Soil_jobs.enqueue ~key:id jobs id :> string)
    | _ -> "none"
  in
  Soil.Task.first
    [
      (fun () -> Soil_jobs.work ~on_error:(fun _ -> exit 1) jobs perform);
      (fun () -> Soil_schedule.every 1. (fun () -> ends_with_disk revive));
      (fun () -> serve put);
    ]

(* The effects are lines of one length in a file, the synced ones in memory, too. *)
let journal () =
  let path = "/data/effects" and length = 9 in
  let text = if Soil.Fs.exists path then Soil.Fs.read_file path else "" in
  let seen = Hashtbl.create 64 and lines = ref 0 and jobs = Hashtbl.create 64 in
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
  | [ "add"; id; job ] ->
      (match Hashtbl.find_opt jobs id with
      | Some other when other <> job -> print_endline "put twice"
      | _ -> Hashtbl.replace jobs id job);
      add id;
      ""
  | [ "read" ] ->
      Soil.Task.Mutex.protect lock @@ fun () ->
      let text = Soil.Fs.read_file path in
      let line n = String.sub text (n * length) (length - 1) in
      String.concat " " (List.init !lines line)
  | _ -> ""

module Load = struct
  type operation = Sets.operation
  type result = Sets.result
  type client = { service : string; journal : string; began : float }

  let connect ~number:_ = function
    | [ service; journal ] -> { service; journal; began = Soil.Clock.monotonic () }
    | _ -> assert false

  let added = Hashtbl.create 4

  (* Each of the first clients puts some jobs, then all read. *)
  let operation rng ~number =
    let n = Option.value (Hashtbl.find_opt added number) ~default:0 in
    if n < 100 && number < 2 && not (Soil_sim.Generate.chance rng 0.1) then (
      Hashtbl.replace added number (n + 1);
      Sets.Add (Printf.sprintf "%08d" ((number * 1000) + n)))
    else Read

  let perform client = function
    | Sets.Add _ when Soil.Clock.monotonic () -. client.began > 65. ->
        (* The last reads come after the effects of all jobs. *)
        failwith "too late"
    | Sets.Add id ->
        let put () = ignore (call client.service ("put " ^ id)) in
        (* With its key it is the same job. *)
        (try put () with Soil.Error _ | Soil.Task.Timeout _ | Failure _ | End_of_file -> put ());
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
  let journal = Soil_sim.task world ~name:"journal" ~disks ~at_exit journal in
  let service () = service (Soil_sim.address journal) () in
  let service = Soil_sim.task world ~name:"service" ~disks ~at_exit service in
  let both = [ service; journal ] in
  let history = Soil_sim.workload world (module Load) ~clients:3 ~operations:10_000 both in
  let every seconds ?lasting fault =
    Soil_sim.every world
      ?lasting:(Option.map Soil_sim.seconds lasting)
      (Soil_sim.seconds seconds) fault
  in
  every 5. ~lasting:1. (Faults.power_cut both);
  every 4. ~lasting:1. (Faults.kill_during both);
  every 8. (Faults.pause both);
  every 9. ~lasting:3. (Faults.isolate both);
  every 9. (Faults.lossy both);
  every 12. (Faults.disk_errors both);
  every 15. (Faults.slow_disk both);
  every 15. (Faults.clock_step ~most:5. both);
  every 15. (Faults.clock_drift both);
  let seen = Hashtbl.create 4 in
  let line text =
    Hashtbl.replace seen text ();
    if text = "repeated" then Soil_sim.fail "once" "a job ran again after it was done";
    if text = "put twice" then Soil_sim.fail "keys" "one key has two jobs"
  in
  List.iter (fun node -> Soil_sim.on_line node line) both;
  Soil_sim.sometimes world "a job runs again" (fun () -> Hashtbl.mem seen "again");
  Soil_sim.sometimes world "a dead letter is ready again" (fun () -> Hashtbl.mem seen "revived");
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
