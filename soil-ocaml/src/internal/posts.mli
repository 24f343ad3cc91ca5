(** Functions that other domains have a scheduler call. Private to Soil. *)

type t
(** The type for the posts of one domain. *)

val create : int -> t
(** [create domain] is open and empty, for the domain with that index. *)

val send : t -> (unit -> unit) -> bool
(** [send t f] has the receiver call [f ()] after all that was sent before, and wakes it if it
    sleeps; [false]: it is closed. From any domain. *)

(** {1 The receiver} *)

val run : t -> unit
(** [run t] calls what was sent. *)

val open_ : t -> unit
(** [open_ t] opens posts that were closed. *)

val close : t -> unit
(** [close t] refuses what is sent from now on, and calls what was sent before. *)

val sleep_until : t -> int -> int
(** [sleep_until t deadline] is the deadline for the wait that follows: [deadline], or 0 to poll if
    something was sent. The wait is [Soil_raw.wait], which a sender ends; {!awake} follows it. *)

val awake : t -> unit
(** [awake t] ends {!sleep_until}. *)
