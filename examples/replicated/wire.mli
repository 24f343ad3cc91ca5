(** Encoding of values as bytes, on connections and on disks: numbers are big-endian, strings and
    lists begin with their length. *)

exception Malformed of string
(** Raised by decoders, with the reason. *)

(** {1 Encoders} *)

type 'a encoder = Buffer.t -> 'a -> unit

val byte : int encoder

val int : int encoder
(** Eight bytes. Numbers on the wire aren't negative. *)

val bool : bool encoder
val string : string encoder
val option : 'a encoder -> 'a option encoder
val list : 'a encoder -> 'a list encoder

val encode : 'a encoder -> 'a -> string
(** [encode f v] is the bytes of [v]. *)

(** {1 Decoders} *)

type input
type 'a decoder = input -> 'a

val to_byte : int decoder
val to_int : int decoder
val to_bool : bool decoder
val to_string : string decoder
val to_option : 'a decoder -> 'a option decoder
val to_list : 'a decoder -> 'a list decoder

val unknown : string -> int -> 'a
(** [unknown what tag] raises {!Malformed}: no [what] begins with the byte [tag]. *)

val decode : 'a decoder -> string -> 'a
(** [decode f s] is the value whose bytes are exactly [s]. Raises {!Malformed}. *)

(** {1 Frames}

    A frame is a length of four bytes, and a body. *)

val max_frame : int
(** Bytes of the longest body. *)

val max_request : int
(** Bytes of the longest body of a client: its command fits into a frame between servers. *)

val read_frame : max:int -> Soil.Reader.t -> string
(** [read_frame ~max r] takes the body of a frame. Waits. Raises {!Malformed} if it has more than
    [max] bytes, and as {!Soil.Reader.take}. *)

val write_frame : Soil.Writer.t -> string -> unit
(** [write_frame w body] writes a frame, which the next flush sends. *)
