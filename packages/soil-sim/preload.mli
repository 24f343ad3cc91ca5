(** The object that is preloaded into programs without Soil ([platform/sim/preload]). Private to
    Soil. *)

val variables : string -> (string * string) list
(** [variables program] is the environment with which [program] becomes a node. Raises [Failure] if
    the object isn't installed, or for a [program] into which nothing can be preloaded, since it is
    linked statically or links Soil. *)
