(** Printers and hashes of values, without linking [Format] and [Hashtbl]. Private to Soil. *)

val string : Format.formatter -> string -> unit
(** [string f s] is [Format.pp_print_string f s]. *)

val hash : 'a -> int
(** [hash v] is [Hashtbl.hash v]. *)
