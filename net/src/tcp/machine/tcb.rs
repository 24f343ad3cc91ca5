//! The control block of a connection (TCB; RFC 9293, 3.3.1): variables, setup and status.

use super::budget::Budget;
use super::challenge::ConnectionLimit;
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

/// The receiver of output segments.
pub(crate) trait Emit {
    /// Maximum payload of one call of [`Emit::segment`] in bytes, if the device segments; 0 if it
    /// doesn't: then none is larger than [`Header::segment_size`].
    fn max_segment(&self) -> usize;

    /// Sends a segment whose payload is the concatenated pieces. `false`: there is no room (or the
    /// neighbor isn't resolved), nothing was sent, and the segment is retried later.
    fn segment(&mut self, header: &Header, payload: &[&[u8]]) -> bool;
}

/// The result of a turn of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing more to send now.
    Done,
    /// More to send: the connection wants another turn.
    More,
    /// [`Emit::segment`] had no room.
    Blocked,
}

/// The state of a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeWaitState {
    pub(crate) snd_nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    /// The last window offered, as in a header, and its shift.
    pub(crate) window: u16,
    pub(crate) scale: u8,
    /// If timestamps were negotiated: TS.Recent, and the offset of ours from the clock of
    /// milliseconds.
    pub(crate) timestamps: Option<(u32, u32)>,
}

/// Segments to send with the next turn, as bits.
pub(super) mod due {
    /// An acknowledgement.
    pub(crate) const ACK: u8 = 1;
    /// SYN, or SYN and ACK.
    pub(crate) const SYN: u8 = 2;
    /// RST: the connection is over.
    pub(crate) const RESET: u8 = 4;
    /// RST for an unacceptable acknowledgement before the connection is established.
    pub(crate) const REFUSAL: u8 = 8;
    /// Data or FIN, perhaps.
    pub(crate) const DATA: u8 = 16;
    /// A tail loss probe.
    pub(crate) const PROBE: u8 = 32;
    /// A probe of a closed window.
    pub(crate) const PERSIST: u8 = 64;
    /// A keep-alive (RFC 9293, 3.8.4).
    pub(crate) const KEEPALIVE: u8 = 128;
}

/// The machine of one connection. `snd_*` and `rcv_*` are the variables of RFC 9293, 3.3.1, `ts_*`
/// those of RFC 7323, 4.3. Sizes are bytes, times nanoseconds.
pub(crate) struct Machine {
    pub(super) state: State,
    pub(super) setup: Setup,
    /// Why the connection failed.
    pub(super) error: Option<Error>,
    /// An ICMP error that doesn't end the connection, reported if it fails later (RFC 9293,
    /// 3.9.2.2).
    pub(super) soft_error: Option<Error>,
    /// Segments to send with the next turn: bits of [`due`].
    pub(super) due: u8,
    pub(super) timers: Timers,

    // Send.
    pub(super) snd_una: Seq,
    pub(super) snd_nxt: Seq,
    /// The highest sequence number sent: beyond `snd_nxt` by the byte of a window probe.
    pub(super) snd_max: Seq,
    pub(super) snd_wnd: u32,
    /// The largest window offered by the peer.
    pub(super) snd_wnd_max: u32,
    pub(super) snd_wl1: Seq,
    pub(super) snd_wl2: Seq,
    /// Snd.Wind.Shift of RFC 7323.
    pub(super) snd_wnd_shift: u8,
    /// The end of the last segment that was smaller than it could be (Minshall's variant of Nagle's
    /// rule).
    pub(super) snd_sml: Seq,
    /// The MSS that the peer announced; 0 before its SYN.
    pub(super) peer_mss: u16,
    pub(super) send_queue: SendQueue,
    pub(super) send_buffer_limit: u32,
    /// FIN follows the bytes of the queue.
    pub(super) fin_queued: bool,
    pub(super) fin_sent: bool,
    /// The window was full when data was last sent.
    pub(super) window_limited: bool,
    pub(super) last_sent_ns: u64,
    /// SYNs sent, and when the first was.
    pub(super) syns_sent: u8,
    pub(super) first_syn_ns: u64,
    /// The sequence number of an RST that is due as [`due::REFUSAL`].
    pub(super) refusal_seq: Seq,
    /// The user timeout option is to be sent (RFC 5482).
    pub(super) user_timeout_due: bool,

