//! Input: a segment changes a connection (RFC 9293, 3.10.7), with the rules of RFC 5961 against
//! blind attacks and of RFC 7323 against old duplicates.

use super::budget::Budget;
use super::recovery::Phase;
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::State;
use super::tcb::{Machine, due};
use super::timers::OFF;
use crate::types::Error;

/// Age after which TS.Recent is invalid (RFC 7323, 5.5).
const PAWS_IDLE_NS: u64 = 24 * 24 * 3_600_000_000_000;

/// The part of a segment that lies in the window.
#[derive(Clone, Copy)]
struct Trimmed<'a> {
    seq: Seq,
    payload: &'a [u8],
    fin: bool,
}

impl Machine {
    /// Handles a segment of this connection. `challenge` returns whether the stack may send one
    /// more challenge acknowledgement now (RFC 5961, 7).
    pub(crate) fn input(
        &mut self,
        budget: &mut dyn Budget,
        challenge: &mut dyn FnMut() -> bool,
        segment: &Segment<'_>,
        now_ns: u64,
    ) {
        match self.state {
            State::Closed => {}
            State::SynSent => self.input_syn_sent(budget, segment, now_ns),
            _ => self.input_synchronized(budget, challenge, segment, now_ns),
        }
    }

    /// Acknowledges a suspicious or useless segment, if the limits allow it.
    fn challenge(&mut self, challenge: &mut dyn FnMut() -> bool, now_ns: u64) {
        if self.challenge_limit.allow(challenge, now_ns) {
            self.due |= due::ACK;
        }
    }

    /// RFC 9293, 3.10.7.3.
    fn input_syn_sent(&mut self, budget: &mut dyn Budget, segment: &Segment<'_>, now_ns: u64) {
        let acked = segment.has(Flags::ACK);
        // First, ACK: only of our SYN.
        if acked && !(segment.ack.after(self.snd_una) && segment.ack.at_most(self.snd_nxt)) {
            if !segment.has(Flags::RST) {
                self.refuse(segment.ack);
            }
            return;
        }
        // Second, RST: only with an acceptable ACK.
        if segment.has(Flags::RST) {
            if acked {
                self.end(budget, Some(Error::ConnectionRefused));
            }
            return;
        }
        // Fourth, SYN.
        if !segment.has(Flags::SYN) {
            return;
        }
        if let (true, true, Some((_, echo))) =
            (acked, self.timestamps_enabled, segment.options.timestamps)
            && self.stamp(now_ns).wrapping_sub(echo) as i32 >= 0
            && echo.wrapping_sub(self.stamp(self.first_syn_ns)) as i32 >= 0
        {
            // RFC 7323, 3.2 and 5.4: it acknowledges this SYN.
            let rtt_ns = u64::from(self.stamp(now_ns).wrapping_sub(echo)) * 1_000_000;
            if self.syns_sent > 1 {
                self.rtt.sample(rtt_ns.max(1_000_000), 1, now_ns);
            }
        }
        self.take_syn(segment.seq, segment.window);
        let mut negotiated = self.offered_by(&segment.options);
        // RFC 3168, 6.1.1: a SYN-ACK that accepts ECN has ECE alone.
        negotiated.ecn = acked
            && self.setup.ecn
            && self.syns_sent == 1
            && segment.has(Flags::ECE)
            && !segment.has(Flags::CWR);
        self.negotiate(&negotiated, now_ns);
        if let (true, Some((value, _))) = (self.timestamps_enabled, segment.options.timestamps) {
            self.ts_recent = value;
            self.ts_recent_at_ns = now_ns;
        }
        if !acked {
            // Simultaneous open: the same SYN again, with an acknowledgement.
            self.state = State::SynReceived;
            self.due |= due::SYN;
            self.syns_sent = self.syns_sent.saturating_sub(1);
            return;
        }
        self.snd_una = segment.ack;
        self.snd_wl2 = segment.ack;
        self.establish(now_ns);
        self.due |= due::ACK;
        // Data and FIN of a SYN-ACK count.
        let trimmed = self.trim(segment.seq + 1, segment);
        self.take_data(budget, &trimmed, segment, now_ns);
    }

