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

    A connection is a {!Soil.Flow.t}: it goes wherever a TCP connection goes. The protocol is
    rustls', the cryptography ring's. There is no renegotiation, no compression, no early data
    (0-RTT), and neither RSA key exchange nor CBC: peers need ECDHE with AES-GCM or
    ChaCha20-Poly1305, as all of the last ten years have.

    {b Tasks.} Connections belong to tasks. One task may read while another writes. What
    {!Soil.File_descriptor} promises holds: a cancelled or timed-out call has lost nothing.

    {b Time.} Certificates are checked by the machine's clock ({!Soil.Clock}).

    {b Errors} are {!Soil.exception-Error}s, whose detail names the certificate and what is wrong
    with it, or the peer's alert: [Certificate] if one wasn't accepted, the peer's here or this
    end's there; [Tls] if the peer broke the protocol or has nothing in common with this end;
    [Connection_reset] if it ended the connection without close_notify, so that what it sent may be
    cut; [Busy] if this end ended it: a server's handshake for others, as all handshakes in progress
    share a sixteenth of the memory, or a connection that was open in a snapshot of the machine; and
    those of the flow below. What the peer of a server does wrong is also logged, in one line at the
    level of information; {!Soil.Tcp.serve} reports it to [on_error] only. *)

(** {1:trust Certificates and trust} *)

type roots = Settings.roots
(** The type for authorities whose certificates are accepted. *)

val pem : string -> roots
(** [pem text] is the certificates of a PEM text. *)

type certificates = Settings.certificates
(** The type for a program's own certificates with their private keys. *)

val certificates : (string * string) list -> certificates
(** [certificates [ (chain, key); … ]] is certificates from PEM texts: the certificate with those
    between it and the root behind it, and its private key, which isn't encrypted (RSA, ECDSA on
    P-256 or P-384, Ed25519). A server shows the first one that is for the name that the client asks
    for, else the first; a client shows the first. Raises {!Soil.exception-Error} with
    [Bad_configuration]. *)

val replace : certificates -> (string * string) list -> unit
(** [replace c l] makes [c] be [certificates l] for handshakes that begin after this, also of
    servers that run. If it raises {!Soil.exception-Error}, nothing has changed. *)

module Mozilla = Mozilla
module Files = Files

(** {1:config Configurations} *)

(** The type for versions of the protocol. *)
type version = Settings.version = Tls_1_2 | Tls_1_3

type client_config
(** The type for what the connections of a client have in common, its sessions for resumption among
    it: make one, and use it for all. *)

val client_config :
  ?versions:version list ->
  ?protocols:string list ->
  ?certificates:certificates ->
  ?revoked:string list ->
  ?sessions:int ->
  ?key_log:(string -> unit) ->
  roots list ->
  client_config
(** [client_config roots] accepts servers whose certificates these authorities have signed.

    - [versions] (default: both) are those that are spoken.
    - [protocols] are offered by ALPN ({{:https://www.rfc-editor.org/rfc/rfc7301}RFC 7301}), best
      first; {!protocol} is the choice.
    - [certificates] are shown to servers that ask.
    - [revoked] are PEM texts of revocation lists: a certificate on its issuer's list is refused,
      one whose issuer has no list here isn't.
    - Sessions of up to [sessions] servers (default: 256) are kept to be resumed; [0] keeps none.
    - [key_log] gets the keys of each session after its handshake, as lines that Wireshark reads;
      they decrypt everything that is sent. For debugging only.

    Doesn't wait. Raises {!Soil.exception-Error} with [Bad_configuration], [Invalid_argument] if a
    protocol isn't 1 to 255 bytes long. *)

type server_config
(** The type for what the connections of a server have in common. *)

val server_config :
  ?versions:version list ->
  ?protocols:string list ->
  ?clients:[ `Required of roots list | `Optional of roots list ] ->
  ?revoked:string list ->
  ?sessions:int ->
  ?key_log:(string -> unit) ->
  certificates ->
  server_config
(** [server_config c] shows these certificates.

    - With [clients] it asks clients for a certificate that these authorities have signed. If
      [`Optional], a client may have none.
    - Of [protocols] the first that the client offers is chosen. A client that offers others only is
      refused.
    - Sessions are resumed by tickets, whose keys change every six hours, and up to [sessions]
      (default: 4096) by identifier; [0] resumes none.

    Otherwise as {!client_config}. *)

(** {1:connections Connections} *)

type t = Soil.Flow.t
(** The type for connections. *)

val client :
  client_config -> host:string -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t -> t
(** [client config ~host d] makes a handshake over [d] with a server whose certificate has to be for
    [host], a name or an address. [d] belongs to the result: it is closed with it, and if the
    handshake fails. Waits, for as long as the peer takes: put {!Soil.Task.timeout} around it. *)

val server : server_config -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t -> t
(** [server config d] is likewise the end of a server. *)

val with_client :
  client_config ->
  host:string ->
  [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t ->
  (t -> 'a) ->
  'a
(** [with_client config ~host d f] is [f (client config ~host d)]. When [f] returns, the peer is
    told that all was sent (close_notify), unless it has closed its end; the connection is closed
    then, and if [f] raises. *)

val with_server :
  server_config -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t -> (t -> 'a) -> 'a
(** [with_server config d f] is likewise with {!server}: the handler of {!Soil.Tcp.serve}. *)

(** [Soil.File_descriptor.shutdown c `Send] says that all was sent, and waits until that is written;
    the peer's side can still be read. [Soil.File_descriptor.close c] says nothing: without a
    [shutdown] before, the peer takes what it got to be cut. *)

(** {1:information Information}

    These raise [Invalid_argument] for a flow that isn't a connection of TLS. *)

val version : [> `Flow ] Soil.File_descriptor.t -> version
(** [version c] is the version that is spoken. *)

val cipher_suite : [> `Flow ] Soil.File_descriptor.t -> string
(** [cipher_suite c] is the name of the cipher suite, such as ["TLS13_AES_256_GCM_SHA384"]. *)

val protocol : [> `Flow ] Soil.File_descriptor.t -> string option
(** [protocol c] is the protocol that was chosen by ALPN. *)

val resumed : [> `Flow ] Soil.File_descriptor.t -> bool
(** [resumed c] is [true] iff an earlier session was resumed. *)

val peer_certificates : [> `Flow ] Soil.File_descriptor.t -> string list
(** [peer_certificates c] is the certificates that the peer has shown, its own first, in DER. *)

val peer_name : [> `Flow ] Soil.File_descriptor.t -> string option
(** [peer_name c] is the subject of the peer's certificate, such as ["CN=client, O=Example"]. Values
    are escaped ({{:https://www.rfc-editor.org/rfc/rfc4514#section-2.4}RFC 4514 §2.4}): a comma in
    one is ["\\,"]. *)

val update_keys : [> `Flow ] Soil.File_descriptor.t -> unit
(** [update_keys c] replaces the keys for what is sent from now on
    ({{:https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3}RFC 8446 §4.6.3}); they are replaced
    without it before they wear out. Waits. Raises {!Soil.exception-Error} with [Bad_configuration]
    in TLS 1.2. *)
