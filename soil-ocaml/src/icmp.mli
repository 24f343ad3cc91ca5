(** ICMP echo requests, as [ping] sends them.

    The stack itself answers the echo requests of others. ICMP errors about a connection or a UDP
    descriptor are raised by operations on that. *)

type reply = {
  time : float;  (** From request to answer, in seconds. *)
  hop_limit : int;  (** TTL or hop limit of the answer. *)
}
(** The type for answers. *)

val ping : ?timeout:float -> ?length:int -> Net.address -> reply
(** [ping a] sends one echo request ({{:https://www.rfc-editor.org/rfc/rfc792}RFC 792},
    {{:https://www.rfc-editor.org/rfc/rfc4443}RFC 4443}) with [length] bytes (default: 56; 0 to
    65000) to [a] and waits for its answer, for at most [timeout] seconds (default: 5). It waits for
    the network to be up first. Raises {!Soil.exception-Error} with [Timed_out], [Unreachable],
    [No_network], [Invalid] ([a] is a group or no address of a machine) or [Out_of_memory] (64 wait
    already). Raises [Invalid_argument] if [length] is out of range. *)
