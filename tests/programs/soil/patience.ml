(* How long programs of the tests wait for what comes when the host lets it. *)

(* Until it holds; for a minute of naps at most. *)
let await holds =
  let rec go n =
    if n > 0 && not (holds ()) then (
      Soil.Clock.sleep 0.1;
      go (n - 1))
  in
  go 600
