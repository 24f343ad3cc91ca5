(** Interfaces and routes in addition to the configured ones.

    Interfaces are named by their index in {!Net.val-interfaces}. Changes take effect at once, and
    last until they are undone or the program ends. *)

val add_vlan :
  ?addresses:Net.prefix list -> ?gateways:Net.address list -> interface:int -> int -> int
(** [add_vlan ~interface id] adds an interface for the VLAN [id] (IEEE 802.1Q; 1 to 4094) on the
    link of [interface], and is its index. It has the addresses [addresses] with their prefix
    lengths (at most 4) and the gateways [gateways] (at most one per family); without addresses it
    uses DHCP and router advertisements. Raises {!Soil.exception-Error} with [No_device] (no such
    interface), [Invalid] (the VLAN exists, or [interface] is a VLAN) or [Bad_configuration]. *)

type route = {
  network : Net.address;
  length : int;  (** Of the network's prefix, in bits. *)
  interface : int;
  gateway : Net.address option;  (** [None]: the network is on-link. *)
}
(** The type for routes. *)

val routes : unit -> route list
(** [routes ()] is the routing table: routes to the networks of the machine's addresses, to gateways
    from the configuration, DHCP and router advertisements, and the added ones. A packet takes the
    route with the longest prefix; among equals, the one on the interface with its source address,
    then one with a reachable gateway. Doesn't wait. *)

val add_route : ?gateway:Net.address -> interface:int -> Net.prefix -> unit
(** [add_route ~interface (network, length)] adds a route; it precedes others of this length. Raises
    {!Soil.exception-Error} with [No_device] or [Invalid] (mixed families, an invalid length, more
    than 64 routes). *)

val remove_route : interface:int -> Net.prefix -> unit
(** [remove_route ~interface (network, length)] removes routes added by {!add_route}. Raises
    {!Soil.exception-Error} with [No_device] or [Not_found]. *)
