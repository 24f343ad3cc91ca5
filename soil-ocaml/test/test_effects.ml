(* The way through the compiler's primitives does what the one through the standard library does. *)
open Check

module type Effects = sig
  type t = Finished | Parked of (int, t) Effect.Deep.continuation

  val start : (unit -> unit) -> t
  val park : unit -> int
  val continue : (int, t) Effect.Deep.continuation -> int -> t
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
  let rec go n = function
    | E.Finished -> say "finished"
    | E.Parked k ->
        say ("parked " ^ string_of_int n);
        go (n + 1) (E.continue k n)
  in
  go 1 (E.start (computation E.park say));
  said ()

(* An effect that nobody in the fiber handles reaches the handler around the scheduler. *)
let outer (module E : Effects) =
  match E.start (fun () -> ignore (Effect.perform (Ask 1))) with
  | E.Finished -> "finished"
  | E.Parked _ -> "parked"
  | effect Ask n, k -> "asked " ^ string_of_int n ^ ", " ^ Effect.Deep.continue k 0

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
  ]

let tests =
  of_implementation "standard library" (module Effects_stdlib)
  @ of_implementation "primitives" (module Effects_lean)
