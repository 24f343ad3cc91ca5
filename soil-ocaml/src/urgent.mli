(** TCP's urgent data ({{:https://www.rfc-editor.org/rfc/rfc9293#section-3.8.5}RFC 9293 §3.8.5}).

    A sender marks the data written so far as urgent; the receiver may then process it with
    priority. The bytes stay in the stream ({{:https://www.rfc-editor.org/rfc/rfc6093}RFC 6093}, as
    with [SO_OOBINLINE] elsewhere), and many networks remove the mark: use it for protocols that
    require it, such as Telnet, not for new ones. *)

val send : [> `Write | `Connection ] File_descriptor.t -> bytes -> int -> int -> unit
(** [send c b off len] is {!File_descriptor.write}[ c b off len], and marks all data written to [c]
    so far as urgent, up to the last of these bytes. The peer gets the pointer even while its window
    is closed. Waits and raises like [write]; if it is cancelled, the bytes that are written next
    are urgent instead. *)

val left : [> `Connection ] File_descriptor.t -> int
(** [left c] is the number of unread bytes up to the end of the peer's urgent data, received or not;
    0 without urgent data. Doesn't wait. *)

val wait : ?timeout:float -> [> `Connection ] File_descriptor.t -> int
(** [wait c] waits for urgent data, input or the end of input, for at most [timeout] seconds
    (default: no limit), and is {!left}[ c]: 0 without urgent data. Other tasks may read meanwhile.
    Raises {!Soil.exception-Error} with [Timed_out] or [Closed]. *)
