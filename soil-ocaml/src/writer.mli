(** Buffered writing: small writes are combined.

    {[
      Soil.Writer.with_ connection @@ fun w ->
      Soil.Writer.string w "HELLO ";
      Soil.Writer.line w name;
      Soil.Writer.BE.uint32 w (String.length body);
      Soil.Writer.string w body
    ]}

    Data is sent by {!flush}, at the end of {!with_}, and whenever the buffer is full; this waits
    until the descriptor has accepted it. A large string isn't copied: the writer refers to it until
    it is sent. {b A call that raises has added nothing}, also because of a cancellation or a
    timeout, and no byte is lost or sent twice: the next call that sends sends the unsent data. *)

type t = Output.t
(** The type for writers. A writer belongs to one task at a time. *)

val create : ?size:int -> [> `Write ] File_descriptor.t -> t
(** [create d] is a writer to [d] through a buffer of [size] bytes (default: 4096; between 16 and
    [Sys.max_string_length]). Don't write to [d] directly while data is {!pending}, and don't forget
    the last {!flush}. *)

val with_ : ?size:int -> [> `Write ] File_descriptor.t -> (t -> 'a) -> 'a
(** [with_ d f] is [f w] for a writer [w] to [d], which is flushed when [f] returns. If [f] raises,
    pending data is dropped. *)

val flush : t -> unit
(** [flush w] waits until [w]'s descriptor has accepted all written data, as
    {!File_descriptor.write} does, without bytes of other tasks in between. *)

val pending : t -> int
(** [pending w] is the number of unsent bytes. *)

val tie : t -> Reader.t -> unit
(** [tie w r] lets [r] flush [w] before each read from [r]'s descriptor, so that a peer that waits
    for an answer gets it. A server that reads requests and writes answers in one task then needs no
    {!flush}: it sends the answers to all requests that have come together in one write.
    {[
      let serve connection =
        let r = Soil.Reader.create connection and w = Soil.Writer.create connection in
        Soil.Writer.tie w r;
        while not (Soil.Reader.at_end r) do
          Soil.Writer.line w (answer (Soil.Reader.line r))
        done
    ]}
    Calls of [r] also raise the errors of [flush w], and have then consumed nothing. Without reads,
    as before the end of the connection, [flush] is still the program's. The writer and the reader
    belong to the same task. A second call for [r] replaces the first one's writer. *)

(** {1:writing Writing} *)

val char : t -> char -> unit
(** [char w c] writes [c]. *)

val uint8 : t -> int -> unit
(** [uint8 w n] writes one byte, the low 8 bits of [n]. *)

val string : ?off:int -> ?len:int -> t -> string -> unit
(** [string w s] writes [len] characters of [s] from [off] (default: all). Raises [Invalid_argument]
    if they aren't a range of [s]. *)

val line : t -> string -> unit
(** [line w s] writes [s] and a newline. *)

val bytes : t -> bytes -> int -> int -> unit
(** [bytes w b off len] writes a copy of [len] bytes of [b] from [off]. *)

val buffer : t -> File_descriptor.buffer -> int -> int -> unit
(** [buffer w b off len] is {!bytes} for bigarrays. *)

module Text = Writer_text
(** Numbers as text. *)

module Printf = Writer_printf
(** Formatted text. *)

(** {1:numbers Binary numbers} *)

module BE = Writer_be
(** Big-endian, as in network protocols. *)

module LE = Writer_le
(** Little-endian. *)
