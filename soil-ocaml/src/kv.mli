(** A durable key-value store in a directory of any volume.

    The interface is that of [mirage-kv], in direct style: keys are paths, values are strings, a key
    is bound to a value or to a dictionary of further keys, and errors are returned as values.

    {b Values} of at most 4 KiB are packed: a dictionary's are records of a log, in files of its
    directory named [.soil-values-NUMBER]. A larger value is a file of its own, and a dictionary a
    directory. A small value may have a file, too, if an earlier version of the store wrote it or it
    was renamed to another dictionary. It is packed when it is set again.

    {b Durability.} {!set} of a packed value appends a record with a checksum, and syncs it. Of
    another value it writes a temporary file, syncs it, renames it, and syncs the directory. Once it
    has returned, the new value survives a crash; before that, a crash leaves either the old value
    or the new one. So do {!remove} and {!rename}: a value is under the old name or the new one.
    This holds on ext4 and on host directories. On FAT it holds if the program is killed; if the
    power fails during a change, [fsck.fat] may have to repair the disk and the key of a value with
    a file may be missing (see the README of [fs]). A volume in memory doesn't survive a crash.

    A change that fails may have been made: {!get} then has the value before it or the new one, and
    after a crash the other one may be there, until the next change of the dictionary has returned.

    {b Several tasks} may use one store. Each change of its names is atomic; {!batch} makes others
    wait. Changes of several tasks share the syncs that make them durable, so that many tasks need
    hardly more than one. Others may read a value before it is durable.

    {b Sizes.} A packed value takes 22 bytes and its name's length on the disk, beside itself. A
    value with a file takes an inode and at least one block; [mke2fs -N] sets the number of inodes
    of a volume, beyond which {!set} fails with [`No_space]. When more than half of a log, and 1
    MiB, is replaced or removed values, changes also {e clean} it: each copies what is left of the
    oldest file, of 1 MiB, and removes that. On average a change so writes twice what it would
    otherwise, at most. For this 2 MiB of the volume, or an eighth of it, stay free.

    {b Memory.} The first operation in a dictionary reads its log, and keeps the names of its packed
    values, at some 20 bytes and the name's length each. {!connect} limits the memory of these
    names. If they take more, other dictionaries' are forgotten, and read again when they are
    needed; new values of a dictionary that takes all of it have files.

    {b Damage.} A record with a wrong checksum doesn't count. What follows it in its file counts as
    far as the length of the record leads to another one. A line on standard error names the file. A
    value that is damaged later fails with [Corrupt], and the log isn't cleaned beyond its file
    before it is set or removed.

    {b One volume.} A store is on the volume of its directory. Another volume that is mounted in
    that is a dictionary of the store that can be read. {!set}, {!rename} and {!remove} fail for it,
    and for keys below and above it, with [`Failed]; {!set_partial} isn't durable there.

    {b FAT} doesn't distinguish names that differ in case only, packed values do: use no such names.
    The short names that it adds, such as [SOIL-V~1], aren't keys: nothing is bound to them, and
    binding them fails with [Invalid_name].

    {b One store.} Stores whose directories are in one another don't know of each other's changes.
*)

(** {1:keys Keys} *)

module Key : sig
  type t
  (** The type for keys: names, outermost first. *)

  val empty : t
  (** [empty] is the root of a store. *)

  val v : string -> t
  (** [v "/a/b"] is the key of these names; leading, trailing and double slashes are ignored. Raises
      [Invalid_argument] if a name is [.] or [..], contains a NUL, or begins with [.soil-], which is
      reserved for the store and the machine. *)

  val add : t -> string -> t
  (** [add key name] appends [name] to [key]. Raises [Invalid_argument] as {!v} does, and if [name]
      is empty or contains a slash. *)

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
  val hash : t -> int

  val pp : Format.formatter -> t -> unit
  (** [pp f key] prints [to_string key]. *)
end

(** {1:stores Stores} *)

type t
(** The type for stores. *)

type error =
  [ `Not_found of Key.t  (** Nothing is bound to it. *)
  | `Dictionary_expected of Key.t  (** It is bound to a value. *)
  | `Value_expected of Key.t  (** It is bound to a dictionary. *)
  | `Already_present of Key.t  (** It is already bound. *)
  | `No_space  (** The volume is full. *)
  | `Rename_source_prefix of Key.t * Key.t  (** The second is inside the first. *)
  | `Failed of Error.t  (** The device or the file system failed. *) ]

val error_to_string : error -> string
(** [error_to_string e] is one line of readable text. *)

val connect : ?index:int -> string -> (t, error) result
(** [connect directory] is the store in [directory], an absolute path, which is created if missing.
    Removes files of {!set}s interrupted by a crash. One program at a time. The names of packed
    values take at most [index] bytes of memory (default: an eighth of {!Machine.memory});
    operations in a dictionary with more fail with [Too_large]. *)

(** {1:reading Reading} *)

val exists : t -> Key.t -> ([ `Value | `Dictionary ] option, error) result
val get : t -> Key.t -> (string, error) result

val get_partial : t -> Key.t -> offset:int -> length:int -> (string, error) result
(** [get_partial t key ~offset ~length] is at most [length] bytes of the value from [offset] on,
    fewer at its end. Raises [Invalid_argument] if one of them is negative. *)

val list :
  ?after:string ->
  ?limit:int ->
  t ->
  Key.t ->
  ((Key.t * [ `Value | `Dictionary ]) list, error) result
(** [list t key] is the keys directly below [key], sorted: the first [limit] of those whose names
    are behind [after] ([Key.basename] of the last one of the page before), or all, at about 100
    bytes of memory each. A page costs as much for many packed values as for few; it reads the names
    of all values with files and of all dictionaries directly below [key]. Raises [Invalid_argument]
    if [limit < 0]. *)

val last_modified : t -> Key.t -> (float, error) result
(** [last_modified t key] is the time of the last change of the value, or of the last addition to or
    removal from the dictionary, in seconds since 1970-01-01 UTC, in the file system's resolution.
    After {!connect} the removal of a packed value may no longer count. *)

val digest : t -> Key.t -> (string, error) result
(** [digest t key] is 16 bytes that change with the value, or with anything in the dictionary (MD5,
    which doesn't protect against values chosen to collide). *)

val size : t -> Key.t -> (int, error) result
(** [size t key] is the length of the value, or the sum of those in the dictionary, in bytes. *)

(** {1:writing Writing} *)

val set : t -> Key.t -> string -> (unit, error) result
(** [set t key value] binds [key] to [value], and creates the dictionaries above it, durably as
    described above. A symbolic link in its place is replaced; its target stays as it is. *)

val set_partial : t -> Key.t -> offset:int -> string -> (unit, error) result
(** [set_partial t key ~offset part] replaces the bytes from [offset] on of an existing value, or
    extends it; a gap is filled with zeros. The change is durable when it returns; it is atomic only
    of a value that is packed before and after it. *)

val remove : t -> Key.t -> (unit, error) result
(** [remove t key] removes the value, or the dictionary with all its contents at once; of
    {!Key.empty} one after the other what is directly below it. The change is durable when it
    returns. *)

val rename : t -> source:Key.t -> dest:Key.t -> (unit, error) result
(** [rename t ~source ~dest] renames [source] to [dest]; a value replaces a value, atomically where
    the file system supports it. The change is durable when it returns. *)

val batch : t -> (t -> 'a) -> 'a
(** [batch t f] is [f t']. Changes to [t'] apply to [t] and become durable together at the end, with
    one flush instead of one or two each. After a crash each change is complete or absent, in any
    order. Other tasks' operations on [t] wait. *)
