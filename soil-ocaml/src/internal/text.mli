(** Texts. Private to Soil. *)

val number : float -> string
(** [number x] is [x] in decimal, without trailing zeros: ["2"], ["0.5"]. *)

val fetch : (int -> int) -> (bytes -> int -> int -> int) -> string
(** [fetch check get] is the text that Rust copies in [get buffer offset length], which returns its
    whole length; [check] checks that result. *)
