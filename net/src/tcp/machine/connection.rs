//! A connection: its parts, how it begins, and what can be seen of it.

use super::budget::Budget;
use super::challenge::OwnLimit;
use super::congestion::Control;
use super::ecn::Ecn;
use super::info::Info;
use super::options::{MSS_V6, Negotiated, Options, SCALE_MAX};
use super::pacing::Pacing;
use super::pmtu::Pmtu;
use super::receive::ReceiveBuffer;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::segment::{HEADER, Header, Segment};
use super::send::SendQueue;
use super::seq::Seq;
use super::setup::{Options as TcpOptions, Setup};
use super::state::State;
use super::timers::{OFF, Timers};
use super::urgent::Urgent;
use super::window::Window;
use crate::types::Error;

/// Where segments go.
pub(crate) trait Emit {
    /// The largest payload of one call of [`Emit::segment`] in bytes, if the device cuts payloads
    /// into segments; 0 if it doesn't: then none is larger than [`Header::segment_size`].
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

/// What is remembered of a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// SND.NXT.
    pub(crate) send_next: Seq,
    /// RCV.NXT.
    pub(crate) receive_next: Seq,
    /// The last window offered, as in a header, and its shift.
    pub(crate) window: u16,
    pub(crate) scale: u8,
    /// If timestamps were agreed upon: TS.Recent, and what is added to the clock of milliseconds to
    /// make ours.
    pub(crate) timestamps: Option<(u32, u32)>,
}

/// Things to send with the next turn, as bits.
pub(super) mod due {
    /// An acknowledgement.
    pub(crate) const ACK: u8 = 1;
    /// SYN, or SYN and ACK.
    pub(crate) const SYN: u8 = 2;
    /// RST: the connection is over.
    pub(crate) const RESET: u8 = 4;
    /// RST that answers an unacceptable acknowledgement before the connection is established.
    pub(crate) const REFUSAL: u8 = 8;
    /// Perhaps data or FIN.
    pub(crate) const DATA: u8 = 16;
    /// A tail loss probe.
    pub(crate) const PROBE: u8 = 32;
    /// A byte into a closed window.
    pub(crate) const PERSIST: u8 = 64;
    /// A question whether the peer is there.
    pub(crate) const KEEPALIVE: u8 = 128;
}

/// One connection.
pub(crate) struct Connection {
    pub(super) state: State,
    pub(super) setup: Setup,
    pub(super) error: Option<Error>,
    /// What an ICMP message said that doesn't end the connection: why, if it ends (RFC 9293,
    /// 3.9.2.2).
    pub(super) soft_error: Option<Error>,
    pub(super) due: u8,
    pub(super) timers: Timers,

    /// SND.UNA, SND.NXT; `most` is beyond `next` by the byte of a window probe.
    pub(super) una: Seq,
    pub(super) next: Seq,
    pub(super) most: Seq,
    /// SND.WND, and the largest one seen.
    pub(super) peer_window: u32,
    pub(super) peer_window_max: u32,
    /// SND.WL1 and SND.WL2.
    pub(super) wl1: Seq,
    pub(super) wl2: Seq,
    /// The peer's window scale, and whether windows are scaled at all.
    pub(super) peer_scale: u8,
    pub(super) scaled: bool,
    pub(super) queue: SendQueue,
    pub(super) send_limit: u32,
    /// FIN follows what is in the queue; it was sent.
    pub(super) fin_queued: bool,
    pub(super) fin_sent: bool,
    /// The end of the last segment that was smaller than it could be (Minshall's variant of Nagle's
    /// rule).
    pub(super) small_end: Seq,
    /// The window was full when data was last sent.
    pub(super) window_limited: bool,
    pub(super) sent_ns: u64,

    pub(super) rtt: Rtt,
    pub(super) control: Control,
    pub(super) recovery: Recovery,
    pub(super) pmtu: Pmtu,
    pub(super) pacing: Pacing,

    /// IRS and RCV.NXT.
    pub(super) irs: Seq,
    pub(super) receive_next: Seq,
    pub(super) buffer: ReceiveBuffer,
    pub(super) window: Window,
    pub(super) fin_received: bool,
    /// Where the peer's FIN lies, if it came.
    pub(super) fin_at: Option<Seq>,
    /// Bytes that wait for an acknowledgement.
    pub(super) unacknowledged: u32,
    /// The size of the peer's segments, as far as seen.
    pub(super) peer_mss: u16,
    /// The largest segment that the peer says it takes; 0 before its SYN.
    pub(super) told_mss: u16,
    /// Reported as a duplicate with the next acknowledgement (RFC 2883).
    pub(super) dsack: Option<(Seq, Seq)>,
    pub(super) challenges: OwnLimit,

