(** The events of a run: their hash, and the trace that [soil simulate --trace] draws. Private to
    Soil. *)

type t
(** The type for the events of a run. *)

(** The type for fields of events. *)
type field =
  | Int of int
  | Text of string
  | Shown of (unit -> string)  (** Only in the trace: it follows from what is in the hash. *)

val create : string option -> t
(** [create file] has no events yet; they are also written to [file], a JSON object a line. *)

val add : t -> at:int -> string -> (string * field) list -> unit
(** [add t ~at kind fields] is an event at the virtual time [at] in nanoseconds. *)

val bytes : t -> string -> unit
(** [bytes t s] adds [s] to the hash only. *)

val count : t -> int
(** [count t] is the number of events. *)

val hash : t -> string
(** [hash t] is the hash of all events, in hexadecimal: equal for equal runs. *)

val close : t -> unit
(** [close t] writes what isn't written. *)

val quote : string -> string
(** [quote s] is [s] as a string of JSON. Bytes that are not ASCII become U+FFFD. *)
