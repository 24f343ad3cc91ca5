external full_major : unit -> unit = "caml_gc_full_major"
external compaction : unit -> unit = "caml_gc_compaction"

let interval_ns = 1_000_000_000
let recent_ns = 10_000_000_000
let last_end = ref 0
let count = ref 0
let collections () = !count

let collect () =
  let since = Soil_raw.clock_monotonic_ns () - !last_end in
  (!count = 0 || since >= interval_ns)
  &&
  (full_major ();
   (* Memory of small blocks stays OCaml's unless it is compacted, and large ones can't have it. *)
   if !count > 0 && since < recent_ns then compaction ();
   incr count;
   last_end := Soil_raw.clock_monotonic_ns ();
   true)

let operation = "memory for peers"

let is_refusal = function
  | Error.Error { code = Out_of_memory; operation = o; _ } -> o == operation
  | _ -> false

let recover = function
  | e when is_refusal e -> false
  | Stdlib.Out_of_memory | Error.Error { code = Out_of_memory; _ } ->
      ignore (collect ());
      true
  | _ -> false
