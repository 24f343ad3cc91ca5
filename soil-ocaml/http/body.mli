(** Bodies received from a peer. Private to [soil.http]. *)

type t

val make : ?ask:(unit -> unit) -> ?truncated:exn -> Input.t -> Head.framing -> Limits.t -> t
(** [make input framing limits] is the next body. [ask] is called before the first wait for it.
    [truncated] (default: [Refused `Bad_request]) is raised if the input ends before the body. *)

val limit : t -> int -> unit
(** [limit t max] makes the call that would return byte [max + 1] raise
    [Head.Refused `Request_entity_too_large]; at once if the declared length is larger. *)

val time_each_read : t -> unit
(** [time_each_read t] gives each read [body_seconds] from now on, instead of all of them together
    with what their rate earns: for a body that has no end to wait for. *)

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

val read_all : t -> Soil.Flow.source -> count:(int -> unit) -> string
(** [read_all t (source t) ~count] is the rest of [t]. [count n] is called before [n] bytes more are
    allocated for it, and may raise. *)

val is_over : t -> bool
(** [is_over t] is [true] iff all of it was read. *)

val can_discard : t -> bool
(** [can_discard t] is [true] iff it is worth trying to {!discard} the rest. *)

val discard : t -> bool
(** [discard t] reads the rest, and is [false] if that is too long, too late or malformed. *)
