(** Files and directories.

    Disks are mounted by [SOIL_MOUNT], such as [/data=fat:data]; a disk [NAME] that isn't mentioned
    there is mounted at [/NAME] when a path below that is first used. Paths are absolute, with [/];
    [.] and [..] are resolved before the file system sees them.

    Every function waits for the disk unless it says otherwise, and other tasks run meanwhile.
    {!Soil.exception-Error} is raised with the operation and the path. A change is on the disk for
    good after {!sync}, {!sync_all}, or the program's end. *)

(** {1:files Files} *)

(** The type for what {!open_} does with a file. *)
type mode =
  | Read  (** Read an existing file. *)
  | Write  (** Read and write, creating the file if it isn't there. *)
  | Truncate  (** Like [Write], and an existing file is emptied. *)
  | Create  (** Like [Write], but fails with [Exists] if the file is there. *)
  | Append  (** Like [Write], and every write goes to the end of the file. *)

val open_ : ?mode:mode -> string -> File_descriptor.t
(** [open_ path] is a descriptor for the file, at position 0; [mode] is [Read] unless given. Close
    it with {!File_descriptor.close}. Raises {!Soil.exception-Error} with [Not_found],
    [Is_directory], [Exists], [Read_only], [No_space], [Invalid_name]… *)

val with_file : ?mode:mode -> string -> (File_descriptor.t -> 'a) -> 'a
(** [with_file path f] is [f d] for the opened file, closed when that returns or raises. *)

val read_file : ?max:int -> string -> string
(** [read_file path] is the contents. Raises {!Soil.exception-Error} with [Too_large] if there are
    more than [max] bytes (default: 16 MiB). *)

val write_file : string -> string -> unit
(** [write_file path s] makes [s] the contents of [path], which is created or replaced. *)

val append_file : string -> string -> unit
(** [append_file path s] adds [s] at the end of [path], which is created if it isn't there. *)

val pread : File_descriptor.t -> position:int -> bytes -> int -> int -> int
(** [pread d ~position b off len] is {!File_descriptor.read} from byte [position] of the file; the
    descriptor's own position stays. Less than [len] bytes are read only at the end of the file. *)

val pwrite : File_descriptor.t -> position:int -> bytes -> int -> int -> unit
(** [pwrite d ~position b off len] is {!File_descriptor.write} at byte [position]; the descriptor's
    own position stays. Past the end of the file, what lies between reads as zeros. Raises
    {!Soil.exception-Error} with [Read_only] if [d] was opened with [Read]. *)

val pread_into : File_descriptor.t -> position:int -> File_descriptor.buffer -> int -> int -> int
(** [pread_into] is {!pread} into a bigarray, with no copy. *)

val pwrite_from : File_descriptor.t -> position:int -> File_descriptor.buffer -> int -> int -> unit
(** [pwrite_from] is {!pwrite} from a bigarray, with no copy. *)

val seek : File_descriptor.t -> int -> unit
(** [seek d position] makes [position] the descriptor's position, in bytes from the start of the
    file; it may be past the end. Doesn't wait. Raises {!Soil.exception-Error} with [Wrong_kind] if
    [d] isn't a file. Raises [Invalid_argument] if [position < 0]. *)

val position : File_descriptor.t -> int
(** [position d] is the descriptor's position in bytes. Doesn't wait. *)

val size : File_descriptor.t -> int
(** [size d] is the file's size in bytes. *)

val truncate : File_descriptor.t -> int -> unit
(** [truncate d size] makes the file [size] bytes long, cutting it off or adding zeros. Raises
    [Invalid_argument] if [size < 0]. *)

val sync : File_descriptor.t -> unit
(** [sync d] returns when the file's contents and directory entry are on the disk, past the disk's
    own cache. Raises {!Soil.exception-Error} with [Io] if a write, also an earlier one, failed. *)

(** {1:directories Directories} *)

(** The type for kinds of directory entries. *)
type kind = File | Directory

val list : string -> (string * kind) list
(** [list path] is the directory's entries with their kinds, sorted by name, without [.] and [..].
*)

val iter : string -> (string -> kind -> unit) -> unit
(** [iter path f] is [f name kind] for each entry in the order of the disk, with memory that doesn't
    grow with the directory. *)

type stat = {
  kind : kind;
  size : int;  (** Bytes; 0 for directories. *)
  modified : float;
      (** Seconds since 1970-01-01 UTC, in the file system's resolution (2 s for FAT). *)
  read_only : bool;
}
(** The type for what is known about a file or directory. *)

val stat : string -> stat
(** [stat path] is what is known about [path]. *)

val exists : string -> bool
(** [exists path] is [true] iff there is a file or directory at [path]; other errors than
    [Not_found] and [Not_directory] are raised. *)

val mkdir : string -> unit
(** [mkdir path] makes an empty directory. *)

val mkdir_p : string -> unit
(** [mkdir_p path] makes the directory and those above it where they are missing. *)

val rmdir : string -> unit
(** [rmdir path] removes an empty directory. Raises {!Soil.exception-Error} with [Not_empty]. *)

val rename : string -> string -> unit
(** [rename a b] makes the file or directory [a] be called [b], on the same disk. A file [b] is
    replaced. *)

val unlink : string -> unit
(** [unlink path] removes a file. *)

(** {1:volumes Volumes} *)

type space = { total : int; free : int }
(** The type for the room on a volume, in bytes. *)

val space : string -> space
(** [space path] is the room on the volume that holds [path]. *)

val mount : string -> string -> unit
(** [mount disk path] mounts the file system of [disk] (a disk's name, or ["fat:"] and the name) at
    [path], like [SOIL_MOUNT]. Raises {!Soil.exception-Error} with [No_device], [Corrupt] or [Busy].
*)

val sync_all : unit -> unit
(** [sync_all ()] is {!sync} for everything on all volumes. It is done at the program's end without
    asking. *)
