(** Texts that Rust copies to a buffer, answering with their whole length. Private to Soil. *)

val fetch : (int -> int) -> (bytes -> int -> int -> int) -> string
(** [fetch check get] is the text that [get buffer offset length] copies, where [check] takes the
    result of that. *)
