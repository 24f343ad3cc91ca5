(** Signed texts in the compact form of
    {{:https://www.rfc-editor.org/rfc/rfc7515#section-7.1}RFC 7515}: three parts with dots between
    them. For tokens with claims see {!Soil_jwt.verify}. *)

type t
(** The type for texts whose signature wasn't verified. *)

val default_max_bytes : int
(** [default_max_bytes] is 16 KiB. *)

val of_string : ?max_bytes:int -> string -> (t, Problem.t) result
(** [of_string s] parses the header of [s]. In this order it is refused

    - with more than [max_bytes] (default: {!default_max_bytes}), before any other work;
    - with another number of parts than three, or base64url that isn't the shortest encoding;
    - with a header of more than 500 values, nested more than 16 deep, or a name twice;
    - with [crit], even if it is empty;
    - with an algorithm that isn't one of {!Key.type-algorithm}.

    [jwk], [jku], [x5c], [x5u] and all other names are ignored: a token never brings its key. *)

val algorithm : t -> Key.algorithm
val id : t -> string option

val typ : t -> string option
(** [typ t] is in lowercase, without ["application/"] (RFC 7515 §4.1.9). *)

val verify : Key.t list -> t -> (string, Problem.t) result
(** [verify keys t] is the payload, if one of [keys] verifies it: one with the algorithm and the
    [kid] of [t]. At most 4 keys are tried. *)

val sign : ?typ:string -> Signer.t -> string -> string
(** [sign signer payload] is [payload], signed, with [alg], [typ] and [kid] in its header. *)
