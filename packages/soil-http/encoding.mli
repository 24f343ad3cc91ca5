(** Content codings of responses, negotiated by [Accept-Encoding]
    ({{:https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3}RFC 9110 §12.5.3}). The codings are in
    libraries of their own: [soil-http.gzip].

    {[
      let app = Encoding.handler [ Soil_http_gzip.coding () ] (Router.router routes)
    ]}

    {b Secrets.} The length of a compressed body depends on its contents. If a body has a secret
    beside text that others can choose, they can find the secret by many requests (BREACH): don't
    compress such bodies.

    {!Files} sends precompressed files, and its responses stay as they are. *)

type coding
(** The type for content codings. *)

val coding :
  string ->
  string:(string -> string) ->
  stream:((Soil.Flow.sink -> unit) -> Soil.Flow.sink -> unit) ->
  coding
(** [coding name ~string ~stream] is the coding [name], in lower case: [string s] is [s] encoded,
    and [stream write d] writes to [d] what [write] writes to its flow, encoded, all of it at each
    write. *)

val apply : ?min_bytes:int -> coding list -> Server.request -> Server.response -> Server.response
(** [apply codings request response] is [response] with the body in the one of [codings] that the
    client prefers, the first of equal ones. May wait.

    - Only bodies of types that are text ([text/*], JSON, XML, SVG, JavaScript, WebAssembly) are
      encoded, and of those with a known length only from [min_bytes] on (default: 1000).
    - Responses with [Content-Encoding], [Content-Range] or [Cache-Control: no-transform], without a
      body, and those of {!Files} stay as they are.
    - Where the result depends on the request it has [Vary: Accept-Encoding].
    - An [ETag] becomes weak. *)

val handler :
  ?min_bytes:int ->
  coding list ->
  (Server.request -> Server.response) ->
  Server.request ->
  Server.response
(** [handler codings h request] is [apply codings request (h request)]. *)
