//! Acknowledgements: window, recovery, round trips (RFC 9293, 3.10.7.4, fifth; RFC 5681, 6298).

use super::budget::{Budget, Pressure};
use super::options::Sack;
use super::recovery::{Ack, Phase};
use super::segment::Segment;
use super::state::State;
use super::tcb::{Machine, due};
use super::timers::OFF;
use crate::types::Error;

/// RFC 8985, 7.2: how long a peer may delay the acknowledgement of a single segment.
const DELAY_NS: u64 = 200_000_000;

/// On a path whose smallest round trip is below this, the send buffer grows to [`SHORT_PATH_SEND`]
/// only: 16 Gbit/s at the limit, and more on a shorter path.
const SHORT_PATH_NS: u64 = 250_000;
const SHORT_PATH_SEND: u32 = 512 << 10;

impl Machine {
    /// The state of the sender for [`super::recovery::Recovery`].
    pub(super) fn ack_at<'a>(
        &self,
        blocks: &'a [(super::Seq, super::Seq)],
        now_ns: u64,
    ) -> Ack<'a> {
        Ack {
            snd_una: self.snd_una,
            ack: self.snd_una,
            snd_nxt: self.snd_nxt,
            blocks,
            sack: self.sack_permitted,
            duplicate: false,
            tsecr: None,
            mss: self.mss(),
            srtt_ns: self.rtt.srtt_ns().unwrap_or(0),
            min_rtt_ns: self.rtt.min_rtt_ns(),
            mtu_probe: self.pmtu.probe(),
            now_ns,
        }
    }

    /// Handles an acknowledgement between SND.UNA and the highest number sent.
    pub(super) fn take_ack(&mut self, budget: &mut dyn Budget, segment: &Segment<'_>, now_ns: u64) {
        let ack = segment.ack;
        let window = u32::from(segment.window) << self.snd_wnd_shift;
        let same_window = window == self.snd_wnd;
        self.take_window(segment, window, now_ns);
        if ack.after(self.snd_nxt) {
            // The peer accepted the byte of a window probe.
            self.snd_nxt = ack;
        }
        let advanced = ack != self.snd_una;
        let idle = !self.outstanding();
        if idle && !advanced {
            return;
        }
        let duplicate =
            !advanced && same_window && segment.payload.is_empty() && segment.len() == 0;
        let sack = segment.options.sack;
        let blocks = if self.sack_permitted {
            sack.blocks()
        } else {
            &[]
        };
        if !advanced && blocks.is_empty() && !duplicate {
            return;
        }
        let tsecr = if self.timestamps_enabled {
            segment
                .options
                .timestamps
                .filter(|(_, tsecr)| *tsecr != 0)
                .map(|(_, tsecr)| tsecr.wrapping_sub(self.setup.timestamp_offset))
        } else {
            None
        };
        let report = Ack {
            ack,
            duplicate,
            tsecr,
            ..self.ack_at(blocks, now_ns)
        };
        self.take_report(budget, &report);
    }

    /// RFC 6675, 4: an acknowledgement that another one overtook still carries SACK blocks. Blocks
    /// below SND.UNA contain no new information, and report no duplicates either (RFC 2883, 4:
    /// these lie below its own acknowledgement).
    pub(super) fn take_old_report(
        &mut self,
        budget: &mut dyn Budget,
        segment: &Segment<'_>,
        now_ns: u64,
    ) {
        let mut sack = Sack::default();
        for (first, end) in segment.options.sack.blocks() {
            if self.sack_permitted && first.after(self.snd_una) {
                sack.push(*first, *end);
            }
        }
        if !sack.is_empty() {
            let report = self.ack_at(sack.blocks(), now_ns);
            self.take_report(budget, &report);
        }
    }

    fn take_report(&mut self, budget: &mut dyn Budget, report: &Ack<'_>) {
        let now_ns = report.now_ns;
        let advanced = report.ack != self.snd_una;
        let flight = (self.snd_nxt - self.snd_una) / report.mss;
        let open = self.recovery.phase == Phase::Open;
        let summary = self.recovery.acknowledge(report, &mut self.control);
        self.spurious_recoveries = self
            .spurious_recoveries
            .wrapping_add(u32::from(summary.spurious));
        self.measure(report, summary.rtt_first_ns, summary.rtt_last_ns, flight);
        self.timers.reorder = summary.reorder_ns.unwrap_or(OFF);
        if advanced {
            self.advance(budget, report, now_ns);
            if self.state == State::Closed {
                return;
            }
        }
        if self.recovery.phase != Phase::Recovery && advanced && self.window_limited {
            // RFC 5681, 3.1: for bytes acknowledged, not for bytes reported by SACK (RFC 3042, 2).
            // Those reported before count now, unless a recovery is under way.
            let acked = match open && self.recovery.phase == Phase::Open {
                true => report.ack - report.snd_una,
                false => summary.delivered,
            };
            let rtt_ns = self.rtt.srtt_ns().unwrap_or(0);
            self.control.acknowledged(acked, report.mss, rtt_ns, now_ns);
            self.grow_send_limit(budget);
        }
        if let Some((first, end)) = self.recovery.next_lost() {
            self.pmtu.lost(first, end, now_ns);
        }
        if self.outstanding() && (advanced || summary.delivered > 0) {
            self.arm_probe(now_ns);
        }
        // Lost data counts even while F-RTO sends new data first: there may be none.
        if self.send_queue.end().after(self.snd_nxt)
            || self.recovery.lost() > 0
            || (self.fin_queued && !self.fin_sent)
        {
            self.due |= due::DATA;
        }
    }

    /// RFC 9293, 3.10.7.4: SND.WND, unless the segment is older than the one it came with.
    fn take_window(&mut self, segment: &Segment<'_>, window: u32, now_ns: u64) {
        let newer = self.snd_wl1.before(segment.seq)
            || (self.snd_wl1 == segment.seq && self.snd_wl2.at_most(segment.ack));
        if !newer {
            return;
        }
        self.snd_wl1 = segment.seq;
        self.snd_wl2 = segment.ack;
        if self.timers.user != OFF && self.timers.persist != OFF {
            // A peer that responds keeps the connection alive, however long its window stays closed
            // (RFC 9293, 3.8.6.1).
            self.arm_user(now_ns);
        }
        // An unchanged edge permits nothing more, and doesn't delay the probe of a small window.
        let moved = segment.ack + window != self.snd_una + self.snd_wnd;
        self.snd_wnd = window;
        self.snd_wnd_max = self.snd_wnd_max.max(window);
        if moved
            && (self.send_queue.end().after(self.snd_nxt) || (self.fin_queued && !self.fin_sent))
        {
            self.due |= due::DATA;
            if window > 0 && self.timers.persist != OFF {
                self.timers.persist = OFF;
                self.rtt.reset_backoff();
            }
        }
    }

    fn measure(&mut self, ack: &Ack<'_>, first: Option<u64>, last: Option<u64>, flight: u32) {
        let sample = match (first, ack.tsecr) {
            (Some(rtt_ns), _) => rtt_ns,
            // RFC 7323, 4.1: timestamps give a sample even after a retransmission.
            (None, Some(tsecr)) if ack.ack.after(ack.snd_una) => {
                let ms = ((ack.now_ns / 1_000_000) as u32).wrapping_sub(tsecr);
                if ms > 1 << 20 {
                    return;
                }
                u64::from(ms.max(1)) * 1_000_000
            }
            _ => return,
        };
        self.rtt.sample(sample, flight, ack.now_ns);
        self.rtt.reset_backoff();
        if let Some(rtt_ns) = last {
            self.control.rtt(rtt_ns, ack.ack, ack.snd_nxt);
        }
    }

    /// SND.UNA advances.
    fn advance(&mut self, budget: &mut dyn Budget, ack: &Ack<'_>, now_ns: u64) {
        let old = self.send_queue.len();
        self.snd_una = ack.ack;
        self.send_queue.release(budget, ack.ack);
        self.bytes_acknowledged += u64::from(old - self.send_queue.len());
        self.snd_max = self.snd_max.max(self.snd_nxt);
        self.urgent.acknowledged(ack.ack);
        if self.snd_sml.before(self.snd_una) {
            self.snd_sml = self.snd_una;
        }
        self.pmtu.acknowledged(ack.ack, now_ns);
        self.rtt.reset_backoff();
        if self.outstanding() {
            // RFC 6298, 5.3.
            self.timers.retransmit = now_ns.saturating_add(self.rtt.rto_ns(&self.setup));
            self.arm_user(now_ns);
        } else {
            self.timers.stop_sending();
            self.recovery.all_acknowledged();
        }
        if self.fin_acknowledged() {
            self.fin_acked(budget, now_ns);
        }
    }

    /// Our FIN was acknowledged (RFC 9293, 3.10.7.4, fifth).
    fn fin_acked(&mut self, budget: &mut dyn Budget, now_ns: u64) {
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                if self.orphan && self.unread_at_close {
                    self.due |= due::RESET;
                    self.end(budget, Some(Error::ConnectionAborted));
                }
            }
            State::Closing => self.enter_time_wait(now_ns),
            State::LastAck => self.end(budget, None),
            _ => {}
        }
    }

    /// Grows the send buffer with the capacity of the path: one window in flight, and another one
    /// queued. On a short path without loss the congestion window grows beyond need: more data
    /// would only wait until it has left the processor's cache.
    fn grow_send_limit(&mut self, budget: &dyn Budget) {
        let short = (1..SHORT_PATH_NS).contains(&self.rtt.min_rtt_ns());
        let most = if short { SHORT_PATH_SEND } else { u32::MAX };
        let wanted = self.control.cwnd.saturating_mul(2);
        let wanted = wanted.min(self.setup.send_max).min(most);
        if wanted > self.send_buffer_limit && budget.pressure() == Pressure::None {
            self.send_buffer_limit = wanted;
        }
    }

    /// RFC 8985, 7.2: the probe timeout.
    pub(super) fn arm_probe(&mut self, now_ns: u64) {
        self.timers.probe = OFF;
        if !self.sack_permitted || !self.recovery.may_probe() || !self.outstanding() {
            return;
        }
        let mut timeout_ns = match self.rtt.srtt_ns() {
            Some(rtt_ns) => 2 * rtt_ns,
            None => 1_000_000_000,
        };
        if self.snd_nxt - self.snd_una <= self.mss() {
            timeout_ns += DELAY_NS;
        }
        self.timers.probe = now_ns
            .saturating_add(timeout_ns.max(1_000_000))
            .min(self.timers.retransmit);
    }
}
