(** ICMP echo requests, like [ping].

    The stack answers echo requests itself. Operations on a connection or a UDP descriptor raise
    ICMP errors about it. *)

type reply = {
  time : float;  (** Round-trip time in seconds. *)
  hop_limit : int;  (** TTL or hop limit of the reply. *)
}
(** The type for replies. *)

val ping : ?timeout:float -> ?length:int -> Net.address -> reply
(** [ping a] sends one echo request ({{:https://www.rfc-editor.org/rfc/rfc792}RFC 792},
    {{:https://www.rfc-editor.org/rfc/rfc4443}RFC 4443}) with [length] bytes (default: 56; 0 to
    65000) to [a] and waits for the reply, for at most [timeout] seconds (default: 5). It first
    waits for the network to be up. Raises {!Soil.exception-Error} with [Timed_out], [Unreachable],
    [No_network], [Invalid] ([a] isn't a unicast address) or [Out_of_memory] (64 are waiting).
    Raises [Invalid_argument] if [length] is out of range. *)
