(** Certificates from a CA with ACME ({{:https://www.rfc-editor.org/rfc/rfc8555}RFC 8555}), such as
    Let's Encrypt, renewed while a server runs.

    {[
      module Acme = Soil_acme

      let client = Soil_http.Client.create ~tls:(Soil_tls.client ca) ~max_redirects:0 ()

      let () =
        Soil.run @@ fun () ->
        let store = Acme.Store.directory "/data/acme" in
        let acme =
          Acme.create ~client ~store ~terms_agreed:true ~challenges:[ Tls_alpn_01 ]
            Acme.lets_encrypt
            [ "example.com"; "www.example.com" ]
        in
        let config = Soil_tls.server_config (Acme.certificates acme) in
        Soil.Task.scope @@ fun scope ->
        ignore (Soil.Task.spawn_daemon scope (fun () -> Acme.run acme));
        Soil_http.Server.serve ~secure:(Acme.tls acme config) (Soil.Tcp.listen ~port:443 ()) app
    ]}

    {b Renewal.} A certificate is renewed after two thirds of its lifetime, a little earlier by
    chance, or in the window that the CA suggests (ARI,
    {{:https://www.rfc-editor.org/rfc/rfc9773}RFC 9773}). Each has a new key. It is used once it has
    been checked: its chain, its names, its key, its end.
    {b A failure leaves the certificate in use as it is.} The next attempt comes after 1, 4, 16, …
    minutes, at most 12 hours, or later if the CA wants so ([Retry-After]), at most a day. The store
    remembers that, so that a program that crashes and starts again doesn't place an order each
    time. An attempt ends after 30 minutes.

    {b Several machines} may share a store. They have one account, one of them orders at a time, all
    answer the challenges, and use the new certificate within 5 minutes. If one disappears during an
    order, another one orders after half an hour.

    {b The CA} can't make the program hold more than 64 KiB of JSON or 128 KiB of a chain, follow a
    URL from https to http, or poll more than once a second.

    {b Metrics} (of [soil-sight.metrics], with the first name as the label [name]):
    [acme_certificate_valid_until_seconds], [acme_next_attempt_seconds], and [acme_attempts_total]
    with [result]. Alert on the first: [acme_certificate_valid_until_seconds - time() < 86400 * 14].
*)

module Problem = Problem
module Failure = Failure
module Store = Store

(** {1:cas CAs} *)

val lets_encrypt : Uri.t
(** [lets_encrypt] is the directory of Let's Encrypt. *)

val lets_encrypt_staging : Uri.t
(** [lets_encrypt_staging] is its directory for tests, whose certificates no client trusts. *)

type external_account = Renewal.external_account = {
  kid : string;
  hmac_key : string;  (** In base64url, as the CA gives it. *)
}
(** The type for credentials of an account outside of ACME (RFC 8555 §7.3.4). *)

(** {1:challenges Challenges} *)

type dns = name:string -> value:string -> unit -> unit
(** The type for changes of the DNS: [f ~name ~value] adds the TXT record [value] to [name]
    ([_acme-challenge.example.com]), beside others, waits until all name servers have it, and is the
    function that removes it. It may raise anything. *)

(** The type for proofs of control over a name. *)
type challenge = Renewal.challenge =
  | Http_01  (** {!val-http} on port 80 (RFC 8555 §8.3). *)
  | Tls_alpn_01
      (** {!val-tls} on port 443 ({{:https://www.rfc-editor.org/rfc/rfc8737}RFC 8737}). *)
  | Dns_01 of dns  (** The only one for wildcards; not for addresses (RFC 8555 §8.4). *)

(** {1:certificates Certificates} *)

type t
(** The type for a certificate that is kept. *)

val create :
  ?contact:string list ->
  ?external_account:external_account ->
  ?key_type:[ `P256 | `P384 ] ->
  ?report:(string -> unit) ->
  client:Soil_http.Client.t ->
  store:Store.t ->
  terms_agreed:bool ->
  challenges:challenge list ->
  Uri.t ->
  string list ->
  t
(** [create ~client ~store ~terms_agreed ~challenges directory names] is a certificate for [names]:
    DNS names, wildcards and addresses ({{:https://www.rfc-editor.org/rfc/rfc8738}RFC 8738}), at
    most 100. It begins with the one in [store] for the first name, also if it lacks others of
    [names]: then {!run} orders at once. Without one it is a certificate that no client trusts, so
    that servers can start.

    - [client] reaches the CA. Redirects of its answers can't be followed.
    - [terms_agreed]: you agree to the CA's terms of service.
    - [challenges]: the first one that the CA offers for a name is used.
    - [contact] are URLs such as [mailto:admin@example.com].
    - [key_type] (default: [`P256]) is the kind of the certificate's keys; the account's are on
      P-256.
    - [report] gets a line for each failure (default: to standard error).

    Calls {!Soil_mirage_crypto_rng.use_default}. Waits for [store], and raises what it raises.
    Raises [Invalid_argument] if [names] or [challenges] is empty or malformed. *)

val certificates : t -> Soil_tls.certificates
(** [certificates t] is the certificate in use, for {!Soil_tls.val-server_config}; handshakes that
    begin after a renewal use the new one. *)

val run : t -> 'a
(** [run t] renews the certificate whenever it is due, until it is cancelled. Call it in one task.
*)

val http :
  t ->
  (Soil_http.Server.request -> Soil_http.Server.response) ->
  Soil_http.Server.request ->
  Soil_http.Server.response
(** [http t handler] answers requests of the CA for [Http_01], also those of other machines' orders;
    other requests go to [handler]. *)

val tls :
  t ->
  Soil_tls.server_config ->
  [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t ->
  Soil_tls.t
(** [tls t config] is {!Soil_tls.server}[ config] that answers the CA for [Tls_alpn_01]: for
    [secure] of {!Soil_http.Server.serve}. Sessions of the CA end after the handshake. *)

(** {1:status Status} *)

type status = Renewal.status = {
  valid_until : float option;  (** In seconds since 1970; [None] without a certificate. *)
  next_attempt : float;  (** In seconds since 1970; in the past if it is due. *)
  failures : int;  (** Attempts that have failed since the last success. *)
  last_failure : string option;  (** With the CA's problem document. *)
}
(** The type for what became of renewals. *)

val status : t -> status
(** [status t] doesn't wait. *)
