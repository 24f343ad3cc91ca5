(** Keys that sign: secrets and private keys. *)

type t
(** The type for keys. *)

val hs256 : ?id:string -> string -> t
(** [hs256 secret] is as {!Key.hs256}. [id], in all functions, is the [kid] of the tokens. *)

val rs256 : ?id:string -> Mirage_crypto_pk.Rsa.priv -> t
(** [rs256 key] raises as {!Key.rs256}. *)

val es256 : ?id:string -> Mirage_crypto_ec.P256.Dsa.priv -> t
(** [es256 key] signs with the nonces of RFC 6979. *)

val eddsa : ?id:string -> Mirage_crypto_ec.Ed25519.priv -> t

val key : t -> Key.t
(** [key t] verifies what [t] signs. *)

val sign : t -> string -> string
(** [sign t s] is the signature of [s]. Waits, and raises, only as {!Soil.Random.fill}, which hides
    the time that RSA takes. *)
