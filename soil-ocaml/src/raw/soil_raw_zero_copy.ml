(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external tcp_lease :
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged])
  = "soil_tcp_lease_bytecode" "soil_tcp_lease"
[@@noalloc]
(** Takes received bytes of a connection, at least one, and points [into], an empty bigarray that
    isn't used for anything else, at them as they lie in the stack's memory; returns the number of
    the lease, at least 1, or 0 at the end of input, with which [into] is left alone. Errors: as
    [soil_fd_read], and [Out_of_memory] while 256 leases haven't been ended, or are ended but still
    looked at. *)

external tcp_lease_end :
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged])
  = "soil_tcp_lease_end_bytecode" "soil_tcp_lease_end"
[@@noalloc]
(** Ends a lease: [buffer], the bigarray that it began with, is empty from now on. The memory is
    used again once no part of it ([sub]) can be reached. Errors: [Invalid] (no such lease, or it is
    another one's bigarray). *)

external tcp_send_shared :
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_send_shared_bytecode" "soil_tcp_send_shared"
[@@noalloc]
(** Sends [from\[off .. off + len\]] without copying it: [PENDING]; it completes with [len] when the
    peer has acknowledged all of it, and not before the stack has given the buffer back, which must
    not be changed until then. Cancelling gives the buffer back at once; what the stack had taken of
    it is still sent. Errors (also of the completion): as [soil_fd_write], [Too_many_open] (more
    than 1024 at a time), [Closed] (before all was taken). *)
