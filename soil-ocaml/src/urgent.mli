(** TCP's urgent data ({{:https://www.rfc-editor.org/rfc/rfc9293#section-3.8.5}RFC 9293 §3.8.5}).

    A sender says that what it has written so far is urgent; the receiver then may hurry through
    what comes before the end of it. The bytes stay where they are in the stream
    ({{:https://www.rfc-editor.org/rfc/rfc6093}RFC 6093}, as with [SO_OOBINLINE] elsewhere), and
    many networks take the mark away: it is for protocols that have it, such as Telnet, and not for
    new ones. *)

val send : [> `Write | `Connection ] File_descriptor.t -> bytes -> int -> int -> unit
(** [send c b off len] is {!File_descriptor.write}[ c b off len], and marks all that was written to
    [c] so far as urgent, up to the last of these bytes. The peer gets the pointer even while its
    window is closed. Waits for room as [write] does. Raises {!Soil.exception-Error} as that. *)

val left : [> `Connection ] File_descriptor.t -> int
(** [left c] is the number of bytes from the next one to be read up to the end of what the peer
    calls urgent, whether they are there or still to come; 0 if nothing is. Doesn't wait. *)

val wait : ?timeout:float -> [> `Connection ] File_descriptor.t -> int
(** [wait c] waits until there is something urgent, or something to read, or the end of input, for
    at most [timeout] seconds (default: no limit), and is {!left}[ c]: 0 if it wasn't urgency that
    ended it. Other tasks may read meanwhile. Raises {!Soil.exception-Error} with [Timed_out] or
    [Closed]. *)
