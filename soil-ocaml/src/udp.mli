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
(** [max_length] is 65507, the largest payload of an IPv4 datagram in bytes. Datagrams larger than
    the interface's MTU are fragmented if possible, otherwise refused with [Message_too_long]. *)

val bind : ?address:Net.address -> ?hop_limit:int -> ?dscp:int -> port:int -> unit -> socket
(** [bind ~port ()] is a descriptor for datagrams to and from [port] of [address] (default:
    {!Net.any}); port 0 selects a free one. [hop_limit] and [dscp] are as in {!set_hop_limit} and
    {!set_dscp}. Doesn't wait. Close it with {!File_descriptor.close}. Raises
    {!Soil.exception-Error} with [Address_in_use], [Address_not_available] or [No_network]. Raises
    [Invalid_argument] if a number is out of range. *)

val send :
  ?timeout:float -> [> `Udp ] File_descriptor.t -> Net.endpoint -> bytes -> int -> int -> unit
(** [send d e b off len] sends the [len] bytes of [b] from [off] as one datagram to [e]. Waits while
    the send queue is full, for at most [timeout] seconds (default: no limit). Delivery isn't
    reported, but {!connect}ed descriptors get ICMP errors about their peer. Raises
    {!Soil.exception-Error} with [Message_too_long], [Unreachable] or [Timed_out]. *)

val send_string : ?timeout:float -> [> `Udp ] File_descriptor.t -> Net.endpoint -> string -> unit
(** [send_string d e s] is {!send} for all of [s]. *)

val receive :
  ?timeout:float -> [> `Udp ] File_descriptor.t -> bytes -> int -> int -> int * Net.endpoint
(** [receive d b off len] waits for a datagram, for at most [timeout] seconds (default: no limit),
    stores its first [len] bytes in [b] from [off], and is the number of bytes stored and the
    sender. Excess bytes are lost; a datagram that arrives after a timeout or a cancellation is left
    for the next call. *)

(** {1:addresses Several addresses}

    A socket that is bound to {!Net.any} on a machine with several addresses answers from the
    address that it was asked at, which clients check:

    {[
      let d = Soil.Udp.receive_to socket buffer 0 1500 in
      Soil.Udp.send_from socket ~from:d.local d.peer buffer 0 d.length
    ]} *)

type source = { address : Net.address; interface : int option }
(** The type for local ends of a datagram: an address of this machine, and the index of an interface
    in {!Net.val-interfaces} ([None]: an interface without an index, as the loopback). *)

type datagram = {
  length : int;  (** Number of bytes stored. *)
  peer : Net.endpoint;  (** The sender. *)
  destination : Net.address;
      (** Where it was sent to: an address of this machine, a broadcast or a multicast address. *)
  local : source;
      (** Where to answer from: [destination] if that is an address of this machine, otherwise one
          of the interface's, or {!Net.any}; and the interface that received it. *)
}
(** The type for received datagrams. *)

val receive_to : ?timeout:float -> [> `Udp ] File_descriptor.t -> bytes -> int -> int -> datagram
(** [receive_to d b off len] is {!receive} with the destination
    ({{:https://www.rfc-editor.org/rfc/rfc1122#section-4.1.3}RFC 1122 §4.1.3.5};
    {{:https://www.rfc-editor.org/rfc/rfc3542#section-6}RFC 3542 §6} for IPv6). *)

val send_from :
  ?timeout:float ->
  from:source ->
  [> `Udp ] File_descriptor.t ->
  Net.endpoint ->
  bytes ->
  int ->
  int ->
  unit
(** [send_from ~from d e b off len] is {!send} with [from.address] as the source address
    ({!Net.any}: the route's). [from.interface] selects the link if [e] is a multicast, a limited
    broadcast or a link-local address. Raises {!Soil.exception-Error} also with
    [Address_not_available] if the address isn't one of this machine's, and with [No_device] if
    there is no such interface. *)

val local : [> `Udp ] File_descriptor.t -> Net.endpoint
(** [local d] is the local address and port. *)

val set_hop_limit : [> `Udp ] File_descriptor.t -> int -> unit
(** [set_hop_limit d n] sets the TTL or hop limit of unicast datagrams sent from now on
    ({{:https://www.rfc-editor.org/rfc/rfc1122#section-4.1.4}RFC 1122 §4.1.4}; initially 64, or a
    router's advertised one); for multicast see {!set_multicast_hops}. Raises [Invalid_argument] if
    [n] isn't between 1 and 255. *)

val set_dscp : [> `Udp ] File_descriptor.t -> int -> unit
(** [set_dscp d n] sets the differentiated services codepoint of datagrams sent from now on
    ({{:https://www.rfc-editor.org/rfc/rfc2474}RFC 2474}; initially 0). Raises [Invalid_argument] if
    [n] isn't between 0 and 63. *)

(** {1:peers Peers and multicast} *)

val connect : [> `Udp ] File_descriptor.t -> Net.endpoint option -> unit
(** [connect d (Some e)] restricts [d] to datagrams from [e]; [None] ends that. {!send} still takes
    a destination. While there is a peer, the next {!send} or {!receive} raises an ICMP error about
    datagrams to it once: [Connection_refused] or [Unreachable]. Without a peer no such error is
    raised. Raises {!Soil.exception-Error} with [Unreachable]. *)

val join : ?interface:int -> [> `Udp ] File_descriptor.t -> Net.address -> unit
(** [join d group] joins the multicast address [group], on the interface with this index in
    {!Net.val-interfaces} (default: the first suitable one). Joining again does nothing. Raises
    {!Soil.exception-Error} with [Invalid] (no group), [Unreachable], [No_device] or [Out_of_memory]
    (more than 32 groups). *)

val leave : ?interface:int -> [> `Udp ] File_descriptor.t -> Net.address -> unit
(** [leave d group] undoes {!join}. Raises {!Soil.exception-Error} with [Invalid] if it wasn't
    joined. *)

val set_multicast_hops : [> `Udp ] File_descriptor.t -> int -> unit
(** [set_multicast_hops d n] sets the TTL or hop limit of multicast datagrams (initially 1). Raises
    [Invalid_argument] if [n] isn't between 0 and 255. *)

(** {1:batches Batches} *)

val receive_batch :
  ?timeout:float ->
  [> `Udp ] File_descriptor.t ->
  File_descriptor.buffer ->
  slot:int ->
  int ->
  (int * Net.endpoint) list
(** [receive_batch d b ~slot n] waits for a datagram, for at most [timeout] seconds (default: no
    limit), takes up to [n] available datagrams, stores the first [slot] bytes of number [i] in [b]
    from [i * slot], and is their lengths and senders. Raises [Invalid_argument] if [b] is shorter
    than [n * slot]. *)

val send_batch :
  ?timeout:float ->
  [> `Udp ] File_descriptor.t ->
  File_descriptor.buffer ->
  slot:int ->
  (int * Net.endpoint) list ->
  int
(** [send_batch d b ~slot l] sends a datagram for each [(length, endpoint)] in [l]: number [i] is
    the [length] bytes of [b] from [i * slot]. It waits until there is room for one, for at most
    [timeout] seconds (default: no limit), and is the number of accepted datagrams. Raises as
    {!send}, for the first one. *)
