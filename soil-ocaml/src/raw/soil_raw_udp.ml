(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external udp_bind :
  string ->
  (int[@untagged])
  = "soil_udp_bind_bytecode" "soil_udp_bind"
[@@noalloc]
(** A UDP socket at [endpoint] (address zero: every address; port 0: one is chosen). Errors: as
    [soil_tcp_listen]. *)

external udp_send :
  (int[@untagged]) ->
  string ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_send_bytecode" "soil_udp_send"
[@@noalloc]
(** Sends [from\[off .. off + len\]] as one datagram to [endpoint]; returns [len]. [WOULD_BLOCK].
    Errors: [Message_too_long], [Unreachable]. *)

external udp_send_buffer :
  (int[@untagged]) ->
  string ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_send_buffer_bytecode" "soil_udp_send_buffer"
[@@noalloc]
(** [soil_udp_send] from a bigarray. *)

external udp_receive :
  (int[@untagged]) ->
  bytes ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_receive_bytecode" "soil_udp_receive"
[@@noalloc]
(** Receives one datagram to [into\[off ..\]], cut where it doesn't fit, and writes its sender's 18
    bytes to the start of [endpoint]; returns the number of bytes written. [WOULD_BLOCK]. *)

external udp_receive_buffer :
  (int[@untagged]) ->
  bytes ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_receive_buffer_bytecode" "soil_udp_receive_buffer"
[@@noalloc]
(** [soil_udp_receive] into a bigarray. *)

external udp_receive_to :
  (int[@untagged]) ->
  bytes ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_receive_to_bytecode" "soil_udp_receive_to"
[@@noalloc]
(** [soil_udp_receive] that also writes where the datagram was sent to: the 52 bytes of [arrival]
    are its sender's endpoint, its destination's address, the address to answer from ([::] if there
    is none), and the number of its interface, in network byte order (65535: none). *)

external udp_send_from :
  (int[@untagged]) ->
  string ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_send_from_bytecode" "soil_udp_send_from"
[@@noalloc]
(** [soil_udp_send] with a source: the 36 bytes of [route] are the destination's endpoint, an
    address of this machine ([::]: whichever suits), and the number of the interface for a group or
    a link-local destination, in network byte order (65535: whichever suits). Errors: also
    [Address_not_available], [No_device]. *)

external udp_connect :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_udp_connect_bytecode" "soil_udp_connect"
[@@noalloc]
(** Restricts the socket to this peer, for datagrams and errors; port 0: any peer. Errors:
    [Unreachable]. *)

external udp_group :
  (int[@untagged]) ->
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_group_bytecode" "soil_udp_group"
[@@noalloc]
(** Joins ([join] 1) or leaves (0) the group with this 16-byte address on interface [interface] (-1:
    whichever suits). Errors: [Invalid] (no group, or not joined), [Unreachable], [Out_of_memory]
    (too many groups). *)

external udp_multicast_hops :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_udp_multicast_hops_bytecode" "soil_udp_multicast_hops"
[@@noalloc]
(** How many routers what is sent to groups may pass, 0 … 255; 1, the value of a new socket, stays
    on the link. *)

external udp_receive_batch :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  bytes ->
  int_buffer ->
  (int[@untagged])
  = "soil_udp_receive_batch_bytecode" "soil_udp_receive_batch"
[@@noalloc]
(** Receives up to as many datagrams as [lengths] has places: number [i] to [into\[i * slot ..\]],
    cut where it doesn't fit, its sender's 18 bytes to [endpoints\[18 * i ..\]], and the number of
    bytes to [lengths\[i\]]; returns how many. [WOULD_BLOCK]. *)

external udp_send_batch :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  string ->
  int_buffer ->
  (int[@untagged])
  = "soil_udp_send_batch_bytecode" "soil_udp_send_batch"
[@@noalloc]
(** Sends as many datagrams as [lengths] has places: number [i] is [from\[i * slot .. i * slot +
    lengths\[i\]\]] to the endpoint in [endpoints\[18 * i ..\]]; returns how many were taken, at
    least one. [WOULD_BLOCK]. Errors: of the first, as [soil_udp_send]. *)
