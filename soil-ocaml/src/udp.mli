(** UDP datagrams ({{:https://www.rfc-editor.org/rfc/rfc768}RFC 768}).

    {[
      let socket = Soil.Udp.bind ~port:5353 () in
      let buffer = Bytes.create 1500 in
      let n, from = Soil.Udp.receive socket buffer 0 1500 in
      Soil.Udp.send socket from buffer 0 n
    ]} *)

type socket = [ `Udp ] File_descriptor.t
(** The type for UDP descriptors. *)

val max_length : int
(** [max_length] is 65507, the largest payload of an IPv4 datagram in bytes. What is larger than the
    interface's MTU is sent in fragments if the stack can, and otherwise refused with
    [Message_too_long]. *)

val bind : ?address:Net.address -> ?hop_limit:int -> ?dscp:int -> port:int -> unit -> socket
(** [bind ~port ()] is a descriptor for datagrams to and from [port] of [address] (default:
    {!Net.any}); port 0 takes a free one. [hop_limit] and [dscp] are as in {!set_hop_limit} and
    {!set_dscp}. Doesn't wait. Close it with {!File_descriptor.close}. Raises
    {!Soil.exception-Error} with [Address_in_use], [Address_not_available] or [No_network]. Raises
    [Invalid_argument] if a number is out of range. *)

val send :
  ?timeout:float -> [> `Udp ] File_descriptor.t -> Net.endpoint -> bytes -> int -> int -> unit
(** [send d e b off len] sends the [len] bytes of [b] from [off] as one datagram to [e]. Waits while
    the queue of datagrams to be sent is full, for at most [timeout] seconds (default: no limit).
    Nothing tells whether it arrives, but {!connect}ed descriptors learn what ICMP says of their
    peer. Raises {!Soil.exception-Error} with [Message_too_long], [Unreachable] or [Timed_out]. *)

val send_string : ?timeout:float -> [> `Udp ] File_descriptor.t -> Net.endpoint -> string -> unit
(** [send_string d e s] is {!send} for all of [s]. *)

val receive :
  ?timeout:float -> [> `Udp ] File_descriptor.t -> bytes -> int -> int -> int * Net.endpoint
(** [receive d b off len] waits for a datagram, for at most [timeout] seconds (default: no limit),
    stores its first [len] bytes in [b] from [off], and is the number of bytes stored and the
    sender. What doesn't fit is lost; what comes after the time, or a cancellation, is for the next
    call. *)

val local : [> `Udp ] File_descriptor.t -> Net.endpoint
(** [local d] is the local address and port. *)

val set_hop_limit : [> `Udp ] File_descriptor.t -> int -> unit
(** [set_hop_limit d n] lets what [d] sends to one machine pass [n - 1] routers from now on
    ({{:https://www.rfc-editor.org/rfc/rfc1122#section-4.1.4}RFC 1122 §4.1.4}; initially 64, or what
    a router has said); for groups there is {!set_multicast_hops}. Raises [Invalid_argument] if [n]
    isn't between 1 and 255. *)

val set_dscp : [> `Udp ] File_descriptor.t -> int -> unit
(** [set_dscp d n] asks the network to treat what [d] sends from now on as differentiated services
    codepoint [n] says ({{:https://www.rfc-editor.org/rfc/rfc2474}RFC 2474}; initially 0). Raises
    [Invalid_argument] if [n] isn't between 0 and 63. *)

(** {1:peers One peer, and many} *)

val connect : [> `Udp ] File_descriptor.t -> Net.endpoint option -> unit
(** [connect d (Some e)] lets [d] hear [e] only; [None] ends that. {!send} still names whom it sends
    to. While there is a peer, an ICMP error about what was sent to it is raised once, by the next
    {!send} or {!receive}: [Connection_refused] or [Unreachable]; without one none is. Raises
    {!Soil.exception-Error} with [Unreachable]. *)

val join : ?interface:int -> [> `Udp ] File_descriptor.t -> Net.address -> unit
(** [join d group] receives what is sent to the multicast address [group], on the interface with
    this place in {!Net.val-interfaces} (default: the first that suits). Joining again does nothing.
    Raises {!Soil.exception-Error} with [Invalid] (no group), [Unreachable], [No_device] or
    [Out_of_memory] (more than 32 groups). *)

val leave : ?interface:int -> [> `Udp ] File_descriptor.t -> Net.address -> unit
(** [leave d group] undoes {!join}. Raises {!Soil.exception-Error} with [Invalid] if it wasn't
    joined. *)

val set_multicast_hops : [> `Udp ] File_descriptor.t -> int -> unit
(** [set_multicast_hops d n] lets what [d] sends to groups pass [n - 1] routers (initially none).
    Raises [Invalid_argument] if [n] isn't between 0 and 255. *)

(** {1:batches Several at once} *)

val receive_batch :
  ?timeout:float ->
  [> `Udp ] File_descriptor.t ->
  File_descriptor.buffer ->
  slot:int ->
  int ->
  (int * Net.endpoint) list
(** [receive_batch d b ~slot n] waits for a datagram, for at most [timeout] seconds (default: no
    limit), takes up to [n] of those that are there, stores the first [slot] bytes of number [i] in
    [b] from [i * slot], and is their lengths and senders. Raises [Invalid_argument] if [b] is
    shorter than [n * slot]. *)

val send_batch :
  ?timeout:float ->
  [> `Udp ] File_descriptor.t ->
  File_descriptor.buffer ->
  slot:int ->
  (int * Net.endpoint) list ->
  int
(** [send_batch d b ~slot l] sends as many datagrams as [l] has elements: number [i] is the bytes of
    [b] from [i * slot], as many as it says, to its endpoint. It waits until there is room for one,
    for at most [timeout] seconds (default: no limit), and is the number of those that were taken.
    Raises as {!send}, for the first one. *)
