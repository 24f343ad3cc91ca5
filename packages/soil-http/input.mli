(** Unparsed input from a peer. Private to [soil-http].

    A call consumes bytes only when it has enough, so that no exception, including cancellation,
    loses any. *)

type t

exception Late
(** The deadline of {!until} has passed. *)

exception Malformed
(** The input isn't HTTP. *)

exception Too_long
(** A line exceeds its limit. *)

exception Incomplete
(** The line isn't all there. *)

val create : ?peer:Soil.Budget.t -> Soil.File_descriptor.flow -> t
(** [create d] is the input of [d], before any read. [peer] counts its buffer, and may be closed
    while it waits; without it nothing is counted.
    @raise Soil.Error if there is no room for it. *)

val unbuffered : ?peer:Soil.Budget.t -> Soil.File_descriptor.flow -> t
(** [unbuffered d] is likewise the input of [d] without a buffer: for {!read} and {!read_into} only.
*)

val charge : t -> Soil.Budget.t option -> unit
(** [charge t payer] counts {!extra} bytes for [payer] from now on, another one than [peer]: for
    whom a backend's answer is.
    @raise Soil.Error if there is no room for those of now. *)

val count : t -> int -> unit
(** [count t n] counts [n] bytes for the payer, as {!Soil.Budget.grow} does. *)

val give_back : t -> int -> unit
(** [give_back t n] takes [n] bytes off what is counted. *)

val extra : t -> int
(** [extra t] is the number of bytes that its buffer is larger than it was. *)

val trim : t -> unit
(** [trim t] makes the buffer as small as it was, if what is buffered fits. *)

val waiting : t -> (unit -> 'a) -> 'a
(** [waiting t f] is [f ()], a wait for the peer, by {!Soil.Budget.awaiting}. *)

val progressed : t -> unit
(** [progressed t] notes that the peer isn't slow so far: {!Soil.Budget.finished}. *)

val patiently : t -> (unit -> 'a) -> 'a
(** [patiently t f] is [f ()], in which waits are no sign of a slow peer. *)

val flow : t -> Soil.File_descriptor.flow
(** [flow t] is [d]. *)

val until : t -> float -> unit
(** [until t moment] makes calls that wait for the peer raise {!Late} at this time of
    {!Soil.Clock.monotonic}, at least 0; initially [infinity], never. *)

val within : t -> float -> unit
(** [within t seconds] is [until t moment], [seconds] after the next call that waits has begun. *)

val buffered : t -> int
(** [buffered t] is the number of bytes available without waiting. *)

val more : t -> bool
(** [more t] waits for more bytes, and is [false] at the end of input. *)

val line : ?from:int -> t -> max:int -> int
(** [line t ~max] waits for a line that begins behind [from] buffered bytes (default: 0), and is its
    length without its terminator, which must be CRLF. The line stays buffered, for {!get}, {!sub}
    and {!skip}.
    @raise Too_long if it has more than [max] bytes.
    @raise Malformed if it ends with LF alone.
    @raise End_of_file if the input ends before. *)

val line_here : t -> from:int -> max:int -> int
(** [line_here t ~from ~max] is likewise a line that is buffered, and doesn't wait.
    @raise Incomplete if there is none. *)

val get : t -> int -> char
(** [get t i] is the buffered byte [i]. *)

val index : t -> char -> int -> int -> int
(** [index t c i n] is the index of the first [c] among the buffered bytes [i … n - 1], or at least
    [n]. *)

val sub : t -> int -> int -> string
(** [sub t off len] is a copy of buffered bytes. *)

val skip : t -> int -> unit
(** [skip t n] takes [n] buffered bytes. *)

val skip_line : t -> int -> unit
(** [skip_line t n] takes a line of [n] bytes, and its terminator. *)

val consume : t -> (bytes -> int -> int -> int) -> unit
(** [consume t f] takes the first [f b off len] of the buffered bytes, which are [len] bytes of [b]
    from [off]. *)

val read : t -> bytes -> int -> int -> int
(** [read t b off len] is like {!Soil.File_descriptor.read}. *)

val read_into : t -> Soil.File_descriptor.buffer -> int -> int -> int
(** [read_into t b off len] is likewise {!Soil.File_descriptor.read_into}. *)

val guard : t -> (unit -> 'a) -> 'a
(** [guard t f] is [f ()], which uses the connection; its exception {!is_failure} from now on. *)

val is_failure : t -> exn -> bool
(** [is_failure t e] is [true] iff [e] is physically the connection's last exception. *)

val duplex : t -> Soil.Flow.t
(** [duplex t] is the connection as a flow without timeouts, whose input begins with the buffered
    bytes. Its waits are no sign of a slow peer. *)
