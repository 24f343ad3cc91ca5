(** The threads that Soil supports: those of the domains with tasks, which are the program's first
    one and those of {!Domain.run}. The first thread of each runs its scheduler. Private to Soil. *)

val is_other : unit -> bool
(** [is_other ()] is [true] iff this isn't a thread with a scheduler. Raises [Invalid_argument] in a
    domain without tasks. *)

val check : unit -> unit
(** [check ()] raises [Invalid_argument] in any thread but those with a scheduler. *)

val check_domain : unit -> unit
(** [check_domain ()] raises [Invalid_argument] in a domain without tasks. *)

val check_first : unit -> unit
(** [check_first ()] raises [Invalid_argument] in any domain but the first. *)

val domains : int
(** [domains] is the number of domains that can have tasks. *)

val domain : unit -> int
(** [domain ()] is the index of the current domain: 0 for the first, and no other running one's. *)

val join : unit -> unit
(** [join ()] gives the current domain a scheduler, in the current thread. *)

val leave : unit -> unit
(** [leave ()] ends what [join ()] began. *)
