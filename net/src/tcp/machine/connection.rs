//! A connection: its parts, how it begins, and what the application does with it.

use alloc::sync::Arc;

use super::budget::{Budget, SendBuffer};
use super::info::Info;
use super::options::Negotiated;
use super::segment::{Header, Segment};
use super::seq::Seq;
use super::setup::{Keepalive, Setup};
use super::state::State;
use crate::Error;

/// Where segments go.
pub(crate) trait Emit {
    /// The largest payload of one call of [`Emit::segment`] in bytes, if the device cuts payloads into
    /// segments; 0 if it doesn't: then none is larger than [`Header::segment_size`].
    fn max_segment(&self) -> usize;

    /// Sends a segment with the payload that the pieces make together. `false`: there is no room
    /// (or no neighbour's address yet), nothing was sent, and it is asked for again later.
    fn segment(&mut self, header: &Header, payload: &[&[u8]]) -> bool;
}

/// How a turn of output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing more to send now.
    Done,
    /// More to send: the connection wants another turn.
    More,
    /// [`Emit::segment`] had no room.
    Blocked,
}

/// What an ICMP message says about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpError {
    /// The destination says no: protocol or port unreachable.
    Refused,
    /// Somebody on the way says no: network or host unreachable, time exceeded, administratively
    /// prohibited.
    Unreachable,
    /// A packet was too big (or had to be cut, and mustn't): the next hop's MTU, 0 if unknown.
    TooBig(u32),
}

/// What is remembered of a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// SND.NXT.
    pub(crate) send_next: Seq,
    /// RCV.NXT.
    pub(crate) receive_next: Seq,
    /// The last window offered, as in a header.
    pub(crate) window: u16,
    /// If timestamps were agreed upon: TS.Recent, when it was received, and what is added to the clock
    /// of milliseconds to make ours.
    pub(crate) timestamps: Option<(u32, u64, u32)>,
}

/// One connection.
pub(crate) struct Connection {
    state: State,
    setup: Setup,
    error: Option<Error>,
}

/// How it begins.
impl Connection {
    /// A connection that begins with a SYN of ours: the next [`Connection::output`] sends it.
    pub(crate) fn connect(setup: &Setup, now_ns: u64) -> Connection {
        let _ = now_ns;
        Connection {
            state: State::SynSent,
            setup: *setup,
            error: None,
        }
    }

    /// A connection that answers `syn`, a segment with SYN and neither ACK nor RST. Data in it is left
    /// to be sent again.
    pub(crate) fn accept(setup: &Setup, syn: &Segment<'_>, now_ns: u64) -> Connection {
        let _ = syn;
        Connection::connect(setup, now_ns)
    }

    /// A connection whose SYN was answered by a cookie, [`Setup::iss`], and comes to be with the
    /// peer's acknowledgement of it. That one is to be given to [`Connection::input`] afterwards, for
    /// its window and its data.
    pub(crate) fn accept_cookie(
        setup: &Setup,
        negotiated: Negotiated,
        ack: &Segment<'_>,
        now_ns: u64,
    ) -> Connection {
        let _ = (negotiated, ack);
        Connection::connect(setup, now_ns)
    }
}

/// The network's side.
impl Connection {
    /// Takes a segment of this connection. `challenge` tells whether one more challenge acknowledgement may be sent by
    /// the stack now (RFC 5961, 7).
    pub(crate) fn input(
        &mut self,
        budget: &mut dyn Budget,
        challenge: &mut dyn FnMut() -> bool,
        segment: &Segment<'_>,
        now_ns: u64,
    ) {
        let _ = (budget, challenge, segment, now_ns);
    }

    /// Whether [`Connection::output`] has something to send now.
    pub(crate) fn wants_output(&self) -> bool {
        false
    }

    /// Sends what is to be sent, at most `max` calls of [`Emit::segment`].
    pub(crate) fn output(&mut self, now_ns: u64, max: usize, emit: &mut dyn Emit) -> Outcome {
        let _ = (now_ns, max, emit);
        Outcome::Done
    }

    /// When [`Connection::timer`] is to be called.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        None
    }

    /// Does what is due. To be called at [`Connection::deadline_ns`]; too early does no harm.
    pub(crate) fn timer(&mut self, budget: &mut dyn Budget, now_ns: u64) {
        let _ = (budget, now_ns);
    }

    /// Takes an ICMP error about a segment of ours with the sequence number `seq`. Ignored unless
    /// that is in flight (RFC 5927, 4.1).
    pub(crate) fn icmp(&mut self, error: IcmpError, seq: Seq, now_ns: u64) {
        let _ = (error, seq, now_ns);
    }
}

