(** TCP without copies between the program and the machine.

    {!File_descriptor.read} and {!File_descriptor.write} copy every byte once, from and to the
    memory of the machine's TCP. Here the program looks at received bytes where they lie, and lends
    its own memory until the peer has acknowledged what is in it. That is worth it for bulk data;
    small pieces are cheaper to copy. All of it is for connections (kind [Tcp]), and works together
    with the functions of {!File_descriptor} and {!Tcp}. *)

(** {1:receiving Receiving} *)

type lease
(** The type for leases of received bytes. Their memory counts against the connection's receive
    buffer: leases that are kept make the peer wait. At most 256 leases exist at a time. *)

val receive : ?timeout:float -> [> `Connection ] File_descriptor.t -> lease option
(** [receive c] waits until [c] has bytes, for at most [timeout] seconds (default: no limit), and is
    the first of them, up to 16 KiB, which are read by that; [None] at the end of input. {!release}
    it soon. Raises {!Soil.exception-Error} as {!File_descriptor.read}, and with [Timed_out] or
    [Out_of_memory] (too many leases are out). *)

val buffer : lease -> File_descriptor.buffer
(** [buffer l] is the bytes. The program may change them. After {!release} it has length 0. *)

val release : lease -> unit
(** [release l] gives the bytes back; [buffer l] is empty from now on. Releasing again does nothing.

    The memory is reused only when it is unreachable: parts of it ([Bigarray.Array1.sub]) that the
    program has kept stay unchanged until the garbage collector frees them. The same holds for a
    lease that is never released, which counts against the limit until then. *)

val with_received :
  ?timeout:float ->
  [> `Connection ] File_descriptor.t ->
  (File_descriptor.buffer -> 'a) ->
  'a option
(** [with_received c f] is [Some (f (buffer l))] for [l = ]{!receive}[ c], which is released when
    [f] returns or raises, and read in either case; [None] at the end of input. *)

(** {1:sending Sending} *)

val send :
  ?timeout:float ->
  [> `Connection ] File_descriptor.t ->
  File_descriptor.buffer ->
  int ->
  int ->
  unit
(** [send c b off len] sends the [len] bytes of [b] from [off] without copying them, and waits until
    the peer has acknowledged all of them, for at most [timeout] seconds (default: no limit). They
    must not be changed until then. Several tasks may send on one connection; pieces longer than 64
    KiB are then mixed.

    The program owns [b] again as soon as [send] returns or raises. If the connection ends, no more
    of it is sent. If the task is cancelled, the time is over, or [c] is closed (which raises
    [Closed]), the stack copies the bytes that it has taken and not delivered, and delivers them
    later. Raises {!Soil.exception-Error} as {!File_descriptor.write}, and with [Connection_reset],
    [Timed_out] or [Too_many_open] (1024 are in progress). *)
