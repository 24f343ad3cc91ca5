(** What a CA says of a failure
    ({{:https://www.rfc-editor.org/rfc/rfc8555#section-6.7}RFC 8555 §6.7},
    {{:https://www.rfc-editor.org/rfc/rfc9457}RFC 9457}). *)

type t = {
  kind : string;
      (** The type: ["rateLimited"] for [urn:ietf:params:acme:error:rateLimited], or a whole URI. *)
  detail : string;
  status : int;  (** 0 if unknown. *)
  identifier : string option;  (** The name that a subproblem is about. *)
  subproblems : t list;
}
(** The type for problems. Texts are of 500 bytes at most, printable ASCII without line breaks;
    there are at most 20 subproblems, which have none themselves. *)

val of_json : Yojson.Safe.t -> t
(** [of_json json] is the problem in [json]. What is missing or of a wrong type is empty. *)

val to_string : t -> string
(** [to_string p] is one line: ["rejectedIdentifier (400): … [a.example: caa: …]"]. *)
