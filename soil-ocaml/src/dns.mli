(** DNS lookups.

    The name servers are those of [SOIL_DNS], otherwise those from DHCP and router advertisements,
    and so are the search domains ([SOIL_DNS_SEARCH]). *)

val lookup : ?timeout:float -> ?family:[ `Any | `V4 | `V6 ] -> string -> Net.address list
(** [lookup name] is the addresses of [name] of the given family (default: [`Any]), at least one, in
    the order in which they should be tried. A literal address is returned; ["localhost"] is the
    loopback. Waits for the network to be up and for the answer, for at most [timeout] seconds
    (default: the resolver's own timeouts); the error of a timeout names the name servers. Raises
    {!Soil.exception-Error} with [No_such_host] if the name doesn't exist or has no address of the
    family, [Name_server_failure], [Timed_out] or [No_network]. Raises [Invalid_argument] if [name]
    isn't a valid host name ({{:https://www.rfc-editor.org/rfc/rfc1035}RFC 1035}). *)

(** {1:records Other records}

    Names are queried unchanged and needn't be host names; write bytes that a host name can't
    contain as [\\DDD]. These functions wait and raise like {!lookup}, with [Invalid_name] in place
    of [Invalid_argument]. *)

(** The type for the data of a record. *)
type data =
  | Address of Net.address  (** A and AAAA. *)
  | Name of string  (** CNAME and PTR: a name without a final dot. *)
  | Service of { priority : int; weight : int; port : int; target : string }
      (** SRV ({{:https://www.rfc-editor.org/rfc/rfc2782}RFC 2782}). *)
  | Text of string list  (** TXT: its strings. *)

type record = { ttl : int;  (** The remaining time to live, in seconds. *) data : data }
(** The type for records. *)

type kind = A | Aaaa | Cname | Ptr | Srv | Txt  (** The type for types of records. *)

val records : ?timeout:float -> kind -> string -> record list
(** [records kind name] is the records of type [kind] of [name], at least one; aliases are followed.
*)

val services : ?timeout:float -> string -> (string * int) list
(** [services name] is the hosts and ports of the service called [name], such as
    ["_imap._tcp.example.org"], in the order in which to try them: by priority, and randomly by
    weight. *)

val texts : ?timeout:float -> string -> string list
(** [texts name] is the TXT records of [name], the strings of each concatenated. *)

val reverse : ?timeout:float -> Net.address -> string list
(** [reverse a] is the names in the PTR records of [a]. *)

val reverse_name : Net.address -> string
(** [reverse_name a] is the name that {!reverse} looks up, such as ["1.2.0.192.in-addr.arpa"]. *)
