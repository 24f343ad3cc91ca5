(** Statistics of the caches between files and disks.

    Each volume on a disk (FAT, ext4, tar) has a cache of its own for what is to be written; what
    was read is kept in memory that all of them share, an eighth of the machine. A program that
    doesn't look carries none of this. *)

type t = {
  hits : int;  (** Reads by file systems that were answered from memory. *)
  misses : int;  (** Reads that the disk was needed for. *)
  dirty : int;  (** Bytes that were written by the program and not yet given to the disk. *)
  read_ahead : int;  (** Bytes that were read before they were asked for. *)
}
(** The type for what caches have done since the program started; [dirty] is what waits now. *)

val total : unit -> t
(** [total ()] is what the caches of all volumes have done, also of volumes that were unmounted. It
    doesn't wait. *)

val volume : string -> t
(** [volume path] is the same for the volume that holds [path], since it was mounted: all 0 for one
    that is on no disk. It waits as {!Fs.val-volume} does, and raises what that raises. *)

type memory = {
  used : int;  (** Bytes that what was read takes. *)
  limit : int;  (** Bytes that it may take. *)
}
(** The type for the memory that all caches share. *)

val memory : unit -> memory
(** [memory ()] is how much of it is used. It doesn't wait. *)
