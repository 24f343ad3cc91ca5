(** Values by name, on a directory of any volume.

    The shape is that of [mirage-kv], in direct style: keys are paths, values strings, a key is
    bound to a value or to a dictionary of further keys, and what goes wrong is a value.

    {b What {!set} promises.} A value is written to a file of another name, made durable, and given
    its name; then that is made durable. After it returned, the new value survives a crash at any
    moment; before, there is the old value or the new one, whole. That holds on ext4 and on host
    directories. On FAT it holds where the program is killed; when the power is cut while [set] is
    under way, [fsck.fat] may have to repair the disk and the key may be missing (see the README of
    [fs]). In memory there is nothing to survive.

    {b Several tasks} may use one store. Each operation is whole by itself; {!batch} keeps the
    others waiting. *)

(** {1:keys Keys} *)

module Key : sig
  type t
  (** The type for keys: names, outermost first. *)

  val empty : t
  (** [empty] is the root of a store. *)

  val v : string -> t
  (** [v "/a/b"] is the key of these names; leading, trailing and double slashes are ignored. Raises
      [Invalid_argument] if a name is [.] or [..], has a NUL, or begins with [.soil-kv], which is
      kept for the store itself. *)

  val add : t -> string -> t
  (** [add key name] is [key] and one more name. Raises [Invalid_argument] as {!v} does, and if
      [name] is empty or has a slash. *)

  val ( / ) : t -> string -> t
  (** [key / name] is [add key name]. *)

  val segments : t -> string list

  val basename : t -> string
  (** [basename key] is the last name; [""] for {!empty}. *)

  val parent : t -> t
  (** [parent key] is [key] without its last name; {!empty} for {!empty}. *)

  val to_string : t -> string
  (** [to_string key] is ["/a/b"]; ["/"] for {!empty}. *)

  val equal : t -> t -> bool
  val compare : t -> t -> int
end

(** {1:stores Stores} *)

type t
(** The type for stores. *)

type error =
  [ `Not_found of Key.t  (** Nothing is bound to it. *)
  | `Dictionary_expected of Key.t  (** It is bound to a value. *)
  | `Value_expected of Key.t  (** It is bound to a dictionary. *)
  | `Already_present of Key.t  (** It is bound already. *)
  | `No_space  (** The volume is full. *)
  | `Rename_source_prefix of Key.t * Key.t  (** The second is inside of the first. *)
  | `Failed of Error.t  (** The device or the file system failed. *) ]

val error_to_string : error -> string
(** [error_to_string e] is one line for people. *)

val connect : string -> (t, error) result
(** [connect directory] is the store in [directory], an absolute path, which is made if it isn't
    there. What a crash left behind of unfinished {!set}s is removed. One program at a time. *)

(** {1:reading Reading} *)

val exists : t -> Key.t -> ([ `Value | `Dictionary ] option, error) result
val get : t -> Key.t -> (string, error) result

val get_partial : t -> Key.t -> offset:int -> length:int -> (string, error) result
(** [get_partial t key ~offset ~length] is at most [length] bytes of the value from [offset] on,
    fewer at its end. Raises [Invalid_argument] if one of them is negative. *)

val list : t -> Key.t -> ((Key.t * [ `Value | `Dictionary ]) list, error) result
(** [list t key] is what is directly below [key], sorted. *)

val last_modified : t -> Key.t -> (float, error) result
(** [last_modified t key] is when the value last changed, or something was added to or removed from
    the dictionary, in seconds since 1970-01-01 UTC, as exactly as the file system has it. *)

val digest : t -> Key.t -> (string, error) result
(** [digest t key] is 16 bytes that change when the value, or anything in the dictionary, does (MD5,
    which is no protection against those who choose the values). *)

val size : t -> Key.t -> (int, error) result
(** [size t key] is the length of the value, or the sum of those in the dictionary, in bytes. *)

(** {1:writing Writing} *)

val set : t -> Key.t -> string -> (unit, error) result
(** [set t key value] binds [key] to [value], and makes the dictionaries above it. See above. *)

val set_partial : t -> Key.t -> offset:int -> string -> (unit, error) result
(** [set_partial t key ~offset part] replaces the bytes from [offset] on of a value that is there,
    or lengthens it; what lies between is zeros. It is durable when it returns, but not atomic. *)

val remove : t -> Key.t -> (unit, error) result
(** [remove t key] removes the value, or the dictionary with all that is in it; durable when it
    returns. *)

val rename : t -> source:Key.t -> dest:Key.t -> (unit, error) result
(** [rename t ~source ~dest] binds [dest] to what [source] is bound to, a value taking a value's
    place, atomically where the file system can; durable when it returns. *)

val batch : t -> (t -> 'a) -> 'a
(** [batch t f] is [f t'], where changes of [t'] are as they are for [t] but made durable together,
    at the end: one flush in place of one or two for each. Each is still whole or not there after a
    crash, in any order. Other tasks' operations on [t] wait. *)
