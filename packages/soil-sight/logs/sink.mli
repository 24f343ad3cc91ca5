(** Asynchronous destinations of log messages.

    Each sink has a queue and a task that drains it. A message is dropped if the queue is full or it
    can't be written; a later warning of the source [soil-sight.logs] gives the number. *)

type t
(** The type for sinks. *)

(** The type for values of tags. *)
type value = Line.value =
  | Text of string  (** What the tag's printer prints. *)
  | Json of string  (** Likewise, of a tag with the documentation ["application/json"]. *)

type message = Line.t = {
  time : int;  (** Nanoseconds since 1970-01-01 00:00 UTC. *)
  level : Logs.level;
  source : string;  (** The name of its {!Logs.Src.t}; [""] for the default one. *)
  tags : (string * value) list;
      (** Its tags by name; [request_id] also of the request for which the task works. *)
  text : string;  (** Including the header, if any. *)
}
(** The type for messages. *)

val console : ?format:(message -> string) -> unit -> t
(** [console ()] writes lines like {!Soil_logs.val-reporter} to standard error: [format m] for the
    message [m], such as {!Json.line}. *)

val make :
  ?close:(unit -> unit) ->
  name:string ->
  format:(message -> string) ->
  write:(string -> unit) ->
  unit ->
  t
(** [make ~name ~format ~write ()] is a custom sink. [format] is called where the message is logged.
    [write] may wait. If it raises {!Soil.exception-Error} with a transient code, such as for a
    missing network or server, or a full disk, it is called again with the same text: first after
    0.1 s, then with backoff up to 10 s. After any other exception the message is dropped. [name]
    identifies the sink in messages. [close] (default: nothing) is called after the last [write]. *)

val reporter :
  ?capacity:int -> ?format:(message -> string) -> Soil.Task.scope -> t list -> Logs.reporter
(** [reporter scope sinks] passes each message to all of [sinks], whose queues hold [capacity]
    messages (default: 1000), until [scope] ends. Queued messages are then still written, for at
    most two seconds; later messages go to standard error, in [format] (default: lines of text). A
    sink belongs to one reporter.

    Any thread may log with it, after [Logs_threaded.enable ()]. Raises [Invalid_argument] if
    [capacity] is less than 1, or outside tasks. Lets other tasks run, like {!Soil.Task.yield}. *)

val dropped : t -> int
(** [dropped sink] is the number of messages dropped so far. *)
