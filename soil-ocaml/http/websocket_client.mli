(** The client's side of {!Websocket}. A module of its own: what it sends is masked by random
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
    closed when [f] returns or raises, as {!Websocket.accept} has it. [protocols] are offered.
    [client] makes the connection, and isn't used otherwise. Waits. Raises as {!Client.upgrade};
    {!Client.Failed} with [Malformed] if the server's answer isn't that of WebSocket. *)
