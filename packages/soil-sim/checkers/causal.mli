(** Causal consistency of registers, by the bad patterns of Bouajjani, Enea, Guerraoui and Hamza (On
    verifying causal consistency, POPL 2017).

    An operation is in the causal past of another one if a path of these steps leads there: from an
    operation to a later one of its client, from a write to a read of its value. *)

(** The variants, none of which depends on time. *)
type variant =
  | Weak
      (** Each operation has an explanation by its causal past: no cycles in the causal order, no
          read of a value that the read's causal past has overwritten. *)
  | Convergent
      (** [Weak], and one order of all writes explains all operations, as in stores where the last
          write wins. *)
  | Memory
      (** [Weak], and all operations of one client have one explanation together, which may differ
          from other clients': causal memory (Ahamad et al. 1995). *)

val check :
  ?variant:variant -> (Models.Register.operation, Models.Register.result) History.t -> Verdict.t
(** [check history] checks [variant] (default [Weak]); it decides each history in polynomial time,
    and memory of n²/8 bytes for n operations. An operation of unknown outcome happened if its value
    was read. Raises [Invalid_argument] if two writes to a key have the same value, or an operation
    deletes a key. *)
