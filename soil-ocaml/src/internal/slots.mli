(** The functions on arrays that Soil's modules use. [Stdlib.Array] would add 34 KB to an image.
    Private to Soil. *)

external make : int -> 'a -> 'a array = "caml_make_vect"
(** [make n v] is an array of [n] elements [v]. *)

val init : int -> (int -> 'a) -> 'a array
(** [init n f] is [[| f 0; …; f (n - 1) |]]; [n > 0]. *)

val blit : 'a array -> int -> 'a array -> int -> int -> unit
(** [blit src src_first dst dst_first n] copies [n] elements between different arrays. *)
