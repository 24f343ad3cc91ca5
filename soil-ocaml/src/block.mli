(** Disks as sectors.

    A disk is used either as sectors or through a file system ({!Fs}), not both at once. Positions
    are in sectors of {!sector_size} bytes. Any number of tasks may use a disk at once, and requests
    are independent: a device does them in any order, 128 at a time and more in the image, 256 in
    the process.

    {b Waiting.} A device that doesn't answer a request within [SOIL_DISK_TIMEOUT] (seconds; 30
    unless it is set) ends the operation with {!Soil.exception-Error} [Timed_out]. A write may or
    may not have been done then, and the device may still read or write the buffer at any time:
    don't use it. Its memory isn't reused before the device has answered. A cancelled operation
    waits until the device is done with the buffer, for at most the same time. *)

type t
(** The type for open disks. *)

val names : unit -> string list
(** [names ()] is the disks of the machine by name: the serial that the launcher gave
    ([--disk NAME=FILE]), else [disk0], [disk1]…. Doesn't wait. *)

val open_ : string -> t
(** [open_ name] is the disk. [open_ "disk/2"] or [open_ "disk/label"] is that partition of it, by
    the GPT or MBR on the disk, and looks like a disk of its size; other partitions can be open at
    the same time. Waits. Raises {!Soil.exception-Error} with [No_device]; with [Busy] if it is open
    or mounted, here or by another program (one that writes has it alone); with [Not_found],
    [Corrupt] or [Io] for a partition; with [Bad_configuration]. *)

val close : t -> unit
(** [close d] closes the disk, without a {!flush}. Closing again does nothing. *)

val with_disk : string -> (t -> 'a) -> 'a
(** [with_disk name f] is [f d] for the opened disk, closed when that returns or raises. *)

val own : Task.scope -> t -> t
(** [own scope d] is [d], which is closed at the end of [scope], as {!File_descriptor.own} has it.
*)

val name : t -> string
(** [name d] is the disk's name, as it was given to {!open_}. *)

val sector_size : t -> int
(** [sector_size d] is the number of bytes in a sector, a power of two and at least 512. *)

val sectors : t -> int
(** [sectors d] is the present size of the disk in sectors, as the device reports it: disks can grow
    and shrink while they are in use. Doesn't wait. *)

val read_only : t -> bool
(** [read_only d] is [true] iff the disk can't be written. *)

val can_discard : t -> bool
(** [can_discard d] is [true] iff the device offers {!discard}. In the process it may still fail, if
    the file system of the disk's file doesn't support holes. *)

val can_write_zeroes : t -> bool
(** [can_write_zeroes d] is the same for {!write_zeroes}. *)

(** {1 Reading and writing} *)

val buffer : int -> File_descriptor.buffer
(** [buffer n] is a new buffer of [n] bytes at an address that is a multiple of 4096, which devices
    read and write without a copy. Other buffers work as well, but data at the unaligned addresses
    that [malloc] returns is copied once. Raises [Invalid_argument] if [n] is negative. *)

val read : t -> first_sector:int -> File_descriptor.buffer -> int -> int -> unit
(** [read d ~first_sector b off len] reads [len] bytes, a multiple of the sector size, from
    [first_sector] on into [b] from offset [off], without a copy if that address is a multiple of
    the sector size, see {!buffer}. Long reads are several requests at once. Waits; don't use the
    buffer until the read returns. A cancelled read waits until the device is done with the buffer.
    Raises {!Soil.exception-Error} with [Io], also if the disk has become too small, with
    [Timed_out], or [Closed]. Raises [Invalid_argument] if the sectors have never been on the disk,
    [len] isn't a multiple, or the range isn't in the buffer. *)

val write : ?durable:bool -> t -> first_sector:int -> File_descriptor.buffer -> int -> int -> unit
(** [write d ~first_sector b off len] is like {!read} in the other direction. The data is durable
    after {!flush}, or with [~durable:true] (default: [false]) when the write returns: the process
    writes through the caches ([RWF_DSYNC]), the image flushes afterwards, as virtio has no
    write-through requests. Raises {!Soil.exception-Error} with [Read_only] too. *)

type slice = File_descriptor.buffer * int * int
(** The type for slices [(b, off, len)]: the [len] bytes of [b] from [off] on. *)

val readv : t -> first_sector:int -> slice list -> unit
(** [readv d ~first_sector slices] is {!read} into the slices, one after the other, as one request
    of the device, without a copy of slices at addresses that are multiples of the sector size, see
    {!buffer}. Each length is a multiple of the sector size. The read is split into several requests
    if the device takes fewer slices, if there are more than 500, and where {!read} would split it.
    Raises like {!read}. *)

val writev : ?durable:bool -> t -> first_sector:int -> slice list -> unit
(** [writev d ~first_sector slices] is the same for {!write}. *)

val flush : t -> unit
(** [flush d] returns when all writes that had returned before are durable. With an image's disk
    that offers no flush (see {!Fs.type-health}) it returns at once. *)

(** {1 Sectors without data} *)

val discard : t -> first_sector:int -> int -> unit
(** [discard d ~first_sector n] tells the disk that the contents of [n] sectors are no longer
    needed, so that it may free their space. Their contents are undefined until they are written
    again. The request is split at the device's limits. In the process it punches a hole into the
    file. Waits. Raises {!Soil.exception-Error} with [Unsupported] if the device or the host's file
    system doesn't support it, and like {!write}. *)

val write_zeroes : ?unmap:bool -> t -> first_sector:int -> int -> unit
(** [write_zeroes d ~first_sector n] fills [n] sectors with zeros without sending data; they are
    durable after {!flush}. With [~unmap:true] (default: [false]) the disk may free their space.
    Waits. Raises like {!discard}. *)
