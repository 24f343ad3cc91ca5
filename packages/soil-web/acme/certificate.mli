(** Names, keys and certificates. *)

(** The type for names: DNS names (with a wildcard) and addresses
    ({{:https://www.rfc-editor.org/rfc/rfc8738}RFC 8738}). *)
type name = Dns of string | Ip of Ipaddr.t

val name : string -> name
(** [name s] raises [Invalid_argument] if [s] is neither. *)

val name_to_string : name -> string

val server_name : name -> string
(** [server_name n] is the name by which a CA requests the challenge's certificate: of an address
    the reverse one (RFC 8738 §6). *)

type key_type = [ `P256 | `P384 ]

type pair = { chain : string; key : string }
(** PEM texts. *)

val to_string : pair -> string
(** [to_string p] is one text, to be stored as a whole. *)

val of_string : string -> pair option

type t = {
  pair : pair;
  valid_from : float;  (** Seconds since 1970. *)
  valid_until : float;
  id : string option;
      (** For ARI ({{:https://www.rfc-editor.org/rfc/rfc9773#section-4.1}RFC 9773 §4.1}). *)
  complete : bool;  (** Whether it is for all the names that it shall have. *)
}
(** The type for certificates in use. *)

val read : names:name list -> pair -> (t, string) result
(** [read ~names p] is the first certificate of [p.chain], which shall have [names], or what is
    wrong with [p]: its size, more than 10 certificates, issuers in the wrong order, wrong
    signatures, another key. *)

val check : names:name list -> now:float -> pair -> (t, string) result
(** [check ~names ~now p] is {!read}[ ~names p], or an error if it isn't for all of [names], or has
    ended. *)

val request : key_type -> name list -> string * string
(** [request kind names] is a new private key in PEM, and a request in DER for all of [names]. *)

val placeholder : name list -> pair
(** [placeholder names] is a certificate that signed itself, which no client trusts. *)

val challenge : name -> string -> pair
(** [challenge name authorization] is the certificate for TLS-ALPN-01
    ({{:https://www.rfc-editor.org/rfc/rfc8737#section-3}RFC 8737 §3}). *)