    pub(super) ecn: Ecn,
    pub(super) urgent: Urgent,
    /// The peer is to be told the user timeout (RFC 5482).
    pub(super) tell_timeout: bool,

    pub(super) sack: bool,
    pub(super) timestamps: bool,
    /// TS.Recent, when it was received, and Last.ACK.sent (RFC 7323, 4.3).
    pub(super) recent: u32,
    pub(super) recent_ns: u64,
    pub(super) acknowledged: Seq,
    /// The sequence number of a refusal.
    pub(super) refusal: Seq,

    /// It began with a SYN of the peer.
    pub(super) passive: bool,
    /// The application let go; it left bytes unread, or some came later.
    pub(super) orphan: bool,
    pub(super) rejected: bool,
    /// It was reset when nothing was missing any more but the acknowledgement of our FIN.
    pub(super) complete: bool,
    /// Probes that the peer didn't answer, and when it was last heard.
    pub(super) keepalive_probes: u8,
    pub(super) heard_ns: u64,
    /// SYN sent so often, the first time then.
    pub(super) syn_count: u8,
    pub(super) syn_ns: u64,

    pub(super) retransmitted: u32,
    pub(super) timeouts: u32,
    pub(super) probes: u32,
    pub(super) spurious: u32,
    pub(super) bytes_acknowledged: u64,
    pub(super) bytes_received: u64,
}

/// How it begins.
impl Connection {
    fn new(setup: &Setup, state: State, now_ns: u64) -> Connection {
        let iss = Seq(setup.iss);
        let mut timers = Timers::new();
        if setup.handshake_timeout_ns > 0 {
            timers.life = now_ns.saturating_add(setup.handshake_timeout_ns);
        }
        let path = setup.path_mss.min(setup.mss);
        Connection {
            state,
            setup: *setup,
            error: None,
            soft_error: None,
            due: due::SYN,
            timers,
            una: iss,
            next: iss,
            most: iss,
            peer_window: 0,
            peer_window_max: 0,
            wl1: Seq(0),
            wl2: Seq(0),
            peer_scale: 0,
            scaled: false,
            queue: SendQueue::new(iss + 1),
            send_limit: setup.send_initial.min(setup.send_max),
            fin_queued: false,
            fin_sent: false,
            small_end: iss,
            window_limited: false,
            sent_ns: now_ns,
            rtt: Rtt::default(),
            control: Control::new(setup.congestion, u32::from(path)),
            recovery: Recovery::default(),
            pmtu: Pmtu::new(setup.mss, path, setup.ip_header, now_ns),
            pacing: Pacing::default(),
            irs: Seq(0),
            receive_next: Seq(0),
            buffer: ReceiveBuffer::default(),
            window: Window::new(setup.receive_initial, setup.receive_max, setup.mss),
            fin_received: false,
            fin_at: None,
            unacknowledged: 0,
            peer_mss: 536,
            told_mss: 0,
            dsack: None,
            challenges: OwnLimit::default(),
            ecn: Ecn::new(iss),
            urgent: Urgent::default(),
            tell_timeout: false,
            sack: setup.sack,
            timestamps: setup.timestamps,
            recent: 0,
            recent_ns: now_ns,
            acknowledged: Seq(0),
            refusal: Seq(0),
            passive: false,
            orphan: false,
            rejected: false,
            complete: false,
            keepalive_probes: 0,
            heard_ns: now_ns,
            syn_count: 0,
            syn_ns: now_ns,
            retransmitted: 0,
            timeouts: 0,
            probes: 0,
            spurious: 0,
            bytes_acknowledged: 0,
            bytes_received: 0,
        }
    }

    /// A connection that begins with a SYN of ours: the next [`Connection::output`] sends it.
    pub(crate) fn connect(setup: &Setup, now_ns: u64) -> Connection {
        Connection::new(setup, State::SynSent, now_ns)
    }

    /// A connection that answers `syn`, a segment with SYN and neither ACK nor RST. (The stack
    /// keeps only a record of such a handshake.)
    #[cfg(test)]
    pub(crate) fn accept(setup: &Setup, syn: &Segment<'_>, now_ns: u64) -> Connection {
        let mut connection = Connection::new(setup, State::SynReceived, now_ns);
        connection.passive = true;
        connection.take_syn(syn.seq, syn.window);
        connection.negotiate(&connection.offered_by(&syn.options), now_ns);
        if let Some((value, _)) = syn.options.timestamps {
            connection.recent = value;
        }
        connection
    }

