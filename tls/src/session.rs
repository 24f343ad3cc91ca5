//! One end of a connection.

use crate::config::{Config, Side};
use crate::error::{Error, HANDSHAKE_TOO_LARGE, Kind};
use crate::names;
use crate::verify::Report;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

/// Maximum number of buffered bytes of records: the largest handshake message (64 KiB) in records
/// of its own, and another record.
pub const MAX_INCOMING: usize = 0x1_0000 + 0x4805;
/// As [`MAX_INCOMING`], for a server before it has a whole ClientHello: the client isn't
/// authenticated yet. Browsers send 2 KiB, with post-quantum keys.
pub const MAX_HELLO: usize = 24 << 10;
/// Approximate minimum memory of a server's handshake, in bytes: includes the program's task and
/// its buffer.
const HANDSHAKE: usize = 16 << 10;
/// Maximum plaintext of a record (RFC 8446, 5.1).
const MAX_PLAINTEXT: usize = 1 << 14;
/// Maximum overhead of a record: header, nonce of TLS 1.2, type and tag.
const OVERHEAD: usize = 5 + 8 + 1 + 16;
/// Room for a key update before a record.
const KEY_UPDATE: usize = 64;

/// Bytes that are taken from the front.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    start: usize,
}

impl Queue {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn filled(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    fn push(&mut self, more: &[u8]) {
        if self.start > 0 && self.bytes.len() + more.len() > self.bytes.capacity() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(more);
    }

    /// Removes `n` bytes, at most all, and frees the memory with the last one.
    fn remove(&mut self, n: usize) {
        self.start = self.bytes.len().min(self.start + n);
        if self.is_empty() {
            *self = Queue::default();
        }
    }

    /// Moves as many bytes as fit.
    fn take(&mut self, into: &mut [u8]) -> usize {
        let n = self.len().min(into.len());
        into[..n].copy_from_slice(&self.bytes[self.start..][..n]);
        self.remove(n);
        n
    }
}

enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// The action of a step once plaintext can be sent.
enum Intent<'a> {
    Nothing,
    /// Seals plaintext into the given room; sets the number of bytes of records.
    Seal(&'a [u8], &'a mut [u8], &'a mut usize),
    CloseNotify,
    UpdateKeys,
}

/// The state after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is more to do at once.
    Again,
    /// The handshake waits for records.
    Blocked,
    /// Plaintext can be sent, and the action was taken.
    Ready,
    /// The peer has sent close_notify.
    PeerClosed,
    /// Both ends have.
    Closed,
}

/// A result of [`Session::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Feed records first.
    NeedsInput,
    /// The peer has ended its side (close_notify).
    End,
}

/// One end of a connection. After an error every further call except [`Session::take`], which
/// returns the alert for the peer, returns the same error.
pub struct Session {
    connection: Connection,
    report: Arc<Report>,
    /// Records received and not processed.
    incoming: Queue,
    /// Plaintext received and not read.
    plaintext: Queue,
    /// Records to be sent.
    outgoing: Queue,
    /// The peer has sent close_notify.
    ended: bool,
    /// The transport has ended.
    input_ended: bool,
    /// close_notify was sent.
    closed: bool,
    failed: Option<Error>,
}

impl Session {
    /// A client's end of a connection to the server `host`: a name, which the certificate must be
    /// for and which is sent to the server (SNI), or an address.
    pub fn client(config: &Config, host: &str) -> Result<Session, Error> {
        let Side::Client(inner) = &config.side else {
            return Err(Error::configuration("the configuration is a server's"));
        };
        let name = names::server_name(host)?;
        let connection = UnbufferedClientConnection::new(inner.clone(), name)?;
        Ok(Session::of(Connection::Client(connection), config))
    }

    /// A server's end of a connection.
    pub fn server(config: &Config) -> Result<Session, Error> {
        let Side::Server(inner) = &config.side else {
            return Err(Error::configuration("the configuration is a client's"));
        };
        let connection = UnbufferedServerConnection::new(inner.clone())?;
        Ok(Session::of(Connection::Server(connection), config))
    }

