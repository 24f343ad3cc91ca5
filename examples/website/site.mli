(** The files below [/www] as a website. *)

val port : string -> int
(** [port text] is the TCP port [text]. Ends the program with status 2 if it is invalid. *)

val run :
  ?secure:(Soil.Tcp.connection -> Soil.Flow.t) -> scheme:string -> default:int -> int -> unit
(** [run ~scheme ~default port] serves the site on [port] until the program is asked to stop, over
    TLS with [secure], and prints its URL, without [port] if it is [default], the port of [scheme].
    Ends the program with status 1 if the files or the network are missing. *)
