(** A certificate that is kept: when to renew it, and what became of that. *)

type dns = name:string -> value:string -> unit -> unit
type challenge = Http_01 | Tls_alpn_01 | Dns_01 of dns
type external_account = { kid : string; hmac_key : string }

type status = {
  valid_until : float option;
  next_attempt : float;
  failures : int;
  last_failure : string option;
}

type t

val create :
  ?contact:string list ->
  ?external_account:external_account ->
  ?key_type:Certificate.key_type ->
  ?report:(string -> unit) ->
  client:Soil_http.Client.t ->
  store:Store.t ->
  terms_agreed:bool ->
  challenges:challenge list ->
  Uri.t ->
  string list ->
  t

val certificates : t -> Soil_tls.certificates
val answers : t -> Challenges.t
val status : t -> status
val run : t -> 'a
