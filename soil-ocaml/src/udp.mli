(** UDP datagrams ({{:https://www.rfc-editor.org/rfc/rfc768}RFC 768}).

    {[
      let socket = Soil.Udp.bind ~port:5353 () in
      let buffer = Bytes.create 1500 in
      let n, from = Soil.Udp.receive socket buffer 0 1500 in
      Soil.Udp.send socket from buffer 0 n
    ]} *)

val max_length : int
(** [max_length] is 65507, the largest payload of an IPv4 datagram in bytes. What is larger than the
    interface's MTU is sent in fragments if the stack can, and otherwise refused with
    [Message_too_long]. *)

val bind : ?address:Net.address -> port:int -> unit -> File_descriptor.t
(** [bind ~port ()] is a descriptor (kind [Udp]) for datagrams to and from [port] of [address]
    (default: {!Net.any}); port 0 takes a free one. Doesn't wait. Close it with
    {!File_descriptor.close}. Raises {!Soil.exception-Error} with [Address_in_use],
    [Address_not_available] or [No_network]. Raises [Invalid_argument] if [port] is out of range. *)

val send : File_descriptor.t -> Net.endpoint -> bytes -> int -> int -> unit
(** [send d e b off len] sends the [len] bytes of [b] from [off] as one datagram to [e]. Waits while
    the queue of datagrams to be sent is full. Nothing tells whether it arrives. Raises
    {!Soil.exception-Error} with [Message_too_long] or [Unreachable]. *)

val send_string : File_descriptor.t -> Net.endpoint -> string -> unit
(** [send_string d e s] is {!send} for all of [s]. *)

val receive : File_descriptor.t -> bytes -> int -> int -> int * Net.endpoint
(** [receive d b off len] waits for a datagram, stores its first [len] bytes in [b] from [off], and
    is the number of bytes stored and the sender. What doesn't fit is lost. *)

val local : File_descriptor.t -> Net.endpoint
(** [local d] is the own address and port. *)
