(** SHA-256 ({{:https://doi.org/10.6028/NIST.FIPS.180-4}FIPS 180-4}) and HMAC with it
    ({{:https://www.rfc-editor.org/rfc/rfc2104}RFC 2104}), which proves that a string comes from one
    who has the key: for cookies, tokens, webhooks.

    {[
      let is_genuine ~key body signature = Soil.Sha256.(equal (hmac ~key body) signature)
    ]}

    Functions don't wait, and can be called in every thread and domain. A megabyte takes some
    milliseconds, during which other tasks don't run. Neither protects passwords: see
    [soil-web.password]. *)

val digest : string -> string
(** [digest s] is the 32 bytes of SHA-256 of [s]. *)

val hmac : key:string -> string -> string
(** [hmac ~key s] is the 32 bytes of the code that authenticates [s]. A key of 32 bytes of {!Random}
    is as good as a longer one; a key has one purpose. *)

val equal : string -> string -> bool
(** [equal a b] is [a = b], in a time that depends on their lengths only: measuring it doesn't
    reveal a secret byte by byte, as with [(=)]. *)