    fn of(connection: Connection, config: &Config) -> Session {
        Session {
            connection,
            report: config.report.clone(),
            incoming: Queue::default(),
            plaintext: Queue::default(),
            outgoing: Queue::default(),
            ended: false,
            input_ended: false,
            closed: false,
            failed: None,
        }
    }

    /// Adds bytes received from the peer. False: none, because [`MAX_INCOMING`] of them, or
    /// [`MAX_HELLO`], are waiting to be processed, or to be read.
    pub fn feed(&mut self, records: &[u8]) -> bool {
        let room = self.incoming.len().max(self.plaintext.len()) < self.max_incoming();
        if room {
            self.incoming.push(records);
        }
        room
    }

    fn max_incoming(&self) -> usize {
        match &self.connection {
            Connection::Server(connection) if connection.protocol_version().is_none() => MAX_HELLO,
            _ => MAX_INCOMING,
        }
    }

    /// Approximate memory in bytes that an unauthenticated peer has made it allocate: that of a
    /// server's handshake in progress, else 0.
    pub fn handshake_memory(&self) -> usize {
        match &self.connection {
            Connection::Server(connection) if connection.is_handshaking() => {
                let has_failed = self.failed.is_some();
                if has_failed {
                    0
                } else {
                    HANDSHAKE + self.incoming.len()
                }
            }
            _ => 0,
        }
    }

    /// Ends a handshake in progress, whose memory others need.
    pub fn refuse(&mut self) {
        self.end("too many handshakes are in progress, or memory is short: this one was ended");
    }

    /// Ends it in any state: nothing more is sealed, sent or read.
    pub fn end(&mut self, why: &str) {
        self.outgoing = Queue::default();
        self.plaintext = Queue::default();
        self.fail(Error::new(Kind::Busy, why));
    }

    /// The transport has ended: nothing more will be fed.
    pub fn end_of_input(&mut self) {
        self.input_ended = true;
    }

