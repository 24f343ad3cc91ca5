(** The exchange with a CA ({{:https://www.rfc-editor.org/rfc/rfc8555}RFC 8555}), for one attempt.

    Answers have at most 64 KiB of JSON with 2000 values, chains 256 KiB; a request ends after 60 s.
    It is repeated up to 4 times if the connection or the server (5xx) fails, up to 10 times for
    [badNonce]. Polls are at least a second apart. All functions wait, and raise {!Failure.Failed},
    and what the client raises. *)

type t
type external_account = { kid : string; secret : string  (** Of HMAC, decoded. *) }

val connect : Soil_http.Client.t -> Uri.t -> Jws.key -> t
(** [connect client directory key] reads the directory. Its URLs, and later ones, have its scheme.
*)

val register : t -> contact:string list -> terms_agreed:bool -> external_account option -> unit
(** [register t] creates the account of the key, or finds it (§7.3). *)

(** The type for challenges, with the name of the challenge's resource. *)
type challenge =
  | Http_01 of { token : string; authorization : string }
  | Tls_alpn_01 of { authorization : string }
  | Dns_01 of { value : string  (** Of the TXT record. *) }

type kind = [ `Http_01 | `Tls_alpn_01 | `Dns_01 ]

val order :
  t ->
  names:Certificate.name list ->
  replaces:string option ->
  choose:(wildcard:bool -> Certificate.name -> kind list) ->
  publish:(Certificate.name -> challenge -> unit -> unit) ->
  key_type:Certificate.key_type ->
  Certificate.pair
(** [order t ~names …] is a certificate for [names] with a new key. [choose] is the kinds of
    challenges that may be used for a name, the best first. [publish name challenge] returns when
    the CA may validate, and is the function that ends it, which is called in any case. [replaces]
    is the ARI identifier of the certificate before ([replaces] of RFC 9773 §5). Waits without a
    limit for a CA that validates. *)

type window = {
  first : float;
  last : float;  (** Seconds since 1970. *)
  explanation : string option;
  again : float option;  (** Seconds until the next question. *)
}

val renewal_info : t -> string -> window option
(** [renewal_info t id] is when the CA suggests to renew the certificate (RFC 9773 §4); [None] if it
    doesn't. *)
