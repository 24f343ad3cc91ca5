(** Optional timeouts. Private to Soil. *)

val within : float option -> (unit -> 'a) -> 'a
(** [within (Some s) f] is [f ()], and raises [Timed_out] after [s] seconds; [within None f] is
    [f ()]. *)
