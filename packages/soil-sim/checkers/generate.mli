(** Random inputs that a seed determines: the same for the same seed. {!zipf} and {!think} also
    depend on the C library's floating-point functions, and {!to_random_state} on OCaml's version.
*)

type t
(** A stream of random numbers, with a state that each draw changes: SplitMix64 (Steele, Lea and
    Flood 2014). *)

val create : int -> t
(** [create seed] is the stream of [seed]. *)

val split : t -> t
(** [split t] is a stream that is independent of the rest of [t]. Give each part of a program, such
    as a client, a stream of its own: what it draws then doesn't depend on the others. *)

val derive : t -> int -> t
(** [derive t n] is stream [n] of [t], by the present state of [t], which doesn't change. *)

val bits64 : t -> int64

val int : t -> int -> int
(** [int t bound] is from 0 to [bound - 1]. Raises [Invalid_argument] unless [bound] is positive. *)

val float : t -> float -> float
(** [float t bound] is at least 0 and less than [bound]. *)

val bool : t -> bool

val chance : t -> float -> bool
(** [chance t p] is [true] with probability [p]. *)

val choice : t -> 'a list -> 'a
(** [choice t items] is one of [items]. Raises [Invalid_argument] without items. *)

val weighted : t -> (int * 'a) list -> 'a
(** [weighted t items] is one of [items], each with the probability of its weight in the sum. Raises
    [Invalid_argument] for negative weights, or a sum of 0. *)

val shuffle : t -> 'a list -> 'a list

val size : t -> max:int -> int
(** [size t ~max] is from 0 to [max], which is less than [max_int]: small numbers are frequent,
    large ones occur, and 0 and [max] are more frequent than their neighbours. *)

(** {1 Streams of inputs}

    Each of these functions makes a function that gives one input per call. *)

val zipf : ?skew:float -> t -> int -> unit -> int
(** [zipf t n] is a stream of numbers from 0 to [n - 1] with hot spots: a permutation of the
    numbers, drawn at once, in which the k-th has a probability proportional to k{^ -skew} (default
    1.0; 0.0 for equal ones). *)

val keys : ?skew:float -> ?prefix:string -> t -> int -> unit -> string
(** [keys t n] are names of {!zipf} numbers, such as ["k3"]; [prefix] is ["k"] by default. *)

val think : ?burst:int -> ?within:int -> ?idle:int -> t -> unit -> int
(** [think t] are times between operations, in nanoseconds: bursts of [burst] operations on average
    (default 8), exponentially distributed times of [within] on average inside a burst (default
    1,000,000, 1 ms), and of [idle] between bursts (default 500,000,000, 0.5 s). *)

val unique : ?prefix:string -> unit -> unit -> string
(** [unique ()] are values that differ: ["v0"], ["v1"], …; [prefix] is ["v"] by default. *)

val to_random_state : t -> Random.State.t
(** [to_random_state t] is a new state for the generators of qcheck, from a draw of [t]. *)
