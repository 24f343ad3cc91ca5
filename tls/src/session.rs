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

/// Bytes of records beyond which a session takes no more: the largest handshake message (64 KiB) in
/// records of its own, and a record behind it.
pub const MAX_INCOMING: usize = 0x1_0000 + 0x4805;
/// As [`MAX_INCOMING`], of a server before it has a whole ClientHello: a stranger hasn't shown
/// anything yet. Browsers send 2 KiB, with keys against quantum computers.
pub const MAX_HELLO: usize = 24 << 10;
/// What a server's handshake takes at least, in bytes, approximately: with the program's task and
/// its buffer.
const HANDSHAKE: usize = 16 << 10;
/// Plaintext of a record at most (RFC 8446, 5.1).
const MAX_PLAINTEXT: usize = 1 << 14;
/// The most that a record adds to its plaintext: header, nonce of TLS 1.2, type and tag.
const OVERHEAD: usize = 5 + 8 + 1 + 16;
/// Room for a key update in front of a record.
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

    /// Removes `n` bytes, at most all, and the memory with the last one.
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

/// What a step may do once plaintext can be sent.
enum Intent<'a> {
    Nothing,
    /// Seals plaintext into the room given; the number of bytes of records.
    Seal(&'a [u8], &'a mut [u8], &'a mut usize),
    CloseNotify,
    UpdateKeys,
}

/// Where a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is more to do at once.
    Again,
    /// The handshake waits for records.
    Blocked,
    /// Plaintext can be sent, and what was intended was done.
    Ready,
    /// The peer has said that it sends no more.
    PeerClosed,
    /// Both have.
    Closed,
}

/// A result of [`Session::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Feed records first.
    NeedsInput,
    /// The peer has ended its side (close_notify).
    End,
}

/// One end of a connection. After an error every further call but [`Session::take`], which gives
/// out the alert for the peer, answers the same.
pub struct Session {
    connection: Connection,
    report: Arc<Report>,
    /// Records that were received and not processed.
    incoming: Queue,
    /// Plaintext that was received and not read.
    plaintext: Queue,
    /// Records to be sent.
    outgoing: Queue,
    /// The peer has sent close_notify.
    ended: bool,
    /// The flow below has ended.
    input_ended: bool,
    /// close_notify was sent.
    closed: bool,
    failed: Option<Error>,
}

impl Session {
    /// A client's end of a connection to the server `host`: a name, which the certificate must be
    /// for and which the server gets to hear (SNI), or an address.
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

    /// Takes bytes that the peer sent. False: none, because [`MAX_INCOMING`] of them, or
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

    /// Bytes of memory that a stranger has made it take, approximately: those of a server's
    /// handshake in progress, else 0.
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

    /// Ends it, whatever it is at: nothing more is sealed, sent or read.
    pub fn end(&mut self, why: &str) {
        self.outgoing = Queue::default();
        self.plaintext = Queue::default();
        self.fail(Error::new(Kind::Busy, why));
    }

    /// The flow below has ended: nothing more will be fed.
    pub fn end_of_input(&mut self) {
        self.input_ended = true;
    }

    /// Moves records that are to be sent to `into`, as many bytes as fit, and returns how many.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        self.outgoing.take(into)
    }

    /// Bytes of records that are to be sent.
    pub fn pending(&self) -> usize {
        self.outgoing.len()
    }

    /// Goes on with the handshake. True: it is complete. False: it needs more input. In either case
    /// send what [`Session::take`] gives first.
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

    /// Seals a prefix of `plaintext` into records and moves records to `into`: how many bytes of
    /// plaintext were taken, and how many of records there are, to be sent before others. Takes
    /// nothing if `into` has no room for a record, and before the end of the handshake.
    pub fn write(&mut self, plaintext: &[u8], into: &mut [u8]) -> Result<(usize, usize), Error> {
        self.check()?;
        if self.closed {
            return Err(Error::new(
                Kind::Protocol,
                "close_notify was sent: nothing can be written behind it",
            ));
        }
        if !self.incoming.is_empty() {
            // What has come may make records, which go first: a server's tickets, an alert.
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

    /// Says that nothing more is written (close_notify). The record is for [`Session::take`].
    pub fn close_notify(&mut self) -> Result<(), Error> {
        self.check()?;
        if !mem::replace(&mut self.closed, true) {
            self.run(Intent::CloseNotify, |_| false)?;
        }
        Ok(())
    }

    /// Replaces the keys for what is sent from now on (RFC 8446, 4.6.3). An error in TLS 1.2.
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

    /// The name of the cipher suite, as IANA has it; empty before the handshake.
    pub fn cipher_suite(&self) -> &'static str {
        let suite = self.common().negotiated_cipher_suite();
        suite
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default()
    }

    /// The protocol that was chosen by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.common().alpn_protocol()
    }

    /// The session of an earlier connection was resumed.
    pub fn resumed(&self) -> bool {
        self.common().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificates that the peer showed, its own first, in DER.
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

    /// Fails if there is no room for the input that is needed.
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

    /// Makes the alert for the peer ready, and says what was wrong.
    fn explain(&mut self, error: rustls::Error) -> Error {
        // rustls gives out what it has to send before it looks at input.
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

/// Handles what one step of rustls came to: bytes to discard of the input, and how to go on.
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
        // No configuration here takes early data, which an attacker can send again.
        _ => State::Ready,
    };
    (discard, Ok(state))
}
