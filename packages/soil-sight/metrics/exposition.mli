(** Families in Prometheus' text formats. Private to [soil-sight.metrics]. *)

type format = Open_metrics | Prometheus

val write : format -> Registry.family list -> string

val number : float -> string
(** [number x] is the shortest decimal that parses as [x]; [NaN], [+Inf], [-Inf]. *)

val accepted : string option -> format
(** [accepted accept] is the format preferred by a request's field [Accept]. *)
