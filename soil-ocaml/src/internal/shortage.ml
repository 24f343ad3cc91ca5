external full_major : unit -> unit = "caml_gc_full_major"
external compaction : unit -> unit = "caml_gc_compaction"

let min_pause_ns = 1_000_000_000
let recent_ns = 10_000_000_000

(* The next collection isn't before [not_before]. *)
let not_before = ref min_int
let last_end = ref 0
let last_compaction = ref 0
let count = ref 0
let collections () = !count

let collect () =
  let begun = Soil_raw.clock_monotonic_ns () in
  begun >= !not_before
  &&
  (full_major ();
   (* Memory of small blocks stays OCaml's unless it is compacted, and large ones can't have it. *)
   if !count > 0 && begun - !last_end < recent_ns && begun - !last_compaction >= recent_ns then (
     compaction ();
     last_compaction := begun);
   incr count;
   last_end := Soil_raw.clock_monotonic_ns ();
   (* A fifth of the time at most. *)
   not_before := !last_end + max min_pause_ns (4 * (!last_end - begun));
   true)

let operation = "memory for peers"

let is_refusal = function
  | Error.Error { code = Out_of_memory; operation = o; _ } -> o == operation
  | _ -> false

let recover = function
  | e when is_refusal e -> false
  | Stdlib.Out_of_memory | Stack_overflow | Error.Error { code = Out_of_memory; _ } ->
      ignore (collect ());
      true
  | _ -> false
