(** Binary numbers, documented in {!Reader}. Each waits for its bytes, and raises [End_of_file] if
    there are fewer, which then stay in the input. *)

val uint8 : Input.t -> int
(** [uint8 r] takes a byte. *)

val uint16 : Input.t -> int
(** [uint16 r] takes two bytes. *)

val int16 : Input.t -> int
(** [int16 r] takes two bytes, in two's complement. *)

val uint32 : Input.t -> int
(** [uint32 r] takes four bytes. *)

val int32 : Input.t -> int
(** [int32 r] takes four bytes, in two's complement. *)

val uint64 : Input.t -> int64
(** [uint64 r] takes eight bytes; as [int64] is signed, one of [2^63] or more is negative
    ([Int64.unsigned_compare], [Printf]'s [%Lu]). *)

val float : Input.t -> float
(** [float r] takes the eight bytes of an IEEE 754 number. *)
