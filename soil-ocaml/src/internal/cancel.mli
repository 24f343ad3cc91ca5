(** The tree of cancellation contexts. Each fiber is in one context, the innermost that it has
    entered. Private to Soil. *)

val insert : shielded:bool -> Fiber.context -> Fiber.t -> Fiber.context
(** [insert ~shielded parent owner] is a new context below [parent], {!Fiber.nil} for a root. It is
    cancelled if [parent] is, unless it is [shielded]. *)

val remove : Fiber.context -> unit
(** [remove context] removes the leaf [context] from the tree. *)

val enter : shielded:bool -> Fiber.t -> Fiber.context
(** [enter ~shielded fiber] puts [fiber] into a new context below its own. *)

val leave : Fiber.context -> unit
(** [leave context] puts the fiber of [context] back into the one above it, and removes [context].
*)

val within : Fiber.context -> Fiber.t -> (unit -> 'a) -> 'a
(** [within parent fiber f] is [f ()] with [fiber] in a new context below [parent], and restores the
    context of [fiber]. *)

val cancel : interrupt:(Fiber.t -> unit) -> Fiber.context -> unit
(** [cancel ~interrupt context] cancels [context] and all contexts below it that aren't shielded.
    [interrupt fiber] is called for each fiber in one of them. *)
