(** Search for an order of operations that a model permits: of Wing and Gong, with Lowe's cache of
    visited configurations.

    The {e certain} operations are all in the order. Of the {e optional} ones, whose outcome is
    unknown, some are: they don't multiply the search, as only useful places are tried. *)

type ('o, 'r) problem = {
  certain : ('o * 'r) array;
  optional : 'o array;
  start : int list;
      (** Names the set of certain operations that have their place: initially none. *)
  next : int list -> (int * int list) list;
      (** [next placed] are the certain operations that may follow, each with the name of the set
          that contains it, too. Equal sets have equal names. *)
  ready : int list -> int -> bool;
      (** [ready placed u] is true if the optional operation [u] may follow. If it may, it may also
          follow each larger set. *)
  stands_in : int -> int -> bool;
      (** [stands_in u v], with [u < v], is true only if [u] is ready whenever [v] is. *)
}

type outcome =
  | Found
  | Stuck of { placed : int list; blocked : int list }
      (** [placed] is a longest order of certain operations that the search reached, the last one
          first. None of [blocked] may follow. *)
  | Exhausted of int
      (** The budget ran out; the number of certain operations of the longest order. *)

val run :
  budget:int ->
  (module Models.MODEL with type operation = 'o and type result = 'r) ->
  ('o, 'r) problem ->
  outcome
(** [run ~budget model problem] calls the model's [step] at most [budget] times. *)
