(** Linearizability (Herlihy and Wing 1990): each operation takes effect at one moment between its
    invocation and its return.

    The algorithm is Porcupine's (Athalye 2017): the search of Wing and Gong (1993) with the
    improvements of Lowe (2017), for each key of the model by itself (Horn and Kroening 2015).
    Operations of unknown outcome are optional. *)

module type MODEL = Models.MODEL

val check :
  ?budget:int ->
  (module MODEL with type operation = 'o and type result = 'r) ->
  ('o, 'r) History.t ->
  Verdict.t
(** [check model history] searches for an order of the operations that [model] permits and that
    agrees with {!History.precedes}. [budget] is the maximum number of the model's steps for each
    key (default 1,000,000). *)
