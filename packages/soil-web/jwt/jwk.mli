(** Keys as JSON ({{:https://www.rfc-editor.org/rfc/rfc7517}RFC 7517}), by RFC 7518 §6 and RFC 8037
    §2. A text has at most 100 values for a key, nested at most 16 deep, and each name once in an
    object. Errors are one line. *)

val key : string -> (Key.t, string) result
(** [key text] is a public key: RSA, P-256 or Ed25519, whose [use] is [sig], [key_ops] have [verify]
    and [alg] is the key's, if they are there. Padding after its numbers is ignored. A secret
    ([oct]) is refused. *)

val signer : string -> (Signer.t, string) result
(** [signer text] is a private key or a secret, likewise with [sign] in [key_ops]. A private key of
    RSA needs its two primes. *)

val set :
  ?max_bytes:int ->
  ?max_keys:int ->
  ?left_out:(string option -> string -> unit) ->
  string ->
  (Key.t list, string) result
(** [set text] is the public keys of a JWK Set. Keys that {!key} refuses are left out (RFC 7517 §5),
    secrets too: [left_out kid reason] is called for each, with a reason of one line. It is an error
    if [text] has more than [max_bytes] (default: 256 KiB) or [max_keys] keys (default: 100). *)

val set_to_string : Key.t list -> string
(** [set_to_string keys] is a JWK Set for publication, without the secrets among [keys]. *)
