(** Syslog servers.

    The message format is {{:https://www.rfc-editor.org/rfc/rfc5424}RFC 5424}: the time in UTC to
    the microsecond, the source's name as MSGID, no structured data; tags stand before the text, as
    on the console. Levels are the severities error (3), warning (4), notice (5, for [App]),
    informational (6) and debug (7). *)

val sink :
  ?facility:int ->
  ?hostname:string ->
  ?app_name:string ->
  ?max_length:int ->
  [ `Udp of Soil.Net.endpoint | `Tcp of Soil.Net.endpoint ] ->
  Sink.t
(** [sink server] sends messages to [server], by UDP
    ({{:https://www.rfc-editor.org/rfc/rfc5426}RFC 5426}), or by TCP with octet counting
    ({{:https://www.rfc-editor.org/rfc/rfc6587#section-3.4.1}RFC 6587, 3.4.1}). The usual port of
    both is 514.

    [facility] (default: 16, local0) is 0 to 23. [hostname] and [app_name] (default: none, and the
    program's name) identify the sender. Messages longer than [max_length] bytes (default: 2048 for
    UDP, 8192 for TCP; at least 480) are truncated after a complete character.

    After a TCP failure the sink reconnects, as described for {!Sink.make}, and resends the failed
    message; messages that the server hadn't read may be lost. UDP losses aren't detected. Raises
    [Invalid_argument] for a number out of range. *)

val message :
  facility:int -> hostname:string -> app_name:string -> max_length:int -> Sink.message -> string
(** [message ~facility ~hostname ~app_name ~max_length m] is the text of [m], without a frame. *)
