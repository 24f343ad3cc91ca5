(** Conversion between Soil's addresses and those of the [ipaddr] library. Nothing here waits. *)

val of_address : Soil.Net.address -> Ipaddr.t
(** [of_address a] is [a]; IPv4 if [Soil.Net.Address.is_v4 a]. *)

val to_address : Ipaddr.t -> Soil.Net.address
(** [to_address a] is [a]. An IPv4-mapped IPv6 address ([::ffff:192.0.2.1]) becomes the IPv4
    address. *)

val of_endpoint : Soil.Net.endpoint -> Ipaddr.t * int
(** [of_endpoint e] is the address and the port of [e]. *)

val to_endpoint : Ipaddr.t * int -> Soil.Net.endpoint
(** [to_endpoint (address, port)] is the endpoint. Raises [Invalid_argument] if [port] isn't between
    0 and 65535. *)

val of_prefix : Soil.Net.address * int -> Ipaddr.Prefix.t
(** [of_prefix (address, length)] is the address of an interface with its network, as in
    [Soil.Net.interface]. Raises [Invalid_argument] if [length] exceeds the address length. *)
