(** Times and ranges of files: operations that few programs need. Other programs don't carry them.
*)

(** {1:times Times} *)

type time = {
  seconds : int;  (** Since 1970-01-01 UTC, rounded down. *)
  nanoseconds : int;  (** After that, less than a second. *)
}
(** The type for moments. *)

type times = {
  accessed : time;  (** The last reading, where the file system notes it. *)
  modified : time;  (** The last change of the contents. *)
  changed : time;  (** The last change of the file or of what is known of it. *)
}
(** The type for the times of a file: those of {!Soil.Fs.type-stat}, exactly. *)

val times : ?follow:bool -> string -> times
(** [times path] is the times of the file or directory at [path], or of a symbolic link at its end
    itself if [follow] is [false]. *)

val set_times : ?follow:bool -> ?accessed:time -> ?modified:time -> string -> unit
(** [set_times ~accessed ~modified path] sets these two; what isn't given stays. [changed] becomes
    now. [follow] is as for {!val-times}. A moment that the file system can't say becomes the
    nearest that it can: FAT has the even seconds of the years 1980 to 2107 for [modified], ext4
    nanoseconds from 1901 to 2446, or with inodes of 128 bytes seconds to 2038. Raises
    {!Soil.exception-Error} with [Not_found], [Read_only], or [Unsupported] (FAT's root directory,
    tar). Raises [Invalid_argument] for nanoseconds that aren't less than a second. *)

val of_float : float -> time
(** [of_float s] is [s] seconds since 1970, as {!Clock.now} has them. *)

val to_float : time -> float
(** [to_float t] is the same in the other direction, to a quarter of a microsecond. *)

(** {1:ranges Room and holes}

    On ext4, in memory and in folders of the host. The position of the descriptor, which is one for
    writing, stays. All raise {!Soil.exception-Error} with [Unsupported] where the file system can't
    do that, and [Invalid_argument] if [position < 0] or [len <= 0]. *)

val allocate : ?keep_size:bool -> File_descriptor.t -> position:int -> int -> unit
(** [allocate d ~position len] gives the [len] bytes from [position] on room where they have none,
    as [posix_fallocate]: they read as zeros, and writing them doesn't fail for want of room. A file
    that ends before them grows, unless [keep_size] is [true]. Nothing is written, so that it takes
    no longer for a large range. Raises {!Soil.exception-Error} with [No_space], which leaves the
    file as it was, or [Too_large]. FAT has no holes: there files grow, by zeros that are written,
    and [keep_size] is [Unsupported]. *)

val punch_hole : File_descriptor.t -> position:int -> int -> unit
(** [punch_hole d ~position len] makes the [len] bytes from [position] on zeros, and gives the room
    of the whole blocks among them back. The file's size stays. *)

val zero_range : File_descriptor.t -> position:int -> int -> unit
(** [zero_range d ~position len] makes the [len] bytes from [position] on zeros, and gives them room
    as {!allocate} does. *)

val next_data : File_descriptor.t -> int -> int option
(** [next_data d position] is the first byte at [position] or after it that was written ([SEEK_DATA]
    of [lseek]); [None] if there is none before the end of the file. *)

val next_hole : File_descriptor.t -> int -> int option
(** [next_hole d position] is the first byte at [position] or after it that reads as zero because
    nothing was written there ([SEEK_HOLE]), or the end of the file; [None] if [position] is there
    or past it. Where a file system doesn't know of holes, all is data. *)
