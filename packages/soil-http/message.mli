(** Cohttp's head records, whose fields depend on its version. Private to [soil-http]. *)

val request :
  Cohttp.Code.meth * string * Cohttp.Code.version ->
  Cohttp.Header.t ->
  Cohttp.Transfer.encoding ->
  Cohttp.Request.t
(** [request line headers encoding] has the target of [line] unchanged. *)

val response :
  Cohttp.Code.version * Cohttp.Code.status_code ->
  Cohttp.Header.t ->
  Cohttp.Transfer.encoding ->
  Cohttp.Response.t
(** [response line headers encoding] is likewise a response's. *)
