(** Histories: the operations that clients have invoked, with their times and outcomes.

    A client invokes one operation at a time. After an operation of unknown outcome it may go on:
    the checkers order nothing after such an operation. *)

type 'r outcome =
  | Returned of { at : int; result : 'r }
      (** The operation took effect once, between its invocation and [at]. *)
  | Failed  (** It certainly had no effect. *)
  | Unknown  (** It takes effect at any time after its invocation, or never. *)

type ('o, 'r) operation = {
  client : int;  (** The session. *)
  operation : 'o;
  invoked : int;
  outcome : 'r outcome;
}
(** Times are in nanoseconds of virtual time. *)

type ('o, 'r) t = ('o, 'r) operation list
(** The type for histories: operations ordered by [invoked], and operations of one client with equal
    times in the client's order. *)

val sort : ('o, 'r) t -> ('o, 'r) t
(** [sort operations] is a history of the operations in any order. Operations with equal times keep
    their order. *)

val precedes : ('o, 'r) operation -> ('p, 's) operation -> bool
(** [precedes a b] is true if [a] returned before [b] was invoked. An operation of the same client
    may also return at the time of [b]'s invocation, if it was invoked earlier than [b]. Other
    operations that meet in one nanosecond are concurrent. *)

val describe : operation:('o -> string) -> result:('r -> string) -> ('o, 'r) operation -> string
(** [describe ~operation ~result op] is a line without its end:
    ["client 3, 1.200000000-1.203000000 s: write x 5 -> done"]. *)
