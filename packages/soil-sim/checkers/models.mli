(** Sequential models: the states of an object, and the operations on it one by one. *)

module type MODEL = sig
  type operation
  (** Plain data: {!Linearizable} compares operations with [(=)]. *)

  type result
  type state

  val initial : state

  val step : state -> operation -> result option -> state list
  (** [step state operation result] are the states after [operation] in [state]: [[]] if it can't
      have [result] there, several if the model doesn't determine the state. With [None], the result
      is unknown. *)

  val equal : state -> state -> bool
  val hash : state -> int

  val key : operation -> string
  (** [key operation] is the name of the independent part of the object that [operation] accesses,
      such as the key in a store. Each part begins in {!initial}. A constant for objects without
      parts. *)

  val pp_operation : operation -> string
  (** [pp_operation operation] is text for messages. *)

  val pp_result : result -> string
end

(** Registers by key. Each begins without a value. *)
module Register : sig
  type operation =
    | Read of string
    | Write of { key : string; value : string }
    | Compare_and_set of { key : string; expected : string option; value : string }
        (** Sets [key] to [value] if it has the expected value; [None] expects no value. *)
    | Delete of string

  type result =
    | Value of string option  (** of [Read] *)
    | Done  (** of [Write] and [Delete] *)
    | Swapped of bool  (** of [Compare_and_set]: whether the key had the expected value *)

  include MODEL with type operation := operation and type result := result
end

(** A set, initially empty. Each element is a part of its own; {!Sets} checks reads of all elements
    at once. *)
module Set : sig
  type operation = Add of string | Remove of string | Contains of string
  type result = Done  (** of [Add] and [Remove] *) | Member of bool  (** of [Contains] *)

  include MODEL with type operation := operation and type result := result
end

(** A first-in first-out queue, initially empty. *)
module Queue : sig
  type operation = Enqueue of string | Dequeue
  type result = Enqueued | Dequeued of string option  (** [None] from an empty queue. *)

  include MODEL with type operation := operation and type result := result
end

(** A counter, initially 0. *)
module Counter : sig
  type operation = Add of int | Read
  type result = Done  (** of [Add] *) | Count of int  (** of [Read] *)

  include MODEL with type operation := operation and type result := result
end
