(** Waiting for descriptors of OCaml's [Unix] in tasks.

    {[
      (* Unix.read, during which other tasks run; [fd] is non-blocking. *)
      let rec read fd b off len =
        match Unix.read fd b off len with
        | n -> n
        | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) ->
            Soil_unix.await_readable fd;
            read fd b off len
    ]}

    For calls that can't be non-blocking use [Soil_threads.blocking]. *)

val await_readable : Unix.file_descr -> unit
(** [await_readable fd] is {!Soil.Readiness.await_readable} for [fd]. *)

val await_writable : Unix.file_descr -> unit
(** [await_writable fd] is {!Soil.Readiness.await_writable} for [fd]. *)
