(** Where messages go without a wait of those who log.

    Each sink has a queue and a task that empties it. A message that comes while the queue is full
    is dropped, and so is one that can't be written; later a warning of the source [soil.logs] says
    how many were. *)

type t
(** The type for sinks. *)

val console : unit -> t
(** [console ()] writes lines as {!Soil_logs.val-reporter} does to the error console. *)

type message = {
  time : int;  (** Nanoseconds since 1970-01-01 00:00 UTC. *)
  level : Logs.level;
  source : string;  (** The name of its {!Logs.Src.t}; [""] for the default one. *)
  text : string;  (** With the header, if there is one, in front. *)
}
(** The type for messages. *)

val make :
  ?close:(unit -> unit) ->
  name:string ->
  format:(message -> string) ->
  write:(string -> unit) ->
  unit ->
  t
(** [make ~name ~format ~write ()] is a sink of the program's own. [format] is called where the
    message is logged. [write] may wait. It is called again with the same text after it has raised
    {!Soil.exception-Error} with a code that may pass, as of a network or server that is missing, or
    a full disk: at first 0.1 s later, then after longer and longer, up to 10 s. After any other
    exception the message is dropped. [name] is what messages call it. [close] (default: nothing) is
    called behind the last [write]. *)

val reporter : ?capacity:int -> Soil.Task.scope -> t list -> Logs.reporter
(** [reporter scope sinks] gives each message to each of [sinks], whose queues hold [capacity]
    messages (default: 1000), until [scope] ends. What is in the queues then is still written, for
    at most two seconds; later messages go to the standard error channel. A sink belongs to one
    reporter.

    Any thread may log by it, after [Logs_threaded.enable ()]. Raises [Invalid_argument] if
    [capacity] is less than 1, or if this isn't a task. Lets other tasks run, as {!Soil.Task.yield}.
*)

val dropped : t -> int
(** [dropped sink] is the number of messages that it has dropped so far. *)
