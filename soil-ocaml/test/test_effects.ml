(* The way through the compiler's primitives does what the one through the standard library does. *)
open Check

module type Effects = sig
  type t

  val finished : t
  val start : (unit -> unit) -> t
  val park : unit -> int
  val continue : t -> int -> t
end

type _ Effect.t += Ask : int -> int Effect.t

(* A computation that parks, raises across a park, and has a handler of its own around a park. *)
let computation park say () =
  say ("first " ^ string_of_int (park ()));
  (try
     ignore (park ());
     raise Exit
   with Exit -> say "raised and caught");
  let handled =
    match Effect.perform (Ask 20) + park () with
    | v -> v
    | effect Ask n, k -> Effect.Deep.continue k (n * 2)
  in
  say ("handled " ^ string_of_int handled)

let trace (module E : Effects) =
  let say, said = logger () in
  let rec go n stopped =
    if stopped == E.finished then say "finished"
    else (
      say ("parked " ^ string_of_int n);
      go (n + 1) (E.continue stopped n))
  in
  go 1 (E.start (computation E.park say));
  said ()

(* An effect without a handler in the fiber reaches the handler around the scheduler. *)
let outer (module E : Effects) =
  match E.start (fun () -> ignore (Effect.perform (Ask 1))) with
  | stopped -> if stopped == E.finished then "finished" else "parked"
  | effect Ask n, k -> "asked " ^ string_of_int n ^ ", " ^ Effect.Deep.continue k 0

(* Where memory is taken, handlers of signals run and may raise. Once the computation has parked, no
   place is such. *)
let without_memory (module E : Effects) =
  let went_on = ref 0 and parking = ref false and taken = ref 0 in
  let park () =
    parking := true;
    went_on := E.park ()
  in
  (* The continuation itself, which the computation makes before it parks, is larger. *)
  let count (block : Gc.Memprof.allocation) =
    if !parking && block.size = 1 then incr taken;
    None
  in
  let tracker = { Gc.Memprof.null_tracker with alloc_minor = count } in
  let profile = Gc.Memprof.start ~sampling_rate:1. tracker in
  let stopped = E.start park in
  parking := false;
  Gc.Memprof.stop ();
  Gc.Memprof.discard profile;
  int "blocks" 0 !taken;
  bool "parked" false (stopped == E.finished);
  bool "finished" true (E.continue stopped 7 == E.finished);
  int "went on" 7 !went_on

let expected =
  [
    "parked 1"; "first 1"; "parked 2"; "raised and caught"; "parked 3"; "handled 43"; "finished";
  ]
[@@ocamlformat "disable"]

let of_implementation name (module E : Effects) =
  [
    test (name ^ ": parking and going on") (fun () -> strings "trace" expected (trace (module E)));
    test (name ^ ": other effects pass") (fun () ->
        string "outcome" "asked 1, finished" (outer (module E)));
    test (name ^ ": parking takes no memory") (fun () -> without_memory (module E));
  ]

let tests =
  of_implementation "standard library" (module Effects_stdlib)
  @ of_implementation "primitives" (module Effects_lean)
