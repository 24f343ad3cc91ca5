(** Bodies received from a peer. Private to [soil-http]. *)

type t

val make :
  ?ask:(unit -> unit) ->
  ?truncated:exn ->
  ?on_trailers:(Cohttp.Header.t -> unit) ->
  Input.t ->
  Head.framing ->
  Limits.t ->
  t
(** [make input framing limits] is the next body. [ask] is called before the first wait for it.
    [truncated] (default: [Refused `Bad_request]) is raised if the input ends before the body.
    [on_trailers] gets the fields after chunks, before the read that finds the end returns. *)

val limit : t -> int -> unit
(** [limit t max] makes the call that would return byte [max + 1] raise
    [Head.Refused `Request_entity_too_large]; at once if the declared length is larger. *)

(** The type for the time that a peer has for a body. *)
type pace =
  | Whole  (** [body_seconds] for all reads together, and what their bytes earn at [body_rate]. *)
  | Each_read  (** [body_seconds] for each read. *)
  | Patient  (** No limit: the other end of a call that both sides keep open. *)

val set_pace : t -> pace -> unit
(** [set_pace t pace] gives reads this time from now on; initially [Whole]. *)

val ask : t -> unit
(** [ask t] calls [ask] now, unless it was called before. *)

val dont_ask : t -> unit
(** [dont_ask t] prevents calls of [ask]. *)

val read_by : (Input.t -> 'b -> int -> int -> int) -> t -> 'b -> int -> int -> int
(** [read_by take t b off len] is a read of [t] by [take], {!Input.read} or {!Input.read_into}. *)

val source : t -> Soil.Flow.source
(** [source t] is the flow that reads [t].
    @raise Head.Refused
      from its reads: [`Bad_request] if the chunks are malformed, [`Request_timeout] if it arrives
      too slowly, and as described for {!limit}. *)

val read_text : max:int -> [> `Read ] Soil.File_descriptor.t -> string option
(** [read_text ~max d] is the rest of [d], [None] if that is more than [max] bytes. It counts as it
    grows ({!Soil.Budget.scratch}), and is the caller's then. *)

val read_all : t -> Soil.Flow.source -> count:(int -> unit) -> string
(** [read_all t (source t) ~count] is the rest of [t]. [count n] is called before [n] bytes more are
    allocated for it, and may raise. *)

val is_over : t -> bool
(** [is_over t] is [true] iff all of it was read. *)

val can_discard : t -> bool
(** [can_discard t] is [true] iff it is worth trying to {!discard} the rest. *)

val discard : t -> bool
(** [discard t] reads the rest, and is [false] if that is too long, too late or malformed. *)
