(** Account keys and their signatures: flattened JWS with ES256
    ({{:https://www.rfc-editor.org/rfc/rfc7515}RFC 7515},
    {{:https://www.rfc-editor.org/rfc/rfc7518#section-3.4}RFC 7518 §3.4}). *)

type key

val generate : unit -> key
val to_pem : key -> string

val of_pem : string -> key option
(** [of_pem s] is the key on P-256 in [s]. *)

val base64 : string -> string
(** [base64 s] is base64url without padding. *)

val of_base64 : string -> string option

val is_base64 : string -> bool
(** [is_base64 s] is whether [s] has one or more characters of base64url and no others. *)

val is_token : string -> bool
(** [is_token s] is whether [s] can be a challenge's token: {!is_base64}, of at most 128 bytes. *)

val jwk : key -> Yojson.Safe.t
(** [jwk k] is the public key ({{:https://www.rfc-editor.org/rfc/rfc7517}RFC 7517}). *)

val thumbprint : key -> string
(** [thumbprint k] is the SHA-256 of {!jwk} ({{:https://www.rfc-editor.org/rfc/rfc7638}RFC 7638}),
    in base64url. *)

val sign : key -> ?kid:string -> nonce:string -> url:string -> string -> string
(** [sign k ~nonce ~url payload] is the request's body
    ({{:https://www.rfc-editor.org/rfc/rfc8555#section-6.2}RFC 8555 §6.2}), with [kid], or else the
    public key, in its header. *)

val bind : key -> kid:string -> secret:string -> url:string -> Yojson.Safe.t
(** [bind k ~kid ~secret ~url] is the field [externalAccountBinding]
    ({{:https://www.rfc-editor.org/rfc/rfc8555#section-7.3.4}RFC 8555 §7.3.4}) with HS256. *)
