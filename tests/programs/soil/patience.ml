(* How long programs of the tests wait for what comes when the host lets it. *)

(* Until it holds; for a minute of naps at most. *)
let await holds =
  let rec go n =
    if n > 0 && not (holds ()) then (
      Soil.Clock.sleep 0.1;
      go (n - 1))
  in
  go 600

(* [connect ()], again where the neighbour can't be reached: on a busy host it may not be run for
   the three seconds in which it has to answer. *)
let rec insist ?(tries = 20) connect =
  match connect () with
  | outcome -> outcome
  | exception Soil.Error { code = Unreachable; _ } when tries > 0 ->
      Soil.Clock.sleep 0.5;
      insist ~tries:(tries - 1) connect
