//! Output of a connection (RFC 9293, 3.8.6 and 3.10).

use super::congestion::Control;
use super::options::{Options, Sack};
use super::recovery::Phase;
use super::segment::{Flags, Header};
use super::send::PIECES;
use super::seq::Seq;
use super::state::State;
use super::tcb::{Emit, Machine, Outcome, due};
use super::timers::OFF;
use super::window::Window;

/// Sequence numbers to send: bytes, and optionally the FIN after them.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) first: Seq,
    pub(super) len: u32,
    pub(super) fin: bool,
    /// Payload bytes of a segment on the wire.
    pub(super) size: u32,
}

/// The result of an attempt to send.
pub(super) enum Sent {
    /// Number of sequence numbers sent.
    Some(u32),
    Nothing,
    Blocked,
}

impl Machine {
    /// Sends pending segments, by at most `max` calls of [`Emit::segment`].
    pub(crate) fn output(&mut self, now_ns: u64, max: usize, emit: &mut dyn Emit) -> Outcome {
        let mut left = max;
        if self.due & (due::RESET | due::REFUSAL | due::SYN) != 0
            && !self.send_control(&mut left, now_ns, emit)
        {
            return Outcome::Blocked;
        }
        let established = !matches!(
            self.state,
            State::SynSent | State::SynReceived | State::Closed | State::TimeWait
        );
        if established {
            let ended = self.send_data(&mut left, now_ns, emit);
            if ended != Outcome::Done {
                return ended;
            }
            if self.due & (due::PERSIST | due::KEEPALIVE) != 0
                && !self.send_window_or_keepalive_probe(now_ns, emit)
            {
                return Outcome::Blocked;
            }
        }
        if self.due & due::ACK != 0 && self.state != State::SynSent && self.state != State::Closed {
            let header = self.header(self.snd_nxt, Flags::ACK, now_ns);
            if !emit.segment(&header.0, &[]) {
                return Outcome::Blocked;
            }
            self.acknowledged_by(header.1);
        }
        self.due = 0;
        Outcome::Done
    }

    /// A header with an acknowledgement and the current window.
    pub(super) fn header(&self, seq: Seq, flags: Flags, now_ns: u64) -> (Header, Window) {
        let mut window = self.rcv_wnd;
        let field = window.offer(self.rcv_nxt, self.receive_buffer.len());
        let mut sack = Sack::default();
        if let Some((first, end)) = self.pending_dsack {
            sack.push(first, end);
        }
        if self.sack_permitted && self.receive_buffer.has_gap() {
            self.receive_buffer.sack(&mut sack);
        }
        let timestamps = self
            .timestamps_enabled
            .then(|| (self.stamp(now_ns), self.ts_recent));
        if timestamps.is_some() {
            // RFC 2018, 3: three fit beside timestamps.
            sack.truncate(3);
        }
        let user_timeout = self.adv_uto();
        if user_timeout.is_some() {
            sack.truncate(2);
        }
        let mut header = Header {
            seq,
            ack: self.rcv_nxt,
            flags,
            window: field,
            options: Options {
                timestamps,
                user_timeout,
                sack,
                ..Options::default()
            },
            ..Header::default()
        };
        if self.ecn.echo && !flags.has(Flags::RST) {
            header.flags = header.flags | Flags::ECE;
        }
        if self.state.is_synchronized() {
            self.urgent.mark(&mut header);
        }
        (header, window)
    }

    /// A segment with an acknowledgement was sent.
    pub(super) fn acknowledged_by(&mut self, window: Window) {
        self.rcv_wnd = window;
        self.last_ack_sent = self.rcv_nxt;
        self.ack_pending = 0;
        self.pending_dsack = None;
        self.user_timeout_due = false;
        self.due &= !due::ACK;
        self.timers.acknowledge = OFF;
    }

