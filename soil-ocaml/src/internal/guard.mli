(** Locks for what tasks of several domains change, held for a few instructions. Private to Soil.

    A section between {!enter} and {!leave} calls nothing that waits, takes no memory and has no
    loop that isn't short: a domain that waits for it spins. It holds one guard at a time. While the
    program has one domain with tasks, a guard costs a load. *)

type t
(** The type for guards. *)

val create : unit -> t
(** [create ()] is a guard. Some share a lock; that changes nothing but how long others wait. *)

val enter : t -> unit
(** [enter g] waits while another domain is between [enter g] and [leave g]. *)

val leave : t -> unit

val replace : t -> 'a ref -> 'a -> 'a -> bool
(** [replace g cell before after] sets [cell] to [after] within [g] if it is [before], physically,
    and is whether it did. *)

val several : bool ref
(** [!several] is whether several domains have tasks, or had. Set by {!start} only. *)

val start : unit -> unit
(** [start ()] sets {!several}, in the first domain, before the second one with tasks starts. *)
