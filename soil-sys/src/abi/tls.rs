//! TLS over records that the program moves.
//!
//! Credentials, options, configurations and sessions are numbers, each given back by
//! [`soil_tls_free`]. A configuration keeps what it was made of, a session its configuration. Where
//! a function is given a number of another kind it answers `Invalid`.
//!
//! Calls of several domains run at once. A session is used from one domain at a time: a call on one
//! that is inside another call answers `Busy`.

use crate::ffi::{Buffer, Bytes, Int, Text};
use resources::tls::{self as glue, call};

/// New credentials: certificates with their keys, none yet.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_credentials() -> Int {
    call(glue::credentials)
}

/// Adds a chain of certificates and its private key, both in PEM, to those that the next
/// [`soil_tls_credentials_apply`] puts in place.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_credentials_add(credentials: Int, chain: Text, key: Text) -> Int {
    call(|| glue::credentials_add(credentials, chain.all(), key.all()))
}

/// Replaces all certificates by those added since the last call, for handshakes that begin after
/// this. Errors: `Bad_configuration` with a detail; nothing changes then.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_credentials_apply(credentials: Int) -> Int {
    call(|| glue::credentials_apply(credentials))
}

/// New options of a configuration with these credentials.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_options(credentials: Int) -> Int {
    call(|| glue::options(credentials))
}

/// Adds roots, in PEM, whose certificates are accepted. They are read by [`soil_tls_client`] or
/// [`soil_tls_server`].
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_trust(options: Int, roots: Text) -> Int {
    call(|| glue::trust(options, roots.all()))
}

/// Adds revocation lists, in PEM, read like the roots.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_revoke(options: Int, lists: Text) -> Int {
    call(|| glue::revoke(options, lists.all()))
}

/// Adds a protocol for ALPN, behind those before it. Errors: `Invalid` (not 1 to 255 bytes).
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_protocol(options: Int, name: Text) -> Int {
    call(|| glue::protocol(options, name.all()))
}

/// The configuration of clients with these options, which it takes, also if it fails. `versions` is
/// 0 for TLS 1.2 and 1.3, 2 or 3 for one of them; `sessions` the number of servers whose sessions
/// are kept; with `key_log` 1 keys are kept for [`soil_tls_key_log`]. Errors: `Bad_configuration`
/// with a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_client(options: Int, versions: Int, sessions: Int, key_log: Int) -> Int {
    call(|| glue::client(options, versions, sessions, key_log))
}

/// The configuration of servers, as [`soil_tls_client`]. `clients` is 2 if they need a certificate
/// that the roots sign, 1 if they may show one, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_server(
    options: Int,
    versions: Int,
    sessions: Int,
    key_log: Int,
    clients: Int,
) -> Int {
    call(|| glue::server(options, versions, sessions, key_log, clients))
}

/// Moves lines with the keys of sessions to `into[off .. off + len]`, as many bytes as fit; returns
/// how many.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_key_log(config: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|| glue::key_log(config, into.range(off, len)?))
}

/// A session with a server that has to be `host`, a name or an address. Errors:
/// `Bad_configuration` with a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_connect(config: Int, host: Text) -> Int {
    call(|| glue::connect(config, host.utf8()?))
}

/// A session with a client.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_accept(config: Int) -> Int {
    call(|| glue::accept(config))
}

/// Goes on with the handshake: 1 if it is complete, 0 if it needs input; in both cases records may
/// wait for [`soil_tls_take`], as after an error. Errors, with a detail: `Certificate`, `Tls`,
/// `Connection_reset` (the input has ended), `No_entropy`, `Busy` ([`soil_tls_refused`]). They are
/// the same from then on.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_handshake(session: Int) -> Int {
    call(|| glue::handshake(session))
}

