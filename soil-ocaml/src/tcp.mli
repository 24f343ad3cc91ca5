(** TCP ({{:https://www.rfc-editor.org/rfc/rfc9293}RFC 9293}).

    Listeners and connections are descriptors; {!File_descriptor} reads, writes, shuts down and
    closes them. For timeouts of reads and writes use {!Task.timeout}. *)

type connection = [ `Read | `Write | `Shutdown | `Tcp | `Connection ] File_descriptor.t
(** The type for connections. *)

type listener = [ `Tcp | `Listener ] File_descriptor.t
(** The type for listeners. *)

(** {1:options Options} *)

type options = Connection.options = {
  timestamps : bool;  (** See {!set_timestamps}. *)
  sack : bool;  (** See {!set_sack}. *)
  window_scaling : bool;  (** See {!set_window_scaling}. *)
  pacing : bool;  (** See {!set_pacing}. *)
  delayed_ack : float option;  (** See {!set_delayed_ack}; [None]: the usual time. *)
  segment_size : int option;  (** See {!set_segment_size}; [None]: limited by the path. *)
}
(** The type for the initial options of a connection, most of which its SYN negotiates. *)

val default_options : options
(** [default_options] enables all switches and sets nothing else:
    [{ default_options with sack = false }]. *)

(** {1:server Servers} *)

val listen :
  ?backlog:int ->
  ?address:Net.address ->
  ?hop_limit:int ->
  ?dscp:int ->
  ?options:options ->
  port:int ->
  unit ->
  listener
(** [listen ~port ()] is a listener on [port] of [address] (default: {!Net.any}, all addresses, IPv4
    and IPv6). Port 0 selects a free one; {!local} returns it. Up to [backlog] (default: 1024; 1 to
    65535) established connections wait for {!accept}. [hop_limit] and [dscp] are as in
    {!set_hop_limit} and {!set_dscp}; its connections start with [options] (default:
    {!default_options}). Doesn't wait. Raises {!Soil.exception-Error} with [Address_in_use],
    [Address_not_available] or [No_network]. Raises [Invalid_argument] if a number is out of range.
*)

val accept : ?timeout:float -> [> `Listener ] File_descriptor.t -> connection
(** [accept l] waits for a connection to [l], for at most [timeout] seconds (default: no limit), and
    returns it. A connection that arrives after a timeout or a cancellation is left for the next
    call. Raises {!Soil.exception-Error} with [Timed_out], [Too_many_open] or [Out_of_memory] (the
    connection can still be accepted later). *)

val serve :
  ?max_connections:int ->
  ?grace:float ->
  ?on_error:(connection -> exn -> unit) ->
  [> `Listener ] File_descriptor.t ->
  (connection -> unit) ->
  unit
(** [serve l handler] accepts connections until [l] is closed and runs [handler c] for each in its
    own task; [c] is closed at its end. It returns after all connections have ended.

    - It serves in the domain that calls it. {!Domain.each}[ ~domains:4 (fun _ -> serve l handler)]
      serves in four: each connection in the one with the fewest.
    - At most [max_connections] (default: 4096) are served at once in a domain, and as many as there
      is memory for ({!Budget}); others wait in the backlog. While one waits, connections are closed
      whose peers {!Budget} knows as idle, the one that has been for the longest time first; if
      memory is missing, other slow ones as well. Then [on_error] gets {!Soil.exception-Error} with
      [Out_of_memory]; by default it isn't printed.
    - An exception [e] of [handler] ends that connection only, after [on_error c e] (default: it is
      printed with its backtrace on standard error, by the printers registered with [Printexc] if
      the program has that; a TLS session's refusal of its peer is logged instead, in one line at
      level info). Errors of [c] itself because its peer disconnected ([Connection_reset],
      [Broken_pipe], [Not_connected], or [Timed_out] by the protocol's own limits) aren't reported;
      the same errors from another descriptor, or from a {!Task.timeout}, are.
      [Printexc.get_raw_backtrace ()] at the beginning of [on_error] is the backtrace of [e]. An
      exception of [on_error] ends [serve], which raises it.
    - Exhausted memory ends no more than a connection, also where [on_error] raises [Out_of_memory]:
      all garbage is collected, at most once a second.
    - When [serve] is cancelled it stops accepting, gives running connections [grace] seconds
      (default: 5) to end, cancels the rest, and raises {!Task.Cancelled}.

    Raises [Invalid_argument] if [max_connections < 1]. *)

(** {1:client Clients} *)

(** The type for congestion control algorithms. *)
type congestion =
  | Cubic  (** {{:https://www.rfc-editor.org/rfc/rfc9438}RFC 9438}, for long or fast paths. *)
  | New_reno  (** {{:https://www.rfc-editor.org/rfc/rfc6582}RFC 6582}. *)

val connect :
  ?timeout:float ->
  ?nodelay:bool ->
  ?keepalive:float ->
  ?user_timeout:float ->
  ?linger:float ->
  ?congestion:congestion ->
  ?send_buffer:int ->
  ?receive_buffer:int ->
  ?hop_limit:int ->
  ?dscp:int ->
  ?ecn:bool ->
  ?options:options ->
  Net.endpoint ->
  connection
(** [connect e] is a connection to [e]. It waits for the network to be up and for the peer, for at
    most [timeout] seconds (default: the protocol's own limit, 180 s); a cancelled or failed attempt
    leaves nothing behind. [ecn] (default: [false]) requests explicit congestion notification from
    the peer ({{:https://www.rfc-editor.org/rfc/rfc3168}RFC 3168}): routers then may mark segments
    instead of dropping them. A peer's request for it is always accepted. The other options are as
    in {!set_nodelay}, {!val-keepalive}, {!set_user_timeout}, {!set_linger}, {!set_congestion},
    {!set_send_buffer}, {!set_receive_buffer}, {!set_hop_limit} and {!set_dscp}; the last two and
    [options] (default: {!default_options}) also apply to the SYN. To choose the local port see
    {!Bound}. Raises {!Soil.exception-Error} with [Connection_refused], [Timed_out], [Unreachable],
    [No_network]… *)

val connect_host :
  ?timeout:float ->
  ?nodelay:bool ->
  ?keepalive:float ->
  ?user_timeout:float ->
  ?linger:float ->
  ?congestion:congestion ->
  ?send_buffer:int ->
  ?receive_buffer:int ->
  ?hop_limit:int ->
  ?dscp:int ->
  ?ecn:bool ->
  ?options:options ->
  string ->
  port:int ->
  connection
(** [connect_host name ~port] is a connection to the host called [name] (or with the address
    [name]), by Happy Eyeballs ({{:https://www.rfc-editor.org/rfc/rfc8305}RFC 8305}): its IPv6 and
    IPv4 addresses are looked up at the same time, sorted as in
    {{:https://www.rfc-editor.org/rfc/rfc6724}RFC 6724} with alternating families, and tried for at
    most [timeout] seconds each (default: 10). An attempt begins 250 ms after the previous one, or
    as soon as one fails; the first connection wins and the other attempts are abandoned. Use
    {!Task.timeout} for a total limit. Raises {!Soil.exception-Error} as {!Dns.lookup} and
    {!connect}; the reason of the last failure if all fail. *)

val with_connection : ?timeout:float -> ?options:options -> Net.endpoint -> (connection -> 'a) -> 'a
(** [with_connection e f] is [f c] for a connection [c] to [e] that is closed when that returns or
    raises. [timeout] and [options] are those of {!connect}: they don't limit [f]. *)

(** {1:connections Connections} *)

val local : [> `Tcp ] File_descriptor.t -> Net.endpoint
(** [local d] is the local endpoint of a connection or listener. *)

val peer : [> `Connection ] File_descriptor.t -> Net.endpoint
(** [peer c] is the remote endpoint of a connection. Raises {!Soil.exception-Error} with
    [Not_connected]. *)

val abort : [> `Connection ] File_descriptor.t -> unit
(** [abort c] closes [c] with a reset and drops undelivered data. *)

val set_nodelay : [> `Connection ] File_descriptor.t -> bool -> unit
(** [set_nodelay c b] sends small segments at once if [b] (the initial state), and otherwise
    coalesces them while there is unacknowledged data
    ({{:https://www.rfc-editor.org/rfc/rfc896}RFC 896}). *)

val keepalive :
  ?interval:float -> ?count:int -> [> `Connection ] File_descriptor.t -> float option -> unit
(** [keepalive c (Some s)] probes the peer after [s] seconds without a segment from it and then
    every [interval] seconds (default: [s]), to detect a dead peer: [c] ends with [Timed_out] after
    [count] unanswered probes (default: 4; 1 to 255); [None] (the initial state) disables this.
    Raises [Invalid_argument] if a number is out of range. *)

val set_user_timeout : [> `Connection ] File_descriptor.t -> float option -> unit
(** [set_user_timeout c (Some s)] ends the connection with [Timed_out] when sent data stays
    unacknowledged for [s] seconds ({{:https://www.rfc-editor.org/rfc/rfc5482}RFC 5482}; initially
    120 s); [None] never does. Raises [Invalid_argument] if [s] isn't positive. *)

val set_linger : [> `Connection ] File_descriptor.t -> float -> unit
(** [set_linger c s] lets [c], once closed, deliver pending data for [s] more seconds (initially 60)
    in the background; with [0.], {!File_descriptor.close} is {!abort}. Raises [Invalid_argument] if
    [s] is negative. *)

val set_congestion : [> `Connection ] File_descriptor.t -> congestion -> unit
(** [set_congestion c a] selects the congestion control algorithm and keeps the congestion window.
    Initially it is that of [SOIL_TCP_CONGESTION] ([cubic] or [newreno]), or [Cubic]. *)

val set_send_buffer : [> `Connection ] File_descriptor.t -> int -> unit
(** [set_send_buffer c n] limits written and unacknowledged bytes to [n] (clamped to 4096 to [2^30];
    initially 4 MiB, allocated only as the path needs it). Raises [Invalid_argument] if [n] isn't
    positive. *)

val set_receive_buffer : [> `Connection ] File_descriptor.t -> int -> unit
(** [set_receive_buffer c n] limits unread bytes to [n], and with them the offered window, which
    isn't shrunk. At least 4096, and at most what the handshake allows: 8 MiB, or 65535 without
    window scaling. Initially 4 MiB, to which the window grows as the path needs it. Raises
    [Invalid_argument] if [n] isn't positive. *)

val set_hop_limit : [> `Tcp ] File_descriptor.t -> int -> unit
(** [set_hop_limit d n] sets the TTL or hop limit of packets that connection [d] sends from now on
    ({{:https://www.rfc-editor.org/rfc/rfc9293#section-3.9.2}RFC 9293 §3.9.2}; initially 64, or a
    router's advertised one). For a listener it is the initial value of its connections. Raises
    [Invalid_argument] if [n] isn't between 1 and 255. *)

val set_dscp : [> `Tcp ] File_descriptor.t -> int -> unit
(** [set_dscp d n] sets the differentiated services codepoint of packets that connection [d] sends
    from now on ({{:https://www.rfc-editor.org/rfc/rfc9293#section-3.9.1.8}RFC 9293 §3.9.1.8},
    {{:https://www.rfc-editor.org/rfc/rfc2474}RFC 2474}; initially 0), such as 46, expedited
    forwarding. For a listener it is the initial value of its connections. Raises as
    {!set_hop_limit}; [n] is between 0 and 63. *)

(** {1:agreed Options of listeners and connections}

    For a listener each sets the initial value of its connections, for a connection its behaviour
    from now on. *)

val set_timestamps : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_timestamps l b] negotiates timestamps ({{:https://www.rfc-editor.org/rfc/rfc7323}RFC 7323})
    iff [b] (initially [true]). Existing connections don't change. *)

val set_sack : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_sack l b] negotiates selective acknowledgements
    ({{:https://www.rfc-editor.org/rfc/rfc2018}RFC 2018}) iff [b] (initially [true]). Existing
    connections don't change. *)

val set_window_scaling : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_window_scaling l b] negotiates windows of more than 65535 bytes
    ({{:https://www.rfc-editor.org/rfc/rfc7323#section-2}RFC 7323 §2}) iff [b] (initially [true]).
    Existing connections don't change. *)

val set_pacing : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_pacing d b] spreads segments over the round trip iff [b]. *)

val set_delayed_ack : [> `Tcp ] File_descriptor.t -> float -> unit
(** [set_delayed_ack d s] delays acknowledgements by up to [s] seconds
    ({{:https://www.rfc-editor.org/rfc/rfc5681#section-4.2}RFC 5681 §4.2}); with [0.] each segment
    is acknowledged at once. Raises [Invalid_argument] if [s] isn't between 0 and 0.499. *)

val set_segment_size : [> `Tcp ] File_descriptor.t -> int -> unit
(** [set_segment_size d n] limits the payload of segments to [n] bytes, for a listener in both
    directions. Raises [Invalid_argument] if [n] isn't between 88 and 65535. *)

(** {1:information Information} *)

(** The type for the recovery states of a sender. *)
type phase =
  | Open  (** No known loss. *)
  | Recovery  (** Retransmission of losses shown by acknowledgements. *)
  | Loss  (** Retransmission after a timeout. *)

type info = {
  rtt : float;  (** Smoothed round-trip time in seconds; [0.] before the first measurement. *)
  rtt_variation : float;  (** Its variation, in seconds. *)
  rtt_min : float;  (** The minimum, in seconds. *)
  retransmission_timeout : float;  (** In seconds. *)
  segment_size : int;  (** Bytes of payload in a full segment. *)
  congestion_window : int;  (** In bytes. *)
  slow_start_threshold : int option;  (** In bytes; [None] before the first loss. *)
  send_window : int;  (** The window offered by the peer, in bytes. *)
  receive_window : int;  (** The window offered to the peer, in bytes. *)
  in_flight : int;  (** Bytes presumably in the network. *)
  unacknowledged : int;  (** Bytes written and not acknowledged. *)
  unread : int;  (** Bytes received and not read. *)
  out_of_order : int;  (** Bytes received behind a gap. *)
  retransmitted : int;  (** Retransmitted segments. *)
  timeouts : int;  (** Retransmission timeouts. *)
  phase : phase;
  sacked : int;  (** Bytes selectively acknowledged by the peer. *)
  lost : int;  (** Bytes presumed lost and not yet retransmitted. *)
  reordering : bool;  (** Reordering was seen. *)
  peer_segment_size : int;  (** The peer's maximum segment size. *)
  path_mtu : int;  (** The largest packet that is sent, including headers. *)
  timestamps : bool;  (** Both ends send timestamps. *)
  sack : bool;  (** Both ends send selective acknowledgements. *)
  ecn : bool;  (** Both ends use explicit congestion notification. *)
  window_scales : (int * int) option;  (** The shifts of this end's window and of the peer's. *)
  loss_probes : int;  (** Tail loss probes. *)
  spurious_recoveries : int;  (** Spurious recoveries. *)
  bytes_acknowledged : int;  (** Since the beginning. *)
  bytes_received : int;  (** In order, since the beginning. *)
}
(** The type for the statistics of a connection. *)

val info : [> `Connection ] File_descriptor.t -> info
(** [info c] is the current statistics of [c]. *)
