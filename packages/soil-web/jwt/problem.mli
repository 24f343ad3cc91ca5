(** Reasons to refuse a token. *)

type t =
  | Too_large  (** It has more bytes than the policy permits. *)
  | Malformed of string  (** It isn't a signed token, or a claim has another type. *)
  | Critical  (** Its header has [crit]: extensions aren't supported. *)
  | Algorithm  (** No key has the algorithm of its header; none has [none]. *)
  | Unknown_key  (** No key has its [kid], or more than 4 keys may be meant. *)
  | Unusable_key of string
      (** The issuer's key with its [kid] is left out, for this reason: {!Jwks.left_out}. *)
  | Signature  (** It isn't signed by the key. *)
  | Type  (** Its [typ] isn't the policy's. *)
  | Missing of string  (** It lacks this claim. *)
  | Expired
  | Not_yet_valid  (** [nbf] is in the future. *)
  | Issued_in_future  (** [iat] is in the future. *)
  | Issuer  (** [iss] isn't the policy's. *)
  | Audience  (** [aud] hasn't the policy's, or the policy has none. *)
  | Unavailable of string  (** The issuer's keys couldn't be fetched. *)

val to_string : t -> string
(** [to_string p] is one line, without contents of the token but names, for logs. Send clients no
    more than a 401. *)
