(** The name of this machine on its links: multicast DNS
    ({{:https://www.rfc-editor.org/rfc/rfc6762}RFC 6762}), as Avahi and Bonjour speak it.

    Others on the same link reach the machine as [name.local], without a name server. A name that is
    taken on the link is changed: [name-2.local], and so on. The name is taken back when the program
    ends. *)

val announce : ?name:string -> unit -> bool
(** [announce ~name ()] answers for [name.local] from now on, on every interface and for all their
    addresses, and is [true]. Without [name] it is the value of [SOIL_MDNS], and without that
    nothing is done: [false]. Once there is a name further calls change nothing. Doesn't wait.
    Raises {!Soil.exception-Error} with [Invalid_name] if [name] isn't a label of letters, digits
    and inner hyphens, with [Bad_configuration] or [No_network]. *)

val name : unit -> string option
(** [name ()] is the name, such as ["soil-2.local"], once it is known to be this machine's alone,
    which takes two seconds or so. *)
