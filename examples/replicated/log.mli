(** The log in memory: entries behind a base, the last entry that was dropped. Immutable. *)

type t

val create : base:int -> base_term:int -> t
(** [create ~base ~base_term] is a log without entries; its first one will have the index
    [base + 1]. [base_term] is the term of the entry [base], or 0 if [base] is 0. *)

val base : t -> int
val last : t -> int

val term : t -> int -> int option
(** [term l index] is the term of that entry; also of the base, and [None] of any other missing
    entry. *)

val last_term : t -> int

val entry : t -> int -> Message.entry
(** [entry l index] raises [Not_found] if it is missing. *)

val append : t -> Message.entry -> t

val truncate : t -> int -> t
(** [truncate l index] is [l] without the entries from [index] on. *)

val drop : t -> int -> t
(** [drop l index] is [l] with the base [index], which is in it. *)

val range : t -> int -> int -> Message.entry list
(** [range l first last] is the entries from [first] to [last]. *)
