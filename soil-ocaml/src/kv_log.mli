(** The small values of a dictionary, packed into a log: files of its directory to which records are
    appended, and whose oldest one is cleaned when half of the log is garbage. Private to {!Kv}.

    A record is there as a whole or not at all after a crash. It is durable after a sync of the
    volume, which is the caller's. The caller makes one call at a time. Errors raise
    {!Soil.exception-Error}. A change that raises may be there after a restart, until the next one
    has returned.

    A file or a directory with the name of a value counts, and not the value: so a rename is atomic
    that puts a file in its place. {!load} removes such values. *)

type t

val max_name : int
(** The length of the longest name of a value that is packed, in bytes. *)

val max_value : int
(** The length of the longest value that is packed. *)

val is_own : string -> bool
(** [is_own name] is [true] for the names of the log's files. *)

val load : is_name:(string -> bool) -> limit:int -> string -> t
(** [load ~is_name ~limit directory] reads the log in [directory], and removes, durably, its values
    that have files in their place. Damaged records, and names that aren't [is_name], are skipped
    with a line on standard error. Raises {!Soil.exception-Error} with [Too_large] if its names take
    more than [limit] bytes of memory. *)

val memory : t -> int
(** [memory t] is the bytes of memory that [t] takes, about. *)

val point : t -> string
(** [point t] is the place where the volume of [t] is mounted. *)

val changed : t -> float
(** [changed t] is a time at or before the last addition or removal, in seconds since 1970. It is
    exact if no file was removed later. *)

val mem : t -> string -> bool

val length : t -> string -> int option
(** [length t name] is the length of the value. *)

val read : t -> string -> (string * float) option
(** [read t name] is the value and the time of its last change. *)

val after : t -> string -> string Seq.t
(** [after t name] is the names behind [name], sorted. A change of [t] ends the sequence. *)

val set : t -> string -> string -> unit
(** [set t name value] binds [name], of 1 to {!max_name} bytes, to [value], of at most {!max_value}.
*)

val rename : t -> string -> string -> unit
(** [rename t name other] binds [other] to the value of [name], and removes [name]. *)

val remove : t -> string -> unit
(** [remove t name] needs no space on the volume: if there is none, it marks the value's record, and
    syncs the volume. *)

val repair : t -> unit
(** [repair t] removes what a change that raised may have left. The changes here begin with it; so
    do changes of files in the directory. *)

val clear : t -> unit
(** [clear t] removes all values, one file after the other, durably. [t] can't be used any more. *)
