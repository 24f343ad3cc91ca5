(** Session guarantees (Terry et al. 1994) on registers. The versions of each key have one order,
    the same for all clients, and each client's operations go forward in it. *)

type guarantee =
  | Monotonic_reads  (** A read doesn't return an older version than an earlier read. *)
  | Read_your_writes  (** A read doesn't return an older version than the client wrote earlier. *)
  | Monotonic_writes  (** A write makes a later version than the client's earlier ones. *)
  | Writes_follow_reads  (** A write makes a later version than the client read earlier. *)

val check :
  ?guarantees:guarantee list ->
  (Models.Register.operation, Models.Register.result) History.t ->
  Verdict.t
(** [check history] is [Invalid] if no order of a key's versions has all [guarantees] (default: all
    four). Time doesn't matter, and guarantees don't relate keys to each other: {!Causal} does. An
    operation of unknown outcome promises nothing to its client. Raises [Invalid_argument] if two
    writes to a key have the same value, or an operation deletes a key. *)
