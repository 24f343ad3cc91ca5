(** Conditional requests and ranges
    ({{:https://www.rfc-editor.org/rfc/rfc9110#section-13}RFC 9110 §13 and §14}). Private to
    [soil-http]. *)

type t = {
  tag : string;  (** The entity tag, with quotes; it begins with [W/] if it is weak. *)
  modified : float option;  (** Seconds since 1970. *)
}
(** The type for validators of a resource. *)

(** The type for results of a request. *)
type outcome =
  | Whole
  | Parts of (int * int) list
      (** Position and length of each, at least one, sorted and disjoint. *)
  | Unsatisfiable  (** A range beyond the end. *)
  | Not_modified
  | Failed  (** A precondition isn't met. *)

val judge : Cohttp.Request.t -> t -> size:int -> outcome
(** [judge request v ~size] is the result of [request] for a resource of [size] bytes with the
    validators [v]. Overlapping and close ranges are merged; more than 16 are ignored. *)
