(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external vsock_cid :
  unit ->
  (int[@untagged])
  = "soil_vsock_cid_bytecode" "soil_vsock_cid"
[@@noalloc]
(** This machine's CID. Errors: [No_device] with a detail that says what to do. *)

external vsock_listen :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_vsock_listen_bytecode" "soil_vsock_listen"
[@@noalloc]
(** Listens at [port] (2^32 - 1: a free one) of [cid] (2^32 - 1: each of this machine), with up to
    [backlog] connections waiting to be accepted; returns the listener's descriptor. Errors:
    [Address_in_use], [Address_not_available], [No_device], [Permission_denied], [Too_many_open]. *)

external vsock_accept :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_vsock_accept_bytecode" "soil_vsock_accept"
[@@noalloc]
(** Takes an established connection from the listener and returns its descriptor; [WOULD_BLOCK]. *)

external vsock_connect :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_vsock_connect_bytecode" "soil_vsock_connect"
[@@noalloc]
(** Starts a connection and returns its descriptor at once; park with [PARK_WRITE], then ask
    [soil_vsock_connected]. Errors: [No_device], [Too_many_open], [Unreachable]. *)

external vsock_connected :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_vsock_connected_bytecode" "soil_vsock_connected"
[@@noalloc]
(** 0 when the connection is established; [WOULD_BLOCK]. Errors: [Connection_refused], [Timed_out],
    [Unreachable]. *)

external vsock_abort :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_vsock_abort_bytecode" "soil_vsock_abort"
[@@noalloc]
(** Closes the descriptor, and ends the connection with a reset: what was not sent yet is lost. *)

external vsock_local :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged])
  = "soil_vsock_local_bytecode" "soil_vsock_local"
[@@noalloc]
(** Writes the local address of a connection or listener, CID and port, as two little-endian numbers
    of 4 bytes, to the start of [into]. Errors: [Wrong_kind]. *)

external vsock_peer :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged])
  = "soil_vsock_peer_bytecode" "soil_vsock_peer"
[@@noalloc]
(** Writes the peer's address likewise. Errors: [Wrong_kind], [Not_connected]. *)
