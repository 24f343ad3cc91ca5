(** WebSocket ({{:https://www.rfc-editor.org/rfc/rfc6455}RFC 6455}): messages both ways over a
    connection that began as HTTP.

    {[
      let answer request =
        match Server.path request with
        | "/chat" ->
            Websocket.accept request (fun ws ->
                Websocket.iter (fun message -> Websocket.send ws message) ws)
        | _ -> Server.status `Not_found
    ]}

    One task receives; any may send, each message whole. Messages in fragments are put together,
    text is checked to be UTF-8, pings are answered while the program receives. There are no
    extensions: nothing is compressed. *)

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
(** [accept request f] is the response that changes to WebSocket, and runs [f] with the connection,
    which ends when [f] does: with code 1000 if it returns, and 1011 if it raises. A request that
    doesn't ask for WebSocket is answered with 426 or 400.

    - Of [protocols] (default: none), best first, the first one that the client offers is chosen.
    - [origins] are the pages from which browsers may connect: [`Same] (the default), those of this
      host; [`Any]; or [`These], such as ["https://example.com"]. Others get 403. What isn't a
      browser says no origin, and may connect.
    - A message of more than [max_bytes] (default: 1 MiB) ends the connection with 1009.
    - When the server stops, [f] is cancelled as soon as it waits for a message of which nothing has
      come, and the peer told so (1001). What [f] does before that has the server's [grace].
    - A peer that is silent for [ping_seconds] (default: 30) while the program receives is asked for
      a sign of life, and after as much time again the connection ends. *)

(** {1:messages Messages} *)

val receive : t -> message option
(** [receive t] waits for the next message, or [None] once the peer has closed the connection.
    Raises {!Failed} if the peer breaks the protocol or is gone, and {!Soil.exception-Error} as the
    connection below. *)

val iter : (message -> unit) -> t -> unit
(** [iter f t] is [f m] for each message [m] until the peer closes. *)

val send : t -> message -> unit
(** [send t m] sends [m], and waits until it is written. Raises {!Soil.exception-Error} with
    [Closed] after {!close}, or once the peer has closed. Raises [Invalid_argument] if [m] is text
    that isn't UTF-8. *)

val ping : t -> unit
(** [ping t] asks the peer for a sign of life. *)

val close : ?code:int -> ?reason:string -> t -> unit
(** [close t] ends the connection: it tells the peer [code] (default: 1000) and [reason] (up to 123
    bytes of UTF-8), and waits for its answer, for 5 seconds at most; messages that come meanwhile
    are dropped. Closing again does nothing. Raises [Invalid_argument] if [code] isn't one that can
    be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999. *)

(** {1:information Information} *)

val protocol : t -> string option
(** [protocol t] is the protocol that was agreed on. *)

val closed_by_peer : t -> (int * string) option
(** [closed_by_peer t] is what the peer said when it closed, if it has; the code is 1005 if it
    didn't say any. *)

exception Failed of int * string
(** The connection failed, with this code and reason: 1002 (the protocol was broken), 1006 (it ended
    without a word, or the peer was silent), 1007 (not UTF-8), 1009 (a message is too long). They
    were sent to the peer if it could still be reached. {!accept} takes it for the end of [f]. *)

(** {1:client Clients} *)

module Client = Websocket_client