    /// An RST with the sequence number that the peer expects.
    fn refuse(&mut self, seq: Seq) {
        self.refusal_seq = seq;
        self.due |= due::REFUSAL;
    }

    /// Our SYN was acknowledged.
    fn establish(&mut self, now_ns: u64) {
        self.state = if self.fin_queued {
            State::FinWait1
        } else {
            State::Established
        };
        if !self.orphan {
            self.timers.lifetime = OFF;
        }
        self.timers.retransmit = OFF;
        self.due &= !due::SYN;
        self.rtt.reset_backoff();
        if self.syns_sent <= 1 {
            if self.syns_sent == 1 && now_ns > self.first_syn_ns {
                self.rtt.sample(now_ns - self.first_syn_ns, 1, now_ns);
                self.control
                    .rtt(now_ns - self.first_syn_ns, self.snd_una, self.snd_nxt);
            }
        } else {
            // RFC 5681, 3.1 and RFC 6298, 5.7: the SYN was retransmitted.
            self.control.cwnd = self.mss();
            if self.rtt.srtt_ns().is_none() {
                self.setup.rto_initial_ns = self.setup.rto_initial_ns.max(3_000_000_000);
            }
        }
        if let Some(rtt_ns) = self.rtt.srtt_ns() {
            self.rcv_wnd.rtt(rtt_ns);
        }
        self.last_received_ns = now_ns;
        self.arm_keepalive(now_ns);
        if self.send_queue.len() > 0 || self.fin_queued {
            self.due |= due::DATA;
        }
    }

    /// RFC 9293, 3.10.7.4.
    fn input_synchronized(
        &mut self,
        budget: &mut dyn Budget,
        challenge: &mut dyn FnMut() -> bool,
        segment: &Segment<'_>,
        now_ns: u64,
    ) {
        let rst = segment.has(Flags::RST);
        if self.timestamps_enabled && !rst && !self.passes_paws(challenge, segment, now_ns) {
            return;
        }
        // First, the sequence number.
        let offered = self.rcv_wnd.offered(self.rcv_nxt);
        if !self.is_acceptable(segment, offered) {
            self.input_unacceptable(budget, challenge, segment, offered, now_ns);
            return;
        }
        // Second, RST (RFC 5961, 3.2).
        if rst {
            if segment.seq == self.rcv_nxt {
                self.input_reset(budget);
            } else {
                self.challenge(challenge, now_ns);
            }
            return;
        }
        // Fourth, SYN (RFC 5961, 4.2).
        if segment.has(Flags::SYN) {
            self.challenge(challenge, now_ns);
            return;
        }
        // Fifth, ACK.
        if !segment.has(Flags::ACK) || !self.take_ack_checked(budget, challenge, segment, now_ns) {
            return;
        }
        self.last_received_ns = now_ns;
        self.keepalive_probes = 0;
        // RFC 7323, 4.3: TS.Recent is that of the segment that the next acknowledgement covers.
        if let (true, Some((value, echo))) = (self.timestamps_enabled, segment.options.timestamps)
            && segment.seq.at_most(self.last_ack_sent)
            && value.wrapping_sub(self.ts_recent) as i32 >= 0
        {
            self.ts_recent = value;
            self.ts_recent_at_ns = now_ns;
            if !segment.payload.is_empty() && echo != 0 {
                let ms = self.stamp(now_ns).wrapping_sub(echo);
                if ms < 1 << 20 {
                    self.rcv_wnd.rtt(u64::from(ms.max(1)) * 1_000_000);
                }
            }
        }
        self.take_urgent(segment);
        // Seventh and eighth, data and FIN.
        if segment.payload.is_empty() && !segment.has(Flags::FIN) {
            return;
        }
        if self.ecn.take_mark(segment) {
            // At once, so that the sender reacts early.
            self.due |= due::ACK;
        }
        let trimmed = self.trim(segment.seq, segment);
        self.take_data(budget, &trimmed, segment, now_ns);
    }

