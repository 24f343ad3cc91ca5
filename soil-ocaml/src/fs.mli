(** Files and directories.

    All volumes are one tree. They are mounted by [SOIL_MOUNT], such as [/data=fat:data], by
    {!mount}, and a disk [NAME] that is mounted nowhere is mounted at [/NAME] when a path below that
    is first used. Which file system a file is on doesn't show in its path.

    Paths are absolute, with [/], and are walked as in POSIX: over symbolic links, 40 at most
    ([Too_many_links]), [..] being the directory above the one that a link leads to. A link that
    begins with [/] counts from the root of the one tree. Nothing leads out of that.

    Every function waits for the disk unless it says otherwise, and other tasks run meanwhile.
    {!Soil.exception-Error} is raised with the operation and the path. A change is on the disk for
    good after {!sync}, {!sync_all}, or the program's end.

    {b A disk that doesn't answer.} Where a disk doesn't do what a volume asked of it within
    [SOIL_DISK_TIMEOUT] (seconds; 30 unless set; read at the first use of files), everything that
    waits for the volume fails with [Io] and a line that names the disk, and so does at once what is
    asked of it later. A change that failed so may have been made. When the disk answers after all,
    the volume continues from where it was, and works again: nothing that was synced is lost, a
    mount that failed is undone, a file that was opened is closed. Until then a bigarray that was
    lent to the operation ({!pread_into}, {!pwrite_from}) is the disk's: Soil keeps it from the
    garbage collector, and its contents are to be left alone. Other volumes, tasks and the program's
    end don't wait for such a disk. *)

(** {1:files Files} *)

(** The type for what {!open_} does with a file. *)
type mode =
  | Read  (** Read an existing file. *)
  | Write  (** Read and write, creating the file if it isn't there. *)
  | Truncate  (** Like [Write], and an existing file is emptied. *)
  | Create  (** Like [Write], but fails with [Exists] if the file is there. *)
  | Append
      (** Like [Write], and every write goes to the end of the file. Writes of one descriptor are
          each whole; of more than 64 KiB by several descriptors, each 64 KiB are. *)

type flag = [ `Read | `Write | `Create | `Exclusive | `Truncate | `Append ]
(** The type for single flags, with POSIX's meanings: [`Create] makes the file if it isn't there,
    [`Exclusive] with it fails with [Exists] if it is (a symbolic link, too), [`Truncate] empties
    it, [`Append] makes every write go to the end. All four need [`Write]. *)

val open_ : ?mode:mode -> ?flags:flag list -> string -> File_descriptor.t
(** [open_ path] is a descriptor for the file, at position 0; [mode] is [Read] unless given, and
    [flags] are taken in its place if they are. Close it with {!File_descriptor.close}. Raises
    {!Soil.exception-Error} with [Not_found], [Is_directory], [Exists], [Read_only], [No_space],
    [Invalid_name]… *)

val with_file : ?mode:mode -> ?flags:flag list -> string -> (File_descriptor.t -> 'a) -> 'a
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

val seek_end : File_descriptor.t -> int -> int
(** [seek_end d offset] makes the descriptor's position [offset] bytes from the end of the file, and
    is the new position. *)

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
type kind = File | Directory | Symlink

val list : string -> (string * kind) list
(** [list path] is the directory's entries with their kinds, sorted by name, without [.] and [..].
*)

val iter : string -> (string -> kind -> unit) -> unit
(** [iter path f] is [f name kind] for each entry in the order of the disk, with memory that doesn't
    grow with the directory. *)

val with_entries : string -> ((string * kind) Seq.t -> 'a) -> 'a
(** [with_entries path f] is [f entries]; the sequence reads the directory as it is consumed, some
    entries at a time, is to be consumed once, and ends with [f]. *)

type stat = {
  kind : kind;
  size : int;  (** Bytes; 0 for directories. *)
  modified : float;
      (** Seconds since 1970-01-01 UTC, in the file system's resolution (2 s for FAT, nanoseconds
          for ext4, of which a [float] keeps a quarter of a microsecond; {!File.type-times} has
          all). *)
  accessed : float;  (** The last reading, where the file system notes it; else as [modified]. *)
  changed : float;
      (** The last change of the file or of what is known of it; else as [modified]. *)
  links : int;  (** Names that the file has. *)
  inode : int;  (** A number that no other file of the volume has now; 0 where there is none. *)
  read_only : bool;
}
(** The type for what is known about a file or directory. *)

val stat : string -> stat
(** [stat path] is what is known about [path], after symbolic links. *)

val lstat : string -> stat
(** [lstat path] is {!val-stat}, but about the symbolic link itself if [path] is one. *)

val stat_file : File_descriptor.t -> stat
(** [stat_file d] is what is known about an open file. *)

val exists : string -> bool
(** [exists path] is [true] iff there is a file or directory at [path]; other errors than
    [Not_found] and [Not_directory] are raised. *)

val mkdir : string -> unit
(** [mkdir path] makes an empty directory. *)

val mkdir_p : string -> unit
(** [mkdir_p path] makes the directory and those above it where they are missing. *)

val rmdir : string -> unit
(** [rmdir path] removes an empty directory. Raises {!Soil.exception-Error} with [Not_empty]. *)

val rename : ?how:[ `Replace | `No_replace | `Exchange ] -> string -> string -> unit
(** [rename a b] makes the file or directory [a] be called [b]. A file [b] is replaced, atomically
    where the file system can (ext4, memory, host directories; for FAT see its README), an empty
    directory by a directory. With [~how:`No_replace] it is left alone, and the error is [Exists].
    With [~how:`Exchange] it gets the name [a] in the same moment; it has to be there, and may be of
    another kind (not on FAT: [Unsupported]). Raises {!Soil.exception-Error} with [Cross_volume] if
    they are on different volumes, [Invalid] if one is in the other. *)

val unlink : string -> unit
(** [unlink path] removes a file, or a symbolic link. An open file continues to exist without a name
    where the file system can do that; on FAT it is [Busy]. *)

(** {1:links Links}

    For file systems that have them; [Unsupported] on FAT. *)

val link : string -> string -> unit
(** [link a b] gives the file [a] a second name [b], on the same volume. *)

val symlink : target:string -> string -> unit
(** [symlink ~target path] makes a symbolic link at [path] that leads to [target], which need not
    exist. *)

val readlink : string -> string
(** [readlink path] is what the symbolic link says. Raises {!Soil.exception-Error} with [Invalid] if
    [path] isn't one. *)

val realpath : string -> string
(** [realpath path] is the path of the same file or directory without links, [.] and [..]. *)

(** {1:nocopy Contents without a copy} *)

val contents : string -> File_descriptor.buffer option
(** [contents path] is the contents of a file that lies in memory for as long as the program runs,
    as embedded files do, with no copy; [None] for others. The buffer must not be written to: that
    would change the program itself. {!In_place} lends the contents of files of every kind. *)

(** {1:locks Locks} *)

val with_lock : string -> (unit -> 'a) -> 'a
(** [with_lock path f] is [f ()] while no other task of the program is in [with_lock] for the same
    file or directory, by whichever name; it must exist. Tasks get their turn in the order in which
    they came. The lock is advisory. Raises [Invalid_argument] within itself. *)

(** {1:volumes Volumes} *)

type space = {
  total : int;
  free : int;  (** Not in use. *)
  available : int;
      (** The part of [free] that isn't reserved for an administrator, as [df] shows it. On Soil's
          own volumes the program may use all of [free]: ext4's reserve, 5% unless made otherwise,
          keeps a Linux system going, and here there is only the program. In a folder of the host
          Linux decides. *)
}
(** The type for the room on a volume, in bytes. *)

val space : string -> space
(** [space path] is the room on the volume that holds [path]. *)

(** The type for whether a volume takes writes, and keeps them. *)
type health =
  | Writable
  | Unflushed
      (** It takes writes, but its disk offers no flush ([VIRTIO_BLK_F_FLUSH]), which is also said
          in the log when it is mounted: {!sync} waits until the disk has taken what was written,
          and a disk with a cache of its own may lose that when the power fails. Disks made by
          [soil run], and all of the process form, have flushes. *)
  | Read_only  (** It was mounted so, or its device is. *)
  | Corrupt of string
      (** It contradicts itself and is left as it is; what was found. An ext4 volume whose
          superblock says "continue", as [mkfs.ext4] makes them, stays [Writable]: the call that
          meets damage fails with [Corrupt], and [e2fsck] looks at it later. *)

type volume = {
  point : string;  (** Where it is mounted. *)
  source : string;  (** Its disk, partition or folder, such as ["disk data/2"]. *)
  health : health;
  total : int;  (** Bytes. *)
  free : int;  (** Bytes. *)
  available : int;  (** Bytes, as in {!type-space}. *)
  unit_size : int;  (** Bytes that are given to a file at a time. *)
}
(** The type for what is known about a volume. *)

val volume : string -> volume
(** [volume path] is what is known about the volume that holds [path]. *)

val mount : ?read_only:bool -> string -> string -> unit
(** [mount source path] mounts [source] at [path], as [SOIL_MOUNT] does: [TYPE:SOURCE], or [SOURCE]
    alone with the file system that is found there. [TYPE] is [fat], [ext4], [tar], [memory] or
    [host]; [SOURCE] a disk's name, [NAME/2] or [NAME/label] for a partition, the most bytes of a
    volume in memory such as [16M], or a directory of the host (in the process form). Raises
    {!Soil.exception-Error} with [No_device], [Exists], [Corrupt], [Busy], or [Unsupported], which
    says what is missing in the program's [libraries]. *)

val unmount : string -> unit
(** [unmount path] makes everything on the volume mounted at [path] durable and gives it up. Raises
    {!Soil.exception-Error} with [Not_found], or [Busy] while something on it is open or mounted
    below it. *)

val sync_volume : string -> unit
(** [sync_volume path] is {!sync} for everything on the volume that holds [path]. *)

val sync_all : unit -> unit
(** [sync_all ()] is {!sync} for everything on all volumes. It is done at the program's end without
    asking. *)
