(** Reporters for the [logs] library: standard error, and syslog servers.

    {[
      let () =
        Soil.run @@ fun () ->
        Soil.Task.scope @@ fun scope ->
        let server = Soil.Net.Endpoint.of_string "192.0.2.1:514" in
        let syslog = Soil_logs.Syslog.sink ~app_name:"service" (`Tcp server) in
        let sinks = [ Soil_logs.Sink.console (); syslog ] in
        Soil_logs.setup ~reporter:(Soil_logs.Sink.reporter scope sinks) ();
        Logs.warn (fun m -> m "disk %s is nearly full" "data")
    ]} *)

(** {1 Synchronous reporter} *)

val reporter : ?format:(Sink.message -> string) -> unit -> Logs.reporter
(** [reporter ()] writes a line for each message to standard error: the time of day in UTC (RFC
    3339), level, the name of the source unless it is the default one, the tags in brackets, and the
    message. A task that works for a request of [soil-http] has its identifier as the tag
    [request_id], unless the message has this tag:

    {v 2026-11-27T17:40:12.345678Z warn: store: [request_id=4bf92f35…] disk data is nearly full v}

    [format] makes the line, with its newline, such as {!Json.line}. Lines of several tasks don't
    mix. While the console's reader doesn't read, a message blocks the program, like
    [prerr_endline]; {!Sink.console} doesn't. *)

val level_of_string : string -> Logs.level option
(** [level_of_string s] is the level [s], as in [SOIL_LOG]: [error], [warn], [info] or [debug];
    [None] for anything else. *)

val setup :
  ?level:Logs.level -> ?format:(Sink.message -> string) -> ?reporter:Logs.reporter -> unit -> unit
(** [setup ()] sets the program's reporter to [reporter] (default: {!val-reporter}[ ?format ()]),
    and the level to that of [SOIL_LOG]. If that is unset or invalid the level is [level], and
    without one it is unchanged: {!Logs.set_level}'s, or [Logs]'s own default, warnings. Call it
    once, at the start.

    From then on SIGUSR2 calls {!toggle_debug}, unless the program has a handler for it. *)

val toggle_debug : unit -> unit
(** [toggle_debug ()] sets the level of all sources to [Debug]; the next call restores their levels.
    To set the level of one source while the program runs see {!Logs.Src.set_level}, and
    [Soil_http_logs.levels] for operators. *)

module Json = Json
(** Lines of JSON: [Soil_logs.setup ~format:Soil_logs.Json.line ()]. *)

(** {1 Asynchronous reporters} *)

module Sink = Sink
(** Asynchronous destinations of log messages. *)

module Syslog = Syslog
(** Syslog servers (RFC 5424), over UDP and TCP. *)