    /// RFC 7323, 5.3 (R1): a segment whose timestamp is older than the last one is an old
    /// duplicate.
    fn passes_paws(
        &mut self,
        challenge: &mut dyn FnMut() -> bool,
        segment: &Segment<'_>,
        now_ns: u64,
    ) -> bool {
        let Some((value, _)) = segment.options.timestamps else {
            // RFC 7323, 3.2: without a timestamp it isn't from this connection.
            return false;
        };
        let older = (value.wrapping_sub(self.ts_recent) as i32) < 0;
        if older && now_ns.saturating_sub(self.ts_recent_at_ns) <= PAWS_IDLE_NS {
            if segment.payload.is_empty() {
                self.challenge(challenge, now_ns);
            } else {
                self.due |= due::ACK;
            }
            return false;
        }
        true
    }

    /// RFC 9293, 3.4, table 6. An acknowledgement of a peer that has filled the window begins at
    /// its right edge: it also counts.
    fn is_acceptable(&self, segment: &Segment<'_>, offered: u32) -> bool {
        let edge = self.rcv_nxt + offered;
        let len = segment.len();
        if len == 0 {
            return segment.seq.within(self.rcv_nxt, edge)
                || segment.seq == self.rcv_nxt
                || (segment.seq == edge && !segment.has(Flags::RST));
        }
        offered > 0
            && (segment.seq.within(self.rcv_nxt, edge)
                || (segment.seq + (len - 1)).within(self.rcv_nxt, edge)
                // Wider than the window on both sides.
                || (segment.seq.before(self.rcv_nxt) && segment.end().after(edge)))
    }

    fn input_unacceptable(
        &mut self,
        budget: &mut dyn Budget,
        challenge: &mut dyn FnMut() -> bool,
        segment: &Segment<'_>,
        offered: u32,
        now_ns: u64,
    ) {
        if segment.has(Flags::RST) {
            // With a closed window an RST at RCV.NXT with data is still one (RFC 9293, 3.10.7.4).
            if segment.seq == self.rcv_nxt && offered == 0 {
                self.input_reset(budget);
            }
            return;
        }
        if self.state == State::SynReceived && segment.has(Flags::SYN) && segment.seq == self.irs {
            if !segment.has(Flags::ACK) {
                // Our SYN-ACK was lost or is late: send it again.
                if self.challenge_limit.allow(challenge, now_ns) {
                    self.due |= due::SYN;
                }
                return;
            }
            // The peer's SYN-ACK in a simultaneous open (RFC 9293, 3.5, figure 8).
            if segment.ack == self.snd_nxt && self.snd_nxt != self.snd_una {
                self.snd_una = segment.ack;
                self.snd_wl2 = segment.ack;
                self.establish(now_ns);
                self.due |= due::ACK;
                return;
            }
        }
        if segment.has(Flags::SYN) {
            return self.challenge(challenge, now_ns);
        }
        if segment.has(Flags::ACK) && offered == 0 && segment.seq == self.rcv_nxt {
            // RFC 9293, 3.10.7.4 (MUST-66): with a closed window, acknowledgements and urgent
            // pointers still count.
            self.last_received_ns = now_ns;
            self.keepalive_probes = 0;
            if self.take_ack_checked(budget, challenge, segment, now_ns) {
                self.take_urgent(segment);
            }
            self.due |= due::ACK;
            return;
        }
        if segment.has(Flags::FIN | Flags::ACK) && self.state == State::TimeWait {
            self.timers.lifetime = now_ns.saturating_add(self.setup.time_wait_ns);
        }
        if self.fin_received && segment.end().after(self.rcv_nxt) {
            // Nothing is valid beyond the peer's FIN.
            return self.challenge(challenge, now_ns);
        }
        if segment.payload.is_empty() && !segment.has(Flags::FIN) {
            // Two ends that disagree must not acknowledge each other forever; keep-alives are
            // acknowledged.
            return self.challenge(challenge, now_ns);
        }
        let end = segment.end().min(self.rcv_nxt);
        if self.sack_permitted && segment.seq.before(end) && end - segment.seq < 1 << 30 {
            // RFC 2883, 4.
            self.pending_dsack = Some((segment.seq, end));
        }
        self.last_received_ns = now_ns;
        self.due |= due::ACK;
    }

