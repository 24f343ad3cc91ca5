(** Cryptographically secure random bytes, seeded by the processor (RDSEED, RDRAND; RNDR),
    virtio-rng and the device tree, or by the host. *)

val fill : bytes -> int -> int -> unit
(** [fill b off len] stores [len] random bytes in [b] from [off]. It waits only while entropy is
    collected, after the start. Raises {!Soil.exception-Error} with [No_entropy] and a remedy if the
    machine has no source. Raises [Invalid_argument] if offset and length aren't a range of [b]. *)

val string : int -> string
(** [string n] is [n] random bytes. As {!fill}. *)

val int : int -> int
(** [int n] is a uniformly random number from 0 to [n - 1]. As {!fill}. Raises [Invalid_argument] if
    [n < 1]. *)
