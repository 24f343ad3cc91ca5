(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external echo :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_echo"
[@@noalloc]
(** Sends an echo request with [len] bytes to the address of [endpoint], whose port is of no
    meaning; returns a descriptor that is readable once it is answered. Errors: [Invalid] (a group,
    or no address), [Unreachable], [Message_too_long] (more than 65 000 bytes), [Out_of_memory]
    (more than 64 at a time). *)

external echo_result :
  (int[@untagged]) ->
  Soil_raw.int_buffer ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_echo_result"
[@@noalloc]
(** Fills [into] with an [EchoReply]. [WOULD_BLOCK]. Errors: [Unreachable], [Wrong_kind]. *)
