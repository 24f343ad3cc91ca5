(** Waiting for file descriptors of other libraries.

    These are numbers as Linux has them: of Linux itself in a process, and of the system calls in an
    image. Soil waits for them together with everything else, so that other tasks run meanwhile.
    {!File_descriptor} has Soil's own. The library [soil.unix] has these functions for
    [Unix.file_descr], [soil.lwt.unix] for programs of [Lwt_unix].

    Make the descriptor non-blocking, and wait when a call answered [EAGAIN]. A wait for a
    descriptor that is closed meanwhile ends with the error [Closed], at the latest when it is
    ready. *)

val await_readable : int -> unit
(** [await_readable fd] waits until reading [fd] (or accepting on it) doesn't block; also because it
    would fail, or the peer has gone. Raises {!Soil.exception-Error} with [Closed] if there is no
    such descriptor. *)

val await_writable : int -> unit
(** [await_writable fd] is {!await_readable} for writing, or for the end of connecting. *)
