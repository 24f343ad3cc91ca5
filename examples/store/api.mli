(** The JSON API for browsers and apps, below [/api]. README.md has the requests. *)

type t

val create :
  db:Database.t ->
  live:Live.t ->
  keys:Soil_http.Signed.keys ->
  secure:bool ->
  proxies:Soil.Net.prefix list ->
  t
(** [create ~db ~live ~keys ~secure ~proxies] keeps sessions in cookies signed by [keys], which all
    machines have in common; with [secure] browsers send them over TLS only. [proxies] are the
    networks whose [X-Forwarded-For] is trusted, for the limit of logins per client. *)

val routes : t -> Soil_http.Router.route list
(** [routes t] is the routes. Errors are by {!Soil_http.Server.val-error}. A database that is away
    is a 503 with [Retry-After]. *)
