(** Families as text, in the formats that Prometheus reads. Private to [soil.metrics]. *)

type format = Open_metrics | Prometheus

val write : format -> Registry.family list -> string

val number : float -> string
(** [number x] is the shortest decimal that is read as [x]; [NaN], [+Inf], [-Inf]. *)

val accepted : string option -> format
(** [accepted accept] is the format that the field [Accept] of a request prefers. *)
