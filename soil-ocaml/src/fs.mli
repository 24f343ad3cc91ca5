(** Files and directories.

    All volumes form one tree. [SOIL_MOUNT], such as [/data=fat:data], and {!mount} mount them; a
    disk [NAME] that isn't mounted elsewhere is mounted at [/NAME] at the first use of a path below
    it. Paths don't depend on the file system.

    Paths are absolute, with [/], and are resolved as in POSIX: through at most 40 symbolic links
    ([Too_many_links]), with [..] as the parent of the directory that a link leads to. A link that
    begins with [/] starts at the root of the tree. No link leads out of the tree.

    Every function waits for the disk unless stated otherwise, and other tasks run meanwhile. Errors
    raise {!Soil.exception-Error} with the operation and the path. A change is durable after
    {!sync}, {!sync_all}, or the program's end.

    {b A disk that doesn't answer.} If a disk doesn't complete a volume's request within
    [SOIL_DISK_TIMEOUT] (seconds; 30 unless set; read at the first use of files), all operations
    that wait for the volume fail with [Io] and a line that names the disk, and later ones fail at
    once. A change that failed this way may still have been made. When the disk answers, the volume
    continues where it was: no synced data is lost, a failed mount is undone, a file that was being
    opened is closed. Until then the disk owns a bigarray that was lent to the operation
    ({!pread_into}, {!pwrite_from}): Soil keeps it alive, and the program must not use its contents.
    Other volumes, other tasks and the program's end don't wait for such a disk. *)

(** {1:files Files} *)

type file = [ `Read | `Write | `File ] File_descriptor.t
(** The type for open files. *)

(** The type for modes of {!open_}. *)
type mode =
  | Read  (** Read an existing file. *)
  | Write  (** Read and write, creating the file if it is missing. *)
  | Truncate  (** Like [Write], and an existing file is emptied. *)
  | Create  (** Like [Write], but fails with [Exists] if the file exists. *)
  | Append
      (** Like [Write], but every write appends to the file. With one descriptor each write is
          contiguous, with several each 64 KiB of a write. *)

type flag = [ `Read | `Write | `Create | `Exclusive | `Truncate | `Append ]
(** The type for single flags, with the meanings of POSIX: [`Create] creates a missing file,
    [`Exclusive] with [`Create] fails with [Exists] if the file or a symbolic link exists,
    [`Truncate] empties it, [`Append] makes every write append. All four need [`Write]. *)

val open_ : ?mode:mode -> ?flags:flag list -> string -> file
(** [open_ path] is a descriptor for the file, at position 0, with [mode] (default: [Read]), or with
    [flags] instead. Close it with {!File_descriptor.close}. Raises {!Soil.exception-Error} with
    [Not_found], [Is_directory], [Exists], [Read_only], [No_space], [Invalid_name]… *)

val with_file : ?mode:mode -> ?flags:flag list -> string -> (file -> 'a) -> 'a
(** [with_file path f] is [f d] for the opened file, closed when that returns or raises. *)

val read_file : ?max:int -> string -> string
(** [read_file path] is the contents. Raises {!Soil.exception-Error} with [Too_large] if there are
    more than [max] bytes (default: 16 MiB), and with [Out_of_memory] if they don't fit into memory.
*)

val write_file : string -> string -> unit
(** [write_file path s] creates or truncates [path] and writes [s]. *)

val append_file : string -> string -> unit
(** [append_file path s] appends [s] to [path], creating it if missing. *)

val pread : [> `File ] File_descriptor.t -> position:int -> bytes -> int -> int -> int
(** [pread d ~position b off len] is {!File_descriptor.read} from byte [position] of the file; the
    descriptor's own position doesn't change. It reads less than [len] bytes only at the end of the
    file. *)

val pwrite : [> `File ] File_descriptor.t -> position:int -> bytes -> int -> int -> unit
(** [pwrite d ~position b off len] is {!File_descriptor.write} at byte [position]; the descriptor's
    own position doesn't change. A gap behind the old end of the file reads as zeros. Raises
    {!Soil.exception-Error} with [Read_only] if [d] was opened with [Read]. *)

val pread_into :
  [> `File ] File_descriptor.t -> position:int -> File_descriptor.buffer -> int -> int -> int
(** [pread_into] is {!pread} into a bigarray, without a copy. *)

val pwrite_from :
  [> `File ] File_descriptor.t -> position:int -> File_descriptor.buffer -> int -> int -> unit
(** [pwrite_from] is {!pwrite} from a bigarray, without a copy. *)

val seek : [> `File ] File_descriptor.t -> int -> unit
(** [seek d position] sets the descriptor's position, in bytes from the start of the file; it may be
    past the end. Doesn't wait. Raises [Invalid_argument] if [position < 0]. *)

val seek_end : [> `File ] File_descriptor.t -> int -> int
(** [seek_end d offset] sets the descriptor's position to [offset] bytes from the end of the file,
    and is the new position. *)

val position : [> `File ] File_descriptor.t -> int
(** [position d] is the descriptor's position in bytes. Doesn't wait. *)

val size : [> `File ] File_descriptor.t -> int
(** [size d] is the file's size in bytes. *)

val truncate : [> `File ] File_descriptor.t -> int -> unit
(** [truncate d size] sets the file's size to [size] bytes, by truncation or with zeros. Raises
    [Invalid_argument] if [size < 0]. *)

val sync : [> `File ] File_descriptor.t -> unit
(** [sync d] returns when the file's contents and directory entry are durable: on the disk, past its
    write cache. Raises {!Soil.exception-Error} with [Io] if a write failed, also an earlier one. *)

(** {1:directories Directories} *)

(** The type for kinds of directory entries. *)
type kind = File | Directory | Symlink

val list : string -> (string * kind) list
(** [list path] is the directory's entries with their kinds, sorted by name, without [.] and [..].
*)

val iter : string -> (string -> kind -> unit) -> unit
(** [iter path f] calls [f name kind] for each entry in disk order, in constant memory. *)

val with_entries : string -> ((string * kind) Seq.t -> 'a) -> 'a
(** [with_entries path f] is [f entries]. The sequence reads some entries at a time as it is
    consumed; it can be consumed once, and only inside [f]. *)

type stat = {
  kind : kind;
  size : int;  (** Bytes; 0 for directories. *)
  modified : float;
      (** Seconds since 1970-01-01 UTC, in the file system's resolution (2 s for FAT, nanoseconds
          for ext4, of which a [float] keeps a quarter of a microsecond; {!File.type-times} is
          exact). *)
  accessed : float;  (** The last access, where the file system records it; else as [modified]. *)
  changed : float;  (** The last change of the contents or of the metadata; else as [modified]. *)
  links : int;  (** Number of hard links. *)
  inode : int;  (** A number unique among the volume's current files; 0 if unsupported. *)
  read_only : bool;
}
(** The type for the metadata of a file or directory. *)

val stat : string -> stat
(** [stat path] is the metadata of [path]; symbolic links are followed. *)

val lstat : string -> stat
(** [lstat path] is like {!val-stat}, but doesn't follow [path] if it is a symbolic link. *)

val stat_file : [> `File ] File_descriptor.t -> stat
(** [stat_file d] is the metadata of an open file. *)

val exists : string -> bool
(** [exists path] is [true] iff there is a file or directory at [path]. Raises
    {!Soil.exception-Error} with any code but [Not_found] and [Not_directory]. *)

val mkdir : string -> unit
(** [mkdir path] creates an empty directory. *)

val mkdir_p : string -> unit
(** [mkdir_p path] creates the directory and its missing parents. *)

val rmdir : string -> unit
(** [rmdir path] removes an empty directory. An open one stays empty until it is closed; on FAT the
    error is [Busy]. Raises {!Soil.exception-Error} with [Not_empty]. *)

val rename : ?how:[ `Replace | `No_replace | `Exchange ] -> string -> string -> unit
(** [rename a b] renames the file or directory [a] to [b]. An existing file [b] is replaced,
    atomically where the file system supports it (ext4, memory, host directories; for FAT see its
    README), and so is an empty directory [b] by a directory. With [~how:`No_replace] an existing
    [b] is the error [Exists]. With [~how:`Exchange] the two names are exchanged atomically; [b]
    must exist, and may be of another kind (on FAT: [Unsupported]). Raises {!Soil.exception-Error}
    with [Cross_volume] if they are on different volumes, [Invalid] if one is in the other. *)

val unlink : string -> unit
(** [unlink path] removes a file or a symbolic link. An open file continues to exist without a name
    where the file system supports that; on FAT the error is [Busy]. *)

(** {1:links Links}

    For file systems that have them; [Unsupported] on FAT. *)

val link : string -> string -> unit
(** [link a b] gives the file [a] a second name [b], on the same volume. *)

val symlink : target:string -> string -> unit
(** [symlink ~target path] creates a symbolic link from [path] to [target], which need not exist. *)

val readlink : string -> string
(** [readlink path] is the target of the symbolic link. Raises {!Soil.exception-Error} with
    [Invalid] if [path] isn't one. *)

val realpath : string -> string
(** [realpath path] is the path of the same file or directory without links, [.] and [..]. *)

(** {1:nocopy Zero-copy access} *)

val contents : string -> File_descriptor.buffer option
(** [contents path] is the contents of an embedded file, without a copy; [None] for other files. The
    memory is valid as long as the program runs. Don't write to the buffer: that would modify the
    program itself. {!In_place} lends the contents of all kinds of files. *)

(** {1:locks Locks} *)

val with_lock : string -> (unit -> 'a) -> 'a
(** [with_lock path f] is [f ()] while no other task of the program is in [with_lock] for the same
    file or directory, under any of its names; it must exist. Waiting tasks get the lock in FIFO
    order. The lock is advisory and not reentrant: a nested call for the same file raises
    [Invalid_argument]. *)

(** {1:volumes Volumes} *)

type space = {
  total : int;
  free : int;  (** Not in use. *)
  available : int;
      (** The part of [free] that isn't reserved for root, as in [df]. On Soil's own volumes the
          program may use all of [free], including ext4's reserve (by default 5%); in a host folder
          it may not. *)
}
(** The type for the space on a volume, in bytes. *)

val space : string -> space
(** [space path] is the space on the volume that holds [path], which need not exist. *)

(** The type for the health of a volume: whether it accepts writes, and makes them durable. *)
type health =
  | Writable
  | Unflushed
      (** It accepts writes, but its disk doesn't support flushes ([VIRTIO_BLK_F_FLUSH]); the mount
          logs a warning. {!sync} waits until the disk has accepted the writes, which a disk with a
          write cache may lose in a power failure. Disks of [soil run], and all disks of the process
          form, support flushes. *)
  | Read_only
      (** It was mounted read-only, its device is read-only, or its disk refuses a commit, which
          each change and each sync repeats. *)
  | Corrupt of string
      (** Its metadata is inconsistent, and it accepts no more writes; a description of the damage.
          An ext4 volume whose superblock says "continue", the default of [mkfs.ext4], stays
          [Writable]: the call that detects damage fails with [Corrupt], and [e2fsck] repairs it
          later. *)

type volume = {
  point : string;  (** Where it is mounted. *)
  source : string;  (** Its disk, partition or folder, such as ["disk data/2"]. *)
  health : health;
  total : int;  (** Bytes. *)
  free : int;  (** Bytes. *)
  available : int;  (** Bytes, as in {!type-space}. *)
  unit_size : int;  (** Allocation unit (block or cluster) in bytes. *)
}
(** The type for the description of a volume. *)

val volume : string -> volume
(** [volume path] is the description of the volume that holds [path]. *)

val mount : ?read_only:bool -> string -> string -> unit
(** [mount source path] mounts [source] at [path], as [SOIL_MOUNT] does: [TYPE:SOURCE], or [SOURCE]
    alone to detect the file system. [TYPE] is [fat], [ext4], [tar], [memory] or [host]; [SOURCE] is
    a disk's name, [NAME/2] or [NAME/label] for a partition, the size limit of a volume in memory
    such as [16M], or a directory of the host (in the process form). Raises {!Soil.exception-Error}
    with [No_device], [Exists], [Corrupt], [Busy], or [Unsupported], which names the library missing
    in the program's [libraries]. In the process form only this module sees the volume: [Unix], the
    standard library and C libraries such as SQLite use the host's files there. *)

val unmount : string -> unit
(** [unmount path] syncs the volume mounted at [path] and unmounts it. Raises
    {!Soil.exception-Error} with [Not_found], or [Busy] while a file on it is open or a volume is
    mounted below it. *)

val with_mount : ?read_only:bool -> string -> string -> (unit -> 'a) -> 'a
(** [with_mount source path f] is [f ()] with [source] mounted at [path], which is unmounted when
    that returns or raises; a cancellation has no effect on this. For tasks. Raises as {!mount}, and
    as {!unmount} if [f] has returned. *)

val sync_volume : string -> unit
(** [sync_volume path] is {!sync} for everything on the volume that holds [path]. The last name of
    [path] need not exist, so that the removal of [path] can be made durable. Raises
    {!Soil.exception-Error} with [Not_found] if its directory doesn't exist. *)

val sync_all : unit -> unit
(** [sync_all ()] is {!sync} for everything on all volumes. The program's end does the same. *)
