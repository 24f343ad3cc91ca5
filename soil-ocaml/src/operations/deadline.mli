(** Optional timeouts. Private to Soil. *)

val within : ?fail:(float -> 'a) -> float option -> (unit -> 'a) -> 'a
(** [within (Some s) f] is [f ()], or [fail s] (default: raises [Timed_out]) after [s] seconds;
    [within None f] is [f ()]. *)
