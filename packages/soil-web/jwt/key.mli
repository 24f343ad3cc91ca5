(** Keys that verify. Each has one algorithm, which a token can't change
    ({{:https://www.rfc-editor.org/rfc/rfc8725#section-3.1}RFC 8725 §3.1}). *)

(** The type for algorithms (RFC 7518 §3.1, RFC 8037 §3.1). There is no [none]. *)
type algorithm =
  | HS256  (** HMAC with SHA-256 *)
  | RS256  (** RSASSA-PKCS1-v1_5 with SHA-256 *)
  | ES256  (** ECDSA on P-256 with SHA-256 *)
  | EdDSA  (** Ed25519; tokens and keys may also have its name of RFC 9864, [Ed25519] *)

type t
(** The type for keys. *)

val hs256 : ?id:string -> string -> t
(** [hs256 secret] is a shared secret of 32 to 1024 bytes of {!Soil.Random} (RFC 7518 §3.2). Raises
    [Invalid_argument] for another length, and for the PEM text of a key or certificate.

    [id], in all functions, is the [kid] of the tokens. A key without it is tried for each token of
    its algorithm. *)

val rs256 : ?id:string -> Mirage_crypto_pk.Rsa.pub -> t
(** [rs256 key] has 2048 to 8192 bits (RFC 7518 §3.3) and an odd exponent of at most 32 bits. Raises
    [Invalid_argument] otherwise. *)

val es256 : ?id:string -> Mirage_crypto_ec.P256.Dsa.pub -> t
val eddsa : ?id:string -> Mirage_crypto_ec.Ed25519.pub -> t
val id : t -> string option
val algorithm : t -> algorithm

val algorithm_to_string : algorithm -> string
(** [algorithm_to_string a] is the name that tokens and published keys get: for EdDSA the older one,
    which all libraries know. *)

val algorithm_of_string : string -> algorithm option

(** {1:low Low level} *)

val verify : t -> signature:string -> string -> bool
(** [verify key ~signature s] is whether [signature] is one of [s]. Its comparison of secrets takes
    the same time for each content. Doesn't wait; takes up to some milliseconds. *)

type material =
  | Secret of string
  | Rsa of Mirage_crypto_pk.Rsa.pub
  | P256 of Mirage_crypto_ec.P256.Dsa.pub
  | Ed25519 of Mirage_crypto_ec.Ed25519.pub

val material : t -> material
