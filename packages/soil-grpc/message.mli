(** Messages in bodies, each with a prefix of five bytes. Private to [soil-grpc]. *)

val frame : ?encoding:Encoding.t -> hold:(int -> unit) -> string -> string
(** [frame ~hold m] is [m] with its prefix, compressed by [encoding] (default: not) if there is room
    for its compressor in {!Soil.Budget}. [hold n] is called before [n] bytes of it are made. *)

val trailer_frame : (string * string) list -> string
(** [trailer_frame fields] is the last frame of a body of gRPC-Web. *)

type 'a reader
(** The type for readers of messages that become ['a]s. *)

val reader :
  ?encoding:(unit -> Encoding.t option) ->
  ?at_end:(unit -> unit) ->
  max:int ->
  (string -> ('a, string) result) ->
  Soil.Flow.source ->
  'a reader
(** [reader ~max decode source] reads the messages in [source]. Those with the compressed flag are
    decompressed by [encoding ()]; [at_end ()] is called at the end, and may raise. *)

val next : 'a reader -> 'a option
(** [next r] is the next message, [None] at the end. A cancelled call has lost nothing: the next one
    continues. Memory follows the bytes that came, and counts in {!Soil.Budget} until the next call
    or {!release}.
    @raise Status.Failed
      with [Resource_exhausted] before it takes memory for more than [max] bytes, with and without
      compression; with [Internal] if the message is malformed or incomplete. *)

val only : 'a reader -> 'a
(** [only r] is the only message.
    @raise Status.Failed with [Internal] if there are none or several. *)

val was_compressed : 'a reader -> bool
(** [was_compressed r] is whether the last message was compressed. *)

val release : 'a reader -> unit
(** [release r] no longer counts the last message. *)
