(* The collector's pauses are in a histogram, by phase. *)

let value text name =
  let prefix = name ^ " " in
  let line = List.find (String.starts_with ~prefix) (String.split_on_char '\n' text) in
  let n = String.length prefix in
  float_of_string (String.sub line n (String.length line - n))

let () =
  Soil_metrics_gc.start ();
  Soil_metrics_gc.start ();
  Soil.run @@ fun () ->
  let page () = Soil_metrics.to_string Open_metrics in
  let count text phase = value text ("ocaml_pause_seconds_count{phase=\"" ^ phase ^ "\"}") in
  let before = page () in
  for _ = 1 to 100 do
    Gc.minor ()
  done;
  for _ = 1 to 2 do
    Gc.full_major ()
  done;
  let after = page () in
  let more phase = count after phase -. count before phase in
  let sum = value after "ocaml_pause_seconds_sum{phase=\"minor\"}" in
  let infinite = value after "ocaml_pause_seconds_bucket{phase=\"minor\",le=\"+Inf\"}" in
  Printf.printf "minor: 100 more: %b, all in a bucket: %b, they take time: %b\n"
    (more "minor" >= 100.)
    (infinite = count after "minor")
    (sum > 0.);
  Printf.printf "lost: %.0f\n" (value after "ocaml_events_lost_total");
  (* More than the ring holds, read at the end of each major collection. *)
  for _ = 1 to 200 do
    for _ = 1 to 20 do
      Gc.minor ()
    done;
    Gc.full_major ()
  done;
  let last = page () in
  Printf.printf "minor: 4000 more: %b, major: some more: %b, lost: %.0f\n"
    (count last "minor" -. count after "minor" >= 4000.)
    (count last "major" > count before "major")
    (value last "ocaml_events_lost_total")
