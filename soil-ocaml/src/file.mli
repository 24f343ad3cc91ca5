(** Times and ranges of files. *)

(** {1:times Times} *)

type time = {
  seconds : int;  (** Since 1970-01-01 UTC, rounded down. *)
  nanoseconds : int;  (** After that, less than a second. *)
}
(** The type for points in time. *)

type times = {
  accessed : time;  (** The last access, where the file system records it. *)
  modified : time;  (** The last change of the contents. *)
  changed : time;  (** The last change of the contents or of the metadata. *)
}
(** The type for the times of a file, those of {!Soil.Fs.type-stat} without rounding. *)

val times : ?follow:bool -> string -> times
(** [times path] is the times of the file or directory at [path]; a symbolic link isn't followed if
    [follow] is [false]. *)

val set_times : ?follow:bool -> ?accessed:time -> ?modified:time -> string -> unit
(** [set_times ~accessed ~modified path] sets these two; an omitted one keeps its value. [changed]
    becomes the current time. [follow] is as for {!val-times}. A time is rounded to the nearest
    representable one: FAT has even seconds of the years 1980 to 2107 for [modified], ext4
    nanoseconds from 1901 to 2446, or with inodes of 128 bytes seconds to 2038. Raises
    {!Soil.exception-Error} with [Not_found], [Read_only], or [Unsupported] (FAT's root directory,
    tar). Raises [Invalid_argument] for nanoseconds that aren't less than a second. *)

val of_float : float -> time
(** [of_float s] is [s] seconds since 1970, as from {!Clock.now}. *)

val to_float : time -> float
(** [to_float t] is the inverse, to a quarter of a microsecond. *)

(** {1:ranges Preallocation and holes}

    For ext4, volumes in memory and host folders. The descriptor must be open for writing; its
    position doesn't change. These functions raise {!Soil.exception-Error} with [Unsupported] on
    other file systems, and [Invalid_argument] if [position < 0] or [len <= 0]. *)

val allocate : ?keep_size:bool -> [> `File ] File_descriptor.t -> position:int -> int -> unit
(** [allocate d ~position len] allocates blocks for the [len] bytes from [position] on, like
    [posix_fallocate]: holes still read as zeros, and later writes don't fail with [No_space]. The
    file grows to include the range, unless [keep_size] is [true]. No data is written, so a large
    range takes no longer. Raises {!Soil.exception-Error} with [No_space], which leaves the file
    unchanged, or [Too_large]. FAT has no holes: there a file grows by written zeros, and
    [keep_size] is [Unsupported]. *)

val punch_hole : [> `File ] File_descriptor.t -> position:int -> int -> unit
(** [punch_hole d ~position len] zeroes the [len] bytes from [position] on and frees the whole
    blocks among them. The file's size doesn't change. *)

val zero_range : [> `File ] File_descriptor.t -> position:int -> int -> unit
(** [zero_range d ~position len] zeroes the [len] bytes from [position] on, and allocates blocks for
    them like {!allocate}. *)

val next_data : [> `File ] File_descriptor.t -> int -> int option
(** [next_data d position] is the first byte at [position] or after it that was written ([SEEK_DATA]
    of [lseek]); [None] if there is none before the end of the file. *)

val next_hole : [> `File ] File_descriptor.t -> int -> int option
(** [next_hole d position] is the first byte at [position] or after it that reads as zero because
    nothing was written there ([SEEK_HOLE]), or the end of the file; [None] if [position] is there
    or past it. On a file system without holes, everything is data. *)
