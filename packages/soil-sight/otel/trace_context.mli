(** Trace contexts: which span of which trace a request belongs to.

    As {{:https://www.w3.org/TR/trace-context-2/}W3C Trace Context}, levels 1 and 2. *)

type t = private {
  trace_id : string;  (** 32 lower-case hexadecimal digits, not all zero. *)
  span_id : string;  (** 16 of them, not all zero. *)
  flags : int;  (** {!sampled} and {!random}. *)
  state : string;  (** The list of [tracestate], [""] if it is empty. *)
}
(** The type for trace contexts. *)

val sampled : int
(** [sampled] is the flag of traces that are recorded. *)

val random : int
(** [random] is the flag of trace ids whose last 14 digits are random. *)

val is_sampled : t -> bool

val of_fields : traceparent:string list -> tracestate:string list -> t option
(** [of_fields ~traceparent ~tracestate] is the context in the values of these fields of a request.
    It is [None] unless there is one valid [traceparent] (§3.2): one with upper-case digits, a zero
    id, the version [ff], or more than version [00] has isn't valid; a later version may be longer.

    An invalid [tracestate] counts as empty (§3.3): another character, a key twice, more than 32
    members. One of more than 512 bytes loses its members of more than 128 bytes, and then its last
    ones. *)

val to_fields : t -> (string * string) list
(** [to_fields c] is the fields [traceparent] and, unless it is empty, [tracestate]. *)

(** {1:new_ New contexts} *)

val draw : unit -> int
(** [draw ()] is a random number below 2{^ 56}. As {!Soil.Random.fill}. *)

val randomness : t -> int
(** [randomness c] is a number below 2{^ 56}: [rv] of the member [ot] of [tracestate], or else the
    last 14 digits of the trace id. *)

val root : randomness:int -> flags:int -> state:string -> t
(** [root ~randomness ~flags ~state] is a new trace's, whose other digits are random as well. *)

val child : t -> is_sampled:bool -> t
(** [child c ~is_sampled] is another span's of the trace of [c]. *)

val with_threshold : t -> state:string -> t
(** [with_threshold c ~state] is [c] whose member [ot] has the [th] of [state] instead of its own,
    or none: for a decision that isn't the parent's. *)
