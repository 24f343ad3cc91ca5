(** Optional limits of time. Private to Soil. *)

val within : float option -> (unit -> 'a) -> 'a
(** [within (Some s) f] is {!Task.timeout}[ s f], and [within None f] is [f ()]. *)
