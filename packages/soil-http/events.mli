(** Server-sent events
    ({{:https://html.spec.whatwg.org/multipage/server-sent-events.html}HTML standard, section 9.2}):
    messages to a client over one response, for [EventSource] in browsers.

    {[
      let prices : Events.message Soil.Broadcast.t = Soil.Broadcast.create 100

      (* Each message is encoded once, for all clients. *)
      let publish price = Soil.Broadcast.publish prices (Events.message ~event:"price" price)
      let follow _request = Events.follow prices
    ]} *)

(** {1:messages Messages} *)

type message = private string
(** The type for encoded messages. *)

val message : ?event:string -> ?id:string -> ?retry:float -> string -> message
(** [message data] is an event with [data], which may have several lines; clients see each line
    break as ["\n"].

    - [event] is its type; without it, or if empty, clients use ["message"].
    - [id] becomes the client's {!last_event_id}, also for the later messages without one; [""]
      clears it.
    - [retry] tells the client to wait so many seconds before it connects again.

    Raises [Invalid_argument] if one isn't UTF-8, if [event] or [id] has a line break, if [id] has a
    NUL, or if [retry] isn't between 0 and 10{^ 9}. *)

val comment : string -> message
(** [comment text] is a comment, which clients ignore. Raises [Invalid_argument] if [text] isn't
    UTF-8. *)

(** {1:server Servers} *)

type t
(** The type for streams to a client. *)

val follow :
  ?status:Cohttp.Code.status_code ->
  ?headers:Cohttp.Header.t ->
  ?keep_alive:float ->
  ?missed:(t -> int -> unit) ->
  ?policy:Soil.Broadcast.policy ->
  ?max_lag:int ->
  ?replay:int ->
  message Soil.Broadcast.t ->
  Server.response
(** [follow b] is the response of {!stream} with the messages of [b], from a
    {!Soil.Broadcast.subscribe} with [policy], [max_lag] and [replay] on. It ends with [b]. A client
    that reads too slowly misses messages: then [missed t n] is called, where they were (default:
    nothing). Raises as {!stream}; wrong [max_lag] and [replay] end the response. *)

val stream :
  ?status:Cohttp.Code.status_code ->
  ?headers:Cohttp.Header.t ->
  ?keep_alive:float ->
  (t -> unit) ->
  Server.response
(** [stream f] is a response of type [text/event-stream] with the messages that [f t] sends. It ends
    with [f]. Clients then connect again; the response [Server.status `No_content] to that ends
    their attempts. [headers] default to a [cache-control] of [no-store].

    After [keep_alive] seconds (default: 15; [infinity]: never) without a message an empty comment
    is sent, for proxies that close silent connections. By that a client that went away is detected:
    [f] is cancelled, or its {!send} raises, and the connection ends. TCP reports a lost client at
    the second write after its end. When the server stops, [f] is cancelled after the [grace] of
    {!Server.serve}; clients connect again. Raises [Invalid_argument] if [keep_alive <= 0]. *)

val send : t -> message -> unit
(** [send t m] sends [m], and waits until the connection has accepted it. Several tasks may send.
    Raises as writes to a body of {!Server.stream} do. *)

val forward : ?missed:(int -> unit) -> t -> message Soil.Broadcast.subscription -> unit
(** [forward t s] sends the messages of [s] until it ends: for streams that send more than those. At
    a gap of [n] messages it calls [missed n] (default: nothing). *)

val last_event_id : Server.request -> string option
(** [last_event_id r] is the id of the last message that the client of [r] got before it connected
    again. *)

(** {1:client Clients} *)

type event = {
  event : string;  (** Its type, ["message"] if it had none. *)
  data : string;  (** Lines separated by ["\n"]. *)
  id : string;  (** The last id so far, [""] if there was none. *)
}
(** The type for received events. *)

type reader
(** The type for readers of a stream of events. A reader belongs to one task at a time. *)

val reader : ?max:int -> [> `Read ] Soil.File_descriptor.t -> reader
(** [reader d] reads the events of [d], the body of a response. Of an event and its lines it buffers
    at most [max] bytes (default: 1 MiB).

    {!Client} limits the time of a body: for a stream use limits with [body_seconds = infinity]. *)

val next : reader -> event option
(** [next r] waits for the next event, and is [None] at the end of input, where an incomplete event
    is dropped. Comments and unknown fields are ignored. Input that isn't UTF-8 stays as it is.
    Raises {!Soil.exception-Error} with [Too_large] if an event exceeds [max], and as reading does.
    A cancelled call has lost nothing. *)

val retry : reader -> float option
(** [retry r] is the number of seconds to wait before connecting again, if the server has set it. *)

val last_id : reader -> string
(** [last_id r] is the id to send as [Last-Event-ID] when connecting again, or [""]: that of the
    last complete event. *)
