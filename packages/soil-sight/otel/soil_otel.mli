(** OpenTelemetry: traces, metrics and logs for collectors.

    {[
      let () =
        Soil.run @@ fun () ->
        Soil.Task.scope @@ fun scope ->
        ignore (Soil_otel.start ~service:"shop" scope);
        Soil_http.Server.serve listener (Soil_otel_http.middleware () app)

      let order request =
        Soil_otel.with_span "check the order" @@ fun span ->
        Soil_otel.set_attribute span "items" (`Int (count request));
        …
    ]}

    It sends {{:https://opentelemetry.io/docs/specs/otlp/#otlphttp}OTLP over HTTP}, as JSON.
    Requests are traced by [soil-sight.otel.http], calls of gRPC by [soil-sight.otel.grpc];
    [soil-sight.otel.metrics] sends {!Soil_metrics}, and [soil-sight.otel.logs] messages of [Logs].

    Without {!start} nothing is recorded: libraries may have spans, and programs decide. Spans are
    for tasks, of all domains of {!Soil.Domain}: {!with_span} and {!within} raise [Invalid_argument]
    in other threads. A span is changed by one domain at a time. *)

module Trace_context = Trace_context
module Json = Json

type value =
  [ `String of string | `Int of int | `Float of float | `Bool of bool | `Strings of string list ]
(** The type for values of attributes. Of [`Strings] the first 32 are sent. *)

type attributes = (string * value) list
(** The type for attributes. Their names are OpenTelemetry's
    {{:https://opentelemetry.io/docs/specs/semconv/}semantic conventions}, or the program's own. *)

(** {1:export Exporting} *)

type t
(** The type for exporters. *)

(** The type for signals. *)
type signal = Traces | Metrics | Logs

(** The type for decisions whether a trace is recorded: [Ratio r] records the part [r] of all traces
    (0 to 1), by {!Trace_context.randomness}, so that all programs with one ratio record the same
    traces. [Parent_or r] does what the parent did, if there is one, and else [Ratio r]. *)
type sampler = Ratio of float | Parent_or of float

module Limits = Limits

val default_limits : Limits.t
(** [default_limits] is 64 attributes and events, 4 KiB for a text; 4096 items and 4 MiB, in batches
    of 512 and 512 KiB; each 5 s, metrics each 60 s; 10 s for a request, 60 s with repetitions, and
    2 s of grace. *)

val start :
  ?endpoint:Uri.t ->
  ?headers:(string * string) list ->
  ?client:Soil_http.Client.t ->
  ?sampler:sampler ->
  ?service:string ->
  ?resource:attributes ->
  ?limits:Limits.t ->
  ?on_failure:(string -> unit) ->
  Soil.Task.scope ->
  t
(** [start scope] records and exports until [scope] has ended: after its body and other tasks, what
    waits is sent, for at most [grace] seconds. Lets other tasks run.

    - [endpoint] is the collector (default: [OTEL_EXPORTER_OTLP_ENDPOINT], or
      ["http://localhost:4318"]), to whose path [/v1/traces] and so on are added. Without [endpoint]
      [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT], [_METRICS_] and [_LOGS_] are used as they are.
    - [headers] (default: [OTEL_EXPORTER_OTLP_HEADERS]) are sent with each request.
    - [client] (default: one of its own, without TLS) sends them; they aren't traced.
    - [sampler] (default: [OTEL_TRACES_SAMPLER] and [OTEL_TRACES_SAMPLER_ARG], or [Parent_or 1.]).
    - [service] (default: [OTEL_SERVICE_NAME]) is the attribute [service.name]. [resource] is
      further attributes of all that is sent, and [OTEL_RESOURCE_ATTRIBUTES] more of them.
    - [on_failure message] is called when items of a signal are lost after others were sent, and
      when some don't fit after others did; also at the end. By default it prints [message] on
      standard error. It must not raise.
    - With [OTEL_SDK_DISABLED=true] nothing is recorded.

    {b Loss.} What doesn't fit in [max_items] and [max_bytes] is dropped, the newest first. A batch
    is repeated after 429, 502, 503, 504 and failures of the connection, with growing, random delays
    or after [Retry-After] (at most 30 s), for [retry_seconds], and then dropped, as after any other
    error. {!statistics} counts it. Of metrics, collectors reject data points: each counts as a
    metric, up to all of the batch.

    Raises [Invalid_argument] if another exporter runs, or for a number out of range. *)

val is_running : unit -> bool

type statistics = {
  queued : int;  (** Items that wait now. *)
  exported : int;  (** Those that the collector has taken so far. *)
  dropped : int;  (** Those lost so far: no room, refused, or not sent in time. *)
}
(** The type for counts of a signal. *)

val statistics : t -> signal -> statistics

val held : t -> int * int
(** [held t] is the numbers of items and bytes that {!Limits.t} limits. *)

(** {1:spans Spans} *)

type span
(** The type for spans: pieces of work with a beginning and an end. *)

(** The type for the part of a span in an exchange with others. *)
type kind = Internal | Server | Client | Producer | Consumer

(** The type for outcomes. *)
type status = Unset | Ok | Error of string

(** The type for parents of a new span. *)
type parent =
  | Current  (** {!val-current}. *)
  | Root  (** None: a new trace. *)
  | Remote of Trace_context.t  (** A span of another program. *)

val with_span :
  ?kind:kind -> ?attributes:attributes -> ?parent:parent -> string -> (span -> 'a) -> 'a
(** [with_span name f] is [f span], where the new [span] is {!current} for this task and those that
    it spawns, and ends with [f]. An exception of [f] is recorded, by {!record_exception}.

    [kind] is [Internal] by default, [parent] is [Current].

    Few different [name]s are best: what identifies one case is an attribute. In a trace that isn't
    recorded this costs little, and nothing is sent. *)

val current : unit -> span
(** [current ()] is this task's span, or {!none}. *)

val none : span
(** [none] is a span that records nothing, and belongs to no trace. *)

val is_recording : span -> bool
(** [is_recording span] is whether its changes are sent: for attributes that are costly to make. *)

val context : span -> Trace_context.t option
(** [context span] is [None] for {!none}. *)

val fields : span -> (string * string) list
(** [fields span] is the fields of a request that make [span] its parent
    ({!Trace_context.to_fields}); none for {!none}. *)

val set_attribute : span -> string -> value -> unit
(** [set_attribute span key v] replaces an earlier value of [key]. *)

val set_attributes : span -> attributes -> unit

val add_event : ?attributes:attributes -> span -> string -> unit
(** [add_event span name] notes that something has happened now. It has at most 16 attributes;
    further ones are dropped and counted. *)

val add_link : span -> Trace_context.t -> unit
(** [add_link span c] names another span that [span] has to do with; the first 32 are sent. *)

val set_status : span -> status -> unit
val set_name : span -> string -> unit

val name : span -> string
(** [name span] is [""] if [span] isn't recorded. *)

val record_exception : span -> exn -> Printexc.raw_backtrace -> unit
(** [record_exception span e backtrace] adds the event [exception] and the attribute [error.type],
    and sets the status. {!Soil.Task.Cancelled} is no error: it only has the attribute. *)

(** {2 Spans that end elsewhere} *)

val start_span : ?kind:kind -> ?attributes:attributes -> ?parent:parent -> string -> span
(** [start_span name] is a new span as in {!with_span}, which isn't {!val-current}. *)

val within : span -> (unit -> 'a) -> 'a
(** [within span f] is [f ()], in which [span] is {!val-current}. *)

val finish : span -> unit
(** [finish span] ends [span]. Later changes, and another [finish], do nothing. *)

(** {1:records Other signals}

    For [soil-sight.otel]'s sublibraries; it may change with any version. *)

val add : signal -> scope:string -> Json.t -> unit
(** [add signal ~scope v] sends [v], a message of [opentelemetry-proto]: a [Span], [Metric] or
    [LogRecord]. [scope] is what has made it. For any thread of any domain. Does nothing if no
    exporter runs. *)

val attributes_to_json : attributes -> Json.t
(** [attributes_to_json l] is [l], within the limits. *)

val attribute_fields : attributes -> (string * Json.t) list
(** [attribute_fields l] is the field [attributes] of a record, and [droppedAttributesCount] if
    there are more than the limit. *)

val on_collect : t -> (unit -> unit) -> unit
(** [on_collect t f] calls [f ()] before each request with metrics, also for the last one: it may
    {!add} metrics. *)
