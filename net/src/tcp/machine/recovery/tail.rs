//! Tail loss probes (RFC 8985, 7).

use super::super::congestion::Control;
use super::super::seq::Seq;
use super::{Ack, Phase, Recovery};

impl Recovery {
    /// Whether to arm a tail loss probe: nothing is lost or out of order, and no probe is in flight
    /// (RFC 8985, 7.2).
    pub(crate) fn may_probe(&self) -> bool {
        self.phase == Phase::Open
            && self.tlp.is_none()
            && self
                .scoreboard
                .as_ref()
                .is_none_or(|scoreboard| scoreboard.sacked.is_empty())
    }

    /// A tail loss probe was sent.
    pub(crate) fn probed(&mut self, snd_nxt: Seq, retransmission: bool) {
        self.tlp = Some((snd_nxt, retransmission));
    }

    /// The last segment of the flight, of `size` bytes at most: a probe repeats it.
    pub(crate) fn tail(&self, snd_una: Seq, snd_nxt: Seq, size: u32) -> (Seq, Seq) {
        let len = match (snd_nxt - snd_una) % size.max(1) {
            0 => size,
            rest => rest,
        };
        (snd_una.max(snd_nxt - len.min(snd_nxt - snd_una)), snd_nxt)
    }

    /// RFC 8985, 7.4: handles the acknowledgement of a probe.
    pub(super) fn end_probe(
        &mut self,
        ack: &Ack<'_>,
        dsack: Option<(Seq, Seq)>,
        control: &mut Control,
    ) {
        let Some((end, retransmission)) = self.tlp else {
            return;
        };
        if retransmission && dsack.is_some_and(|(_, upper)| upper == end) {
            // Both arrived: nothing was lost.
            self.tlp = None;
        } else if ack.ack.at_least(end) {
            self.tlp = None;
            if retransmission
                && self.phase == Phase::Open
                && dsack.is_none()
                && !ack.duplicate
                && ack.ack == end
            {
                // The probe repaired a loss, which is still a sign of congestion (7.4.2).
                control.lost(end - ack.snd_una, ack.mss);
                control.cwnd = control.cwnd.min(control.ssthresh);
            }
        }
    }
}
