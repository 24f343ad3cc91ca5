module Problem = Problem
module Failure = Failure
module Store = Store

type dns = name:string -> value:string -> unit -> unit
type challenge = Renewal.challenge = Http_01 | Tls_alpn_01 | Dns_01 of dns
type external_account = Renewal.external_account = { kid : string; hmac_key : string }

type status = Renewal.status = {
  valid_until : float option;
  next_attempt : float;
  failures : int;
  last_failure : string option;
}

type t = Renewal.t

let lets_encrypt = Uri.of_string "https://acme-v02.api.letsencrypt.org/directory"
let lets_encrypt_staging = Uri.of_string "https://acme-staging-v02.api.letsencrypt.org/directory"
let create = Renewal.create
let certificates = Renewal.certificates
let http t handler request = Challenges.http (Renewal.answers t) handler request
let tls t config d = Challenges.tls (Renewal.answers t) config d
let run = Renewal.run
let status = Renewal.status
