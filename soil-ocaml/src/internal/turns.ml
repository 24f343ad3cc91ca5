(* What threads share is changed where OCaml doesn't change threads (Threads). *)

type turn = {
  mutable token : int;
  fiber : Scheduler.fiber;
  thread : int;
  mutable granted : bool;
  mutable previous : turn;
  mutable after : turn;
}

let turn fiber thread =
  let rec turn = { token = 0; fiber; thread; granted = false; previous = turn; after = turn } in
  turn

let remove turn =
  turn.previous.after <- turn.after;
  turn.after.previous <- turn.previous

let claim d turn =
  turn.granted <- true;
  Descriptor.claim d turn.fiber turn.thread

let next ring d =
  let turn = ring.after in
  if turn != ring then (
    remove turn;
    claim d turn;
    ignore (Soil_raw.event_set turn.token))

let rec take ring (d : Descriptor.t) fiber thread =
  let turn = turn fiber thread in
  let submit token =
    let result = Soil_raw.event token in
    if result = Soil_raw.pending then (
      turn.token <- token;
      if Descriptor.is_busy d then (
        turn.previous <- ring.previous;
        turn.after <- ring;
        ring.previous.after <- turn;
        ring.previous <- turn)
      else (
        claim d turn;
        ignore (Soil_raw.event_set token)));
    result
  in
  let give_up () =
    if turn.granted then Descriptor.end_writing d else if turn.token <> 0 then remove turn
  in
  let wait () = Scheduler.operation ~operation:"write" ~subject:(d.io.describe d) submit in
  ignore (Failure.undoing give_up wait);
  if not turn.granted then (
    (* The event was set for a turn that had this token before, and was given up. *)
    remove turn;
    take ring d fiber thread)

let of_threads () : Descriptor.turns =
  (* Of a ring of turns the first isn't one. *)
  let ring = turn Scheduler.no_fiber 0 in
  { take = take ring; next = next ring }

let register () = Descriptor.turns_of_threads := of_threads
