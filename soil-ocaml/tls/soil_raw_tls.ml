(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t

external tls_credentials :
  unit ->
  (int[@untagged])
  = "soil_tls_credentials_bytecode" "soil_tls_credentials"
[@@noalloc]
(** New credentials: certificates with their keys, none yet. *)

external tls_credentials_add :
  (int[@untagged]) ->
  string ->
  string ->
  (int[@untagged])
  = "soil_tls_credentials_add_bytecode" "soil_tls_credentials_add"
[@@noalloc]
(** Adds a chain of certificates and its private key, both in PEM, to those that the next
    [soil_tls_credentials_apply] puts in place. *)

external tls_credentials_apply :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_credentials_apply_bytecode" "soil_tls_credentials_apply"
[@@noalloc]
(** Replaces all certificates by those added since the last call, for handshakes that begin after
    this. Errors: [Bad_configuration] with a detail; nothing changes then. *)

external tls_options :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_options_bytecode" "soil_tls_options"
[@@noalloc]
(** New options of a configuration with these credentials. *)

external tls_trust :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_tls_trust_bytecode" "soil_tls_trust"
[@@noalloc]
(** Adds roots, in PEM, whose certificates are accepted. They are read by [soil_tls_client] or
    [soil_tls_server]. *)

external tls_revoke :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_tls_revoke_bytecode" "soil_tls_revoke"
[@@noalloc]
(** Adds revocation lists, in PEM, read like the roots. *)

external tls_protocol :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_tls_protocol_bytecode" "soil_tls_protocol"
[@@noalloc]
(** Adds a protocol for ALPN, behind those before it. Errors: [Invalid] (not 1 to 255 bytes). *)

external tls_client :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_client_bytecode" "soil_tls_client"
[@@noalloc]
(** The configuration of clients with these options, which it takes, also if it fails. [versions] is
    0 for TLS 1.2 and 1.3, 2 or 3 for one of them; [sessions] the number of servers whose sessions
    are kept; with [key_log] 1 keys are kept for [soil_tls_key_log]. Errors: [Bad_configuration]
    with a detail. *)

external tls_server :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_server_bytecode" "soil_tls_server"
[@@noalloc]
(** The configuration of servers, as [soil_tls_client]. [clients] is 2 if they need a certificate
    that the roots sign, 1 if they may show one, else 0. *)

external tls_key_log :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_key_log_bytecode" "soil_tls_key_log"
[@@noalloc]
(** Moves lines with the keys of sessions to [into\[off .. off + len\]], as many bytes as fit;
    returns how many. *)

external tls_connect :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_tls_connect_bytecode" "soil_tls_connect"
[@@noalloc]
(** A session with a server that has to be [host], a name or an address. Errors: [Bad_configuration]
    with a detail. *)

external tls_accept :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_accept_bytecode" "soil_tls_accept"
[@@noalloc]
(** A session with a client. *)

external tls_handshake :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_handshake_bytecode" "soil_tls_handshake"
[@@noalloc]
(** Goes on with the handshake: 1 if it is complete, 0 if it needs input; in both cases records may
    wait for [soil_tls_take], as after an error. Errors, with a detail: [Certificate], [Tls],
    [Connection_reset] (the input has ended), [No_entropy], [Busy] ([soil_tls_refused]). They are
    the same from then on. *)

external tls_refused :
  unit ->
  (int[@untagged])
  = "soil_tls_refused_bytecode" "soil_tls_refused"
[@@noalloc]
(** The number of a session whose handshake was ended for others, and whose task has to learn of it;
    [WOULD_BLOCK] if there is none. Ask after [soil_tls_accept] and [soil_tls_feed]. All handshakes
    of servers together have a sixteenth of the memory. *)

external tls_feed :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_feed_bytecode" "soil_tls_feed"
[@@noalloc]
(** Hands over bytes that the peer sent: 1 if they were taken, 0 while some 80 KiB wait to be
    processed or read (24 KiB before a server has a ClientHello), as never when a call has just
    answered that it needs input. *)

external tls_end_of_input :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_end_of_input_bytecode" "soil_tls_end_of_input"
[@@noalloc]
(** The peer's input has ended. *)

external tls_take :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_take_bytecode" "soil_tls_take"
[@@noalloc]
(** Moves records that are to be sent to [into\[off .. off + len\]], as many bytes as fit; returns
    how many. *)

external tls_pending :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_pending_bytecode" "soil_tls_pending"
[@@noalloc]
(** The number of bytes of records that are to be sent. *)

external tls_read :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_read_bytecode" "soil_tls_read"
[@@noalloc]
(** Reads plaintext to [into\[off .. off + len\]]: the number of bytes, 0 at the end (close_notify).
    [WOULD_BLOCK]: feed records first. Errors: as [soil_tls_handshake], and [Invalid] if [len] is
    0. *)

external tls_read_into :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_read_into_bytecode" "soil_tls_read_into"
[@@noalloc]
(** [soil_tls_read] for a bigarray. *)

external tls_write :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_write_bytecode" "soil_tls_write"
[@@noalloc]
(** Seals bytes of [from\[off .. off + len\]] into records in [into], other bytes, behind those that
    were to be sent: the number of bytes that were taken times 2^24, and the number of bytes in
    [into], which must be sent before any others. It takes 16 KiB or less for a record, as many
    records as fit, and nothing before the end of the handshake. Errors: as [soil_tls_handshake],
    and [Tls] behind [soil_tls_close_notify]. *)

external tls_write_from :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_write_from_bytecode" "soil_tls_write_from"
[@@noalloc]
(** [soil_tls_write] for a bigarray. *)

external tls_close_notify :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_close_notify_bytecode" "soil_tls_close_notify"
[@@noalloc]
(** Makes the record that says that nothing more is written. *)

external tls_update_keys :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_update_keys_bytecode" "soil_tls_update_keys"
[@@noalloc]
(** Makes the record after which this end uses new keys (RFC 8446, 4.6.3). Errors:
    [Bad_configuration] in TLS 1.2. *)

external tls_fact :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_fact_bytecode" "soil_tls_fact"
[@@noalloc]
(** Copies a fact of a session to [into\[off .. off + len\]], cut where it doesn't fit; returns its
    whole length. 0: the version; 1: the cipher suite; 2: the protocol of ALPN; 4: the subject of
    the peer's certificate; each is empty where there is none. 3 answers 1 if the session was
    resumed, else 0. *)

external tls_peer_certificate :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_peer_certificate_bytecode" "soil_tls_peer_certificate"
[@@noalloc]
(** Copies the peer's certificate [index] (0: its own) in DER, as [soil_tls_fact]; 0 if there is
    none. *)

external tls_free :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_free_bytecode" "soil_tls_free"
[@@noalloc]
(** Gives a number back. *)
