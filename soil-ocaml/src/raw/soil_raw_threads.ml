(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external await :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_await_bytecode" "soil_await"
(** Waits as [soil_wait] does, on any thread, until the operation [token], from
    [FIRST_TOKEN_OF_THREADS] on, completes; returns its result, or [PENDING] after the deadline or a
    signal. Also for a token without an operation, which never completes. Of several threads that
    wait, here or in [soil_wait], one runs stack and devices for all. A token is waited for by one
    thread at a time. Errors: [Invalid] (a smaller token). *)

external expect_threads :
  unit ->
  (int[@untagged])
  = "soil_expect_threads_bytecode" "soil_expect_threads"
[@@noalloc]
(** Says that other threads than the first will wait, as [soil.threads] does when it starts; 0. From
    any thread. *)

external event :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_event_bytecode" "soil_event"
[@@noalloc]
(** Starts an operation that [soil_event_set] completes, with 0. *)

external event_set :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_event_set_bytecode" "soil_event_set"
[@@noalloc]
(** Completes the operation that [soil_event] has started; from any thread. 1: done. 0: there is no
    such operation. *)
