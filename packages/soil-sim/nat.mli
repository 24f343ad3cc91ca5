(** The table of a router with network address and port translation (RFC 3022), and what it does to
    frames. Private to Soil.

    A node inside has one port of the router for each port of its own, whatever its peers are; only
    the peers that it sent to can answer there (in the words of RFC 4787, endpoint-independent
    mapping, and filtering that depends on address and port). *)

type t
(** The type for routers. *)

val create :
  Generate.t ->
  index:int ->
  name:string ->
  idle:int option ->
  most:int ->
  inside:int list ->
  outside:(int -> bool) ->
  t
(** [create rng ~index ~name ~idle ~most ~inside ~outside] is the router with the addresses of
    [index], between the nodes [inside] and all for which [outside]. It has at most [most] mappings,
    each for a port inside and a peer. A mapping ends when no frame has passed for [idle]
    nanoseconds; without it after 2 h 4 min for TCP (RFC 5382), 5 min for UDP (RFC 4787), 1 min for
    ICMP (RFC 5508). *)

val index : t -> int
val name : t -> string

val max_mappings : int
(** [max_mappings] is the largest [most]. *)

(** The type for what a router does with a frame. *)
type action =
  | Ignores  (** It isn't for a router. *)
  | Drops  (** It has no way on. *)
  | Sends of string  (** The frame with other addresses. *)
  | Answers of string  (** A frame of the router's own. *)

val route : t -> now:int -> from:int -> string -> action
(** [route t ~now ~from frame] is what becomes of a frame that arrives from [from]. *)

val is_empty : t -> bool
(** [is_empty t] is whether it has no mappings. *)

val forget : t -> unit
(** [forget t] ends all mappings. *)