/// The application's side.
impl Connection {
    /// The first received bytes that were not consumed yet, in place; empty if there are none. More
    /// may follow after them. They stay readable after FIN, RST and errors.
    pub(crate) fn peek(&self) -> &[u8] {
        &[]
    }

    /// Removes `len` bytes from the front of what was received.
    pub(crate) fn consume(&mut self, budget: &mut dyn Budget, len: usize, now_ns: u64) {
        let _ = (budget, len, now_ns);
    }

    /// Takes bytes to send, as many as fit; gives their number. 0 also if this end may not send.
    pub(crate) fn write(&mut self, budget: &mut dyn Budget, bytes: &[u8]) -> usize {
        let _ = (budget, bytes);
        0
    }

    /// Like [`Connection::write`], with bytes that `f` writes in place: it gets room for at least one
    /// byte and tells how many it wrote. 0 without a call of `f` if there is no room.
    pub(crate) fn write_with(
        &mut self,
        budget: &mut dyn Budget,
        f: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> usize {
        let _ = (budget, f);
        0
    }

    /// Takes bytes to send without copying them; they are dropped once they are acknowledged, or the
    /// connection is over. All or nothing: gives the buffer back if there is no room. (It is taken if
    /// any room is left, and may exceed the limit by itself.)
    pub(crate) fn write_shared(
        &mut self,
        budget: &mut dyn Budget,
        bytes: Arc<dyn SendBuffer>,
    ) -> Result<(), Arc<dyn SendBuffer>> {
        let _ = budget;
        Err(bytes)
    }

    /// Ends this direction: FIN follows what was written (RFC 9293, 3.10.4).
    pub(crate) fn shutdown_send(&mut self) {}

    /// The application lets go: what was written is still delivered, then FIN; after `linger_ns` the
    /// connection is aborted. If bytes are unread or come later, the peer gets an RST once everything
    /// written was acknowledged (RFC 9293, 3.10.4; RFC 2525, 2.17).
    pub(crate) fn close(&mut self, budget: &mut dyn Budget, linger_ns: u64, now_ns: u64) {
        let _ = (budget, linger_ns, now_ns);
    }

    /// Ends the connection with an RST where RFC 9293, 3.10.5 wants one. What was not sent is lost.
    pub(crate) fn abort(&mut self, budget: &mut dyn Budget) {
        let _ = budget;
    }

    /// Gives all memory back; nothing else may be called afterwards. To be called before a
    /// connection is dropped.
    pub(crate) fn release(&mut self, budget: &mut dyn Budget) {
        let _ = budget;
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Why the connection failed; an orderly end is no failure.
    pub(crate) fn error(&self) -> Option<Error> {
        self.error
    }

    /// Bytes received and not consumed.
    pub(crate) fn unread(&self) -> usize {
        0
    }

    /// Bytes written and not acknowledged, without SYN and FIN.
    pub(crate) fn unacknowledged(&self) -> usize {
        0
    }

    /// A read gives bytes, the end of input or an error. False before the connection is established.
    pub(crate) fn readable(&self) -> bool {
        false
    }

    /// The peer has sent FIN and everything before it was consumed.
    pub(crate) fn at_end(&self) -> bool {
        false
    }

    /// How many bytes a write takes now.
    pub(crate) fn write_room(&self) -> usize {
        0
    }

    /// Both directions are over.
    pub(crate) fn hangup(&self) -> bool {
        self.state == State::Closed
    }

    /// Nothing more to send and nothing to wait for: CLOSED, and its RST, if any, was sent.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Closed
    }

    /// In TIME-WAIT: what a record needs.
    pub(crate) fn time_wait(&self) -> Option<Quiet> {
        None
    }

    /// How it does.
    pub(crate) fn info(&self) -> Info {
        Info::default()
    }

    /// See [`Setup::nodelay`]. Turning it on sends what is held back.
    pub(crate) fn set_nodelay(&mut self, nodelay: bool) {
        self.setup.nodelay = nodelay;
    }

    /// See [`Setup::keepalive`]; `None` turns it off.
    pub(crate) fn set_keepalive(&mut self, keepalive: Option<Keepalive>) {
        self.setup.keepalive = keepalive;
    }

    /// See [`Setup::user_timeout_ns`].
    pub(crate) fn set_user_timeout(&mut self, user_timeout_ns: u64) {
        self.setup.user_timeout_ns = user_timeout_ns;
    }
}