    /// Data and FIN: lost data first, then new data.
    fn send_data(&mut self, left: &mut usize, now_ns: u64, emit: &mut dyn Emit) -> Outcome {
        if self.due & (due::DATA | due::PROBE) == 0 {
            return Outcome::Done;
        }
        if !self.outstanding()
            && self.send_queue.end().after(self.snd_nxt)
            && now_ns.saturating_sub(self.last_sent_ns) > self.rtt.rto_base_ns(&self.setup)
        {
            // RFC 5681, 4.1.
            self.control.idle(self.mss());
        }
        // The device repeats one header, so that a segment with its own bits goes alone.
        let alone = self.ecn.reduced || self.urgent.is_due(self.snd_una);
        let most = if alone { 0 } else { emit.max_segment() as u32 };
        loop {
            if *left == 0 {
                return Outcome::More;
            }
            let sent = match self.send_lost(most, now_ns, emit) {
                Sent::Nothing => self.send_new(most, now_ns, emit),
                sent => sent,
            };
            match sent {
                Sent::Some(_) => *left -= 1,
                Sent::Blocked => return Outcome::Blocked,
                Sent::Nothing => break,
            }
        }
        if self.due & due::PROBE != 0 && !self.send_probe(now_ns, emit) {
            return Outcome::Blocked;
        }
        self.due &= !(due::DATA | due::PROBE);
        Outcome::Done
    }

    /// Payload bytes of a segment with these options.
    pub(super) fn payload_size(&self, options: &Options) -> u32 {
        u32::from(self.pmtu.mss())
            .saturating_sub(options.len() as u32)
            .max(1)
    }

    /// Retransmits lost data, as far as the congestion window allows.
    fn send_lost(&mut self, most: u32, now_ns: u64, emit: &mut dyn Emit) -> Sent {
        let Some((first, end)) = self.recovery.next_lost() else {
            return Sent::Nothing;
        };
        let mss = self.mss();
        let room = self.control.cwnd.saturating_sub(self.pipe());
        let lost = end - first;
        let forced = self.recovery.forced();
        if room < lost.min(mss) && !forced {
            self.window_limited = true;
            return Sent::Nothing;
        }
        let Some(allowance) = self.paced(mss, now_ns) else {
            return Sent::Nothing;
        };
        let (header, window) = self.header(first, Flags::ACK, now_ns);
        let size = self.payload_size(&header.options);
        let room = room.min(allowance).min(most).max(size);
        let data_end = self.send_queue.end();
        let len = lost.min(data_end.beyond(first));
        let len = if len > size {
            len.min(room - room % size)
        } else {
            len
        };
        let span = Span {
            first,
            len,
            fin: first + len == data_end && end.after(data_end) && self.fin_sent,
            size,
        };
        self.send_span(&span, header, window, now_ns, emit)
    }

    /// The window to pace over a round trip, and whether it doubles in each. During a recovery the
    /// congestion window limits what is in the network, and `ssthresh` sets the rate.
    fn pace(&self) -> (u32, bool) {
        let Control { cwnd, ssthresh, .. } = self.control;
        match self.recovery.phase {
            Phase::Recovery => (cwnd.max(ssthresh), false),
            Phase::Open | Phase::Loss => (cwnd, self.control.in_slow_start()),
        }
    }

    /// Bytes that pacing allows now; `None`: its timer runs.
    fn paced(&mut self, mss: u32, now_ns: u64) -> Option<u32> {
        let rtt_ns = match self.rtt.srtt_ns() {
            Some(rtt_ns) if self.setup.pacing => rtt_ns,
            _ => return Some(u32::MAX),
        };
        let (window, slow) = self.pace();
        match self.pacing.allowance(window, rtt_ns, slow, mss, now_ns) {
            Ok(bytes) => Some(bytes),
            Err(at_ns) => {
                self.timers.pace = at_ns;
                self.window_limited = true;
                None
            }
        }
    }

