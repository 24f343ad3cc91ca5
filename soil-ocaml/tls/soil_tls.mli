(** TLS 1.2 and 1.3 over any flow, as client and as server.

    {[
      module Tls = Soil_tls

      let config = Tls.client_config [ Tls.Mozilla.roots ]

      let get host =
        let connection = Soil.Tcp.connect_host host ~port:443 in
        Tls.with_client config ~host connection @@ fun c ->
        Soil.File_descriptor.write_string c ("GET / HTTP/1.1\r\nHost: " ^ host ^ "\r\n\r\n");
        Soil.Reader.(line (create c))
    ]}

    A connection is a {!Soil.Flow.t} and can replace a TCP connection. The protocol is rustls', the
    cryptography ring's. There is no renegotiation, no compression, no early data (0-RTT), and
    neither RSA key exchange nor CBC: peers need ECDHE with AES-GCM or ChaCha20-Poly1305, which all
    of the last ten years have.

    {b Tasks.} Connections are for tasks. One task may read while another writes. As
    {!Soil.File_descriptor} guarantees, a cancelled or timed-out call loses nothing.

    {b Time.} Certificates are checked by the machine's clock ({!Soil.Clock}).

    {b Errors} are {!Soil.exception-Error}s, whose detail names the certificate and the fault, or
    the peer's alert: [Certificate] if this end rejected the peer's certificate or the peer this
    end's; [Tls] if the peer violated the protocol or supports nothing in common; [Connection_reset]
    if it ended the connection without close_notify, so that its data may be truncated; [Busy] if
    this end ended it: a server's handshake in favour of others, because all handshakes in progress
    share a sixteenth of the memory, or a connection that was open in a snapshot of the machine; and
    those of the underlying flow. Faults of a server's peers are also logged, in one line at level
    info; {!Soil.Tcp.serve} reports them to [on_error] only. *)

(** {1:trust Certificates and trust} *)

type roots = Settings.roots
(** The type for trusted authorities. *)

val pem : string -> roots
(** [pem text] is the certificates in a PEM text. *)

