(** TCP ({{:https://www.rfc-editor.org/rfc/rfc9293}RFC 9293}).

    Listeners and connections are descriptors; {!File_descriptor} reads, writes, shuts down and
    closes them. For a limit of time on reading and writing put {!Task.timeout} around it. *)

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
  segment_size : int option;  (** See {!set_segment_size}; [None]: what the path carries. *)
}
(** The type for the initial options of a connection, most of which its SYN negotiates. *)

val default_options : options
(** [default_options] has all that is switched on or off on, and nothing else chosen:
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
    and IPv6). Port 0 takes a free one; {!local} tells which. Up to [backlog] (default: 1024; 1 to
    65535) connections are completed by the machine while they wait for {!accept}. [hop_limit] and
    [dscp] are as in {!set_hop_limit} and {!set_dscp}; its connections begin with [options]
    (default: {!default_options}). Doesn't wait. Raises {!Soil.exception-Error} with
    [Address_in_use], [Address_not_available] or [No_network]. Raises [Invalid_argument] if a number
    is out of range. *)

val accept : ?timeout:float -> [> `Listener ] File_descriptor.t -> connection
(** [accept l] waits for a connection to [l], for at most [timeout] seconds (default: no limit), and
    is it. A connection that comes after the time, or a cancellation, is for the next call. Raises
    {!Soil.exception-Error} with [Timed_out], [Too_many_open] or [Out_of_memory] (the connection
    then is still there to be accepted). *)

val serve :
  ?max_connections:int ->
  ?grace:float ->
  ?on_error:(connection -> exn -> unit) ->
  [> `Listener ] File_descriptor.t ->
  (connection -> unit) ->
  unit
(** [serve l handler] accepts connections for ever and runs [handler c] for each in a task of its
    own; [c] is closed at its end. It returns when [l] is closed, after all connections have ended.

    - At most [max_connections] (default: 4096) are served at once; others wait in the backlog.
    - An exception [e] of [handler] ends that connection only, after [on_error c e] (default: it is
      reported with its backtrace on the error console, in the words of the printers that are
      registered with [Printexc] if the program has that; what a session of TLS has refused of its
      peer is logged instead, in one line at the level of information). What [c] itself raised
      because its peer went away ([Connection_reset], [Broken_pipe], [Not_connected], or [Timed_out]
      by the protocol's own limits) isn't reported; the same from another descriptor, or from a
      {!Task.timeout}, is. [Printexc.get_raw_backtrace ()] at the beginning of [on_error] is the
      backtrace of [e]. An exception of [on_error] ends [serve], which raises it.
    - When [serve] is cancelled it stops accepting, gives what runs [grace] seconds (default: 5) to
      end by itself, and cancels the rest.

    Raises [Invalid_argument] if [max_connections < 1]. *)

(** {1:client Clients} *)

(** The type for congestion control algorithms. *)
type congestion =
  | Cubic  (** {{:https://www.rfc-editor.org/rfc/rfc9438}RFC 9438}, for paths long or fast. *)
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
    leaves nothing. With [ecn] (default: [false]) the peer is asked whether it takes part in
    explicit congestion notification ({{:https://www.rfc-editor.org/rfc/rfc3168}RFC 3168}): routers
    then may mark segments where they would drop them. A peer that asks for that is always told yes.
    The other options are as in {!set_nodelay}, {!val-keepalive}, {!set_user_timeout},
    {!set_linger}, {!set_congestion}, {!set_send_buffer}, {!set_receive_buffer}, {!set_hop_limit}
    and {!set_dscp}; the last two and [options] (default: {!default_options}) hold for the SYN, too.
    To choose the own port see {!Bound}. Raises {!Soil.exception-Error} with [Connection_refused],
    [Timed_out], [Unreachable], [No_network]… *)

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
    IPv4 addresses are looked up at the same time, put into the order of
    {{:https://www.rfc-editor.org/rfc/rfc6724}RFC 6724} with families taking turns, and tried each
    for [timeout] seconds (default: 10) at most. An attempt begins 250 ms after the one before, or
    as soon as one fails; the first connection wins and the others are given up. Put {!Task.timeout}
    around it to limit the whole. Raises {!Soil.exception-Error} as {!Dns.lookup} and {!connect};
    the reason of the last failure if all fail. *)

val with_connection : ?timeout:float -> ?options:options -> Net.endpoint -> (connection -> 'a) -> 'a
(** [with_connection e f] is [f c] for a connection [c] to [e] that is closed when that returns or
    raises. [timeout] and [options] are as in {!connect}: [f] may take longer. *)

(** {1:connections Connections} *)

val local : [> `Tcp ] File_descriptor.t -> Net.endpoint
(** [local d] is the local endpoint of a connection or listener. *)

val peer : [> `Connection ] File_descriptor.t -> Net.endpoint
(** [peer c] is the remote endpoint of a connection. Raises {!Soil.exception-Error} with
    [Not_connected]. *)

val abort : [> `Connection ] File_descriptor.t -> unit
(** [abort c] closes [c] with a reset: undelivered data is dropped. *)

val set_nodelay : [> `Connection ] File_descriptor.t -> bool -> unit
(** [set_nodelay c b] sends small segments at once if [b] (the initial state), and otherwise
    collects them while others aren't acknowledged
    ({{:https://www.rfc-editor.org/rfc/rfc896}RFC 896}). *)

val keepalive :
  ?interval:float -> ?count:int -> [> `Connection ] File_descriptor.t -> float option -> unit
(** [keepalive c (Some s)] makes a connection be probed after [s] seconds without a word of the peer
    and then every [interval] seconds (default: [s]), so that a peer that is gone is noticed: [c]
    ends with [Timed_out] when [count] probes (default: 4; 1 to 255) weren't answered; [None] (the
    initial state) doesn't. Raises [Invalid_argument] if a number is out of range. *)

val set_user_timeout : [> `Connection ] File_descriptor.t -> float option -> unit
(** [set_user_timeout c (Some s)] ends the connection with [Timed_out] when the peer leaves what was
    sent for [s] seconds without acknowledgement
    ({{:https://www.rfc-editor.org/rfc/rfc5482}RFC 5482}; initially 120 s); [None] never does.
    Raises [Invalid_argument] if [s] isn't positive. *)

val set_linger : [> `Connection ] File_descriptor.t -> float -> unit
(** [set_linger c s] lets [c], once closed, deliver for [s] more seconds (initially 60) in the
    background; with [0.], {!File_descriptor.close} is {!abort}. Raises [Invalid_argument] if [s] is
    negative. *)

val set_congestion : [> `Connection ] File_descriptor.t -> congestion -> unit
(** [set_congestion c a] selects the congestion control algorithm from now on; the congestion window
    stays. Initially it is that of [SOIL_TCP_CONGESTION] ([cubic] or [newreno]), or [Cubic]. *)

val set_send_buffer : [> `Connection ] File_descriptor.t -> int -> unit
(** [set_send_buffer c n] lets at most [n] bytes be written and not acknowledged (4096 to [2^30],
    brought into that range; initially 4 MiB, of which little is taken before a path needs more).
    Raises [Invalid_argument] if [n] isn't positive. *)

val set_receive_buffer : [> `Connection ] File_descriptor.t -> int -> unit
(** [set_receive_buffer c n] lets at most [n] bytes wait to be read, and so limits the window that
    the peer is offered; what it was offered already stays. At least 4096, and at most what the
    handshake left possible: 8 MiB, or 65535 where the peer doesn't scale windows. Initially 4 MiB,
    to which the window grows as the path needs it. Raises [Invalid_argument] if [n] isn't positive.
*)

val set_hop_limit : [> `Tcp ] File_descriptor.t -> int -> unit
(** [set_hop_limit d n] sets the TTL or hop limit of what connection [d] sends from now on
    ({{:https://www.rfc-editor.org/rfc/rfc9293#section-3.9.2}RFC 9293 §3.9.2}; initially 64, or the
    one that a router advertises). If [d] is a listener it is what its connections begin with.
    Raises [Invalid_argument] if [n] isn't between 1 and 255. *)

val set_dscp : [> `Tcp ] File_descriptor.t -> int -> unit
(** [set_dscp d n] asks the network to treat what connection [d] sends from now on as differentiated
    services codepoint [n] says
    ({{:https://www.rfc-editor.org/rfc/rfc9293#section-3.9.1.8}RFC 9293 §3.9.1.8},
    {{:https://www.rfc-editor.org/rfc/rfc2474}RFC 2474}; initially 0), such as 46, expedited
    forwarding. If [d] is a listener it is what its connections begin with. Raises as
    {!set_hop_limit}; [n] is between 0 and 63. *)

(** {1:agreed What a listener passes on}

    Each sets what the connections of a listener begin with, or what one connection does from now
    on. *)

val set_timestamps : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_timestamps l b] takes part in timestamps
    ({{:https://www.rfc-editor.org/rfc/rfc7323}RFC 7323}) iff [b] (initially [true]). A connection
    that exists stays as it is. *)

val set_sack : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_sack l b] takes part in selective acknowledgements
    ({{:https://www.rfc-editor.org/rfc/rfc2018}RFC 2018}) iff [b] (initially [true]). A connection
    that exists stays as it is. *)

val set_window_scaling : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_window_scaling l b] takes part in windows of more than 65535 bytes
    ({{:https://www.rfc-editor.org/rfc/rfc7323#section-2}RFC 7323 §2}) iff [b] (initially [true]). A
    connection that exists stays as it is. *)

val set_pacing : [> `Tcp ] File_descriptor.t -> bool -> unit
(** [set_pacing d b] spreads segments over the round trip iff [b]. *)

val set_delayed_ack : [> `Tcp ] File_descriptor.t -> float -> unit
(** [set_delayed_ack d s] lets an acknowledgement wait for [s] seconds
    ({{:https://www.rfc-editor.org/rfc/rfc5681#section-4.2}RFC 5681 §4.2}); with [0.] each segment
    is acknowledged at once. Raises [Invalid_argument] if [s] isn't between 0 and 0.499. *)

val set_segment_size : [> `Tcp ] File_descriptor.t -> int -> unit
(** [set_segment_size d n] lets segments have at most [n] bytes of payload, of a listener both ways.
    Raises [Invalid_argument] if [n] isn't between 88 and 65535. *)

(** {1:information Information} *)

(** The type for the recovery states of a sender. *)
type phase =
  | Open  (** Nothing is known to be lost. *)
  | Recovery  (** It repairs what acknowledgements show to be lost. *)
  | Loss  (** It repairs after a time-out. *)

type info = {
  rtt : float;  (** Smoothed round-trip time in seconds; [0.] before the first measurement. *)
  rtt_variation : float;  (** Its variation, in seconds. *)
  rtt_min : float;  (** The least one measured, in seconds. *)
  retransmission_timeout : float;  (** In seconds. *)
  segment_size : int;  (** Bytes of payload in a full segment. *)
  congestion_window : int;  (** In bytes. *)
  slow_start_threshold : int option;  (** In bytes; [None] before the first loss. *)
  send_window : int;  (** Bytes that the peer takes. *)
  receive_window : int;  (** Bytes that this end takes. *)
  in_flight : int;  (** Bytes that are thought to be in the network. *)
  unacknowledged : int;  (** Bytes written and not acknowledged. *)
  unread : int;  (** Bytes received and not read. *)
  out_of_order : int;  (** Bytes received behind a gap. *)
  retransmitted : int;  (** Segments sent again. *)
  timeouts : int;  (** Retransmission time-outs. *)
  phase : phase;
  sacked : int;  (** Bytes that the peer has reported and not acknowledged. *)
  lost : int;  (** Bytes that are thought lost and weren't sent again yet. *)
  reordering : bool;  (** Segments were seen to overtake each other. *)
  peer_segment_size : int;  (** The largest segment that the peer says it takes. *)
  path_mtu : int;  (** The largest packet that is sent, headers included. *)
  timestamps : bool;  (** Both ends send timestamps. *)
  sack : bool;  (** Both ends report what comes out of order. *)
  ecn : bool;  (** Both ends heed congestion marks. *)
  window_scales : (int * int) option;  (** The shifts of this end's window and of the peer's. *)
  loss_probes : int;  (** Tail loss probes. *)
  spurious_recoveries : int;  (** Recoveries that turned out to be unneeded. *)
  bytes_acknowledged : int;  (** Since the beginning. *)
  bytes_received : int;  (** In order, since the beginning. *)
}
(** The type for the statistics of a connection. *)

val info : [> `Connection ] File_descriptor.t -> info
(** [info c] is the present statistics of [c]. *)
