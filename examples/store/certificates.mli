(** TLS for the page and the API: a session over a new connection. *)

val of_files : string * string -> Soil.Tcp.connection -> Soil_tls.t
(** [of_files (certificate, key)] has the certificates of these files. *)

val by_acme :
  Soil.Task.scope ->
  Store.Database.t ->
  directory:Uri.t ->
  string list ->
  Soil.Tcp.connection ->
  Soil_tls.t
(** [by_acme scope db ~directory names] has a certificate for [names] from the CA whose directory is
    at [directory], renewed until [scope] ends. All machines share it, with its key, by a table.
    Waits, and raises as {!Store.Database.query}. *)
