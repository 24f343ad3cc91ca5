type memory = { total : int; in_use : int; free : int; high_water : int }

let operation = "machine"

let memory () =
  let record = Scheduler.create_ints Soil_raw.machine_memory_length in
  ignore (Failure.check ~operation ~subject:"memory" (Soil_raw_machine.machine_memory record));
  {
    total = Soil_raw.machine_memory record Total;
    in_use = Soil_raw.machine_memory record In_use;
    free = Soil_raw.machine_memory record Free;
    high_water = Soil_raw.machine_memory record High_water;
  }

type scheduler = { tasks : int; ready : int; operations : int; started : int; turns : int }

let scheduler_of domain =
  let operations, tasks = Scheduler.counts domain in
  let ready, started, turns = Scheduler.activity domain in
  { tasks; ready; operations; started; turns }

let scheduler () = scheduler_of (Scheduler.domain ())

let schedulers () =
  let domains = List.filter Scheduler.has_run (List.init Owner.domains Fun.id) in
  List.map (fun domain -> (domain, scheduler_of domain)) domains

external cpus : unit -> int = "caml_recommended_domain_count"

let devices () =
  let check = Failure.check ~operation ~subject:"devices" in
  let text = Text.fetch check (fun b off len -> Soil_raw_machine.machine_devices b off len) in
  List.filter (fun line -> line <> "") (String.split_on_char '\n' text)

type failure = { status : int; count : int; time : float option; report : string }

let last_failure () =
  let check = Failure.check ~operation ~subject:"the last failure" in
  match Text.fetch check (fun b off len -> Soil_raw_machine.machine_last_failure b off len) with
  | exception Error.Error { code = Not_found; _ } -> None
  | text -> (
      (* [Scanf] would be linked into every program. *)
      let numbers, report = Text.cut '\n' text in
      let failure status count time =
        let time = if time = 0 then None else Some (float_of_int time) in
        { status; count; time; report }
      in
      match List.map int_of_string_opt (String.split_on_char ' ' numbers) with
      | [ Some status; Some count; Some time ] -> Some (failure status count time)
      | _ -> None)

let counters =
  Soil_raw.
    [
      ("memory", counter_memory);
      ("descriptors", counter_descriptors);
      ("operations", counter_operations);
      ("connections", counter_connections);
      ("frames_in", counter_frames_in);
      ("frames_out", counter_frames_out);
      ("drops", counter_drops);
      ("block_requests", counter_block_requests);
      ("sleeps", counter_sleeps);
      ("lock_waits", counter_lock_waits);
      ("lock_wait_max", counter_lock_wait_max);
    ]

let counter name =
  match Stdlib.List.assoc_opt name counters with
  | None -> None
  | Some which -> Some (Failure.check ~operation ~subject:name (Soil_raw.counters which))

let power_off () = Scheduler.exit 0

let reboot () =
  (* As [exit] does first; the call doesn't return. *)
  Stdlib.do_at_exit ();
  ignore (Failure.check ~operation ~subject:"reboot" (Soil_raw_machine.machine_reboot ()));
  Scheduler.exit 0
