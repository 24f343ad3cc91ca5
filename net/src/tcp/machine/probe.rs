//! Probes: of the tail of a flight (TLP), of a closed window, of the peer (keep-alive), of the path
//! MTU.

use super::output::{Sent, Span};
use super::recovery::Phase;
use super::segment::{Flags, Header};
use super::tcb::{Emit, Machine, due};
use super::timers::OFF;

impl Machine {
    /// RFC 4821, 7.3: a segment larger than those known to pass, if there is enough data.
    pub(super) fn send_mtu_probe(
        &mut self,
        waiting: u32,
        usable: u32,
        room: u32,
        now_ns: u64,
        emit: &mut dyn Emit,
    ) -> Option<Sent> {
        if self.recovery.phase != Phase::Open {
            return None;
        }
        let total = self.pmtu.wants_probe(now_ns)?;
        let (header, window) = self.header(self.snd_nxt, Flags::ACK, now_ns);
        let size = u32::from(total).saturating_sub(header.options.len() as u32);
        // Enough data must follow to detect its loss without a timeout (RFC 4821, 7.4).
        if waiting.min(usable).min(room) < size + 4 * self.mss() {
            return None;
        }
        let first = self.snd_nxt;
        let span = Span {
            first,
            len: size,
            fin: false,
            size,
        };
        let sent = self.send_span(&span, header, window, now_ns, emit);
        if matches!(sent, Sent::Some(len) if len == size) {
            self.pmtu.probing(first, first + size, total);
        }
        Some(sent)
    }

    /// RFC 8985, 7.3: new data if there is any and the peer accepts it, otherwise the last segment
    /// again.
    pub(super) fn send_probe(&mut self, now_ns: u64, emit: &mut dyn Emit) -> bool {
        if !self.outstanding() || !self.recovery.may_probe() {
            return true;
        }
        let (header, window) = self.header(self.snd_nxt, Flags::ACK, now_ns);
        let size = self.payload_size(&header.options);
        let end = self.send_queue.end();
        let usable = (self.snd_una + self.snd_wnd).beyond(self.snd_nxt);
        let new = end.beyond(self.snd_nxt).min(usable).min(size);
        let (span, header) = if new > 0 {
            let fin =
                self.fin_queued && !self.fin_sent && self.snd_nxt + new == end && usable > new;
            let span = Span {
                first: self.snd_nxt,
                len: new,
                fin,
                size,
            };
            (span, header)
        } else {
            let (first, last) = self.recovery.tail(self.snd_una, self.snd_nxt, size);
            let span = Span {
                first,
                len: last.min(end).beyond(first).min(size),
                fin: self.fin_sent && last.after(end),
                size,
            };
            (
                span,
                Header {
                    seq: first,
                    ..header
                },
            )
        };
        let again = span.first.before(self.snd_nxt);
        match self.send_span(&span, header, window, now_ns, emit) {
            Sent::Blocked => false,
            Sent::Nothing => true,
            Sent::Some(_) => {
                self.tail_probes = self.tail_probes.wrapping_add(1);
                self.recovery.probed(self.snd_nxt, again);
                self.timers.probe = OFF;
                self.timers.retransmit = now_ns.saturating_add(self.rtt.rto_ns(&self.setup));
                true
            }
        }
    }

    /// A byte into a closed window (RFC 9293, 3.8.6.1), or a keep-alive (3.8.4).
    pub(super) fn send_window_or_keepalive_probe(
        &mut self,
        now_ns: u64,
        emit: &mut dyn Emit,
    ) -> bool {
        if self.due & due::PERSIST != 0 {
            if !self.outstanding()
                && let Some(byte) = self.send_queue.slice(self.snd_nxt, 1)
            {
                let (mut header, window) = self.header(self.snd_nxt, Flags::ACK, now_ns);
                header.segment_size = 1;
                if !emit.segment(&header, &[byte]) {
                    return false;
                }
                // It doesn't count as sent: the acknowledgement shows whether the peer accepted it.
                self.snd_max = self.snd_max.max(self.snd_nxt + 1);
                self.acknowledged_by(window);
            }
            self.due &= !due::PERSIST;
        }
        if self.due & due::KEEPALIVE != 0 {
            let (header, window) = self.header(self.snd_nxt - 1, Flags::ACK, now_ns);
            if !emit.segment(&header, &[]) {
                return false;
            }
            self.acknowledged_by(window);
            self.due &= !due::KEEPALIVE;
        }
        true
    }
}
