(** Ethernet addresses, represented as text. Private to Soil; documented in {!Net}. *)

type t

external of_text : string -> t = "%identity"
(** [of_text s] is the address with the canonical form [s]. *)

external text : t -> string = "%identity"
(** [text m] is the canonical form of [m]. *)
