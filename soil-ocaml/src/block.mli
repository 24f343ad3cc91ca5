(** Disks as sectors.

    A disk is used either as sectors or through a file system ({!Fs}), not both at once. Positions
    and lengths are in sectors of {!sector_size} bytes. *)

type t
(** The type for open disks. *)

val names : unit -> string list
(** [names ()] is the disks of the machine by name: the serial that the launcher gave
    ([--disk NAME=FILE]), else [disk0], [disk1]…. Doesn't wait. *)

val open_ : string -> t
(** [open_ name] is the disk. Waits. Raises {!Soil.exception-Error} with [No_device], or with [Busy]
    if it is open or mounted. *)

val close : t -> unit
(** [close d] gives the disk back. Closing again does nothing. It doesn't {!flush}. *)

val with_disk : string -> (t -> 'a) -> 'a
(** [with_disk name f] is [f d] for the opened disk, closed when that returns or raises. *)

val name : t -> string
(** [name d] is the disk's name. *)

val sector_size : t -> int
(** [sector_size d] is the number of bytes in a sector, a power of two and at least 512. *)

val sectors : t -> int
(** [sectors d] is the size of the disk in sectors. *)

val read_only : t -> bool
(** [read_only d] is [true] iff the disk can't be written. *)

val buffer : int -> File_descriptor.buffer
(** [buffer n] is a new buffer of [n] bytes at an address that is a multiple of 4096, which devices
    read and write with no copy in between. Buffers from elsewhere do as well, but at the odd
    addresses that [malloc] gives them their data is copied once. Raises [Invalid_argument] if [n]
    is negative. *)

val read : t -> first_sector:int -> File_descriptor.buffer -> int -> int -> unit
(** [read d ~first_sector b off len] reads [len] bytes, a multiple of the sector size, from
    [first_sector] on into [b] from offset [off]; the device writes them there itself if they begin
    at an address that is a multiple of the sector size, see {!buffer}. Long reads are several
    requests at once. Waits; the buffer must be left alone until then. A cancelled read waits until
    the device is done with the buffer. Raises {!Soil.exception-Error} with [Io], or [Closed].
    Raises [Invalid_argument] if the sectors aren't on the disk, [len] isn't a multiple, or the
    range isn't in the buffer. *)

val write : t -> first_sector:int -> File_descriptor.buffer -> int -> int -> unit
(** [write d ~first_sector b off len] is like {!read} in the other direction. It is on the disk for
    good after {!flush}. Raises {!Soil.exception-Error} with [Read_only] too. *)

val flush : t -> unit
(** [flush d] returns when all writes that had returned before are on the disk for good. *)
