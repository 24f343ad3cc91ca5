(** Access log and handler exceptions of [soil-http] for the [logs] library.

    In a program with this library, exceptions of handlers are logged as errors of {!source}, with
    peer, method, path and backtrace ({!Soil_http.Server.on_exception}), or printed on standard
    error while [Logs] has no reporter.

    These messages have {!request_id} as a tag. The reporters of [soil-sight.logs] show it, and give
    all other messages of a request's tasks the same tag. A program with another reporter passes
    {!tags}[ ()] to its messages. *)

val access :
  ?src:Logs.src -> ?format:(Soil_http.Server.entry -> string) -> Soil_http.Server.entry -> unit
(** [access] logs an entry: [Server.serve ~log:Soil_http_logs.access]. The level is [Info], and
    [Warning] if the server failed (a status of 500 and more); [Logs] shows only warnings by
    default; use [Soil_logs.setup ~level:Logs.Info ()]. [format] (default:
    {!Soil_http.Server.entry_text}) produces the text, such as {!Soil_http.Access_log.combined},
    which has a time of its own. [src] (default: {!source}) is the source.

    In a line of [Soil_logs.Json] the member [http] has the entry's fields,
    {!Soil_http.Access_log.json_members}. *)

val source : Logs.src
(** [source] is the source ["http"]. *)

val request_id : string Logs.Tag.def
(** [request_id] is the tag [request_id], {!Soil_http.Server.Request.id}. *)

val tags : unit -> Logs.Tag.set
(** [tags ()] is {!request_id} of the request for which this task works, if any:
    [Logs.info (fun m -> m ~tags:(Soil_http_logs.tags ()) "…")]. *)

(** {1:levels Levels} *)

val levels : Soil_http.Server.request -> Soil_http.Server.response
(** [levels] is a handler for operators, at a path that only they reach. [GET] responds with a line
    for each source, its name and its level. [PUT] with [?level=debug] sets the level of all sources
    and the default one, with [&source=http] that of one. Others get 405, so that no page of another
    origin changes a level. *)
