(** Texts. Private to Soil. *)

val number : float -> string
(** [number x] is [x] in decimal, without trailing zeros: ["2"], ["0.5"]. *)

val value : (string -> 'a option) -> string -> string -> 'a
(** [value of_string_opt what s] is the value of [s]. Raises [Invalid_argument] with [what] if there
    is none. *)

val cut : char -> string -> string * string
(** [cut c s] is the parts of [s] before and after the first [c], which both lack it. *)

val fetch : (int -> int) -> (bytes -> int -> int -> int) -> string
(** [fetch check get] is the text that Rust copies in [get buffer offset length], which returns its
    whole length; [check] checks that result. *)