    // Congestion control, loss recovery and path.
    pub(super) rtt: Rtt,
    pub(super) control: Control,
    pub(super) recovery: Recovery,
    pub(super) pmtu: Pmtu,
    pub(super) pacing: Pacing,
    pub(super) ecn: Ecn,

    // Receive.
    pub(super) irs: Seq,
    pub(super) rcv_nxt: Seq,
    pub(super) rcv_wnd: Window,
    /// The size of the peer's segments, as observed.
    pub(super) rcv_mss: u16,
    pub(super) receive_buffer: ReceiveBuffer,
    pub(super) fin_received: bool,
    /// The sequence number of the peer's FIN, once received, in order or not.
    pub(super) rcv_fin_seq: Option<Seq>,
    /// Bytes received since the last acknowledgement was sent.
    pub(super) ack_pending: u32,
    /// Last.ACK.sent of RFC 7323.
    pub(super) last_ack_sent: Seq,
    /// A duplicate to be reported with the next acknowledgement (RFC 2883).
    pub(super) pending_dsack: Option<(Seq, Seq)>,
    pub(super) challenge_limit: ConnectionLimit,
    /// When the last segment arrived, and keep-alives sent since.
    pub(super) last_received_ns: u64,
    pub(super) keepalive_probes: u8,
    pub(super) urgent: Urgent,

    // Negotiated options.
    pub(super) window_scaling: bool,
    pub(super) sack_permitted: bool,
    pub(super) timestamps_enabled: bool,
    pub(super) ts_recent: u32,
    pub(super) ts_recent_at_ns: u64,

    // Owner.
    /// The peer sent the first SYN.
    pub(super) passive_open: bool,
    /// The program has closed it.
    pub(super) orphan: bool,
    /// Bytes were unread when it was closed, or arrived later.
    pub(super) unread_at_close: bool,
    /// It was reset while only the acknowledgement of our FIN was missing.
    pub(super) complete: bool,

    // Counters.
    pub(super) segments_retransmitted: u32,
    pub(super) retransmission_timeouts: u32,
    pub(super) tail_probes: u32,
    pub(super) spurious_recoveries: u32,
    pub(super) bytes_acknowledged: u64,
    pub(super) bytes_received: u64,
}

/// Setup.
impl Machine {
    fn new(setup: &Setup, state: State, now_ns: u64) -> Machine {
        let iss = Seq(setup.iss);
        let mut timers = Timers::new();
        if setup.handshake_timeout_ns > 0 {
            timers.lifetime = now_ns.saturating_add(setup.handshake_timeout_ns);
        }
        let path = setup.path_mss.min(setup.mss);
        Machine {
            state,
            setup: *setup,
            error: None,
            soft_error: None,
            due: due::SYN,
            timers,
            snd_una: iss,
            snd_nxt: iss,
            snd_max: iss,
            snd_wnd: 0,
            snd_wnd_max: 0,
            snd_wl1: Seq(0),
            snd_wl2: Seq(0),
            snd_wnd_shift: 0,
            window_scaling: false,
            send_queue: SendQueue::new(iss + 1),
            send_buffer_limit: setup.send_initial.min(setup.send_max),
            fin_queued: false,
            fin_sent: false,
            snd_sml: iss,
            window_limited: false,
            last_sent_ns: now_ns,
            rtt: Rtt::default(),
            control: Control::new(setup.congestion, u32::from(path)),
            recovery: Recovery::default(),
            pmtu: Pmtu::new(setup.mss, path, setup.ip_header, now_ns),
            pacing: Pacing::default(),
            irs: Seq(0),
            rcv_nxt: Seq(0),
            receive_buffer: ReceiveBuffer::default(),
            rcv_wnd: Window::new(setup.receive_initial, setup.receive_max, setup.mss),
            fin_received: false,
            rcv_fin_seq: None,
            ack_pending: 0,
            rcv_mss: 536,
            peer_mss: 0,
            pending_dsack: None,
            challenge_limit: ConnectionLimit::default(),
            ecn: Ecn::new(iss),
            urgent: Urgent::default(),
            user_timeout_due: false,
            sack_permitted: setup.sack,
            timestamps_enabled: setup.timestamps,
            ts_recent: 0,
            ts_recent_at_ns: now_ns,
            last_ack_sent: Seq(0),
            refusal_seq: Seq(0),
            passive_open: false,
            orphan: false,
            unread_at_close: false,
            complete: false,
            keepalive_probes: 0,
            last_received_ns: now_ns,
            syns_sent: 0,
            first_syn_ns: now_ns,
            segments_retransmitted: 0,
            retransmission_timeouts: 0,
            tail_probes: 0,
            spurious_recoveries: 0,
            bytes_acknowledged: 0,
            bytes_received: 0,
        }
    }

