(** Metrics: counters, gauges and histograms in the text formats of Prometheus and OpenMetrics.

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

    {!page} is the response to [GET /metrics]. It has the program's metrics, and without any code
    those of the machine: memory, processor time, the garbage collector, tasks, and the network,
    disks and volumes in use. [docs/sight.md] lists them.

    Create metrics once, at the top of a module; an update takes some nanoseconds and no memory.
    Every thread of the program's first domain may update them, and tasks of all domains of
    {!Soil.Domain}.

    {b Names} consist of letters, digits and [_]. A counter's ends in [_total]. The unit comes at
    the end, before [_total]: [_seconds], [_bytes], [_ratio].

    {b Labels.} Each set of label values is a time series, which takes memory here and in the
    database. So each family has a limit (default: 100): further sets share one, whose values are
    all ["overflow"]. Don't use a peer's input as a label value. *)

(** {1 Registries} *)

type registry
(** The type for sets of metrics with different names. *)

val default : registry
(** [default] is the default registry; its text includes the machine's own metrics, whose names
    begin with [soil_], [ocaml_gc_] and [process_]. *)

val registry : unit -> registry
(** [registry ()] is a new, empty registry, for tests and separate pages. *)

(** {1 Metrics}

    The functions that create a metric register it, in [registry] (default: {!default}). They raise
    [Invalid_argument] if the name is invalid or in use. [help] is a sentence about it.

    A {e family} has a metric for each set of label values. [labels family values] is the metric for
    these values, in the order of [label_names]; the first call creates it. Raises
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

(** Distributions of observations: durations, sizes. *)
module Histogram : sig
  type t
  type family

  val durations : float list
  (** [durations] is Prometheus' own bounds for seconds, from 0.005 to 10. *)

  val v : ?registry:registry -> ?bounds:float list -> help:string -> string -> t
  (** [v ~help name] is a new histogram. Bucket [i] counts the observations up to the [i]th of
      [bounds] (default: {!durations}), and one more bucket counts all. Raises [Invalid_argument] if
      [bounds] aren't increasing and finite. *)

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
  (** [observe h x] counts [x]; NaN counts above all bounds and isn't added to the sum. *)

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
(** [collect kind ~help name read] registers a family with values from elsewhere: [read ()] returns
    label values (default: none) and values, for each text. It must be fast, and must not wait. An
    [`Info] describes the program by its labels; its name ends in [_info], and its values are 1. *)

(** {1 Reading} *)

(** Families of metrics, for exporters in other formats. *)
module Family : sig
  type kind = Counter | Gauge | Histogram | Info

  (** The type for values. *)
  type value =
    | Number of float
    | Distribution of { bounds : float array; counts : int array; sum : float }
        (** [counts.(i)] is the number of observations up to [bounds.(i)] that aren't in an earlier
            bucket; the last count is of those above all bounds. *)

  type t = {
    name : string;  (** With [_total] for a counter, [_info] for an [Info]. *)
    help : string;
    kind : kind;
    label_names : string list;
    read : unit -> (string list * value) list;
        (** Label values, in the order of [label_names], and values now. Doesn't wait. *)
  }
  (** The type for families. *)
end

val families : ?registry:registry -> unit -> Family.t list
(** [families ()] is all families of [registry] (default: {!default}). Doesn't wait. *)

(** {1 The text} *)

(** Formats of the text. *)
type format =
  | Open_metrics
      (** {{:https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md}
           OpenMetrics 1.0}. *)
  | Prometheus  (** Prometheus' older format, 0.0.4, which all readers support. *)

val to_string : ?registry:registry -> format -> string
(** [to_string format] is all metrics of [registry] (default: {!default}). Doesn't wait. *)

val content_type : format -> string
(** [content_type format] is the media type of the format. *)

val page : ?registry:registry -> ?accept:string -> unit -> string * string
(** [page ()] is the content type and the text of a response to a request whose field [Accept] is
    [accept]: OpenMetrics for clients that prefer it, as Prometheus does; otherwise the older
    format. *)
