(** The fields that a proxy passes on, leaves out and adds. Private to [soil-http]; {!Proxy}
    documents them. *)

val write_request :
  Buffer.t ->
  name:string ->
  scheme:string ->
  fields:(string * string option) list ->
  Server.request ->
  string option ->
  unit
(** [write_request b ~name ~scheme ~fields r host] adds the fields of [r] for a backend, but for
    [Host] and those of this connection, and with [fields] in place of those with their names.
    [host] is the value of [Host] in [r], [name] the proxy in [Via]; [name] and [scheme] are tokens.
    Raises [Invalid_argument] if one of [fields] is the proxy's own, or isn't a field. *)

val of_response : name:string -> Head.response -> (string * string) list -> Cohttp.Header.t
(** [of_response ~name h extra] is the fields of [h] for a client, and [extra]. *)

val of_trailers : Cohttp.Header.t -> Cohttp.Header.t
(** [of_trailers t] is likewise the fields behind a response. *)
