(** Statistics of the caches between files and disks.

    Each volume on a disk (FAT, ext4, tar) has its own cache for dirty data. Clean data is in memory
    that all volumes share, an eighth of the machine's. *)

type t = {
  hits : int;  (** Reads served from the cache. *)
  misses : int;  (** Reads that went to the disk. *)
  dirty : int;  (** Bytes written by the program but not yet to the disk. *)
  read_ahead : int;  (** Bytes read ahead of a request for them. *)
}
(** The type for statistics: totals since the program started, except [dirty], the current value. *)

val total : unit -> t
(** [total ()] is the sum over all volumes, including unmounted ones. Doesn't wait. *)

val volume : string -> t
(** [volume path] is the same for the volume that holds [path], since its mount: all 0 for a volume
    that isn't on a disk. Waits and raises like {!Fs.val-volume}. *)

type memory = {
  used : int;  (** Bytes of clean data. *)
  limit : int;  (** The most bytes of clean data. *)
}
(** The type for the memory shared by all caches. *)

val memory : unit -> memory
(** [memory ()] is the current use of that memory. Doesn't wait. *)
