(** Requests in bursts, and a report of them in lines that [Simulated_checks] reads. *)

val run :
  ?bursts:int -> ?size:int -> ?pause:float -> (int -> unit Lwt.t) -> (unit -> unit Lwt.t) -> unit
(** [run ~bursts ~size ~pause request finish] is the main function of a client. It makes [bursts]
    (default: 6) times [size] (default: 8) requests at once, each with its number, with [pause]
    (default: 30) seconds between bursts. A request that raises has failed, which is no error. In
    the end it waits for all requests, calls [finish], and reports the lowest free descriptor. Lwt
    starts no threads. *)

val wrong : string -> unit
(** [wrong text] reports a breach of what the library promises. *)

val address : port:int -> Unix.sockaddr
(** [address ~port] is that of the server, whose IP address is the program's first argument. *)

val within : float -> (unit -> 'a Lwt.t) -> 'a Lwt.t
(** [within s f] is [f ()], or raises [Lwt_unix.Timeout] after [s] seconds. *)
