(** Sequential consistency (Lamport 1979): all operations have one order, in which each client's
    operations are in the client's order. Time doesn't matter: a client may see old values, as long
    as one order explains all clients. *)

val check :
  ?budget:int ->
  (module Models.MODEL with type operation = 'o and type result = 'r) ->
  ('o, 'r) History.t ->
  Verdict.t
(** [check model history] searches for such an order, over all keys together: sequential consistency
    of each key doesn't imply it. The problem is NP-complete; short histories of few clients get an
    answer. A linearizable history is valid at once. [budget] is the maximum number of the model's
    steps in each of the two searches (default 1,000,000). An operation of unknown outcome comes
    after the client's earlier operations, and not necessarily before later ones. *)
