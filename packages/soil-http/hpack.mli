(** Compression of fields in HTTP/2 ({{:https://www.rfc-editor.org/rfc/rfc7541}RFC 7541}). Private
    to [soil-http].

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

type skipping
(** The type for a block of which only the dynamic table is kept, as it comes by pieces. *)

val skipping : unit -> skipping
(** [skipping ()] is at the beginning of a block. *)

val skip : decoder -> skipping -> bytes -> int -> int -> int
(** [skip d s b offset length] is the number of bytes of this piece that aren't needed any more. The
    rest is the beginning of a field: it comes again, with more behind it, and is at most some eight
    times as long as the table. A longer name or value, which no table has space for, isn't decoded.
*)

val end_of_skip : skipping -> rest:int -> unit
(** [end_of_skip s ~rest] raises {!Error} if the block isn't complete at its end, where [rest] bytes
    are left of {!skip}. *)

type encoder

val encoder : unit -> encoder

val set_table_size : encoder -> int -> unit
(** [set_table_size e n] follows the peer's SETTINGS_HEADER_TABLE_SIZE. The dynamic table has at
    most 4096 bytes. *)

val encode : encoder -> Buffer.t -> (string * string) list -> unit
(** [encode e out fields] appends a block. Names are in lower case. A field enters the dynamic table
    the second time that it is sent; credentials and cookies never do. *)
