(** Tokens of operations in progress, and the fibers waiting for their completions. Private to Soil.
*)

type slot = {
  number : int;  (** The token. *)
  mutable fiber : Fiber.t;  (** The fiber waiting for its completion; {!Fiber.none} without one. *)
  mutable submission : int -> int;  (** Keeps the operation's buffers alive. *)
  mutable next : int;  (** Private to this module. *)
}
(** The type for slots, one for each token. *)

type t = {
  mutable slots : slot array;  (** By token. *)
  mutable first_free : int;  (** Private to this module. *)
  mutable in_progress : int;  (** The number of tokens in use. *)
}
(** The type for tables of tokens. *)

val create : unit -> t
(** [create ()] is a table in which all tokens are free. *)

val take : t -> slot
(** [take t] is a slot that was free, for an operation. *)

val free : t -> slot -> unit
(** [free t slot] frees [slot]: its completion has been received, or will never come. *)

val abandon : slot -> unit
(** [abandon slot] makes the completion of [slot] wake no fiber. The slot stays in use until then.
*)

val abandon_all : t -> unit
(** [abandon_all t] is {!abandon} for each slot that a fiber waits for. *)
