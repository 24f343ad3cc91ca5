(** What few programs do with files, beside {!Fs}; others don't carry it. *)

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
(** The type for the times of a file: those of {!type-Fs.stat}, exactly. *)

val times : ?follow:bool -> string -> times
(** [times path] is the times of the file or directory at [path], or of a symbolic link at its end
    itself if [follow] is [false]. *)

val set_times : ?follow:bool -> ?accessed:time -> ?modified:time -> string -> unit
(** [set_times ~accessed ~modified path] sets these two; what isn't given stays. [changed] becomes
    now. [follow] is as for {!times}. A moment that the file system can't say becomes the nearest
    that it can: FAT has the even seconds of the years 1980 to 2107 for [modified], ext4 nanoseconds
    from 1901 to 2446, or with inodes of 128 bytes seconds to 2038. Raises {!Soil.exception-Error}
    with [Not_found], [Read_only], or [Unsupported] (FAT's root directory, tar). Raises
    [Invalid_argument] for nanoseconds that aren't less than a second. *)

val of_float : float -> time
(** [of_float s] is [s] seconds since 1970, as {!Clock.now} has them. *)

val to_float : time -> float
(** [to_float t] is the same in the other direction, to a quarter of a microsecond. *)
