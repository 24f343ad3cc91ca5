(** The {{:https://protobuf.dev/programming-guides/encoding/}wire format} of Protocol Buffers, for
    codecs written by hand. Generators of OCaml code have their own ({!Codec}).

    {[
      type book = { title : string; pages : int }

      let encode book =
        Wire.encode (fun b ->
            Wire.string b 1 book.title;
            Wire.int b 2 book.pages)

      let decode =
        Wire.decode { title = ""; pages = 0 } (fun book number value ->
            match (number, value) with
            | 1, Bytes title -> { book with title }
            | 2, Varint n -> { book with pages = Int64.to_int n }
            | _ -> book)
    ]} *)

(** {1:encode Encoding}

    These functions append the field of a number. As in proto3 they omit the default values: zero,
    [false] and the empty string. *)

val encode : (Buffer.t -> unit) -> string
(** [encode f] is the message whose fields [f] appends. *)

val int : Buffer.t -> int -> int -> unit
(** [int b number n] is for [int32], [int64], [uint32], [uint64] and enumerations. *)

val int64 : Buffer.t -> int -> int64 -> unit
(** [int64 b number n] is likewise for all 64 bits. *)

val bool : Buffer.t -> int -> bool -> unit

val string : Buffer.t -> int -> string -> unit
(** [string b number s] is for [string] and [bytes]. *)

val message : Buffer.t -> int -> string -> unit
(** [message b number m] is for an encoded message, or an element of a [repeated] field: an empty
    one is appended, too. *)

val fixed32 : Buffer.t -> int -> int32 -> unit
(** [fixed32 b number n] is for [fixed32], [sfixed32] and, with [Int32.bits_of_float], [float]. *)

val fixed64 : Buffer.t -> int -> int64 -> unit
(** [fixed64 b number n] is for [fixed64], [sfixed64] and, with [Int64.bits_of_float], [double]. *)

val varint : Buffer.t -> int -> unit
(** [varint b n] is [n] without the number of a field, for a packed [repeated] field. *)

(** {1:decode Decoding} *)

(** The type for values of fields. *)
type value = Varint of int64 | Fixed64 of int64 | Bytes of string | Fixed32 of int32

val decode : 'a -> ('a -> int -> value -> 'a) -> string -> ('a, string) result
(** [decode init f s] is [f (… (f init n1 v1) …) nk vk] for the fields of the message [s] in their
    order, numbers and values; it has no list of them. Let [f] ignore unknown fields. An error has
    the reason and the number of the byte. Groups (proto2) are an error. *)

val packed : ('a -> int64 -> 'a) -> 'a -> string -> ('a, string) result
(** [packed f init s] is likewise for the varints in [s], a [repeated] field of numbers. *)
