(** Media types with parameters, as in [Content-Type]
    ({{:https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1}RFC 9110 §8.3.1}). *)

type t = {
  name : string;  (** Type and subtype in lower case: ["text/html"]. *)
  parameters : (string * string) list;  (** Names in lower case, values without quotes. *)
}
(** The type for media types. *)

val of_string : string -> t option
(** [of_string s] parses [s], or is [None] if it is malformed or has a parameter twice. *)

val of_request : Server.request -> t option
(** [of_request r] is the type of the body of [r], or [None] if the field is missing, malformed or
    there are several. *)
