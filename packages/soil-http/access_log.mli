(** Access logs in standard formats: a line, without a newline, for each response.

    {[
      Soil_http.Server.serve listener handler ~log:(fun entry ->
          print_endline (Soil_http.Access_log.combined entry))
    ]}

    A client's bytes can't end a field or a line. *)

val common : Server.entry -> string
(** [common e] is the Common Log Format:
    [192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1" 200 5], where the last number is
    {!Server.entry.body_bytes}. Times are UTC. *)

val combined : Server.entry -> string
(** [combined e] is the Combined Log Format: {!common}, and the fields [Referer] and [User-Agent].
*)

val json : Server.entry -> string
(** [json e] is an object on one line. Its members, each a field of {!Server.entry}:

    - [time], when the head was received (RFC 3339, UTC), and [peer];
    - for a parsed request [method], [target] and [protocol]; its fields [host], [referer] and
      [user_agent], if any; [route], if one matched; and [id];
    - [status], [bytes], [body_bytes] and [seconds], as numbers. *)

val json_members : Server.entry -> string
(** [json_members e] is {!json} without [time] and [id]: for a log line that has both. *)