    /// Moves pending records to `into`, as many bytes as fit, and returns how many.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        self.outgoing.take(into)
    }

    /// Bytes of pending records.
    pub fn pending(&self) -> usize {
        self.outgoing.len()
    }

    /// Continues the handshake. True: it is complete. False: it needs more input. In either case
    /// send the output of [`Session::take`] first.
    pub fn handshake(&mut self) -> Result<bool, Error> {
        self.check()?;
        if !self.common().is_handshaking() {
            return Ok(true);
        }
        let state = self.run(Intent::Nothing, |_| false)?;
        if !self.common().is_handshaking() {
            return Ok(true);
        }
        match state {
            State::PeerClosed | State::Closed => Err(self.fail(Error::new(
                Kind::Protocol,
                "the peer ended the connection in the handshake",
            ))),
            _ if self.input_ended => Err(self.fail(Error::new(
                Kind::Truncated,
                "the connection ended in the handshake",
            ))),
            _ => self.check_room().map(|()| false),
        }
    }

    /// Reads plaintext into `into`, which isn't empty. Before the end of the handshake it needs
    /// input.
    pub fn read(&mut self, into: &mut [u8]) -> Result<Read, Error> {
        loop {
            if !self.plaintext.is_empty() {
                return Ok(Read::Bytes(self.plaintext.take(into)));
            }
            if self.ended {
                return Ok(Read::End);
            }
            self.check()?;
            self.run(Intent::Nothing, |session| !session.plaintext.is_empty())?;
            if self.plaintext.is_empty() && !self.ended {
                if self.input_ended {
                    return Err(self.fail(Error::new(
                        Kind::Truncated,
                        "the peer ended the connection without close_notify: what it sent may \
                         be cut",
                    )));
                }
                self.check_room()?;
                return Ok(Read::NeedsInput);
            }
        }
    }

    /// Bytes of plaintext that can be read at once.
    pub fn readable(&self) -> usize {
        self.plaintext.len()
    }

    /// Seals a prefix of `plaintext` into records and moves records to `into`: returns how many
    /// bytes of plaintext were taken, and how many of records there are, to be sent before others.
    /// Takes nothing if `into` has no room for a record, and before the end of the handshake.
    pub fn write(&mut self, plaintext: &[u8], into: &mut [u8]) -> Result<(usize, usize), Error> {
        self.check()?;
        if self.closed {
            return Err(Error::new(
                Kind::Protocol,
                "close_notify was sent: nothing can be written behind it",
            ));
        }
        if !self.incoming.is_empty() {
            // Input may produce records, which go first: a server's tickets, an alert.
            self.run(Intent::Nothing, |_| false)?;
        }
        let (mut taken, mut made) = (0, self.take(into));
        while taken < plaintext.len() && self.outgoing.is_empty() {
            let room = into.len() - made;
            let n = MAX_PLAINTEXT
                .min(plaintext.len() - taken)
                .min(room.saturating_sub(OVERHEAD + KEY_UPDATE));
            if n == 0 || n < MAX_PLAINTEXT.min(plaintext.len() - taken) && taken > 0 {
                break;
            }
            let mut sealed = 0;
            let (piece, place) = (&plaintext[taken..taken + n], &mut into[made..]);
            self.run(Intent::Seal(piece, place, &mut sealed), |_| false)?;
            if sealed == 0 {
                break;
            }
            taken += n;
            made += sealed;
        }
        Ok((taken, made))
    }

    /// Ends writing (close_notify). [`Session::take`] returns the record.
    pub fn close_notify(&mut self) -> Result<(), Error> {
        self.check()?;
        if !mem::replace(&mut self.closed, true) {
            self.run(Intent::CloseNotify, |_| false)?;
        }
        Ok(())
    }

    /// Replaces the keys for sending from now on (RFC 8446, 4.6.3). An error in TLS 1.2.
    pub fn update_keys(&mut self) -> Result<(), Error> {
        self.check()?;
        if self.common().protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(Error::configuration(
                "keys can be updated in TLS 1.3 only, after the handshake",
            ));
        }
        self.run(Intent::UpdateKeys, |_| false)?;
        self.run(Intent::Nothing, |_| false)?;
        Ok(())
    }

    /// The version, as "1.3"; empty before the handshake.
    pub fn version(&self) -> &'static str {
        match self.common().protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        }
    }

    /// The IANA name of the cipher suite; empty before the handshake.
    pub fn cipher_suite(&self) -> &'static str {
        let suite = self.common().negotiated_cipher_suite();
        suite
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default()
    }

    /// The protocol selected by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.common().alpn_protocol()
    }

    /// Whether the session of an earlier connection was resumed.
    pub fn resumed(&self) -> bool {
        self.common().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificates that the peer presented, its own first, in DER.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.common().peer_certificates().unwrap_or_default()
    }

    fn common(&self) -> &CommonState {
        match &self.connection {
            Connection::Client(connection) => connection,
            Connection::Server(connection) => connection,
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error.clone());
        self.incoming = Queue::default();
        error
    }

    /// Fails if there is no room for the required input.
    fn check_room(&mut self) -> Result<(), Error> {
        if self.incoming.len() < self.max_incoming() {
            return Ok(());
        }
        let too_large = match self.max_incoming() {
            MAX_HELLO => "the peer sent a ClientHello of more than 24 KiB",
            _ => HANDSHAKE_TOO_LARGE,
        };
        Err(self.fail(Error::new(Kind::Protocol, too_large)))
    }

    /// Steps until `enough`, or until there is nothing to do.
    fn run(
        &mut self,
        intent: Intent<'_>,
        enough: impl Fn(&Session) -> bool,
    ) -> Result<State, Error> {
        let mut intent = Some(intent);
        loop {
            let incoming = self.incoming.filled();
            let (plaintext, outgoing) = (&mut self.plaintext, &mut self.outgoing);
            let (discard, state) = match &mut self.connection {
                Connection::Client(connection) => {
                    let status = connection.process_tls_records(incoming);
                    step(status, plaintext, outgoing, &mut intent)
                }
                Connection::Server(connection) => {
                    let status = connection.process_tls_records(incoming);
                    step(status, plaintext, outgoing, &mut intent)
                }
            };
            self.incoming.remove(discard);
            match state {
                Ok(State::Again) if enough(self) => return Ok(State::Again),
                Ok(State::Again) => {}
                Ok(State::PeerClosed) => self.ended = true,
                Ok(state) => return Ok(state),
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    /// Prepares the alert for the peer, and describes the error.
    fn explain(&mut self, error: rustls::Error) -> Error {
        // rustls returns pending output before it processes input.
        while self.common().wants_write() {
            let incoming = self.incoming.filled();
            let (plaintext, outgoing) = (&mut self.plaintext, &mut self.outgoing);
            let (_, state) = match &mut self.connection {
                Connection::Client(connection) => {
                    let status = connection.process_tls_records(incoming);
                    step(status, plaintext, outgoing, &mut None)
                }
                Connection::Server(connection) => {
                    let status = connection.process_tls_records(incoming);
                    step(status, plaintext, outgoing, &mut None)
                }
            };
            if !matches!(state, Ok(State::Again)) {
                break;
            }
        }
        let words = match &error {
            rustls::Error::InvalidCertificate(why) => self.report.take(why),
            _ => None,
        };
        self.fail(match words {
            Some(words) => Error::new(Kind::Certificate, words),
            None => error.into(),
        })
    }
}

/// Handles the result of one step of rustls: bytes of input to discard, and how to continue.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plaintext: &mut Queue,
    outgoing: &mut Queue,
    intent: &mut Option<Intent<'_>>,
) -> (usize, Result<State, rustls::Error>) {
    let mut discard = status.discard;
    let state = match status.state {
        Ok(state) => state,
        Err(error) => return (discard, Err(error)),
    };
    let state = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        plaintext.push(record.payload);
                    }
                    Err(error) => return (discard, Err(error)),
                }
            }
            State::Again
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let mut record = Vec::new();
            loop {
                match data.encode(&mut record) {
                    Ok(n) => {
                        outgoing.push(&record[..n]);
                        break State::Again;
                    }
                    Err(EncodeError::InsufficientSize(size)) => {
                        record.resize(size.required_size, 0);
                    }
                    Err(EncodeError::AlreadyEncoded) => break State::Again,
                }
            }
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            State::Again
        }
        ConnectionState::BlockedHandshake => State::Blocked,
        ConnectionState::PeerClosed => State::PeerClosed,
        ConnectionState::Closed => State::Closed,
        ConnectionState::WriteTraffic(mut traffic) => match intent.take() {
            None | Some(Intent::Nothing) => State::Ready,
            Some(Intent::Seal(piece, place, sealed)) => match traffic.encrypt(piece, place) {
                Ok(n) => {
                    *sealed = n;
                    State::Ready
                }
                Err(EncryptError::InsufficientSize(_)) => State::Ready,
                Err(EncryptError::EncryptExhausted) => {
                    return (discard, Err(rustls::Error::EncryptError));
                }
            },
            Some(Intent::CloseNotify) => {
                let mut record = [0; OVERHEAD + KEY_UPDATE];
                if let Ok(n) = traffic.queue_close_notify(&mut record) {
                    outgoing.push(&record[..n]);
                }
                State::Ready
            }
            Some(Intent::UpdateKeys) => match traffic.refresh_traffic_keys() {
                Ok(()) => State::Ready,
                Err(error) => return (discard, Err(error)),
            },
        },
        // No configuration here accepts early data, which can be replayed.
        _ => State::Ready,
    };
    (discard, Ok(state))
}
