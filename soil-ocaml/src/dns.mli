(** Names of hosts.

    Name servers are those of [SOIL_DNS], else those that DHCP gave. *)

val lookup : ?timeout:float -> ?family:[ `Any | `V4 | `V6 ] -> string -> Net.address list
(** [lookup name] is the addresses of [name] of the given family (default: [`Any]), at least one, in
    the order in which they should be tried. A name that is an address is itself; ["localhost"] is
    the loopback. Waits: for the network to be up, and for the answer, for at most [timeout] seconds
    (default: the resolver's own limits of time). Raises {!Soil.exception-Error} with [No_such_host]
    if there is no such name or it has no address of the family, [Name_server_failure], [Timed_out]
    or [No_network]. Raises [Invalid_argument] if [name] can't be a name of a host
    ({{:https://www.rfc-editor.org/rfc/rfc1035}RFC 1035}). *)

(** {1:records Other records}

    Names are asked for as they are: they needn't be host names, and bytes that can't be in one are
    written as [\\DDD]. They wait and raise as {!lookup}, with [Invalid_name] in place of
    [Invalid_argument]. *)

(** The type for what a record says. *)
type data =
  | Address of Net.address  (** A and AAAA. *)
  | Name of string  (** CNAME and PTR: a name without a final dot. *)
  | Service of { priority : int; weight : int; port : int; target : string }
      (** SRV ({{:https://www.rfc-editor.org/rfc/rfc2782}RFC 2782}). *)
  | Text of string list  (** TXT: its strings. *)

type record = { ttl : int;  (** How much longer it holds, in seconds. *) data : data }
(** The type for records. *)

type kind = A | Aaaa | Cname | Ptr | Srv | Txt  (** The type for types of records. *)

val records : ?timeout:float -> kind -> string -> record list
(** [records kind name] is the records of type [kind] of [name], at least one; aliases are followed.
*)

val services : ?timeout:float -> string -> (string * int) list
(** [services name] is the hosts and ports of the service called [name], such as
    ["_imap._tcp.example.org"], in the order in which to try them: by priority, and at random by
    weight. *)

val texts : ?timeout:float -> string -> string list
(** [texts name] is the texts of [name], the strings of each in one. *)

val reverse : ?timeout:float -> Net.address -> string list
(** [reverse a] is the names that the owner of [a] gives to it. *)

val reverse_name : Net.address -> string
(** [reverse_name a] is the name that {!reverse} looks up, such as ["1.2.0.192.in-addr.arpa"]. *)
