(** Converters for addresses, in the formats of {!Soil.Net}. *)

val address : Soil.Net.address Cmdliner.Arg.conv
(** [address] is an IPv4 or IPv6 address: [192.0.2.1], [2001:db8::1]. *)

val endpoint : Soil.Net.endpoint Cmdliner.Arg.conv
(** [endpoint] is an address and a port: [192.0.2.1:80], [[2001:db8::1]:80]. *)

val prefix : Soil.Net.prefix Cmdliner.Arg.conv
(** [prefix] is an address with a prefix length: [10.0.0.0/8]. *)

val mac : Soil.Net.mac Cmdliner.Arg.conv
(** [mac] is an Ethernet address: [52:54:00:12:34:56]. *)
