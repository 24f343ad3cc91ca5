(** The clocks of a node. Private to Soil. *)

type t
(** The type for the clocks of a node: its monotonic and its wall clock. *)

val create : unit -> t
(** [create ()] are clocks without an error. The wall clock begins at 2025-01-01. *)

val monotonic : t -> int -> int
(** [monotonic c now] is the node's monotonic time at the virtual time [now], in nanoseconds. *)

val wall : t -> int -> int
(** [wall c now] is its nanoseconds since 1970. *)

val time_of : t -> int -> int
(** [time_of c monotonic] is the virtual time at which [monotonic] has come. *)

val step : t -> int -> unit
(** [step c ns] moves the wall clock. *)

val drift : t -> now:int -> int -> unit
(** [drift c ~now ppm] makes both clocks run faster by so many millionths from now on; slower, if it
    is negative. *)
