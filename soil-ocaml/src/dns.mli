(** Names of hosts.

    Name servers are those of [SOIL_DNS], else those that DHCP gave. *)

val lookup : ?family:[ `Any | `V4 | `V6 ] -> string -> Net.address list
(** [lookup name] is the addresses of [name] of the given family (default: [`Any]), at least one, in
    the order in which they should be tried. A name that is an address is itself; ["localhost"] is
    the loopback. Waits: for the network to be up, and for the answer, with the resolver's own
    limits of time. Raises {!Soil.exception-Error} with [No_such_host] if there is no such name or
    it has no address of the family, [Name_server_failure], [Timed_out] or [No_network]. Raises
    [Invalid_argument] if [name] can't be a name of a host
    ({{:https://www.rfc-editor.org/rfc/rfc1035}RFC 1035}). *)
