//! RACK (RFC 8985, 6): bytes are lost if bytes sent later have arrived, and they are late.

use super::super::congestion::Control;
use super::super::seq::Seq;
use super::{Ack, AckSummary, DUP_THRESH, Phase, Recovery};

/// Recoveries for which the reordering window stays widened (RFC 8985, 6.2).
pub(super) const REO_WND_PERSIST: u8 = 16;

impl Recovery {
    /// RFC 8985, 6.2 step 4: DSACK widens the reordering window.
    pub(super) fn widen(&mut self, ack: &Ack<'_>, dsack: Option<(Seq, Seq)>) {
        if self
            .dsack_round
            .is_some_and(|round| ack.ack.at_least(round))
        {
            self.dsack_round = None;
        }
        if dsack.is_some() && self.dsack_round.is_none() {
            self.dsack_round = Some(ack.snd_nxt);
            self.widened = self.widened.saturating_add(1);
            self.reo_wnd_persist = REO_WND_PERSIST;
        }
    }

    fn reo_wnd_ns(&self, ack: &Ack<'_>) -> u64 {
        let sacked = self
            .scoreboard
            .as_ref()
            .map_or(0, |scoreboard| scoreboard.sacked.total());
        if !self.reordering_seen && (self.phase != Phase::Open || sacked >= DUP_THRESH * ack.mss) {
            return 0;
        }
        let quarter = ack.min_rtt_ns / 4;
        (quarter.saturating_mul(u64::from(self.widened) + 1)).min(ack.srtt_ns)
    }

    /// RFC 8985, 6.2 step 5: marks losses. Returns when to detect again.
    pub(crate) fn detect(&mut self, ack: &Ack<'_>) -> Option<u64> {
        let window = self.rack_rtt_ns + self.reo_wnd_ns(ack);
        let (rack_xmit_ns, rack_end_seq) = (self.rack_xmit_ns, self.rack_end_seq);
        let scoreboard = self.scoreboard.as_mut()?;
        let mut next: Option<u64> = None;
        let mut judged = scoreboard.judged.max(ack.ack);
        let from = judged;
        // Parts that were sent once, in order of their times.
        self.sent.visit(from, ack.snd_nxt, |part| {
            if part.retransmitted {
                judged = part.end;
                return true;
            }
            let end = if part.at_ns < rack_xmit_ns {
                part.end
            } else if part.at_ns == rack_xmit_ns {
                part.end.min(rack_end_seq)
            } else {
                return false;
            };
            if end.at_most(part.first) {
                return false;
            }
            let late_ns = part.at_ns.saturating_add(window);
            if late_ns > ack.now_ns && scoreboard.sacked.missing(part.first, end) > 0 {
                next = Some(late_ns);
                return false;
            }
            scoreboard.mark_lost(part.first, end);
            judged = end;
            end == part.end
        });
        scoreboard.judged = judged;
        // Retransmissions.
        while let Some(resent) = scoreboard.resent.front().copied() {
            let before = resent.at_ns < rack_xmit_ns
                || (resent.at_ns == rack_xmit_ns && resent.end.before(rack_end_seq));
            let first = resent.first.max(ack.ack);
            let open = first.before(resent.end) && scoreboard.sacked.missing(first, resent.end) > 0;
            if open {
                if !before {
                    break;
                }
                let late_ns = resent.at_ns.saturating_add(window);
                if late_ns > ack.now_ns {
                    next = Some(next.map_or(late_ns, |next| next.min(late_ns)));
                    break;
                }
                scoreboard.mark_lost(first, resent.end);
            }
            scoreboard.resent.pop_front();
        }
        next
    }

    /// The reordering timer expired.
    pub(crate) fn on_timer(&mut self, ack: &Ack<'_>, control: &mut Control) -> Option<u64> {
        let next = self.detect(ack);
        self.turn(ack, false, &AckSummary::default(), false, control);
        next
    }
}
