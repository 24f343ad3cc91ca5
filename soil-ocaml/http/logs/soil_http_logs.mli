(** [soil.http] and the [logs] library: the access log, and the exceptions of handlers.

    In a program with this library, exceptions of handlers go to [Logs] as errors of {!source}, with
    peer, method, path and backtrace ({!Soil_http.Server.on_exception}); to standard error as long
    as [Logs] has no reporter. *)

val access :
  ?src:Logs.src -> ?format:(Soil_http.Server.entry -> string) -> Soil_http.Server.entry -> unit
(** [access] logs an entry: [Server.serve ~log:Soil_http_logs.access]. The level is [Info], and
    [Warning] if the server failed (a status of 500 and more); [Logs] shows warnings only unless
    told, by [Soil_logs.setup ~level:Logs.Info ()]. [format] (default:
    {!Soil_http.Server.entry_to_string}) is the text, such as {!Soil_http.Access_log.combined}.
    [src] (default: {!source}) is the source. *)

val source : Logs.src
(** [source] is the source ["http"]. *)
