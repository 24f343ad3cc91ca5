(** Conditional requests and ranges
    ({{:https://www.rfc-editor.org/rfc/rfc9110#section-13}RFC 9110 §13 and §14}). Private to
    [soil.http]. *)

type t = {
  tag : string;  (** The entity tag, quotes included; it begins with [W/] if it is weak. *)
  modified : float option;  (** Seconds since 1970. *)
}
(** The type for what tells the states of a resource apart. *)

(** The type for what a request gets. *)
type outcome =
  | Whole
  | Parts of (int * int) list  (** Position and length of each, at least one, in order, apart. *)
  | Unsatisfiable  (** A range beyond the end. *)
  | Not_modified
  | Failed  (** A precondition isn't met. *)

val judge : Cohttp.Request.t -> t -> size:int -> outcome
(** [judge request v ~size] is what [request] gets of a resource of [size] bytes in state [v].
    Ranges that overlap or nearly touch become one; of more than 16 none is taken. *)
