open Registry

let started = Soil.Clock.now ()

let family kind name help label_names samples =
  let samples = List.map (fun (labels, x) -> (labels, Number x)) samples in
  { name; help; kind; label_names; read = (fun () -> samples) }

let counter name = Option.value (Soil.Machine.counter name) ~default:0
let one kind name help x = family kind name help [] [ ([], x) ]
let count kind name help n = one kind name help (float_of_int n)

(* Processor and memory, by the names that Prometheus' client libraries have for a process. *)

let machine () =
  let memory = Soil.Machine.memory () in
  let form = if Soil.on_vm then "image" else "process" in
  let about = [ ([ Soil.version; Sys.ocaml_version; form ], 1.) ] in
  [
    family Info "soil_info" "The program's form." [ "version"; "ocaml"; "form" ] about;
    one Gauge "process_start_time_seconds" "Start, in seconds since 1970." started;
    one Counter "process_cpu_seconds_total" "Processor time." (Sys.time ());
    count Gauge "process_resident_memory_bytes" "Memory in use." memory.in_use;
    count Gauge "process_open_fds" "Open descriptors of Soil." (counter "descriptors");
    count Gauge "soil_memory_limit_bytes" "Memory of the machine, or the limit of the process."
      memory.total;
    count Gauge "soil_memory_free_bytes" "Memory not in use, nor promised." memory.free;
    count Gauge "soil_memory_peak_bytes" "The most memory in use so far." memory.high_water;
    count Gauge "soil_processors" "Processors." (Soil.Machine.cpus ());
  ]

let budget () =
  let budget = Soil.Budget.statistics () in
  [
    count Gauge "soil_budget_limit_bytes" "Memory that peers may make the program hold."
      budget.limit;
    count Gauge "soil_budget_held_bytes" "Of it, what they make it hold." budget.held;
    count Gauge "soil_budget_peers" "Connections and other peers that are counted." budget.peers;
    count Gauge "soil_budget_waiting" "Tasks that wait for room." budget.waiting;
    count Counter "soil_budget_refused_total" "Refusals, for want of room." budget.refused;
    count Counter "soil_budget_evicted_total" "Peers closed because they were the slowest."
      budget.evicted;
    count Counter "soil_memory_collections_total" "Collections because memory was exhausted."
      budget.collections;
  ]

let tasks () =
  let schedulers = Soil.Machine.schedulers () in
  let by_domain kind name help (n : Soil.Machine.scheduler -> int) =
    let sample (domain, scheduler) = ([ string_of_int domain ], float_of_int (n scheduler)) in
    family kind name help [ "domain" ] (List.map sample schedulers)
  in
  [
    by_domain Gauge "soil_tasks" "Tasks that haven't ended." (fun s -> s.tasks);
    by_domain Gauge "soil_tasks_ready" "Tasks that could run now." (fun s -> s.ready);
    by_domain Counter "soil_tasks_started_total" "Tasks that were started." (fun s -> s.started);
    by_domain Counter "soil_task_turns_total" "Times that a task ran until it waited." (fun s ->
        s.turns);
    by_domain Gauge "soil_operations"
      "Operations of devices, network and files that tasks wait for." (fun s -> s.operations);
    count Counter "soil_sleeps_total" "Times that the program slept, because no task could run."
      (counter "sleeps");
    count Counter "soil_lock_waits_total" "Calls of threads that waited for the end of another's."
      (counter "lock_waits");
    one Gauge "soil_lock_wait_max_seconds" "The longest of these waits."
      (float_of_int (counter "lock_wait_max") /. 1e9);
  ]

let collector () =
  let s = Gc.quick_stat () in
  let bytes words = words *. float_of_int (Sys.word_size / 8) in
  let words kind name help n = one kind name help (bytes (float_of_int n)) in
  [
    one Counter "ocaml_gc_allocated_bytes_total" "Bytes allocated by OCaml."
      (bytes (s.minor_words +. s.major_words -. s.promoted_words));
    one Counter "ocaml_gc_promoted_bytes_total" "Bytes that outlived a minor collection."
      (bytes s.promoted_words);
    count Counter "ocaml_gc_minor_collections_total" "Minor collections." s.minor_collections;
    count Counter "ocaml_gc_major_collections_total" "Major collections." s.major_collections;
    count Counter "ocaml_gc_compactions_total" "Compactions of the heap." s.compactions;
    words Gauge "ocaml_gc_heap_bytes" "Size of the major heap." s.heap_words;
    words Gauge "ocaml_gc_peak_heap_bytes" "The largest size of the major heap." s.top_heap_words;
  ]

(* The network, the disks and the volumes that are in use. *)

type volume = { health : string; total : int; available : int }

(* A volume that is about something can't be asked without a wait: it is as it was. *)
let volumes : (string, volume) Hashtbl.t = Hashtbl.create 4

let lines () =
  let fetch b off len = Soil_raw_metrics.statistics b off len in
  String.split_on_char '\n' (Soil.Private.text (max 0) fetch)

let number text = float_of_int (Option.value (int_of_string_opt text) ~default:0)

(* After [prefix], which [name] begins with, with [_] for [-]. *)
let rest prefix name =
  let n = String.length prefix in
  String.map (function '-' -> '_' | c -> c) (String.sub name n (String.length name - n))

let tcp_gauges = [ "memory"; "connections"; "undelivered"; "half_open"; "time_wait" ]

let network words =
  let counts =
    List.filter_map (function [ "net"; name; n ] -> Some (name, number n) | _ -> None) words
  in
  let below prefix =
    List.filter_map
      (fun (name, x) ->
        if String.starts_with ~prefix name then Some (rest prefix name, x) else None)
      counts
  in
  let direction what =
    List.filter_map
      (fun (name, x) ->
        match String.split_on_char '_' name with
        | [ known; direction ] when known = what -> Some ([ direction ], x)
        | _ -> None)
      (below "link.")
  in
  let drops = List.map (fun (reason, x) -> ([ reason ], x)) (below "drop.") in
  let tcp (name, x) =
    if name = "memory" then one Gauge "soil_tcp_memory_bytes" "Memory that connections use." x
    else if List.mem name tcp_gauges then
      one Gauge ("soil_tcp_" ^ name) ("Connections of TCP: " ^ name ^ ".") x
    else one Counter ("soil_tcp_" ^ name ^ "_total") ("Events of TCP: " ^ name ^ ".") x
  in
  if counts = [] then []
  else
    [
      family Counter "soil_link_frames_total" "Frames of all interfaces." [ "direction" ]
        (direction "frames");
      family Counter "soil_link_bytes_total" "Bytes of those frames." [ "direction" ]
        (direction "bytes");
      family Counter "soil_network_drops_total" "Packets dropped, by reason." [ "reason" ] drops;
    ]
    @ List.map tcp (below "tcp.")

let sockets words =
  let state = function "-" -> "" | state -> state in
  let socket = function
    | [ "socket"; protocol; name; n ] -> Some ([ protocol; state name ], number n)
    | _ -> None
  in
  family Gauge "soil_sockets" "Sockets by the state of their connection (RFC 9293, 3.3.2)."
    [ "protocol"; "state" ] (List.filter_map socket words)

let disks words =
  let disk = function
    | "disk" :: n :: name -> Some ([ String.concat " " name ], number n)
    | _ -> None
  in
  family Counter "soil_disk_requests_total" "Requests to disks." [ "disk" ]
    (List.filter_map disk words)

let healths = [ "writable"; "unflushed"; "read-only"; "corrupt" ]

let files words =
  let volume = function
    | "volume" :: health :: total :: available :: hits :: misses :: dirty :: ahead :: point ->
        let point = String.concat " " point in
        let int text = Option.value (int_of_string_opt text) ~default:0 in
        if health <> "busy" then
          Hashtbl.replace volumes point { health; total = int total; available = int available };
        Some (point, List.map number [ hits; misses; dirty; ahead ])
    | _ -> None
  in
  let open_ = List.filter_map volume words in
  let counted kind name help i =
    family kind name help [ "volume" ]
      (List.map (fun (point, counts) -> ([ point ], List.nth counts i)) open_)
  in
  let known f =
    List.concat_map
      (fun (point, _) -> Option.fold (Hashtbl.find_opt volumes point) ~none:[] ~some:(f point))
      open_
  in
  let health point volume =
    List.map (fun health -> ([ point; health ], if health = volume.health then 1. else 0.)) healths
  in
  let size f point volume = [ ([ point ], float_of_int (f volume)) ] in
  [
    family Gauge "soil_volume_health" "1 for the state in which a volume is." [ "volume"; "health" ]
      (known health);
    family Gauge "soil_volume_size_bytes" "Room of a volume." [ "volume" ]
      (known (size (fun v -> v.total)));
    family Gauge "soil_volume_available_bytes" "Room that is left on it." [ "volume" ]
      (known (size (fun v -> v.available)));
    counted Counter "soil_cache_hits_total" "Reads of a volume that its cache answered." 0;
    counted Counter "soil_cache_misses_total" "Reads of a volume that went to the disk." 1;
    counted Gauge "soil_cache_dirty_bytes" "Bytes written that the disk hasn't been given yet." 2;
    counted Counter "soil_cache_read_ahead_bytes_total" "Bytes read ahead of a request." 3;
  ]

let has_samples family = family.read () <> []

let families () =
  let words = List.map (String.split_on_char ' ') (lines ()) in
  machine () @ budget () @ tasks () @ collector () @ network words
  @ List.filter has_samples (sockets words :: disks words :: files words)
