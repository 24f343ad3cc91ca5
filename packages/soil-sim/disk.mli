(** The disks of nodes: what is on stable storage, what a power cut may lose, and their faults.
    Private to Soil. *)

type t
(** The type for disks. They outlive their node's processes. *)

(** The type for contents at the start of a run. *)
type image =
  | Blank of int  (** Zeros; bytes. *)
  | File of string  (** The contents of a file, which isn't changed. *)
  | Ext4 of int  (** A new file system; bytes. Needs [mkfs.ext4] (package e2fsprogs). *)
  | Fat of int  (** The same, by [mkfs.fat] (package dosfstools). *)

type trouble = {
  mutable slow : int;  (** Times the usual time of a request. *)
  mutable errors : float;  (** The share of requests that fail. *)
  mutable full : bool;  (** Writes fail for lack of room. *)
}
(** The type for faults that last. *)

val create : name:string -> image -> t
(** [create ~name image] is a disk. Raises [Failure] with a reason and a remedy. *)

val describe : t -> Wire.disk
(** [describe d] is what a node learns of it. *)

val trouble : t -> trouble
(** [trouble d] are its faults. *)

val duration : t -> Generate.t -> Wire.operation -> count:int -> int
(** [duration d rng operation ~count] is how long a request takes, in nanoseconds. *)

val execute :
  t -> Generate.t -> Wire.operation -> sector:int -> count:int -> data:string -> int * string
(** [execute d rng operation ~sector ~count ~data] carries a request out: its status, and the data
    of a read. *)

val lose_power : t -> Generate.t -> torn:bool -> unit
(** [lose_power d rng ~torn] keeps any of the states that each unflushed sector had since it was
    last flushed; with [torn] also a mixture of two of them. *)

val rot : t -> Generate.t -> string
(** [rot d rng] changes a bit of a sector that was written, and says which. *)
