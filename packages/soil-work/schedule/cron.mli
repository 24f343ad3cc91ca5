(** Cron expressions, and the times at which they are due. *)

type t

val of_string : string -> t
val is_frequent : t -> bool
val next : Zone.t -> t -> after:float -> float option
