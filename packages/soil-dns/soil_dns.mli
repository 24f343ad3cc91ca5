(** DNS messages ({{:https://www.rfc-editor.org/rfc/rfc1035}RFC 1035}), with EDNS
    ({{:https://www.rfc-editor.org/rfc/rfc6891}RFC 6891}): for servers, and for clients that need
    more than {!Soil.Dns}. Nothing here waits or uses the network.

    Decoding is total and takes time and memory in proportion to the message, whatever a stranger
    sends. *)

(** {1:names Names} *)

(** Domain names: labels of 1 to 63 bytes, at most 255 bytes in a message. *)
module Name : sig
  type t

  val root : t

  val of_string : string -> (t, string) result
  (** [of_string s] is the name [s], such as ["www.example.org"], with or without the final dot;
      [\.] and [\DDD] are bytes of a label. The error is a reason. *)

  val v : string -> t
  (** [v s] is likewise for a constant. Raises [Invalid_argument] if [s] isn't a name. *)

  val to_string : t -> string
  (** [to_string n] is [n] with a final dot, and escapes for bytes that aren't printable. *)

  val labels : t -> string list
  (** [labels n] is the labels of [n], the leftmost first, unescaped. *)

  val of_labels : string list -> (t, string) result
  val parent : t -> t option
  val prepend : string -> t -> (t, string) result

  val is_below : t -> t -> bool
  (** [is_below n zone] is [true] iff [n] is [zone] or a name below it. *)

  val equal : t -> t -> bool
  (** [equal a b] ignores the case of ASCII letters, as {!compare} and {!hash} do. *)

  val compare : t -> t -> int
  (** The order of {{:https://www.rfc-editor.org/rfc/rfc4034#section-6.1}RFC 4034 §6.1}: a zone
      comes before the names below it. *)

  val hash : t -> int
end

(** {1:types Types} *)

(** Numbers of types of records. *)
module Kind : sig
  val a : int
  val ns : int
  val cname : int
  val soa : int
  val ptr : int
  val mx : int
  val txt : int
  val aaaa : int
  val srv : int
  val opt : int
  val axfr : int
  val any : int
  val caa : int
end

(** Numbers of response codes. *)
module Rcode : sig
  val no_error : int
  val format_error : int
  val server_failure : int
  val name_error : int
  val not_implemented : int
  val refused : int
  val bad_version : int
end

type soa = {
  primary : Name.t;
  mailbox : Name.t;
  serial : int;
  refresh : int;  (** This and the others in seconds. *)
  retry : int;
  expire : int;
  minimum : int;
}

(** The type for the data of a record. *)
type data =
  | A of Soil.Net.address
  | Aaaa of Soil.Net.address
  | Ns of Name.t
  | Cname of Name.t
  | Ptr of Name.t
  | Mx of int * Name.t  (** The preference first. *)
  | Txt of string list  (** Strings of up to 255 bytes. *)
  | Srv of { priority : int; weight : int; port : int; target : Name.t }
  | Soa of soa
  | Caa of { flags : int; tag : string; value : string }
  | Unknown of int * string
      (** The type and the bytes ({{:https://www.rfc-editor.org/rfc/rfc3597}RFC 3597}); all data of
          classes other than {!internet}. *)

type record = { name : Name.t; class_ : int; ttl : int;  (** In seconds. *) data : data }
type question = { name : Name.t; kind : int; class_ : int }

type edns = {
  udp_size : int;  (** Bytes of the largest datagram that the sender takes, at least 512. *)
  version : int;
  dnssec_ok : bool;
  options : (int * string) list;  (** Codes and values. *)
}

type message = {
  id : int;
  is_response : bool;
  opcode : int;
  authoritative : bool;
  truncated : bool;
  recursion_desired : bool;
  recursion_available : bool;
  authentic_data : bool;
  checking_disabled : bool;
  rcode : int;  (** Beyond 15 only with [edns]. *)
  questions : question list;
  answers : record list;
  authority : record list;
  additional : record list;  (** Without the OPT record, which is [edns]. *)
  edns : edns option;
}

val internet : int
(** [internet] is the class IN. *)

val kind : data -> int
(** [kind d] is the type of [d]. *)

val record : Name.t -> int -> data -> record
(** [record name ttl data] is of the class IN. *)

val query : ?id:int -> ?recursion_desired:bool -> ?edns:edns -> Name.t -> int -> message
(** [query name kind] is a question for records of type [kind]. [id] (default: [0]) should be
    random. *)

val response : ?rcode:int -> message -> message
(** [response q] is an empty response to [q], with its questions and without [edns]. *)

(** {1:coding Encoding and decoding} *)

val max_length : int
(** [max_length] is 65535, the largest message. *)

val decode : string -> (message, string) result
(** [decode s] is the message in all of [s], or the reason why it isn't one. A compressed name
    points backwards only, so it has no loop. *)

val encode : ?max:int -> message -> string
(** [encode m] is [m], with compressed names. If it exceeds [max] bytes (default: {!max_length}),
    records that don't fit are left out from the end, and [truncated] is set if they were answers or
    of the authority section. Raises [Invalid_argument] if [max < 512], if the questions don't fit,
    or if a string is too long. *)
