(** Attributes of spans, resources and log records. Private to [soil-sight.otel]. *)

type value =
  [ `String of string | `Int of int | `Float of float | `Bool of bool | `Strings of string list ]

type t = string * value

val cut : int -> string -> string
(** [cut most s] is the first bytes of [s], at most [most], with whole characters of UTF-8. *)

val first : int -> 'a list -> 'a list
(** [first n l] is the first elements of [l], at most [n]. *)

val limited : int -> t -> t
(** [limited most a] is [a] with texts of at most [most] bytes, a key of at most 256, and at most 32
    texts. *)

val to_json : t list -> Json.t
