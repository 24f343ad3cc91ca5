(** The name of this machine on its links: multicast DNS
    ({{:https://www.rfc-editor.org/rfc/rfc6762}RFC 6762}), compatible with Avahi and Bonjour. Hosts
    on the same link reach the machine as [name.local], without a name server. A name in use on the
    link is changed: [name-2.local], and so on. The name is withdrawn when the program ends. *)

val announce : ?name:string -> unit -> bool
(** [announce ~name ()] starts answering for [name.local], on all interfaces and for all their
    addresses, and is [true]. [name] defaults to [SOIL_MDNS]; without either it does nothing and is
    [false]. Once there is a name further calls change nothing. Doesn't wait. Raises
    {!Soil.exception-Error} with [Invalid_name] if [name] isn't a label of letters, digits and inner
    hyphens, with [Bad_configuration] or [No_network]. *)

val name : unit -> string option
(** [name ()] is the name, such as ["soil-2.local"], once it is known to be unique, after about two
    seconds. *)