    /// A connection that begins with a SYN of ours: the next [`Machine::output`] sends it.
    pub(crate) fn connect(setup: &Setup, now_ns: u64) -> Machine {
        Machine::new(setup, State::SynSent, now_ns)
    }

    /// A connection that answers `syn`, a segment with SYN and neither ACK nor RST. (The stack
    /// stores only a record of such a handshake.)
    #[cfg(test)]
    pub(crate) fn accept(setup: &Setup, syn: &Segment<'_>, now_ns: u64) -> Machine {
        let mut machine = Machine::new(setup, State::SynReceived, now_ns);
        machine.passive_open = true;
        machine.take_syn(syn.seq, syn.window);
        machine.negotiate(&machine.offered_by(&syn.options), now_ns);
        if let Some((value, _)) = syn.options.timestamps {
            machine.ts_recent = value;
        }
        machine
    }

    /// A connection whose SYN was answered by a cookie, [`Setup::iss`], and that begins with the
    /// peer's acknowledgement. Pass that to [`Machine::input`] afterwards, for its window and data.
    pub(crate) fn accept_cookie(
        setup: &Setup,
        negotiated: Negotiated,
        ack: &Segment<'_>,
        now_ns: u64,
    ) -> Machine {
        let mut machine = Machine::new(setup, State::SynReceived, now_ns);
        machine.passive_open = true;
        machine.due = 0;
        machine.take_syn(ack.seq - 1, ack.window);
        machine.negotiate(&negotiated, now_ns);
        if let Some((value, _)) = ack.options.timestamps {
            machine.ts_recent = value;
        }
        machine.snd_nxt = machine.snd_una + 1;
        machine.snd_max = machine.snd_nxt;
        // The window that the cookie's SYN offered.
        machine.rcv_wnd.offer_syn(machine.rcv_nxt);
        machine.last_ack_sent = machine.rcv_nxt;
        machine.syns_sent = 1;
        machine
    }

    /// Sets the duration of the handshake before [`Machine::accept_cookie`], from our SYN to its
    /// acknowledgement: the first sample of the round trip (RFC 6298, 2.2).
    pub(crate) fn set_handshake_rtt(&mut self, rtt_ns: u64, now_ns: u64) {
        self.rtt.sample(rtt_ns, 1, now_ns);
        self.rcv_wnd.rtt(rtt_ns);
    }

    /// In the handshake before [`Machine::accept_cookie`] our SYN was retransmitted. Call this
    /// before the peer's acknowledgement is passed to [`Machine::input`].
    pub(crate) fn handshake_repeated(&mut self) {
        self.syns_sent = 2;
    }

    /// Handles the peer's SYN: its sequence number, and its window, which isn't scaled (RFC 7323,
    /// 2.2).
    pub(super) fn take_syn(&mut self, irs: Seq, window: u16) {
        self.irs = irs;
        self.rcv_nxt = irs + 1;
        self.last_ack_sent = irs + 1;
        self.rcv_wnd.begin(irs + 1);
        if !self.passive_open {
            // Our SYN has offered a window.
            self.rcv_wnd.offer_syn(irs + 1);
        }
        self.snd_wnd = u32::from(window);
        self.snd_wnd_max = self.snd_wnd;
        self.snd_wl1 = irs;
        self.snd_wl2 = self.snd_una;
    }

