(** Metrics: counters, gauges and histograms, as text that Prometheus and OpenTelemetry's collector
    read.

    {[
      let requests =
        Soil_metrics.Counter.v_labels ~label_names:[ "method"; "status" ]
          ~help:"Requests by method and status." "http_requests_total"

      let durations =
        Soil_metrics.Histogram.v ~help:"From request to response." "http_request_duration_seconds"

      let answer request =
        let response = Soil_metrics.Histogram.time durations (fun () -> handle request) in
        Soil_metrics.Counter.inc_one
          (Soil_metrics.Counter.labels requests [ request.meth; response.status ]);
        response
    ]}

    {!page} is what a server answers to [GET /metrics]. It has the program's metrics, and without a
    line of code those of the machine: memory, processor time, the garbage collector, tasks, and the
    network, disks and volumes that are in use. [docs/sight.md] lists them.

    Metrics are made once, at the top of a module; changing one takes some nanoseconds and no
    memory. They may be changed from every thread of the program's first domain.

    {b Names} are of letters, digits and [_]. That of a counter ends in [_total]. What has a unit
    ends with it, before [_total]: [_seconds], [_bytes], [_ratio].

    {b Labels.} Each set of values of a family's labels is a time series, which takes memory here
    and in the database. So there is a limit for each family (100 unless told otherwise): further
    sets share one, whose values are all ["overflow"]. Don't take values from a peer as they are. *)

(** {1 Registries} *)

type registry
(** The type for sets of metrics with different names. *)

val default : registry
(** [default] is the registry of all metrics that name no other; its text has the machine's own
    metrics, too, whose names begin with [soil_], [ocaml_gc_] and [process_]. *)

val registry : unit -> registry
(** [registry ()] is a new, empty registry, for tests and for pages of their own. *)

(** {1 Metrics}

    The functions that make a metric register it, in [registry] (default: {!default}). They raise
    [Invalid_argument] if the name isn't one, or if it is in use. [help] is a sentence about it.

    A {e family} has a metric for each set of values of its labels. [labels family values] is that
    for these values, in the order of [label_names]; it exists from the first call on. Raises
    [Invalid_argument] if their number is wrong. *)

(** Numbers that only grow, from 0: requests, bytes, seconds of work. *)
module Counter : sig
  type t
  type family

  val v : ?registry:registry -> help:string -> string -> t
  (** [v ~help name] is a new counter; [name] ends in [_total]. *)

  val v_labels :
    ?registry:registry ->
    ?max_label_sets:int ->
    label_names:string list ->
    help:string ->
    string ->
    family

  val labels : family -> string list -> t
  val inc_one : t -> unit

  val inc : t -> float -> unit
  (** [inc c x] adds [x]. Raises [Invalid_argument] if [x] is negative or not a number. *)

  val value : t -> float
end

(** Numbers that rise and fall: connections, bytes in a queue. *)
module Gauge : sig
  type t
  type family

  val v : ?registry:registry -> help:string -> string -> t

  val v_labels :
    ?registry:registry ->
    ?max_label_sets:int ->
    label_names:string list ->
    help:string ->
    string ->
    family

  val labels : family -> string list -> t
  val set : t -> float -> unit
  val inc_one : t -> unit
  val dec_one : t -> unit

  val inc : t -> float -> unit
  (** [inc g x] adds [x], which may be negative. *)

  val track : t -> (unit -> 'a) -> 'a
  (** [track g f] is [f ()]; [g] is one more while it runs. *)

  val value : t -> float
end

(** How observations are distributed: durations, sizes. *)
module Histogram : sig
  type t
  type family

  val durations : float list
  (** [durations] is Prometheus' own bounds for seconds, from 0.005 to 10. *)

  val v : ?registry:registry -> ?bounds:float list -> help:string -> string -> t
  (** [v ~help name] is a new histogram. Bucket [i] counts the observations of at most the [i]th of
      [bounds] (default: {!durations}), and one more bucket counts all. Raises [Invalid_argument] if
      [bounds] don't rise, or one isn't finite. *)

  val v_labels :
    ?registry:registry ->
    ?max_label_sets:int ->
    ?bounds:float list ->
    label_names:string list ->
    help:string ->
    string ->
    family

  val labels : family -> string list -> t

  val observe : t -> float -> unit
  (** [observe h x] counts [x]; what isn't a number is counted above all bounds, without its value.
  *)

  val time : t -> (unit -> 'a) -> 'a
  (** [time h f] is [f ()], and counts the seconds that it took, also if it raises. *)

  val count : t -> int
  val sum : t -> float
end

val collect :
  ?registry:registry ->
  ?label_names:string list ->
  help:string ->
  [ `Counter | `Gauge | `Info ] ->
  string ->
  (unit -> (string list * float) list) ->
  unit
(** [collect kind ~help name read] registers a family whose values something else keeps: [read ()]
    is the values of its labels (default: none) with its own, each time that the text is asked for.
    It has to be quick, and mustn't wait. An [`Info] tells about the program by its labels; its name
    ends in [_info], and its values are 1. *)

(** {1 The text} *)

(** Formats of the text. *)
type format =
  | Open_metrics
      (** {{:https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md}
           OpenMetrics 1.0}. *)
  | Prometheus  (** Prometheus' older format, 0.0.4, which all that read metrics know. *)

val to_string : ?registry:registry -> format -> string
(** [to_string format] is all metrics of [registry] (default: {!default}). Doesn't wait. *)

val content_type : format -> string
(** [content_type format] is the media type of such a text. *)

val page : ?registry:registry -> ?accept:string -> unit -> string * string
(** [page ()] is the content type and the text of a response to a request whose field [Accept] is
    [accept]: OpenMetrics to those that prefer it, as Prometheus does; else the older format. *)
