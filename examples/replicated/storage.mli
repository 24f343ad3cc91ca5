(** The durable state of a server, in a directory of any file system of {!Soil.Fs}.

    {v
    snapshot-INDEX   the state machine after the entry INDEX, and the configuration
    log-NUMBER       the term, the vote and the entries; groups of changes are appended
    v}

    A new file is written under another name, synced, renamed, and the directory synced: so a file
    with one of these names is whole. Only the end of the log can be {e torn}: a group of changes is
    one record with a checksum, which a crash before its sync may leave in part. A damaged record
    before a whole one isn't torn but lost, and {!open_} refuses such a log.

    All functions wait for the disk, and raise {!Soil.exception-Error} if it fails or is full: then
    nothing is known of the last change, and the server must end. One task at a time may call
    {!append} and {!rewrite}; others may save and read snapshots meanwhile. *)

type t

type recovered = {
  term : int;
  vote : int option;
  log : Log.t;
  snapshot : Message.snapshot;
  data : string;  (** Of the snapshot. *)
}

exception Damaged of string
(** Raised by {!open_} with the file, the damage and the remedy. *)

val open_ : Soil.Task.scope -> initial:Message.snapshot -> data:string -> string -> t * recovered
(** [open_ scope ~initial ~data directory] is the state in [directory]. In an empty one it begins
    with the snapshot [initial], whose data is [data]. The files are closed at the end of [scope].
*)

val append : t -> hard_state:(int * int option) option -> (int * Message.entry list) option -> unit
(** [append t ~hard_state:(Some (term, vote)) (Some (first, entries))] makes the term and the vote
    durable, and the entries, which replace all from the index [first] on. *)

val rewrite : t -> term:int -> vote:int option -> Log.t -> unit
(** [rewrite t ~term ~vote log] makes these durable in place of all that was appended. *)

val save_snapshot : t -> Message.snapshot -> string -> unit
(** [save_snapshot t snapshot data] makes a snapshot durable, and then removes the one before. Does
    nothing if a later one is there. *)

val read_snapshot :
  t -> index:int -> offset:int -> length:int -> (Message.snapshot * int * string) option
(** [read_snapshot t ~index ~offset ~length] is the latest snapshot, the size of its data, and at
    most [length] bytes of that from [offset] on; [None] if the latest one isn't that of [index]. *)