    /// The options of a SYN of the peer.
    pub(super) fn offered_by(&self, options: &Options) -> Negotiated {
        let mut negotiated = Negotiated::from_syn(options);
        if options.mss.is_none() && self.setup.ip_header > 20 {
            negotiated.mss = MSS_V6;
        }
        negotiated
    }

    /// Applies the negotiated options.
    pub(super) fn negotiate(&mut self, negotiated: &Negotiated, now_ns: u64) {
        // RFC 9293, 3.7.1: no segment is larger than the peer's MSS, whatever the path carries. An
        // MSS below 64 counts as 64.
        let most = self.setup.mss.min(negotiated.mss.max(64));
        let path = self.setup.path_mss;
        self.pmtu = Pmtu::new(most, path, self.setup.ip_header, now_ns);
        self.peer_mss = negotiated.mss;
        match negotiated.window_scale.filter(|_| self.setup.scaling) {
            Some(scale) => {
                self.snd_wnd_shift = scale.min(SCALE_MAX);
                self.window_scaling = true;
            }
            None => self.rcv_wnd.no_scale(),
        }
        self.sack_permitted = self.setup.sack && negotiated.sack;
        self.timestamps_enabled = self.setup.timestamps && negotiated.timestamps;
        self.ecn.on = negotiated.ecn;
        self.control = Control::new(self.setup.congestion, self.mss());
    }
}

/// Status.
impl Machine {
    /// Payload bytes of a full segment: what the path carries less the timestamps (RFC 6691).
    pub(super) fn mss(&self) -> u32 {
        let options = if self.timestamps_enabled { 12 } else { 0 };
        u32::from(self.pmtu.mss()).saturating_sub(options).max(1)
    }

    /// Our clock for timestamps (RFC 7323, 5.4): milliseconds.
    pub(super) fn stamp(&self, now_ns: u64) -> u32 {
        ((now_ns / 1_000_000) as u32).wrapping_add(self.setup.timestamp_offset)
    }

    /// The pipe (RFC 6675, 4).
    pub(super) fn pipe(&self) -> u32 {
        self.recovery.pipe(self.snd_una, self.snd_nxt, self.mss())
    }

    /// Whether sequence numbers are in flight.
    pub(super) fn outstanding(&self) -> bool {
        self.snd_una != self.snd_nxt
    }

    /// Reads from each cache line; the result has no meaning.
    pub(crate) fn prefetch(&self) -> u64 {
        self.setup.user_timeout_ns
            ^ self.setup.time_wait_ns
            ^ u64::from(self.setup.send_max)
            ^ u64::from(self.pmtu.mss())
            ^ u64::from(self.rcv_wnd.limit())
            ^ u64::from(self.control.cwnd)
            ^ u64::from(self.send_queue.len())
            ^ u64::from(self.recovery.phase as u8)
            ^ u64::from(self.receive_buffer.len())
            ^ self.timers.user
            ^ self.rtt.min_rtt_ns()
            ^ self.last_received_ns
            ^ u64::from(self.snd_una.0)
            ^ u64::from(self.due)
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Why the connection failed; an orderly end is no failure.
    pub(crate) fn error(&self) -> Option<Error> {
        self.error
    }

    /// Whether [`Machine::output`] has something to send now.
    pub(crate) fn wants_output(&self) -> bool {
        self.due != 0
    }

    /// Whether that is probably more than an acknowledgement.
    pub(crate) fn wants_data(&self) -> bool {
        self.due & due::DATA != 0
    }

    /// When to call [`Machine::timer`].
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let next = self.timers.next();
        (next != OFF).then_some(next)
    }

    /// Bytes received and not consumed.
    pub(crate) fn unread(&self) -> usize {
        self.receive_buffer.len() as usize
    }

