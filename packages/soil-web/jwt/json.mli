(** Objects of JSON (RFC 8259), bounded before they are parsed. Private to [soil-web.jwt]. *)

type t = (string * Yojson.Safe.t) list

val parse : max_values:int -> string -> (t, string) result
(** [parse ~max_values s] is the object [s]. It is an error if values are nested more than 16 deep,
    and as in [Soil_http_yojson.parse]. *)

val string : t -> string -> (string option, string) result
(** [string o name] is the string [name] of [o], if there is one; an error for another type. *)
