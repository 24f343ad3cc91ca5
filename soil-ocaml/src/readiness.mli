(** Waiting for file descriptors of other libraries.

    These are Linux file descriptors, in a process of Linux itself, in an image of its system calls.
    Other tasks run during the wait. For Soil's own descriptors see {!File_descriptor}. The library
    [soil.unix] has these functions for [Unix.file_descr], [soil.lwt.unix] for programs with
    [Lwt_unix].

    Make the descriptor non-blocking, and wait when a call returned [EAGAIN]. A wait for a
    descriptor that is closed meanwhile raises [Closed], at the latest when it is ready. *)

val await_readable : int -> unit
(** [await_readable fd] waits until reading [fd] (or accepting on it) doesn't block, also because of
    an error or a disconnected peer. Raises {!Soil.exception-Error} with [Closed] if there is no
    such descriptor. *)

val await_writable : int -> unit
(** [await_writable fd] is {!await_readable} for writing, or for the end of connecting. *)
