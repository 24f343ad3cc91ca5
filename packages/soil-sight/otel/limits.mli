type t = {
  attributes : int;
      (** Attributes of a span or log record; further ones are dropped and counted. Of a metric's
          point they are dropped only: its message has no count. *)
  events : int;  (** Events of a span, likewise. *)
  value_bytes : int;  (** Bytes of a text, which is cut after a character. *)
  max_items : int;
      (** Spans, metrics and records that wait or are under way, of all three signals. *)
  max_bytes : int;  (** Their bytes as JSON, 64 more for each. *)
  batch_items : int;  (** Items of a request. *)
  batch_bytes : int;  (** Their bytes; a larger item is a request of its own. *)
  seconds : float;  (** Between requests with spans or records, unless a batch is full earlier. *)
  metrics_seconds : float;  (** Between requests with metrics. *)
  request_seconds : float;  (** For a request with its response. *)
  retry_seconds : float;  (** For a batch with its repetitions. *)
  grace : float;  (** Seconds after the end of the scope, for what still waits. *)
}
(** The type for limits. *)