    /// A connection whose SYN was answered by a cookie, [`Setup::iss`], and comes to be with the
    /// peer's acknowledgement of it. That one is to be given to [`Connection::input`] afterwards,
    /// for its window and its data.
    pub(crate) fn accept_cookie(
        setup: &Setup,
        negotiated: Negotiated,
        ack: &Segment<'_>,
        now_ns: u64,
    ) -> Connection {
        let mut connection = Connection::new(setup, State::SynReceived, now_ns);
        connection.passive = true;
        connection.due = 0;
        connection.take_syn(ack.seq - 1, ack.window);
        connection.negotiate(&negotiated, now_ns);
        if let Some((value, _)) = ack.options.timestamps {
            connection.recent = value;
        }
        connection.next = connection.una + 1;
        connection.most = connection.next;
        // The window that the cookie's SYN offered.
        connection.window.offer_syn(connection.receive_next);
        connection.acknowledged = connection.receive_next;
        connection.syn_count = 1;
        connection
    }

    /// The handshake that led to [`Connection::accept_cookie`] took so long, from our SYN to its
    /// acknowledgement: the first measurement of the round trip (RFC 6298, 2.2).
    pub(crate) fn handshake_took(&mut self, rtt_ns: u64, now_ns: u64) {
        self.rtt.sample(rtt_ns, 1, now_ns);
        self.window.rtt(rtt_ns);
    }

    /// The handshake that led to [`Connection::accept_cookie`] needed more than one answer of ours.
    /// To be called before the peer's acknowledgement is given to [`Connection::input`].
    pub(crate) fn handshake_repeated(&mut self) {
        self.syn_count = 2;
    }

    /// The peer's SYN came: its sequence number, and its window, which isn't scaled (RFC 7323,
    /// 2.2).
    pub(super) fn take_syn(&mut self, irs: Seq, window: u16) {
        self.irs = irs;
        self.receive_next = irs + 1;
        self.acknowledged = irs + 1;
        self.window.begin(irs + 1);
        if !self.passive {
            // Our SYN has offered a window.
            self.window.offer_syn(irs + 1);
        }
        self.peer_window = u32::from(window);
        self.peer_window_max = self.peer_window;
        self.wl1 = irs;
        self.wl2 = self.una;
    }

    /// What a SYN of the peer says.
    pub(super) fn offered_by(&self, options: &Options) -> Negotiated {
        let mut negotiated = Negotiated::from_syn(options);
        if options.mss.is_none() && self.setup.ip_header > 20 {
            negotiated.mss = MSS_V6;
        }
        negotiated
    }

    /// What both SYN agree on counts.
    pub(super) fn negotiate(&mut self, negotiated: &Negotiated, now_ns: u64) {
        // RFC 9293, 3.7.1: no segment is larger than the peer wants, whatever the path carries. A
        // peer that wants segments of a few bytes gets them no smaller than 64.
        let most = self.setup.mss.min(negotiated.mss.max(64));
        let path = self.setup.path_mss;
        self.pmtu = Pmtu::new(most, path, self.setup.ip_header, now_ns);
        self.told_mss = negotiated.mss;
        match negotiated.window_scale.filter(|_| self.setup.scaling) {
            Some(scale) => {
                self.peer_scale = scale.min(SCALE_MAX);
                self.scaled = true;
            }
            None => self.window.no_scale(),
        }
        self.sack = self.setup.sack && negotiated.sack;
        self.timestamps = self.setup.timestamps && negotiated.timestamps;
        self.ecn.on = negotiated.ecn;
        self.control = Control::new(self.setup.congestion, self.mss());
    }
}

/// What can be seen.
impl Connection {
    /// Payload bytes of a full segment: what the path carries less the timestamps (RFC 6691).
    pub(super) fn mss(&self) -> u32 {
        let options = if self.timestamps { 12 } else { 0 };
        u32::from(self.pmtu.mss()).saturating_sub(options).max(1)
    }

    /// Our clock for timestamps (RFC 7323, 5.4): milliseconds.
    pub(super) fn stamp(&self, now_ns: u64) -> u32 {
        ((now_ns / 1_000_000) as u32).wrapping_add(self.setup.timestamp_offset)
    }

    /// Bytes that are thought to be in the network.
    pub(super) fn in_flight(&self) -> u32 {
        self.recovery.in_flight(self.una, self.next, self.mss())
    }

    /// Sequence numbers that were sent and are not acknowledged.
    pub(super) fn outstanding(&self) -> bool {
        self.una != self.next
    }

    /// Reads something of each cache line; what it gives means nothing.
    pub(crate) fn warm(&self) -> u64 {
        self.setup.user_timeout_ns
            ^ self.setup.time_wait_ns
            ^ u64::from(self.setup.send_max)
            ^ u64::from(self.pmtu.mss())
            ^ u64::from(self.window.limit())
            ^ u64::from(self.control.cwnd)
            ^ u64::from(self.queue.len())
            ^ u64::from(self.recovery.phase as u8)
            ^ u64::from(self.buffer.len())
            ^ self.timers.user
            ^ self.rtt.least_ns()
            ^ self.heard_ns
            ^ u64::from(self.una.0)
            ^ u64::from(self.due)
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Why the connection failed; an orderly end is no failure.
    pub(crate) fn error(&self) -> Option<Error> {
        self.error
    }

    /// Whether [`Connection::output`] has something to send now.
    pub(crate) fn wants_output(&self) -> bool {
        self.due != 0
    }

    /// Whether that is more than an acknowledgement, as far as is known.
    pub(crate) fn wants_data(&self) -> bool {
        self.due & due::DATA != 0
    }

    /// When [`Connection::timer`] is to be called.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let next = self.timers.next();
        (next != OFF).then_some(next)
    }

