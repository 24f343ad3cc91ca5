(** ARP (RFC 826), as the routers and the name server of the network speak it. Private to Soil. *)

val asked : string -> string option
(** [asked frame] is the IP address, 4 bytes, that [frame] asks for, if it is a request. *)

val reply : mac:string -> string -> string
(** [reply ~mac request] says that the Ethernet address [mac] has the address that [request] asks
    for. *)
