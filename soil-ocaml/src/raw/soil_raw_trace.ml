(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external tracing :
  unit ->
  (int[@untagged])
  = "soil_tracing_bytecode" "soil_tracing"
[@@noalloc]
(** Whether [soil run --trace] listens: 1 or 0. From any thread. *)

external trace :
  (int[@untagged]) ->
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_trace_bytecode" "soil_trace"
[@@noalloc]
(** Records an event of the scheduler, if [soil run --trace] listens: what [task] does, by one of
    the [TRACE_*], and a name, of which 16 bytes are kept. Of the thread with the scheduler. *)
