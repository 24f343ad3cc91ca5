(** Compression of fields in HTTP/2 ({{:https://www.rfc-editor.org/rfc/rfc7541}RFC 7541}). Private
    to [soil.http].

    A field counts its name, its value and 32 bytes
    ({{:https://www.rfc-editor.org/rfc/rfc9113#section-10.5.1}RFC 9113 §10.5.1}), also where it
    takes one byte of a block. *)

exception Error of string
(** The block isn't valid: an error of the connection, COMPRESSION_ERROR. *)

exception Too_large
(** The block has more fields or bytes than allowed. The decoder can go on with the next block. *)

type decoder

val decoder : table_bytes:int -> decoder
(** [decoder ~table_bytes] has a dynamic table of at most [table_bytes], which is the value of
    SETTINGS_HEADER_TABLE_SIZE that the peer gets: 4096, which holds before the peer has it, or
    more. *)

val decode :
  decoder -> bytes -> int -> int -> max_bytes:int -> max_fields:int -> (string * string) list
(** [decode d b offset length ~max_bytes ~max_fields] is the fields of a complete block, in order.
    Names and values can have any bytes. Each length is computed before a string is allocated;
    beyond a limit fields only change the dynamic table. *)

type encoder

val encoder : unit -> encoder

val set_table_size : encoder -> int -> unit
(** [set_table_size e n] follows the peer's SETTINGS_HEADER_TABLE_SIZE. The dynamic table has at
    most 4096 bytes. *)

val encode : encoder -> Buffer.t -> (string * string) list -> unit
(** [encode e out fields] appends a block. Names are in lower case. A field enters the dynamic table
    the second time that it is sent; credentials and cookies never do. *)
