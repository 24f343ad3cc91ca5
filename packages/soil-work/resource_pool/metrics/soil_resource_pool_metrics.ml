module Pool = Soil_resource_pool
module Metrics = Soil_metrics
module Names = Map.Make (String)

(* A registered pool: its statistics while its scope lasts. *)
type pool = unit -> Pool.statistics option
type page = { pools : pool Names.t Atomic.t; queue_seconds : Metrics.Histogram.family }

(* From 100 us to 30 s. *)
let bounds = [ 1e-4; 1e-3; 0.005; 0.01; 0.025; 0.05; 0.1; 0.25; 0.5; 1.; 2.5; 5.; 10.; 30. ]

(* Label values and numbers of a pool in each family. *)
let states (s : Pool.statistics) =
  [ ("in_use", s.in_use); ("idle", s.idle); ("opening", s.opening); ("closing", s.closing) ]

let results (s : Pool.statistics) =
  [ ("got", s.uses); ("timed_out", s.timed_out); ("refused", s.refused) ]

let reasons (s : Pool.statistics) =
  List.map (fun (reason, count) -> (Pool.reason_to_string reason, count)) s.closed

let new_page registry =
  let pools = Atomic.make Names.empty in
  let each samples () =
    let add name pool all =
      match pool () with None -> all | Some statistics -> samples name statistics @ all
    in
    Names.fold add (Atomic.get pools) []
  in
  let family ?(label_names = []) kind name help samples =
    let label_names = "pool" :: label_names in
    Metrics.collect ~registry ~label_names ~help kind ("resource_pool_" ^ name) (each samples)
  in
  let single kind name help value =
    family kind name help (fun pool s -> [ ([ pool ], float_of_int (value s)) ])
  in
  let labelled label kind name help values =
    family ~label_names:[ label ] kind name help (fun pool s ->
        List.map (fun (value, n) -> ([ pool; value ], float_of_int n)) (values s))
  in
  labelled "state" `Gauge "resources" "Resources by state." states;
  single `Gauge "waiting_tasks" "Tasks that wait for a resource." (fun s -> s.waiting);
  single `Counter "opened_total" "Resources opened." (fun s -> s.opened);
  single `Counter "failed_total" "Failed attempts to open a resource." (fun s -> s.failed);
  labelled "reason" `Counter "closed_total" "Resources closed by reason." reasons;
  labelled "result" `Counter "uses_total" "Calls that asked for a resource by result." results;
  let queue_seconds =
    Metrics.Histogram.v_labels ~registry ~bounds ~label_names:[ "pool" ]
      ~help:"Times in the queue for a resource." "resource_pool_queue_seconds"
  in
  { pools; queue_seconds }

let pages : (Metrics.registry * page) list ref = ref []
let lock = Mutex.create ()

let page registry =
  Mutex.protect lock @@ fun () ->
  match List.assq_opt registry !pages with
  | Some page -> page
  | None ->
      let page = new_page registry in
      pages := (registry, page) :: !pages;
      page

let rec update atomic f =
  let before = Atomic.get atomic in
  if not (Atomic.compare_and_set atomic before (f before)) then update atomic f

let register ?(registry = Metrics.default) ~name pool =
  let page = page registry in
  let statistics () = if Pool.has_ended pool then None else Some (Pool.statistics pool) in
  let add pools =
    Names.add name statistics (Names.filter (fun _ pool -> Option.is_some (pool ())) pools)
  in
  update page.pools add;
  let histogram = Metrics.Histogram.labels page.queue_seconds [ name ] in
  Pool.on_use pool (Metrics.Histogram.observe histogram)
