(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external tcp_listen :
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_listen_bytecode" "soil_tcp_listen"
[@@noalloc]
(** Listens at [endpoint] (address zero: at every address; port 0: one is chosen), with up to
    [backlog] connections waiting to be accepted; returns the listener's descriptor. [how] is as in
    [soil_tcp_connect], without the congestion marks, and is what the listener's connections begin
    with. Errors: [Address_in_use], [Address_not_available], [No_network], [Too_many_open]. *)

external tcp_accept :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_accept_bytecode" "soil_tcp_accept"
[@@noalloc]
(** Takes an established connection from the listener and returns its descriptor; [WOULD_BLOCK]. *)

external tcp_refused :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_refused_bytecode" "soil_tcp_refused"
[@@noalloc]
(** The number of connections of the listener that weren't established since the last call, because
    others hold all memory of TCP, or the machine is short of memory; their peers try again. Parking
    the listener with [PARK_READ] ends when there are more. 0 in the process on the host's sockets.
    Errors: [Wrong_kind]. *)

external tcp_connect :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_connect_bytecode" "soil_tcp_connect"
[@@noalloc]
(** Starts a connection and returns its descriptor at once; park with [PARK_WRITE], then ask
    [soil_tcp_connected]. [how], in bits: 0 to 7 the hop limit and 8 to 13 the DSCP, as with
    [soil_net_mark]; 16 and 17 whether to ask for congestion marks (RFC 3168): 0 as configured, 1
    no, 2 yes; 18 to 21: no timestamps, no selective acknowledgements, no window scaling, no pacing;
    24 to 39 as [OPTION_MSS]; 40 to 59: 0 the usual delay of acknowledgements, otherwise 1 more than
    it in microseconds. Errors: [No_network], [Unreachable], [Too_many_open], [Invalid]. *)

external tcp_connected :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_connected_bytecode" "soil_tcp_connected"
[@@noalloc]
(** 0 when the connection is established; [WOULD_BLOCK]. Errors: [Connection_refused], [Timed_out],
    [Unreachable]. *)

external tcp_bind :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_bind_bytecode" "soil_tcp_bind"
[@@noalloc]
(** Takes [endpoint] (address zero: every address; port 0: one is chosen) for
    [soil_tcp_listen_bound] or [soil_tcp_connect_bound] and returns a descriptor of the kind of
    listeners. [how] is as in [soil_tcp_connect]. A SYN to it is refused. Errors: as for
    [soil_tcp_listen]. *)

external tcp_listen_bound :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_listen_bound_bytecode" "soil_tcp_listen_bound"
[@@noalloc]
(** Listens at what was bound, with up to [backlog] connections waiting to be accepted. Errors:
    [Wrong_kind], [Closed]. *)

external tcp_connect_bound :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_tcp_connect_bound_bytecode" "soil_tcp_connect_bound"
[@@noalloc]
(** Starts a connection from what was bound, whose descriptor is closed unless this fails; returns
    the connection's, as [soil_tcp_connect] does. Errors: those, and [Wrong_kind] for one that
    listens. *)

external tcp_local :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged])
  = "soil_tcp_local_bytecode" "soil_tcp_local"
[@@noalloc]
(** Writes the 18 bytes of the local endpoint of a connection, listener or UDP socket to the start
    of [into]. *)

external tcp_peer :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged])
  = "soil_tcp_peer_bytecode" "soil_tcp_peer"
[@@noalloc]
(** Writes the 18 bytes of the peer's endpoint to the start of [into]. Errors: [Not_connected],
    [Wrong_kind]. *)

external tcp_set :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_set_bytecode" "soil_tcp_set"
[@@noalloc]
(** Sets an option of a connection, or of a listener for its connections, one of [OPTION_*], to
    [value]. Errors: [Invalid] (no such option or value), [Wrong_kind]. *)

external tcp_keepalive :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_keepalive_bytecode" "soil_tcp_keepalive"
[@@noalloc]
(** Probes a connection after [idle] nanoseconds without a word of the peer, 0: never (the state of
    a new one), and then every [interval] nanoseconds; the peer is gone ([Timed_out]) when [count]
    probes, 1 to 255, were not answered. Errors: [Invalid], [Wrong_kind]. *)

external tcp_info :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged])
  = "soil_tcp_info_bytecode" "soil_tcp_info"
[@@noalloc]
(** Fills [into] with the [TcpInfo] of a connection. Errors: [Wrong_kind]. *)

external tcp_abort :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_abort_bytecode" "soil_tcp_abort"
[@@noalloc]
(** Closes the descriptor, and ends the connection with RST: what was not sent yet is lost. *)

external tcp_send_urgent :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_send_urgent_bytecode" "soil_tcp_send_urgent"
[@@noalloc]
(** Marks all that was written to a connection so far and the next [len] bytes as urgent, to be
    called before they are written: the peer gets the pointer at once, even if its window is closed.
    Errors: [Wrong_kind], [Not_connected], [Invalid] for a negative [len]. *)

external tcp_urgent :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_urgent_bytecode" "soil_tcp_urgent"
[@@noalloc]
(** The number of bytes from the next one to be read to the last that the peer calls urgent, come or
    still to come; 0: none. The last [back] bytes that were read count as not read. [soil_fd_park]
    with [PARK_READ] ends when there are more, too. Errors: [Wrong_kind]. *)

external tcp_lease :
  (int[@untagged]) ->
  bytes_buffer ->
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
  bytes_buffer ->
  (int[@untagged])
  = "soil_tcp_lease_end_bytecode" "soil_tcp_lease_end"
[@@noalloc]
(** Ends a lease: [buffer], the bigarray that it began with, is empty from now on. The memory is
    used again once no part of it ([sub]) can be reached. Errors: [Invalid] (no such lease, or it is
    another one's bigarray). *)

external tcp_send_shared :
  (int[@untagged]) ->
  bytes_buffer ->
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
