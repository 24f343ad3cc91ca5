(** The interface of the storage benchmarks beyond {!Io}. *)

val connect : unit -> unit
(** [connect ()] makes the store. To be called before {!set}. *)

val set : string -> string -> unit
(** [set key value] binds [key] to [value], durable and whole after a crash at any moment. *)

val embed : string -> string -> unit
(** [embed name contents] makes a file of the program itself, or as near to it as the machine comes:
    in its first file system, which is memory. *)

val contents : string -> Io.buffer
(** [contents name] is such a file, without a copy. *)

val read : string -> (Io.buffer -> unit) -> unit
(** [read name f] is [f piece] for each piece of a file on the disk, opened for that and then
    closed, without a copy where the machine has a way to do that. *)

val mount : unit -> unit
(** [mount ()] mounts the disk's ext4 volume, which nothing has mounted, and reads its root. *)

val rename : string -> string -> unit
(** [rename name other] gives a file on the disk another name, durable after {!Io.flush_all}. *)

val unlink : string -> unit
(** [unlink name] removes a file from the disk, likewise. *)

val make_directory : string -> unit
(** [make_directory name] makes a directory on the disk. *)

val entries : string -> int
(** [entries directory] reads the names in a directory of the disk and says how many there are. *)

val append_together : Io.file list -> int -> Io.buffer -> unit
(** [append_together files count data] appends [data] to each file and syncs that, [count] times, to
    all files at the same time, each by a task or thread of its own. *)
