(** Interfaces and routes that the program adds to those of the configuration.

    Interfaces are named by their index in {!Net.val-interfaces}. Changes take effect at once, and
    last until the program's end or until they are undone. *)

val add_vlan :
  ?addresses:Net.prefix list -> ?gateways:Net.address list -> interface:int -> int -> int
(** [add_vlan ~interface id] adds an interface for the VLAN [id] (IEEE 802.1Q; 1 to 4094) on the
    link of [interface], and is its place. It has the addresses [addresses] with the lengths of
    their prefixes (at most 4) and the gateways [gateways] (one of each family at most); without
    addresses it asks DHCP and listens to routers. Raises {!Soil.exception-Error} with [No_device]
    (no such interface), [Invalid] (it is there already, or [interface] is a VLAN) or
    [Bad_configuration]. *)

type route = {
  network : Net.address;
  length : int;  (** Of the network's prefix, in bits. *)
  interface : int;
  gateway : Net.address option;  (** [None]: its hosts are on the link itself. *)
}
(** The type for routes. *)

val routes : unit -> route list
(** [routes ()] is the routing table: routes to the networks of the machine's addresses, to gateways
    from the configuration, DHCP and router advertisements, and the added ones. A packet takes the
    route with the longest prefix; among several, the one on the interface that has its source
    address, then one whose gateway answers. Doesn't wait. *)

val add_route : ?gateway:Net.address -> interface:int -> Net.prefix -> unit
(** [add_route ~interface (network, length)] adds a route; it goes before others of this length.
    Raises {!Soil.exception-Error} with [No_device] or [Invalid] (mixed families, a length that is
    none, more than 64). *)

val remove_route : interface:int -> Net.prefix -> unit
(** [remove_route ~interface (network, length)] removes routes that {!add_route} added. Raises
    {!Soil.exception-Error} with [No_device] or [Not_found]. *)
