(** The client's side of {!Websocket}, a separate module because it masks its output with random
    numbers, which servers don't need. *)

val connect :
  ?headers:Cohttp.Header.t ->
  ?protocols:string list ->
  ?max_bytes:int ->
  ?ping_seconds:float ->
  Client.t ->
  Uri.t ->
  (Websocket_core.t -> 'a) ->
  'a
(** [connect client uri f] is [f ws] with a connection to [uri], [ws://…] or [wss://…], which is
    closed when [f] returns or raises, as in {!Websocket.accept}. [protocols] are offered. [client]
    opens the connection, and isn't used otherwise. Waits. Raises as {!Client.upgrade};
    {!Client.Failed} with [Malformed] if the response isn't a valid WebSocket upgrade. *)
