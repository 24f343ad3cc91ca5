(** Raw disks.

    A disk is used either directly or through a file system ({!Fs}), not both at once. Positions are
    in sectors of {!sector_size} bytes. Any number of tasks may use a disk at once, and requests are
    independent: a device completes them in any order, with 128 and more in flight in the image, 256
    in the process.

    {b Waiting.} If a device doesn't answer a request within [SOIL_DISK_TIMEOUT] (seconds; default:
    30), the operation raises {!Soil.exception-Error} [Timed_out]. A write may or may not have been
    done then, and the device may still access the buffer at any time: don't use it. Its memory
    isn't reused before the device has answered. A cancelled operation waits until the device is
    done with the buffer, for at most the same time. *)

type t
(** The type for open disks. *)

val names : unit -> string list
(** [names ()] is the names of the machine's disks: the serial set by the launcher
    ([--disk NAME=FILE]), otherwise [disk0], [disk1]…. Doesn't wait. *)

val open_ : string -> t
(** [open_ name] opens the disk. [open_ "disk/2"] or [open_ "disk/label"] opens a partition of its
    GPT or MBR as a disk; other partitions can be open at the same time. Waits. Raises
    {!Soil.exception-Error} with [No_device]; with [Busy] if it is open or mounted, here or by
    another program (a writer has exclusive access); with [Not_found], [Corrupt] or [Io] for a
    partition; with [Bad_configuration]. *)

val close : t -> unit
(** [close d] closes the disk, without a {!flush}. Closing again does nothing. *)

val with_disk : string -> (t -> 'a) -> 'a
(** [with_disk name f] is [f d] for the opened disk, closed when that returns or raises. *)

val own : Task.scope -> t -> t
(** [own scope d] is [d], which is closed at the end of [scope], like {!File_descriptor.own}. *)

val name : t -> string
(** [name d] is the disk's name, as passed to {!open_}. *)

val sector_size : t -> int
(** [sector_size d] is the number of bytes in a sector, a power of two and at least 512. *)

val sectors : t -> int
(** [sectors d] is the current size of the disk in sectors, as reported by the device: disks can
    grow and shrink while in use. Doesn't wait. *)

val read_only : t -> bool
(** [read_only d] is [true] iff the disk is read-only. *)

val can_discard : t -> bool
(** [can_discard d] is [true] iff the device supports {!discard}. In the process it may still fail,
    if the file system of the disk's file doesn't support holes. *)

val can_write_zeroes : t -> bool
(** [can_write_zeroes d] is the same for {!write_zeroes}. *)

(** {1 Reading and writing} *)

val buffer : int -> File_descriptor.buffer
(** [buffer n] is a new buffer of [n] bytes at an address that is a multiple of 4096, which devices
    read and write without a copy. Other buffers work as well, but data at unaligned addresses, as
    from [malloc], is copied once. Raises [Invalid_argument] if [n] is negative. *)

val read : t -> first_sector:int -> File_descriptor.buffer -> int -> int -> unit
(** [read d ~first_sector b off len] reads [len] bytes, a multiple of the sector size, from
    [first_sector] on into [b] from offset [off], without a copy if that address is a multiple of
    the sector size, see {!buffer}. Long reads are split into concurrent requests. Waits; don't use
    the buffer until the read returns. A cancelled read waits until the device is done with the
    buffer. Raises {!Soil.exception-Error} with [Io], also if the disk has shrunk, with [Timed_out],
    or [Closed]. Raises [Invalid_argument] if the sectors have never been on the disk, [len] isn't a
    multiple, or the range isn't in the buffer. *)

val write : ?durable:bool -> t -> first_sector:int -> File_descriptor.buffer -> int -> int -> unit
(** [write d ~first_sector b off len] is like {!read} in the other direction. The data is durable
    after {!flush}, or with [~durable:true] (default: [false]) when the write returns: the process
    writes through the caches ([RWF_DSYNC]), the image flushes afterwards, because virtio has no
    write-through requests. Also raises {!Soil.exception-Error} with [Read_only]. *)

type slice = File_descriptor.buffer * int * int
(** The type for slices [(b, off, len)]: the [len] bytes of [b] from [off] on. *)

val readv : t -> first_sector:int -> slice list -> unit
(** [readv d ~first_sector slices] is {!read} into consecutive slices, as one device request,
    without a copy of slices at addresses that are multiples of the sector size, see {!buffer}. Each
    length is a multiple of the sector size. The read is split into several requests if the device
    supports fewer slices, if there are more than 500, and where {!read} would split it. Raises like
    {!read}. *)

val writev : ?durable:bool -> t -> first_sector:int -> slice list -> unit
(** [writev d ~first_sector slices] is the same for {!write}. *)

val flush : t -> unit
(** [flush d] returns when all writes that had returned before are durable. For an image's disk
    without flushes (see {!Fs.type-health}) it returns at once. *)

(** {1 Sectors without data} *)

val discard : t -> first_sector:int -> int -> unit
(** [discard d ~first_sector n] marks the contents of [n] sectors as no longer needed, so that the
    disk may free their space. Their contents are undefined until they are written again. The
    request is split at the device's limits. In the process it punches a hole into the file. Waits.
    Raises {!Soil.exception-Error} with [Unsupported] if the device or the host's file system
    doesn't support it, and like {!write}. *)

val write_zeroes : ?unmap:bool -> t -> first_sector:int -> int -> unit
(** [write_zeroes d ~first_sector n] fills [n] sectors with zeros without sending data; they are
    durable after {!flush}. With [~unmap:true] (default: [false]) the disk may free their space.
    Waits. Raises like {!discard}. *)
