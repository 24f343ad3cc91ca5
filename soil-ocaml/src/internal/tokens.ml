(** Tokens of operations in progress, and the fibers waiting for their completions. Private to Soil.
*)

(* Slots. A token is the index of a slot, and above its bits the index of the domain, to whose
   scheduler the machine brings the completion. Slot 0 is no fiber's: its completion is the machine's
   request to stop. The free slots are a list, linked by their indices; the last one's is the first
   index past the table, which grows when it is reached.

   Reuse. A slot is free again when the completion of its operation has been seen, or will never
   come: the operation ended at once, or the machine took it back. So no two operations in progress
   share a token.

   Buffers. [submission] keeps alive all that the operation refers to: a device may use a buffer
   until then, even if the fiber is gone.

   Signals. A handler may raise an exception where memory is taken. [grow] changes the table when
   all of the larger one is there, and nothing else here takes memory. *)

type slot = {
  token : int;
  mutable fiber : Fiber.t;  (** The fiber waiting for its completion; {!Fiber.none} without one. *)
  mutable submission : int -> int;  (** Keeps the operation's buffers alive. *)
  mutable next : int;  (** Of a free slot: the next free one. *)
}
(** The type for slots, one for each token. *)

type t = {
  base : int;  (** What tokens have above the index. *)
  mutable slots : slot array;  (** By index. *)
  mutable first_free : int;
  mutable in_progress : int;  (** The number of tokens in use. *)
}
(** The type for tables of tokens. *)

let no_submission (token : int) = token
let index_bits = 32
let index token = token land ((1 lsl index_bits) - 1)

(** [slot t token] is the slot of [token]. *)
let slot t token = t.slots.(index token)

let free_slot base i =
  { token = base lor i; fiber = Fiber.none; submission = no_submission; next = i + 1 }

(** [create domain] is a table of that domain in which all tokens are free. *)
let create domain =
  let base = domain lsl index_bits in
  { base; slots = Slots.init 64 (free_slot base); first_free = 1; in_progress = 0 }

let grow t =
  let length = Array.length t.slots in
  let slot i = if i < length then t.slots.(i) else free_slot t.base i in
  t.slots <- Slots.init (2 * length) slot

(** [take t] is a slot that was free, for an operation. *)
let take t =
  if t.first_free = Array.length t.slots then grow t;
  let slot = t.slots.(t.first_free) in
  t.first_free <- slot.next;
  t.in_progress <- t.in_progress + 1;
  slot

(* Writing what is there already would cost a call of the runtime, at each wait for readiness. *)

(** [free t slot] frees [slot]: its completion has been received, or will never come. *)
let free t slot =
  if slot.fiber != Fiber.none then slot.fiber <- Fiber.none;
  if slot.submission != no_submission then slot.submission <- no_submission;
  slot.next <- t.first_free;
  t.first_free <- index slot.token;
  t.in_progress <- t.in_progress - 1

(** [abandon slot] makes the completion of [slot] wake no fiber. The slot stays in use until then.
*)
let abandon slot = slot.fiber <- Fiber.ended

(** [abandon_all t] is {!abandon} for each slot that a fiber waits for. *)
let abandon_all t =
  for i = 1 to Array.length t.slots - 1 do
    let slot = t.slots.(i) in
    if slot.fiber != Fiber.none then abandon slot
  done