/// The number of a session whose handshake was ended for others, and whose task has to learn of it;
/// `WOULD_BLOCK` if there is none. Ask after [`soil_tls_accept`] and [`soil_tls_feed`]. All
/// handshakes of servers together have a sixteenth of the memory.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_refused() -> Int {
    call(glue::refused)
}

/// Hands over bytes that the peer sent: 1 if they were taken, 0 while some 80 KiB wait to be
/// processed or read (24 KiB before a server has a ClientHello), as never when a call has just
/// answered that it needs input.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_feed(session: Int, mut from: Bytes, off: Int, len: Int) -> Int {
    call(|| {
        let from = from.range(off, len)?;
        glue::with_session(session, |session| Ok(usize::from(session.feed(from))))
    })
}

/// The peer's input has ended.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_end_of_input(session: Int) -> Int {
    call(|| {
        glue::with_session(session, |session| {
            session.end_of_input();
            Ok(0)
        })
    })
}

/// Moves records that are to be sent to `into[off .. off + len]`, as many bytes as fit; returns how
/// many.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_take(session: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|| {
        let into = into.range(off, len)?;
        glue::with_session(session, |session| Ok(session.take(into)))
    })
}

/// The number of bytes of records that are to be sent.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_pending(session: Int) -> Int {
    call(|| glue::with_session(session, |session| Ok(session.pending())))
}

/// Reads plaintext to `into[off .. off + len]`: the number of bytes, 0 at the end (close_notify).
/// `WOULD_BLOCK`: feed records first. Errors: as [`soil_tls_handshake`], and `Invalid` if `len` is
/// 0.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_read(session: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|| glue::read(session, into.range(off, len)?))
}

/// [`soil_tls_read`] for a bigarray.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_read_into(session: Int, mut into: Buffer, off: Int, len: Int) -> Int {
    call(|| glue::read(session, into.range(off, len)?))
}

/// Seals bytes of `from[off .. off + len]` into records in `into`, other bytes, behind those that
/// were to be sent: the number of bytes that were taken times 2^24, and the number of bytes in
/// `into`, which must be sent before any others. It takes 16 KiB or less for a record, as many
/// records as fit, and nothing before the end of the handshake. Errors: as [`soil_tls_handshake`],
/// and `Tls` behind [`soil_tls_close_notify`].
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_write(
    session: Int,
    mut from: Bytes,
    off: Int,
    len: Int,
    mut into: Bytes,
    room: Int,
) -> Int {
    call(|| glue::write(session, from.range(off, len)?, into.range(0, room)?))
}

/// [`soil_tls_write`] for a bigarray.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_write_from(
    session: Int,
    mut from: Buffer,
    off: Int,
    len: Int,
    mut into: Bytes,
    room: Int,
) -> Int {
    call(|| glue::write(session, from.range(off, len)?, into.range(0, room)?))
}

/// Makes the record that says that nothing more is written.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_close_notify(session: Int) -> Int {
    call(|| glue::close_notify(session))
}

/// Makes the record after which this end uses new keys (RFC 8446, 4.6.3). Errors:
/// `Bad_configuration` in TLS 1.2.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_update_keys(session: Int) -> Int {
    call(|| glue::update_keys(session))
}

/// Copies a fact of a session to `into[off .. off + len]`, cut where it doesn't fit; returns its
/// whole length. 0: the version; 1: the cipher suite; 2: the protocol of ALPN; 4: the subject of
/// the peer's certificate; each is empty where there is none. 3 answers 1 if the session was
/// resumed, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_fact(
    session: Int,
    which: Int,
    mut into: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|| glue::fact(session, which, into.range(off, len)?))
}

/// Copies the peer's certificate `index` (0: its own) in DER, as [`soil_tls_fact`]; 0 if there is
/// none.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_peer_certificate(
    session: Int,
    index: Int,
    mut into: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|| glue::peer_certificate(session, index, into.range(off, len)?))
}

/// Gives a number back.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_free(number: Int) -> Int {
    call(|| glue::free(number))
}
