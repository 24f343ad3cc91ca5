(** Statistics of the caches between files and disks.

    Each volume on a disk (FAT, ext4, tar) has a cache of its own for dirty data. Clean data is kept
    in memory that all volumes share, an eighth of the machine's. *)

type t = {
  hits : int;  (** Reads by file systems that the cache answered. *)
  misses : int;  (** Reads that went to the disk. *)
  dirty : int;  (** Bytes that the program has written and the disk hasn't been given yet. *)
  read_ahead : int;  (** Bytes read ahead of a request for them. *)
}
(** The type for statistics: totals since the program started, except [dirty], the present value. *)

val total : unit -> t
(** [total ()] is the sum over all volumes, unmounted ones included. Doesn't wait. *)

val volume : string -> t
(** [volume path] is the same for the volume that holds [path], since it was mounted: all 0 for a
    volume that is on no disk. Waits and raises like {!Fs.val-volume}. *)

type memory = {
  used : int;  (** Bytes of clean data. *)
  limit : int;  (** The most bytes of clean data. *)
}
(** The type for the memory that all caches share. *)

val memory : unit -> memory
(** [memory ()] is the present use of that memory. Doesn't wait. *)
