(** Zero-copy TCP.

    {!File_descriptor.read} and {!File_descriptor.write} copy every byte once, from and to the TCP
    buffers. Here the program accesses received bytes in place, and lends its own memory until the
    peer has acknowledged the contents. This pays off for bulk data; small pieces are cheaper to
    copy. The functions are for connections (kind [Tcp]), and can be combined with those of
    {!File_descriptor} and {!Tcp}. *)

(** {1:receiving Receiving} *)

type lease
(** The type for leases of received bytes. Their memory counts against the connection's receive
    buffer: unreleased leases make the peer wait. At most 256 leases exist at a time. *)

val receive : ?timeout:float -> [> `Connection ] File_descriptor.t -> lease option
(** [receive c] waits until [c] has bytes, for at most [timeout] seconds (default: no limit), and
    consumes the first of them, up to 16 KiB; [None] at the end of input. {!release} it soon. Raises
    {!Soil.exception-Error} as {!File_descriptor.read}, and with [Timed_out] or [Out_of_memory] (too
    many leases). *)

val buffer : lease -> File_descriptor.buffer
(** [buffer l] is the bytes. The program may change them. After {!release} it has length 0. *)

val release : lease -> unit
(** [release l] ends the lease; [buffer l] is empty from now on. Releasing again does nothing.

    The memory is reused only when it is unreachable: sub-arrays ([Bigarray.Array1.sub]) that the
    program has kept stay unchanged until the garbage collector frees them. The same holds for a
    lease that is never released, which counts against the limit until then. *)

val with_received :
  ?timeout:float ->
  [> `Connection ] File_descriptor.t ->
  (File_descriptor.buffer -> 'a) ->
  'a option
(** [with_received c f] is [Some (f (buffer l))] for [l = ]{!receive}[ c], which is released when
    [f] returns or raises; its bytes are consumed in either case. [None] at the end of input. *)

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
    must not be changed until then. Several tasks may send on one connection; data longer than 64
    KiB is then interleaved.

    The program owns [b] again as soon as [send] returns or raises. If the connection ends, the rest
    isn't sent. If the task is cancelled, the timeout expires, or [c] is closed (which raises
    [Closed]), the stack copies the accepted and undelivered bytes, and delivers them later. Raises
    {!Soil.exception-Error} as {!File_descriptor.write}, and with [Connection_reset], [Timed_out] or
    [Too_many_open] (1024 sends in progress). *)