    /// RFC 9293, 3.10.7.4, second.
    fn input_reset(&mut self, budget: &mut dyn Budget) {
        let error = match self.state {
            // RFC 1337, 3, F1: ignored in TIME-WAIT.
            State::TimeWait => return,
            // An active open was refused; a passive one just ends.
            State::SynReceived if !self.passive_open => Some(Error::ConnectionRefused),
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => Some(Error::ConnectionReset),
            State::LastAck | State::Closing => {
                // All expected data has arrived, and the peer has all that was sent: the reset
                // is reported, but nothing is lost.
                self.complete = self.fin_sent && self.send_queue.len() == 0;
                Some(Error::ConnectionReset)
            }
            _ => None,
        };
        self.end(budget, error);
        self.due = 0;
    }

    /// RFC 9293, 3.10.7.4, fifth; RFC 5961, 5.2. Returns whether to process the segment further.
    fn take_ack_checked(
        &mut self,
        budget: &mut dyn Budget,
        challenge: &mut dyn FnMut() -> bool,
        segment: &Segment<'_>,
        now_ns: u64,
    ) -> bool {
        let ack = segment.ack;
        if self.state == State::SynReceived {
            if !(ack.after(self.snd_una) && ack.at_most(self.snd_nxt)) {
                self.refuse(ack);
                return false;
            }
            self.snd_una = ack;
            self.snd_wnd = u32::from(segment.window) << self.snd_wnd_shift;
            self.snd_wnd_max = self.snd_wnd_max.max(self.snd_wnd);
            self.snd_wl1 = segment.seq;
            self.snd_wl2 = ack;
            self.establish(now_ns);
            return true;
        }
        if ack.after(self.snd_max) {
            self.challenge(challenge, now_ns);
            return false;
        }
        if ack.before(self.snd_una) {
            if self.snd_una - ack > self.snd_wnd_max.max(1 << 16) {
                self.challenge(challenge, now_ns);
                return false;
            }
            // An old one: its data and its SACK blocks still count.
            self.take_old_report(budget, segment, now_ns);
            return true;
        }
        if self.ecn.take_echo(segment, self.snd_nxt) && self.recovery.phase == Phase::Open {
            // A recovery has already reduced the window.
            self.control.lost(self.snd_nxt - self.snd_una, self.mss());
            self.control.cwnd = self.control.cwnd.min(self.control.ssthresh);
        }
        self.take_ack(budget, segment, now_ns);
        self.state != State::Closed
    }

    /// Sixth, URG.
    fn take_urgent(&mut self, segment: &Segment<'_>) {
        if segment.has(Flags::URG) && self.state.can_receive() {
            self.urgent.take(segment, self.first_unread());
        }
    }