    /// Bytes written and not acknowledged, without SYN and FIN.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.send_queue.len() as usize
    }

    /// Our FIN was acknowledged.
    pub(crate) fn fin_acknowledged(&self) -> bool {
        self.fin_sent && self.snd_una == self.send_queue.end() + 1
    }

    /// Whether a read returns bytes, the end of input or an error. False before the connection is
    /// established.
    pub(crate) fn readable(&self) -> bool {
        self.receive_buffer.len() > 0 || self.fin_received || self.state == State::Closed
    }

    /// The peer has sent FIN and everything before it was consumed.
    #[cfg(test)]
    pub(crate) fn at_end(&self) -> bool {
        self.fin_received && self.receive_buffer.len() == 0
    }

    /// Although the connection failed, all data of the peer was received, and the peer has
    /// acknowledged all of ours.
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

    /// In TIME-WAIT, once the peer's FIN was acknowledged: the state for a record.
    pub(crate) fn time_wait(&self) -> Option<TimeWaitState> {
        if self.state != State::TimeWait || self.due & due::ACK != 0 {
            return None;
        }
        Some(TimeWaitState {
            snd_nxt: self.snd_nxt,
            rcv_nxt: self.rcv_nxt,
            window: self.rcv_wnd.field(self.rcv_nxt),
            scale: self.rcv_wnd.scale,
            timestamps: self
                .timestamps_enabled
                .then_some((self.ts_recent, self.setup.timestamp_offset)),
        })
    }

    /// Consecutive timeouts since the peer's last response.
    pub(crate) fn timeouts_in_row(&self) -> u8 {
        self.rtt.backoff()
    }

    /// See [`TcpOptions`].
    pub(crate) fn options(&self) -> TcpOptions {
        TcpOptions::of(&self.setup)
    }

    /// Statistics, as in `tcp_info` of Linux.
    pub(crate) fn info(&self) -> Info {
        Info {
            state: self.state.name(),
            rtt_ns: self.rtt.srtt_ns().unwrap_or(0),
            rtt_variation_ns: self.rtt.rttvar_ns(),
            rtt_min_ns: self.rtt.min_rtt_ns(),
            rto_ns: self.rtt.rto_base_ns(&self.setup),
            mss: self.mss() as u16,
            cwnd: self.control.cwnd,
            ssthresh: self.control.ssthresh,
            send_window: self.snd_wnd,
            receive_window: self.rcv_wnd.offered(self.rcv_nxt),
            in_flight: self.pipe(),
            unacknowledged: self.send_queue.len(),
            unread: self.receive_buffer.len(),
            out_of_order: self.receive_buffer.out_of_order(),
            phase: self.recovery.phase.name(),
            sacked: self.recovery.sacked(),
            lost: self.recovery.lost(),
            reordering: self.recovery.reordering(),
            peer_mss: self.peer_mss,
            path_mtu: u32::from(self.pmtu.mss()) + u32::from(self.setup.ip_header) + HEADER as u32,
            timestamps: self.timestamps_enabled,
            sack: self.sack_permitted,
            ecn: self.ecn.on,
            scales: self
                .window_scaling
                .then_some((self.rcv_wnd.scale, self.snd_wnd_shift)),
            retransmitted: self.segments_retransmitted,
            timeouts: self.retransmission_timeouts,
            probes: self.tail_probes,
            spurious: self.spurious_recoveries,
            bytes_acknowledged: self.bytes_acknowledged,
            bytes_received: self.bytes_received,
        }
    }

    /// Ends the connection; received data stays readable.
    pub(super) fn end(&mut self, budget: &mut dyn Budget, error: Option<Error>) {
        self.state = State::Closed;
        self.error = self.error.or(error);
        self.due &= due::RESET | due::REFUSAL;
        self.timers = Timers::new();
        self.send_queue.clear(budget);
        self.recovery.clear();
        self.receive_buffer.drop_out_of_order(budget);
        if self.orphan {
            self.receive_buffer.clear(budget);
        }
    }
}
