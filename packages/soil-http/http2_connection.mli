(** One end of an HTTP/2 connection ({{:https://www.rfc-editor.org/rfc/rfc9113}RFC 9113}) as a state
    machine: bytes in, events and bytes out. It has no tasks, doesn't wait and knows no clock.
    Private to [soil-http].

    {b Limits.} Whatever the peer sends, a connection holds at most

    - [heads_bytes] of {!Limits.http2} for the heads of its streams, and one more head that arrives:
      at most twice [head_bytes], or one field of it that an entry of the table may come from;
    - [window_bytes] for bodies that aren't read yet;
    - [table_bytes] for each of the two tables of HPACK;
    - what {!output} has, which its user bounds: it doesn't call {!receive} beyond.

    Frames that cost this end more than the peer (resets, settings, pings, …) have one allowance for
    all of them; beyond it the connection ends with [ENHANCE_YOUR_CALM]. *)

type t
type role = Server | Client

type stream
(** The type for streams. *)

(** The type for reasons for which a stream has ended before its end. *)
type reset =
  | By_peer of Http2_frame.error
  | By_this_end of Http2_frame.error
  | Too_large  (** By this end: a head or trailers exceed the limits. *)
  | Not_seen  (** The peer hasn't handled it, and never will: it may be repeated. *)
  | Connection_over

type events = {
  on_head : stream -> (string * string) list -> last:bool -> unit;
      (** The head of a request, or of a response, also an interim one. *)
  on_large_head : stream -> unit;  (** One beyond the limits. *)
  on_room : unit -> unit;  (** The window of the connection, or of all streams, has grown. *)
  on_goaway : Http2_frame.error -> unit;
}
(** The type for what {!receive} calls. The functions don't wait. *)

exception Failed of Http2_frame.error * string
(** The connection has ended with this error, for this reason: {!output} has the [GOAWAY]. *)

val create : role -> Limits.t -> events -> t
(** [create role limits events] is a new connection, whose {!output} has this end's preface. *)

val receive : t -> now:float -> bytes -> int -> int -> int
(** [receive t ~now b off len] handles the complete frames in these bytes of [b], and is the number
    of bytes that they take. [now] is the time in seconds.
    @raise Failed if the connection ends. *)

val output : t -> Buffer.t
(** [output t] is the bytes to send, to which other functions append. *)

val goaway : t -> Http2_frame.error -> unit
(** [goaway t error] announces that no further stream is accepted. Streams go on. Once. *)

val is_over : t -> bool
(** [is_over t] is [true] once no further stream can begin: after [GOAWAY] of either end. *)

val own_resets : t -> int
(** [own_resets t] is the number of streams that this end has reset, without as many that have ended
    by themselves since: the peer may count them as a flood. *)

val end_all : t -> unit
(** [end_all t] resets all streams, whose connection is over. *)

val streams : t -> int
(** [streams t] is the number of streams now. *)

val opened : t -> int
(** [opened t] is the number of streams that the peer has opened so far. *)

val max_streams : t -> int
(** [max_streams t] is the number that the peer allows at a time. *)

val peer_has_connect : t -> bool
(** [peer_has_connect t] is [true] if the peer takes extended [CONNECT] (RFC 8441). *)

val has_settings : t -> bool
(** [has_settings t] is [true] once the peer's settings have come. *)

val held : t -> int
(** [held t] is the number of bytes that heads and bodies take. *)

val is_in_head : t -> bool
(** [is_in_head t] is [true] while the rest of a head, or the peer's preface, has to come. *)

(** {1 Streams} *)

val open_stream : t -> stream
(** [open_stream t] is a new stream of a client, which gets its number with its head.
    @raise Invalid_argument if {!is_over} or there are {!max_streams}. *)

val id : stream -> int

val on_change : stream -> (unit -> unit) -> unit
(** [on_change s f] calls [f ()] when there is more to read, {!room} has grown, or [s] was reset. *)

val reset_of : stream -> reset option
(** [reset_of s] is why [s] has ended early. What was received can't be read any more then. *)

val expect : stream -> int option -> unit
(** [expect s n] follows the final head: a body, of [n] bytes if that is known, or trailers. *)

val unread : stream -> int

val is_received : stream -> bool
(** [is_received s] is [true] once all of the message has come. *)

val take : t -> stream -> (bytes -> int -> int -> unit) -> int -> int
(** [take t s blit n] is the number of bytes that [blit bytes off len] has taken, at most [n]. *)

val window : stream -> int
(** [window s] is the number of bytes that the peer may send before any is read: those are the most
    that [s] holds. A client's streams begin with 64 KiB, those of a server with [stream_bytes] of
    {!Limits.http2}. *)

val wider : t -> stream -> int
(** [wider t s] is by how much the window of [s] may grow: 0 if the peer has sent all, if there is
    something to read, or if it has [stream_bytes]. *)

val widen : t -> stream -> int -> unit
(** [widen t s n] lets it grow by [n] bytes. *)

val fields_size : stream -> int
(** [fields_size s] is about the number of bytes of all heads of [s] that have come, and of trailers
    of a client's. *)

val trailers : stream -> (string * string) list
(** [trailers s] is the fields after the body, once {!is_received}. *)

val priority : stream -> int * bool
(** [priority s] is its urgency, 0 to 7, and whether it is incremental (RFC 9218). *)

val set_priority : stream -> string -> unit
(** [set_priority s value] is by a field [priority]. *)

val room : t -> stream -> int
(** [room t s] is the number of bytes that {!send_data} takes now. *)

val send_head : t -> stream -> (string * string) list -> last:bool -> unit
(** [send_head t s fields ~last] sends the fields, which are valid; also trailers. *)

val send_data : t -> stream -> bytes -> int -> int -> last:bool -> unit
(** [send_data t s b off len ~last] sends at most {!room} bytes. *)

val is_sent : stream -> bool
(** [is_sent s] is [true] after a call with [last]. *)

val reset : t -> stream -> Http2_frame.error -> unit
(** [reset t s error] ends [s] at once. Does nothing if it has ended. *)

val refuse : t -> stream -> Http2_frame.error -> unit
(** [refuse t s error] is {!reset} for a mistake of the peer, which counts as one.
    @raise Failed if there were too many. *)

val refuse_large : t -> stream -> unit
(** [refuse_large t s] is {!reset} because of the fields that have come, which were charged. *)

val release : t -> stream -> unit
(** [release t s] forgets what wasn't read of [s], of which nothing more is wanted. *)