    /// Sends new data, or FIN, as far as both windows allow (RFC 9293, 3.7.4 and 3.8.6.2.1).
    fn send_new(&mut self, most: u32, now_ns: u64, emit: &mut dyn Emit) -> Sent {
        let end = self.send_queue.end();
        let waiting = end.beyond(self.snd_nxt);
        let fin = self.fin_queued && !self.fin_sent;
        if waiting == 0 && !fin {
            return self.end_frto(most, now_ns, emit);
        }
        let usable = (self.snd_una + self.snd_wnd).beyond(self.snd_nxt);
        if waiting == 0 {
            // The FIN alone: it also occupies the window.
            if usable == 0 && self.outstanding() {
                return Sent::Nothing;
            }
            let (header, window) = self.header(self.snd_nxt, Flags::ACK, now_ns);
            let span = Span {
                first: self.snd_nxt,
                len: 0,
                fin: true,
                size: self.mss(),
            };
            return self.send_span(&span, header, window, now_ns, emit);
        }
        let mss = self.mss();
        let frto = self.recovery.frto_room(self.snd_nxt, mss);
        let room = frto.unwrap_or_else(|| self.control.cwnd.saturating_sub(self.pipe()));
        if room < waiting.min(mss) && self.outstanding() {
            self.window_limited = true;
            return Sent::Nothing;
        }
        if usable < waiting && usable < mss && !self.worth_sending(usable, now_ns) {
            self.window_limited = false;
            return self.end_frto(most, now_ns, emit);
        }
        let Some(allowance) = self.paced(mss, now_ns) else {
            return Sent::Nothing;
        };
        if let Some(sent) = self.send_mtu_probe(waiting, usable, room, now_ns, emit) {
            return sent;
        }
        let (header, window) = self.header(self.snd_nxt, Flags::ACK, now_ns);
        let size = self.payload_size(&header.options);
        let mut len = waiting
            .min(usable)
            .min(room.max(size))
            .min(allowance)
            .min(most.max(size));
        if len > size {
            // A remainder smaller than a segment waits for more data, unless nothing follows.
            let whole = len - len % size;
            if len < waiting || self.holds_back(len % size) {
                len = whole;
            }
        } else if len < size && len == waiting && self.holds_back(len) {
            self.window_limited = false;
            return self.end_frto(most, now_ns, emit);
        }
        let span = Span {
            first: self.snd_nxt,
            len,
            fin: fin && len == waiting && usable > len,
            size,
        };
        self.send_span(&span, header, window, now_ns, emit)
    }

    /// F-RTO has no new data to send: conventional recovery continues (RFC 5682, 2.1 step 2b).
    fn end_frto(&mut self, most: u32, now_ns: u64, emit: &mut dyn Emit) -> Sent {
        if !self.recovery.no_new_data(self.snd_nxt) {
            return Sent::Nothing;
        }
        self.send_lost(most, now_ns, emit)
    }

    /// Nagle's rule in Minshall's form (RFC 9293, 3.7.4): a small segment waits while another small
    /// one isn't acknowledged, unless nothing will follow.
    fn holds_back(&self, len: u32) -> bool {
        len > 0
            && !self.setup.nodelay
            && !self.fin_queued
            && self.snd_sml.after(self.snd_una)
            && self.outstanding()
    }

    /// RFC 9293, 3.8.6.2.1: whether to send a segment into so small a window; if not, the persist
    /// timer is armed.
    fn worth_sending(&mut self, usable: u32, now_ns: u64) -> bool {
        if usable > 0 && usable >= self.snd_wnd_max / 2 {
            return true;
        }
        if !self.outstanding() {
            if usable > 0 && self.due & due::PERSIST != 0 {
                // The override timeout.
                self.due &= !due::PERSIST;
                return true;
            }
            self.arm_persist(now_ns);
        }
        false
    }

    pub(super) fn arm_persist(&mut self, now_ns: u64) {
        if self.timers.persist == OFF {
            self.timers.persist = now_ns.saturating_add(self.rtt.rto_ns(&self.setup));
            if self.timers.user == OFF {
                self.arm_user(now_ns);
            }
        }
    }

