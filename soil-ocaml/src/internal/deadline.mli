(** Optional limits of time. Private to Soil. *)

val within : float option -> (unit -> 'a) -> 'a
(** [within (Some s) f] is [f ()] if that takes at most [s] seconds, and raises [Timed_out] after
    that; [within None f] is [f ()]. *)