type certificates = Settings.certificates
(** The type for a program's own certificates with their private keys. *)

val certificates : (string * string) list -> certificates
(** [certificates [ (chain, key); … ]] is certificates from PEM texts: the certificate followed by
    its intermediate certificates, and its unencrypted private key (RSA, ECDSA on P-256 or P-384,
    Ed25519). A server presents the first one for the server name that the client sent, otherwise
    the first; a client presents the first. Raises {!Soil.exception-Error} with [Bad_configuration].
*)

val replace : certificates -> (string * string) list -> unit
(** [replace c l] replaces the contents of [c] with [certificates l] for later handshakes, also of
    running servers. If it raises {!Soil.exception-Error}, nothing has changed. *)

module Mozilla = Mozilla
module Files = Files

(** {1:config Configurations} *)

(** The type for versions of the protocol. *)
type version = Settings.version = Tls_1_2 | Tls_1_3

type client_config
(** The type for a client's configuration, including its sessions for resumption: create one, and
    use it for all connections. *)

val client_config :
  ?versions:version list ->
  ?protocols:string list ->
  ?certificates:certificates ->
  ?revoked:string list ->
  ?sessions:int ->
  ?key_log:(string -> unit) ->
  roots list ->
  client_config
(** [client_config roots] accepts servers with certificates of these authorities.

    - [versions] (default: both) are the supported versions.
    - [protocols] are offered by ALPN ({{:https://www.rfc-editor.org/rfc/rfc7301}RFC 7301}), best
      first; {!protocol} is the choice.
    - [certificates] are presented to servers that request one.
    - [revoked] are PEM texts of revocation lists: a certificate on its issuer's list is rejected;
      without a list of its issuer it is accepted. When a list has expired ([nextUpdate]), all
      certificates of that issuer are rejected: make a configuration with the current list before.
    - Sessions of up to [sessions] servers (default: 256) are stored for resumption, until the
      server's certificate expires; [0] stores none.
    - [key_log] gets the keys of each session after its handshake, as lines for Wireshark; they
      decrypt all traffic. For debugging only.

    Doesn't wait. Raises {!Soil.exception-Error} with [Bad_configuration], [Invalid_argument] if a
    protocol isn't 1 to 255 bytes long. *)

type server_config
(** The type for a server's configuration. *)

val server_config :
  ?versions:version list ->
  ?protocols:string list ->
  ?clients:[ `Required of roots list | `Optional of roots list ] ->
  ?revoked:string list ->
  ?sessions:int ->
  ?key_log:(string -> unit) ->
  certificates ->
  server_config
(** [server_config c] presents these certificates.

    - [clients] requests client certificates of these authorities. With [`Optional], a client may
      have none.
    - The first of [protocols] that the client offers is selected. A client that offers only others
      is rejected.
    - Sessions are resumed by tickets, with keys rotated every six hours, and up to [sessions]
      (default: 4096) by identifier; [0] disables resumption. A resumed session verifies no client
      certificate again, and gets a new ticket: with [clients] whose certificates expire soon or are
      revoked, use [0].

    Otherwise as {!client_config}. *)

(** {1:connections Connections} *)

type t = Soil.Flow.t
(** The type for connections. *)

val client :
  client_config -> host:string -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t -> t
(** [client config ~host d] performs a handshake over [d] with a server whose certificate must be
    for [host], a name or an address. The result owns [d] and closes it, also if the handshake
    fails. Waits without a limit: use {!Soil.Task.timeout}. *)

val server :
  ?received:string -> server_config -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t -> t
(** [server config d] is likewise a server's end. [received] is what was read from [d] before, at
    most 16 KiB: a program can choose [config] by the client's first message. *)

val with_client :
  client_config ->
  host:string ->
  [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t ->
  (t -> 'a) ->
  'a
(** [with_client config ~host d f] is [f (client config ~host d)]. When [f] returns, close_notify is
    sent, unless the peer has closed its end; then, or if [f] raises, the connection is closed. *)

val with_server :
  server_config -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t -> (t -> 'a) -> 'a
(** [with_server config d f] is likewise with {!server}: the handler of {!Soil.Tcp.serve}. *)

(** [Soil.File_descriptor.shutdown c `Send] sends close_notify and waits until it is written; the
    peer's data can still be read. [Soil.File_descriptor.close c] sends none: without a [shutdown]
    before, the peer regards the data as truncated. *)

(** {1:information Information}

    These raise [Invalid_argument] for a descriptor that isn't a TLS connection. *)

val version : _ Soil.File_descriptor.t -> version
(** [version c] is the negotiated version. *)

val cipher_suite : _ Soil.File_descriptor.t -> string
(** [cipher_suite c] is the name of the cipher suite, such as ["TLS13_AES_256_GCM_SHA384"]. *)

val protocol : _ Soil.File_descriptor.t -> string option
(** [protocol c] is the protocol selected by ALPN. *)

val resumed : _ Soil.File_descriptor.t -> bool
(** [resumed c] is [true] iff an earlier session was resumed. *)

val peer_certificates : _ Soil.File_descriptor.t -> string list
(** [peer_certificates c] is the peer's certificate chain in DER, its own first. *)

val peer_name : _ Soil.File_descriptor.t -> string option
(** [peer_name c] is the subject of the peer's certificate, such as ["CN=client, O=Example"]. Values
    are escaped ({{:https://www.rfc-editor.org/rfc/rfc4514#section-2.4}RFC 4514 §2.4}): a comma is
    ["\\,"]. *)

val update_keys : _ Soil.File_descriptor.t -> unit
(** [update_keys c] replaces the keys of sent data
    ({{:https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3}RFC 8446 §4.6.3}); the library also
    does so before a key's usage limit. Waits. Raises {!Soil.exception-Error} with
    [Bad_configuration] in TLS 1.2. *)
