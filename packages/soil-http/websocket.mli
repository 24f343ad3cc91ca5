(** WebSocket ({{:https://www.rfc-editor.org/rfc/rfc6455}RFC 6455}): bidirectional messages over an
    upgraded HTTP connection.

    {[
      let answer request =
        match Server.path request with
        | "/chat" ->
            Websocket.accept request (fun ws ->
                Websocket.iter (fun message -> Websocket.send ws message) ws)
        | _ -> Server.status `Not_found
    ]}

    One task receives; any may send, one message at a time. Fragmented messages are reassembled,
    text is checked for UTF-8, pings are answered while the program receives. There are no
    extensions, and no compression. *)

type t = Websocket_core.t
(** The type for connections. *)

(** The type for messages. *)
type message = Websocket_core.message = Text of string | Binary of string

val accept :
  ?headers:Cohttp.Header.t ->
  ?protocols:string list ->
  ?origins:[ `Same | `Any | `These of string list ] ->
  ?max_bytes:int ->
  ?ping_seconds:float ->
  Server.request ->
  (t -> unit) ->
  Server.response
(** [accept request f] is the response that upgrades to WebSocket, and runs [f] with the connection,
    which ends with [f]: with code 1000 if it returns, and 1011 if it raises. The response to a
    request without an upgrade to WebSocket is 426 or 400.

    - The first of [protocols] (default: none) that the client offers is selected.
    - [origins] are the pages from which browsers may connect: [`Same] (the default), those of this
      host; [`Any]; or [`These], such as ["https://example.com"]. Others get 403. Clients without an
      [Origin], which aren't browsers, may connect.
    - A message of more than [max_bytes] (default: 1 MiB) ends the connection with 1009.
    - When the server stops, [f] is cancelled as soon as it waits for a message of which nothing has
      been received, with code 1001 for the peer. Before that [f] has the server's [grace].
    - While the program receives, a peer that is silent for [ping_seconds] (default: 30) is pinged,
      and after the same time again the connection ends. *)

(** {1:messages Messages} *)

val receive : t -> message option
(** [receive t] waits for the next message, or [None] once the peer has closed the connection.
    Raises {!Failed} if the peer violates the protocol or disconnects, and {!Soil.exception-Error}
    as the underlying connection. *)

val iter : (message -> unit) -> t -> unit
(** [iter f t] is [f m] for each message [m] until the peer closes. *)

val send : t -> message -> unit
(** [send t m] sends [m], and waits until it is written. Raises {!Soil.exception-Error} with
    [Closed] after {!close}, or once the peer has closed. Raises [Invalid_argument] if [m] is text
    that isn't UTF-8. *)

val ping : t -> unit
(** [ping t] sends a ping. *)

val close : ?code:int -> ?reason:string -> t -> unit
(** [close t] ends the connection: it sends [code] (default: 1000) and [reason] (up to 123 bytes of
    UTF-8), and waits for the peer's close frame, for at most 5 seconds; messages received meanwhile
    are dropped. Closing again does nothing. Raises [Invalid_argument] if [code] can't be sent;
    valid codes are 1000 to 1003, 1007 to 1014, 3000 to 4999. *)

(** {1:information Information} *)

val protocol : t -> string option
(** [protocol t] is the negotiated protocol. *)

val closed_by_peer : t -> (int * string) option
(** [closed_by_peer t] is the code and reason of the peer's close frame, if received; the code is
    1005 if it had none. *)

exception Failed of int * string
(** The connection failed, with this code and reason: 1002 (protocol violation), 1006 (closed
    without a close frame, or a silent peer), 1007 (not UTF-8), 1009 (message too long). They were
    sent to the peer if it was still reachable. {!accept} treats it as the end of [f]. *)

(** {1:client Clients} *)

module Client = Websocket_client
