(** The files below [/www] as a website. *)

val port : string -> int
(** [port text] is the TCP port that [text] names. Ends the program with status 2 if it isn't one.
*)

val run :
  ?secure:(Soil.Tcp.connection -> Soil.Flow.t) -> scheme:string -> default:int -> int -> unit
(** [run ~scheme ~default port] serves the site on [port] until the program is asked to stop, over
    TLS if [secure] begins that, and says where: with a port unless it is [default], that of
    [scheme]. Ends the program with status 1 if the files or the network are missing. *)
