(** What a peer has sent, up to where it was understood. Private to [soil.http].

    Bytes leave it only when a call has all that it needs, so that no exception, cancellation
    included, loses any. *)

type t

exception Late
(** The time of {!until} is over. *)

exception Malformed
(** What came isn't HTTP. *)

exception Too_long
(** A line is longer than it may be. *)

val create : Soil.File_descriptor.flow -> t
(** [create d] is the input of [d], from which nothing was read yet. *)

val flow : t -> Soil.File_descriptor.flow
(** [flow t] is [d]. *)

val until : t -> float -> unit
(** [until t moment] has calls that wait for the peer raise {!Late} at that moment of
    {!Soil.Clock.monotonic}; [infinity], the initial one, never comes. *)

val buffered : t -> int
(** [buffered t] is the number of bytes that are there without waiting. *)

val more : t -> bool
(** [more t] waits for more bytes, and is [false] at the end of input. *)

val line : t -> max:int -> int
(** [line t ~max] waits for a line and is its length without its end, which has to be CRLF. The line
    is still there: {!get}, {!sub} and {!skip} see it.
    @raise Too_long if it has more than [max] bytes.
    @raise Malformed if it ends with LF alone.
    @raise End_of_file if the input ends before. *)

val get : t -> int -> char
(** [get t i] is the buffered byte [i]. *)

val index : t -> char -> int -> int -> int
(** [index t c i n] is the place of the first [c] among the buffered bytes [i … n - 1], or at least
    [n]. *)

val sub : t -> int -> int -> string
(** [sub t off len] is a copy of buffered bytes. *)

val skip : t -> int -> unit
(** [skip t n] takes [n] buffered bytes. *)

val skip_line : t -> int -> unit
(** [skip_line t n] takes a line of [n] bytes, and its end. *)

val read : t -> bytes -> int -> int -> int
(** [read t b off len] is like {!Soil.File_descriptor.read}. *)

val read_into : t -> Soil.File_descriptor.buffer -> int -> int -> int
(** [read_into t b off len] is likewise {!Soil.File_descriptor.read_into}. *)

val guard : t -> (unit -> 'a) -> 'a
(** [guard t f] is [f ()], which uses the connection; if it raises, that {!is_failure} from now on.
*)

val is_failure : t -> exn -> bool
(** [is_failure t e] is [true] iff [e] is what the connection itself last raised, physically. *)

val duplex : t -> Soil.Flow.t
(** [duplex t] is the connection as a flow without limits of time, whose input begins with what is
    buffered. *)
