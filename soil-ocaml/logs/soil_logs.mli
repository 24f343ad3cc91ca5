(** Reporters for the [logs] library: the machine's error console, and syslog servers.

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

(** {1 The console, at once} *)

val reporter : unit -> Logs.reporter
(** [reporter ()] writes a line for each message to the standard error channel: seconds since the
    reporter was made, level, the name of the source unless it is the default one, and the message.
    Lines of several tasks don't mix. While the console's reader doesn't read, a message stops the
    program, as [prerr_endline] does; {!Sink.console} doesn't. *)

val level_of_string : string -> Logs.level option
(** [level_of_string s] is the level that [s] names as in [SOIL_LOG]: [error], [warn], [info] or
    [debug]; [None] for anything else. *)

val setup : ?level:Logs.level -> ?reporter:Logs.reporter -> unit -> unit
(** [setup ()] makes [reporter] (default: {!val-reporter}[ ()]) the program's, with the level that
    [SOIL_LOG] names. Where that isn't set or not known it is [level], and without one it stays what
    it is: {!Logs.set_level}'s, or [Logs]'s own default, warnings. Call it once, at the start. *)

(** {1 In the background} *)

module Sink = Sink
(** Where messages go without a wait of those who log. *)

module Syslog = Syslog
(** Syslog servers (RFC 5424), over UDP and TCP. *)
