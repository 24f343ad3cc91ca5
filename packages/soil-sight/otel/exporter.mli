(** Queues of encoded spans, metrics and log records, and the tasks that send them. Private to
    [soil-sight.otel]; {!Soil_otel} documents it. *)

type signal = Traces | Metrics | Logs

val default_limits : Limits.t

type t

val create :
  limits:Limits.t ->
  client:Soil_http.Client.t ->
  uri:(string -> Uri.t) ->
  headers:(string * string) list ->
  resource:string ->
  on_failure:(string -> unit) ->
  Soil.Task.scope ->
  t
(** [create scope] has a task in [scope] for each signal. [uri "traces"] is where traces are sent;
    [resource] is the text of the resource. *)

val add : t -> signal -> scope:string -> string -> unit
(** [add t signal ~scope text] queues the record [text], or counts it as dropped. For any thread of
    any domain; doesn't wait. *)

val on_collect : t -> (unit -> unit) -> unit
(** [on_collect t f] calls [f ()] before metrics are sent. *)

type statistics = { queued : int; exported : int; dropped : int }

val statistics : t -> signal -> statistics

val held : t -> int * int
(** [held t] is the items and bytes in queues and batches, of all signals. *)
