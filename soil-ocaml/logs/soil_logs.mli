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

val reporter : unit -> Logs.reporter
(** [reporter ()] writes a line for each message to standard error: the time of day in UTC (RFC
    3339), level, the name of the source unless it is the default one, and the message. Lines of
    several tasks don't mix. While the console's reader doesn't read, a message blocks the program,
    like [prerr_endline]; {!Sink.console} doesn't. *)

val level_of_string : string -> Logs.level option
(** [level_of_string s] is the level [s], as in [SOIL_LOG]: [error], [warn], [info] or [debug];
    [None] for anything else. *)

val setup : ?level:Logs.level -> ?reporter:Logs.reporter -> unit -> unit
(** [setup ()] sets the program's reporter to [reporter] (default: {!val-reporter}[ ()]), and the
    level to that of [SOIL_LOG]. If that is unset or invalid the level is [level], and without one
    it is unchanged: {!Logs.set_level}'s, or [Logs]'s own default, warnings. Call it once, at the
    start. *)

(** {1 Asynchronous reporters} *)

module Sink = Sink
(** Asynchronous destinations of log messages. *)

module Syslog = Syslog
(** Syslog servers (RFC 5424), over UDP and TCP. *)