    /// The part of a segment's data, which begins at `seq`, that is new and within the window.
    fn trim<'a>(&self, seq: Seq, segment: &Segment<'a>) -> Trimmed<'a> {
        let edge = self.rcv_nxt + self.rcv_wnd.offered(self.rcv_nxt);
        let skip = self.rcv_nxt.beyond(seq);
        let payload = segment.payload.get(skip as usize..).unwrap_or_default();
        let first = seq + skip;
        let room = edge.beyond(first) as usize;
        let end = seq + segment.payload.len() as u32;
        let (payload, cut) = match payload.get(..room) {
            Some(part) if part.len() < payload.len() => (part, true),
            _ => (payload, false),
        };
        // RFC 9293, 3.10.7.4: a FIN that lies beyond the window is cut off with the data before it.
        let fin = segment.has(Flags::FIN) && !cut && end.at_least(self.rcv_nxt);
        Trimmed {
            seq: first,
            payload,
            fin,
        }
    }

    /// RFC 9293, 3.10.7.4, seventh and eighth: text and FIN.
    fn take_data(
        &mut self,
        budget: &mut dyn Budget,
        trimmed: &Trimmed<'_>,
        segment: &Segment<'_>,
        now_ns: u64,
    ) {
        if !self.state.can_receive() {
            // The peer sends nothing after its FIN.
            return;
        }
        let Trimmed { seq, payload, fin } = *trimmed;
        let len = payload.len() as u32;
        if self.orphan && len > 0 {
            self.unread_at_close = true;
            if self.fin_acknowledged() {
                // RFC 9293, 3.10.4 and RFC 2525, 2.17: no reader is left.
                self.due |= due::RESET;
                return self.end(budget, Some(Error::ConnectionAborted));
            }
        }
        let wire = usize::from(segment.gro.unwrap_or(0))
            .max(1)
            .min(segment.payload.len());
        let size = if segment.gro.is_some() {
            wire
        } else {
            segment.payload.len()
        };
        if size > usize::from(self.rcv_mss) {
            self.rcv_mss = size.min(usize::from(self.setup.mss)) as u16;
        }
        if fin {
            self.rcv_fin_seq = Some(seq + len);
        }
        self.note_duplicate(segment, seq, seq + len);
        if seq.after(self.rcv_nxt) {
            return self.take_out_of_order(budget, seq, payload);
        }
        let taken = if self.orphan {
            len
        } else {
            self.receive_buffer.append(budget, payload)
        };
        let old = self.rcv_nxt;
        self.rcv_nxt += taken;
        if self.receive_buffer.has_gap() && taken > 0 {
            self.rcv_nxt = self.receive_buffer.advance(budget, self.rcv_nxt);
            // RFC 5681, 4.2: a segment that fills a gap is acknowledged at once.
            self.due |= due::ACK;
        }
        let fresh = self.rcv_nxt - old;
        self.bytes_received += u64::from(fresh);
        if taken < len {
            // No memory: the peer retransmits it.
            self.due |= due::ACK;
            return;
        }
        if !self.timestamps_enabled && fresh > 0 {
            self.rcv_wnd.arrived(self.rcv_nxt, now_ns);
        }
        if self.rcv_fin_seq == Some(self.rcv_nxt) {
            // Data beyond the FIN contradicts it; the FIN takes precedence.
            self.receive_buffer.drop_out_of_order(budget);
            return self.take_fin(now_ns);
        }
        if fresh > 0 {
            self.delay_ack(fresh, segment.gro.is_some(), now_ns);
        }
    }

    fn take_out_of_order(&mut self, budget: &mut dyn Budget, seq: Seq, payload: &[u8]) {
        // RFC 5681, 4.2: at once, so that the peer detects the gap.
        self.due |= due::ACK;
        if payload.is_empty() || self.orphan {
            return;
        }
        self.receive_buffer
            .insert(budget, seq, payload, self.rcv_wnd.limit());
    }

    /// RFC 2883, 4.3: records the first part of a segment that was already received. `seq..end` is
    /// the part within the window. It is acknowledged at once, so that the peer learns that its
    /// retransmission was spurious.
    fn note_duplicate(&mut self, segment: &Segment<'_>, seq: Seq, end: Seq) {
        if !self.sack_permitted {
            return;
        }
        let duplicate = if segment.seq.before(seq) && !segment.has(Flags::SYN) {
            Some((segment.seq, seq))
        } else {
            self.receive_buffer.duplicate(seq, end)
        };
        if duplicate.is_some() {
            self.pending_dsack = duplicate;
            self.due |= due::ACK;
        }
    }

    /// RFC 9293, 3.8.6.3 and RFC 5681, 4.2: every second full segment is acknowledged at once, all
    /// others within the delay. A segment that the device has merged counts as several.
    fn delay_ack(&mut self, len: u32, joined: bool, now_ns: u64) {
        self.ack_pending = self.ack_pending.saturating_add(len);
        if joined
            || self.setup.delayed_ack_ns == 0
            || self.ack_pending >= 2 * u32::from(self.rcv_mss)
        {
            self.due |= due::ACK;
        } else if self.due & due::ACK == 0 && self.timers.acknowledge == OFF {
            self.timers.acknowledge = now_ns.saturating_add(self.setup.delayed_ack_ns);
        }
    }

    /// RFC 9293, 3.10.7.4, eighth.
    fn take_fin(&mut self, now_ns: u64) {
        self.rcv_nxt += 1;
        self.fin_received = true;
        self.due |= due::ACK;
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(now_ns),
            _ => {}
        }
    }

    pub(super) fn enter_time_wait(&mut self, now_ns: u64) {
        self.state = State::TimeWait;
        self.timers.stop_sending();
        self.timers.keepalive = OFF;
        self.timers.acknowledge = OFF;
        self.recovery.clear();
        self.timers.lifetime = now_ns.saturating_add(self.setup.time_wait_ns);
    }
}
