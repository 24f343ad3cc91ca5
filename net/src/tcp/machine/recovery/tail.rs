//! Tail loss probes (RFC 8985, 7).

use super::super::congestion::Control;
use super::super::seq::Seq;
use super::{Ack, Phase, Recovery};

impl Recovery {
    /// Whether a tail loss probe makes sense: nothing is known to be lost or out of order, and none
    /// was sent since (RFC 8985, 7.2).
    pub(crate) fn may_probe(&self) -> bool {
        self.phase == Phase::Open
            && self.probe.is_none()
            && self
                .scoreboard
                .as_ref()
                .is_none_or(|scoreboard| scoreboard.sacked.is_empty())
    }

    /// A tail loss probe was sent.
    pub(crate) fn probed(&mut self, next: Seq, retransmission: bool) {
        self.probe = Some((next, retransmission));
    }

    /// The last segment of the flight, of `size` bytes at most: a probe repeats it.
    pub(crate) fn tail(&self, una: Seq, next: Seq, size: u32) -> (Seq, Seq) {
        let len = match (next - una) % size.max(1) {
            0 => size,
            rest => rest,
        };
        (una.max(next - len.min(next - una)), next)
    }

    /// RFC 8985, 7.4: what the acknowledgement of a probe means.
    pub(super) fn end_probe(
        &mut self,
        ack: &Ack<'_>,
        dsack: Option<(Seq, Seq)>,
        control: &mut Control,
    ) {
        let Some((end, retransmission)) = self.probe else {
            return;
        };
        if retransmission && dsack.is_some_and(|(_, upper)| upper == end) {
            // Both arrived: nothing was lost.
            self.probe = None;
        } else if ack.ack.at_least(end) {
            self.probe = None;
            if retransmission
                && self.phase == Phase::Open
                && dsack.is_none()
                && !ack.duplicate
                && ack.ack == end
            {
                // The probe repaired a loss, which is a sign of congestion all the same (7.4.2).
                control.lost(end - ack.una, ack.mss);
                control.cwnd = control.cwnd.min(control.ssthresh);
            }
        }
    }
}
