(** The access log of [soil.http] for the [logs] library. *)

val access : ?src:Logs.src -> Soil_http.Server.entry -> unit
(** [access] logs an entry: [Server.serve ~log:Soil_http_logs.access]. The level is [Info], and
    [Warning] if the server failed (a status of 500 and more). [src] (default: {!source}) is the
    source. *)

val source : Logs.src
(** [source] is the source ["http"]. *)
