(** What the benchmarks of a machine's host need beyond {!Io}. Implemented once on [Soil] and once
    on [Unix]. *)

type connection
(** A vsock connection. *)

type listener
(** A vsock port. *)

val listen : int -> listener
(** [listen port] starts listening on the vsock port [port]. *)

val serve : listener -> (connection -> unit) -> unit
(** [serve listener f] accepts connections of the host, indefinitely, and runs [f] on one at a time.
*)

val read : connection -> Io.buffer -> int
(** [read c b] is the number of bytes read into [b]; [0] at the end. *)

val write : connection -> Io.buffer -> unit
(** [write c b] sends all of [b]. *)

val with_agent : (unit -> unit) -> unit
(** [with_agent f] is [f ()], while a guest agent freezes and thaws the disk at the host's request.
*)