    /// Passes a span to the link and records it as sent.
    pub(super) fn send_span(
        &mut self,
        span: &Span,
        mut header: Header,
        window: Window,
        now_ns: u64,
        emit: &mut dyn Emit,
    ) -> Sent {
        let fresh = span.first.at_least(self.snd_nxt) && span.len > 0;
        if fresh {
            self.ecn.mark_new(&mut header);
        }
        let (len, fin) = match self.send_queue.slice(span.first, span.len) {
            _ if span.len == 0 && !span.fin => return Sent::Nothing,
            Some(bytes) => {
                self.finish(&mut header, span, span.len, span.fin);
                let one = [bytes];
                let pieces: &[&[u8]] = if bytes.is_empty() { &[] } else { &one };
                if !emit.segment(&header, pieces) {
                    return Sent::Blocked;
                }
                (span.len, span.fin)
            }
            None => match self.emit_pieces(span, header, emit) {
                Ok(sent) => sent,
                Err(sent) => return sent,
            },
        };
        self.acknowledged_by(window);
        self.ecn.reduced &= !fresh;
        let numbers = len + u32::from(fin);
        let end = span.first + numbers;
        let mut new = numbers;
        if span.first.before(self.snd_nxt) {
            let segments = len.div_ceil(span.size).max(1);
            self.segments_retransmitted = self.segments_retransmitted.wrapping_add(segments);
            self.recovery
                .resent(self.snd_una, span.first, end.min(self.snd_nxt), now_ns);
            new = end.beyond(self.snd_nxt);
        }
        if new > 0 {
            if !self.outstanding() {
                self.arm_user(now_ns);
            }
            self.snd_nxt = end;
            self.snd_max = self.snd_max.max(end);
            self.recovery.sent(end, new, now_ns);
            // RFC 7661, 4.4: a window without room for another segment is used.
            self.window_limited = self.pipe() + self.mss() > self.control.cwnd;
        }
        self.fin_sent |= fin;
        if !len.is_multiple_of(span.size) {
            self.snd_sml = self.snd_sml.max(end);
        }
        self.note_sent(numbers, now_ns);
        Sent::Some(numbers)
    }

    /// The flags and the segment size of a header for this much of a span.
    fn finish(&self, header: &mut Header, span: &Span, len: u32, fin: bool) {
        if fin {
            header.flags = header.flags | Flags::FIN;
        }
        if len > 0 {
            if span.first + len == self.send_queue.end() {
                // RFC 9293, 3.9.1.2: no more data is queued.
                header.flags = header.flags | Flags::PSH;
            }
            header.segment_size = span.size.min(0xffff) as u16;
        }
    }

    /// Sends a span that lies in several pieces; returns how much was sent, and whether the FIN
    /// was.
    fn emit_pieces(
        &self,
        span: &Span,
        mut header: Header,
        emit: &mut dyn Emit,
    ) -> Result<(u32, bool), Sent> {
        let mut pieces: [&[u8]; PIECES] = [&[]; PIECES];
        let (count, mut len) = self.send_queue.slices(span.first, span.len, &mut pieces);
        let fin = span.fin && len == span.len;
        if len < span.len && len > span.size {
            // Too many pieces for one segment: whole segments first, then the rest.
            len -= len % span.size;
            let mut over = len;
            for piece in &mut pieces {
                let keep = piece.len().min(over as usize);
                *piece = piece.get(..keep).unwrap_or_default();
                over -= keep as u32;
            }
        }
        if len == 0 && !fin {
            return Err(Sent::Nothing);
        }
        self.finish(&mut header, span, len, fin);
        if emit.segment(&header, pieces.get(..count).unwrap_or_default()) {
            Ok((len, fin))
        } else {
            Err(Sent::Blocked)
        }
    }

    fn note_sent(&mut self, bytes: u32, now_ns: u64) {
        self.last_sent_ns = now_ns;
        self.timers.persist = OFF;
        if self.timers.retransmit == OFF {
            // RFC 6298, 5.1.
            self.timers.retransmit = now_ns.saturating_add(self.rtt.rto_ns(&self.setup));
        }
        self.arm_probe(now_ns);
        if self.setup.pacing
            && let Some(rtt_ns) = self.rtt.srtt_ns()
        {
            let (window, slow) = self.pace();
            self.pacing.sent(bytes, window, rtt_ns, slow, now_ns);
        }
    }
}
