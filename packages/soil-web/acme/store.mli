(** What an account has to remember: its key, certificates with their keys, challenges and leases.

    Keys are names of at most 200 letters, digits, dots, underscores and hyphens; values have at
    most {!max_bytes} bytes. The functions may wait, and may raise: the operation then fails, and is
    tried again later. Machines that share an account share a store. *)

type t = {
  get : string -> string option;
  set : string -> string -> unit;
      (** Atomic and durable: {!get} has the old value or the new one, also after a crash. *)
  create : string -> string -> bool;
      (** [create key value] binds [key], atomically, unless it has a value: then it is [false]. *)
  remove : string -> unit;  (** Does nothing if there is no value. *)
}
(** The type for stores: a program's own ones are made of these functions. *)

val max_bytes : int
(** [max_bytes] is 256 KiB. *)

val directory : string -> t
(** [directory path] has a file for each key, in a directory that is created if missing. Several
    machines may use it, if their file system renames atomically.

    The files have private keys. [Soil.Fs] has no modes: in a process make the directory before,
    with mode 700. *)

val kv : Soil.Kv.t -> Soil.Kv.Key.t -> t
(** [kv t key] has a value for each key, below [key]. For the tasks of one program. *)

val memory : unit -> t
(** [memory ()] forgets all at the program's end: for tests. A CA limits how many certificates it
    issues in a week, and a program that starts often uses that up. *)
