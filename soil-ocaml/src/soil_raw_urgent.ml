(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external tcp_send_urgent :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_tcp_send_urgent"
[@@noalloc]
(** Marks all that was written to a connection so far as urgent: the peer is told at once, even if
    its window is closed. Errors: [Wrong_kind], [Not_connected]. *)

external tcp_urgent :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_tcp_urgent"
[@@noalloc]
(** The number of bytes from the next one to be read to the last that the peer calls urgent, come or
    still to come; 0: none. The last [back] bytes that were read count as not read. [soil_fd_park]
    with [PARK_READ] ends when there are more, too. Errors: [Wrong_kind]. *)
