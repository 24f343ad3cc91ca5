(** Buffered reading, for protocols with lines, words and records.

    {[
      let r = Soil.Reader.create connection in
      let kind = Soil.Reader.char r in
      let length = Soil.Reader.BE.uint16 r in
      let payload = Soil.Reader.take r length in
      …
    ]}

    Unless stated otherwise a function waits until it has enough input, and raises [End_of_file] if
    the input ends before. {b A call that raises has consumed nothing}, also because of a
    cancellation, a timeout or a limit: the same call later reads the same line. The buffer grows
    for the needs of a call and shrinks again. *)

type t = Input.t
(** The type for readers. A reader belongs to one task at a time. *)

val create : ?size:int -> [> `Read ] File_descriptor.t -> t
(** [create d] is a reader of the input of [d] from now on, through a buffer of [size] bytes
    (default: 4096; between 16 and [Sys.max_string_length]). Don't read from [d] directly
    afterwards. *)

(** {1:bytes Bytes} *)

val char : t -> char
(** [char r] takes the next byte. *)

val peek : t -> char option
(** [peek r] is the next byte, which stays in the input, or [None] at its end. *)

val take : t -> int -> string
(** [take r n] takes the next [n] bytes. Raises [Invalid_argument] if [n < 0]. *)

val input : t -> bytes -> int -> int -> int
(** [input r b off len] is like {!File_descriptor.read}, through the buffer. *)

val to_end : ?max:int -> t -> string
(** [to_end r] is {!File_descriptor.read_all}, through the buffer. *)

(** {1:lines Lines} *)

val line : ?max:int -> t -> string
(** [line r] takes the next line and is it without its terminator, ["\n"] or ["\r\n"], which is
    optional in the last line. Raises [End_of_file] if there are no characters left. Raises
    {!Soil.exception-Error} with [Too_large] as soon as the line is longer than [max] bytes
    (default: 65536), without the terminator; it stays in the input, and can be skipped by {!input}
    or read with a larger [max]. *)

val line_opt : ?max:int -> t -> string option
(** [line_opt r] is [Some (line r)], or [None] at the end of input. *)

(** {1:more Submodules}

    Separate parts, linked only into programs that use them. *)

module Text = Reader_text
(** Words, decimal numbers, patterns and sequences; readers of strings. *)

module Bigarray = Reader_bigarray
(** Reading into bigarrays. *)

module BE = Reader_be
(** Big-endian binary numbers, as in network protocols. *)

module LE = Reader_le
(** Little-endian binary numbers. *)

(** {1:buffer The buffer} *)

val ensure : t -> int -> unit
(** [ensure r n] waits until the next [n] bytes are buffered, without consuming them. *)

val buffered : t -> int
(** [buffered r] is the number of bytes in the buffer: a call that needs no more doesn't wait. *)

val at_end : t -> bool
(** [at_end r] waits for a byte or the end of input, and is [true] at the end. *)
