(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external system_descriptor_await :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_system_descriptor_await_bytecode" "soil_system_descriptor_await"
[@@noalloc]
(** Waits for the file descriptor [fd] of Linux, or of an image's system calls, to be ready for
    [direction] ([PARK_READ], [PARK_WRITE]). 1: it is, or a transfer would fail at once. It
    completes with 0 when it may have become ready: call again. Errors: [Closed] (there is no such
    descriptor). *)
