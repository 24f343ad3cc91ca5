(** Access log and handler exceptions of [soil.http] for the [logs] library.

    In a program with this library, exceptions of handlers are logged as errors of {!source}, with
    peer, method, path and backtrace ({!Soil_http.Server.on_exception}), or printed on standard
    error while [Logs] has no reporter. *)

val access :
  ?src:Logs.src -> ?format:(Soil_http.Server.entry -> string) -> Soil_http.Server.entry -> unit
(** [access] logs an entry: [Server.serve ~log:Soil_http_logs.access]. The level is [Info], and
    [Warning] if the server failed (a status of 500 and more); [Logs] shows only warnings by
    default; use [Soil_logs.setup ~level:Logs.Info ()]. [format] (default:
    {!Soil_http.Server.entry_to_string}) produces the text, such as
    {!Soil_http.Access_log.combined}. [src] (default: {!source}) is the source. *)

val source : Logs.src
(** [source] is the source ["http"]. *)
