(** JSON texts, as protobuf's mapping has them. Private to [soil-sight.otel] and its sublibraries.
*)

type t = Buffer.t -> unit
(** The type for values: functions that write their text. *)

val raw : string -> t
(** [raw s] is the value whose text is [s]. *)

val string : string -> t
(** [string s] is [s]; bytes that aren't UTF-8 become U+FFFD. *)

val int : int -> t
val bool : bool -> t

val int64 : int -> t
(** [int64 n] is a 64-bit integer: a string. *)

val float : float -> t
(** [float x] is [x]; ["NaN"], ["Infinity"] and ["-Infinity"] are strings. *)

val list : t list -> t

val record : (string * t) list -> t
(** [record fields] is an object. Names need no escapes. *)

val to_string : t -> string
