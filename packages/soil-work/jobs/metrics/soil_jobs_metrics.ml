module Jobs = Soil_jobs
module Metrics = Soil_metrics

let states (s : Jobs.statistics) =
  [
    ("queued", s.queued);
    ("delayed", s.delayed);
    ("running", s.running);
    ("dead", s.dead);
    ("keys", s.keys);
  ]

let register ?(registry = Metrics.default) ~name queue =
  let full suffix = name ^ "_" ^ suffix in
  let single kind suffix help value =
    let read () = [ ([], value (Jobs.statistics queue)) ] in
    Metrics.collect ~registry ~help kind (full suffix) read
  in
  let counter suffix help value = single `Counter suffix help (fun s -> float (value s)) in
  let read () =
    List.map (fun (state, n) -> ([ state ], float n)) (states (Jobs.statistics queue))
  in
  Metrics.collect ~registry ~label_names:[ "state" ] ~help:"Jobs by state." `Gauge (full "jobs")
    read;
  single `Gauge "oldest_seconds" "How long the oldest queued job has been ready." (fun s ->
      s.oldest_seconds);
  counter "enqueued_total" "New jobs." (fun s -> s.enqueued);
  counter "finished_total" "Jobs that are done." (fun s -> s.finished);
  counter "failures_total" "Failed attempts." (fun s -> s.failures);
  counter "store_errors_total" "Failed operations of the store." (fun s -> s.store_errors)
