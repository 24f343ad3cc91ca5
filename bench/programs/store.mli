(** The interface of the storage benchmarks beyond {!Io}. *)

val connect : unit -> unit
(** [connect ()] creates the store. Call it before {!set}. *)

val set : string -> string -> unit
(** [set key value] binds [key] to [value], durably and atomically. *)

val set_together : int -> int -> string -> unit
(** [set_together tasks count value] is [count] calls of {!set} in each of [tasks] concurrent tasks
    or threads, which have a key each. *)

val embed : string -> string -> unit
(** [embed name contents] creates a file within the program, or the nearest equivalent: in the
    initial RAM file system. *)

val contents : string -> Io.buffer
(** [contents name] is such a file, without a copy. *)

val read : string -> (Io.buffer -> unit) -> unit
(** [read name f] opens a file on the disk, runs [f piece] for each piece, and closes it, without a
    copy where the machine supports that. *)

val mount : unit -> unit
(** [mount ()] mounts the disk's unmounted ext4 volume and reads its root. *)

val rename : string -> string -> unit
(** [rename name other] renames a file on the disk, durably after {!Io.flush_all}. *)

val unlink : string -> unit
(** [unlink name] removes a file from the disk, likewise. *)

val make_directory : string -> unit
(** [make_directory name] creates a directory on the disk. *)

val entries : string -> int
(** [entries directory] reads the names in a directory of the disk and returns their number. *)

val append_together : Io.file list -> int -> Io.buffer -> unit
(** [append_together files count data] appends [data] to each file and syncs it, [count] times,
    concurrently for all files, with a task or thread each. *)