    /// Bytes received and not consumed.
    pub(crate) fn unread(&self) -> usize {
        self.buffer.len() as usize
    }

    /// Bytes written and not acknowledged, without SYN and FIN.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.queue.len() as usize
    }

    /// Our FIN was acknowledged.
    pub(crate) fn fin_acknowledged(&self) -> bool {
        self.fin_sent && self.una == self.queue.end() + 1
    }

    /// A read gives bytes, the end of input or an error. False before the connection is
    /// established.
    pub(crate) fn readable(&self) -> bool {
        self.buffer.len() > 0 || self.fin_received || self.state == State::Closed
    }

    /// The peer has sent FIN and everything before it was consumed.
    #[cfg(test)]
    pub(crate) fn at_end(&self) -> bool {
        self.fin_received && self.buffer.len() == 0
    }

    /// Reading ends well although it failed: all that the peer sent was received, and it has all
    /// that was sent.
    pub(crate) fn complete(&self) -> bool {
        self.complete
    }

    /// Both directions are over.
    pub(crate) fn hangup(&self) -> bool {
        matches!(self.state, State::Closed | State::TimeWait)
            || (self.fin_received && self.fin_acknowledged())
    }

    /// Nothing more to send and nothing to wait for: CLOSED, and its RST, if any, was sent.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Closed && self.due & (due::RESET | due::REFUSAL) == 0
    }

    /// In TIME-WAIT, once the peer's FIN was acknowledged: what a record needs.
    pub(crate) fn time_wait(&self) -> Option<Quiet> {
        if self.state != State::TimeWait || self.due & due::ACK != 0 {
            return None;
        }
        Some(Quiet {
            send_next: self.next,
            receive_next: self.receive_next,
            window: self.window.field(self.receive_next),
            scale: self.window.scale,
            timestamps: self
                .timestamps
                .then_some((self.recent, self.setup.timestamp_offset)),
        })
    }

    /// Timeouts in a row since the peer was heard.
    pub(crate) fn unheard(&self) -> u8 {
        self.rtt.backoff()
    }

    /// See [`TcpOptions`].
    pub(crate) fn options(&self) -> TcpOptions {
        TcpOptions::of(&self.setup)
    }

    /// How it does.
    pub(crate) fn info(&self) -> Info {
        Info {
            state: self.state.name(),
            rtt_ns: self.rtt.smoothed().unwrap_or(0),
            rtt_variation_ns: self.rtt.variation(),
            rtt_min_ns: self.rtt.least_ns(),
            rto_ns: self.rtt.base(&self.setup),
            mss: self.mss() as u16,
            cwnd: self.control.cwnd,
            ssthresh: self.control.ssthresh,
            send_window: self.peer_window,
            receive_window: self.window.offered(self.receive_next),
            in_flight: self.in_flight(),
            unacknowledged: self.queue.len(),
            unread: self.buffer.len(),
            out_of_order: self.buffer.out_of_order(),
            phase: self.recovery.phase.name(),
            sacked: self.recovery.sacked(),
            lost: self.recovery.lost(),
            reordering: self.recovery.reordering(),
            peer_mss: self.told_mss,
            path_mtu: u32::from(self.pmtu.mss()) + u32::from(self.setup.ip_header) + HEADER as u32,
            timestamps: self.timestamps,
            sack: self.sack,
            ecn: self.ecn.on,
            scales: self.scaled.then_some((self.window.scale, self.peer_scale)),
            retransmitted: self.retransmitted,
            timeouts: self.timeouts,
            probes: self.probes,
            spurious: self.spurious,
            bytes_acknowledged: self.bytes_acknowledged,
            bytes_received: self.bytes_received,
        }
    }

    /// The connection is over; what was received stays readable.
    pub(super) fn end(&mut self, budget: &mut dyn Budget, error: Option<Error>) {
        self.state = State::Closed;
        self.error = self.error.or(error);
        self.due &= due::RESET | due::REFUSAL;
        self.timers = Timers::new();
        self.queue.clear(budget);
        self.recovery.clear();
        self.buffer.drop_out_of_order(budget);
        if self.orphan {
            self.buffer.clear(budget);
        }
    }
}
