//! Detection of spurious retransmissions: DSACK (RFC 2883, 3708), Eifel (RFC
//! 3522, 4015) and F-RTO (RFC 5682).

use super::super::congestion::Control;
use super::super::seq::Seq;
use super::scoreboard::Frto;
use super::{Ack, AckSummary, Phase, Recovery, is_before};

impl Recovery {
    /// How much new data F-RTO sends now in place of lost data (RFC 5682, 2.1 step 2b); `None`: it
    /// has ended.
    pub(crate) fn frto_room(&self, snd_nxt: Seq, mss: u32) -> Option<u32> {
        let scoreboard = self.scoreboard.as_ref()?;
        (scoreboard.frto == Frto::Second)
            .then(|| (2 * mss).saturating_sub(snd_nxt.beyond(self.recovery_point)))
    }

    /// There is no new data to send: lost data is retransmitted, unless new data was sent. Returns
    /// whether F-RTO ends.
    pub(crate) fn no_new_data(&mut self, snd_nxt: Seq) -> bool {
        match &mut self.scoreboard {
            Some(scoreboard)
                if scoreboard.frto == Frto::Second && snd_nxt.at_most(self.recovery_point) =>
            {
                scoreboard.frto = Frto::Off;
                true
            }
            _ => false,
        }
    }

    /// Whether all retransmissions since the reduction were spurious.
    pub(super) fn is_unneeded(
        &mut self,
        ack: &Ack<'_>,
        dsack: Option<(Seq, Seq)>,
        advanced: bool,
        summary: &AckSummary,
    ) -> bool {
        let loss = self.phase == Phase::Loss;
        let Some(scoreboard) = &mut self.scoreboard else {
            return false;
        };
        let frto = scoreboard.frto;
        if loss && frto != Frto::Off {
            let partial = ack.sack && ack.ack.before(self.recovery_point);
            if summary.original && (partial || frto != Frto::First) {
                // RFC 5682, 2.1 and 3.1, step 3: bytes arrived that weren't retransmitted.
                return true;
            }
            scoreboard.frto = match frto {
                Frto::First if advanced && ack.ack.before(self.recovery_point) => Frto::Second,
                _ if advanced || ack.duplicate => Frto::Off,
                same => same,
            };
        }
        let Some(undo) = &mut scoreboard.undo else {
            return false;
        };
        // RFC 3522, 3.2: the acknowledgement echoes a timestamp from before the retransmission.
        if advanced
            && self.phase != Phase::Open
            && let Some(stamp) = undo.retransmit_ts.take()
            && ack.tsecr.is_some_and(|echo| is_before(echo, stamp))
        {
            return true;
        }
        // RFC 3708, 3: the peer already had all retransmitted bytes.
        if let Some((first, end)) = dsack
            && first.at_least(undo.snd_una)
        {
            undo.unreported = undo.unreported.saturating_sub(end - first);
            return undo.resent && undo.unreported == 0 && scoreboard.lost.is_empty();
        }
        false
    }

    pub(super) fn undo_reduction(&mut self, snd_una: Seq, control: &mut Control) {
        if let Some(scoreboard) = &mut self.scoreboard {
            if let Some(undo) = scoreboard.undo.take() {
                control.restore(&undo.saved);
            }
            scoreboard.lost.clear();
            // Arrivals of the original transmission show what else is missing.
            scoreboard.judged = snd_una;
            self.rack_xmit_ns = 0;
            self.rack_end_seq = snd_una;
            scoreboard.frto = Frto::Off;
        }
        // It was late, not lost (RFC 8985, 6.2 step 4).
        self.reordering_seen = true;
        self.phase = Phase::Open;
    }
}

/// The DSACK block (RFC 2883, 4): the first one, if it lies below the acknowledgement or within the
/// second.
pub(super) fn duplicate_block(ack: &Ack<'_>) -> Option<(Seq, Seq)> {
    let (first, end) = ack.blocks.first().copied()?;
    if first.at_least(end) || end - first > 1 << 30 {
        return None;
    }
    let within = |(lower, upper): &(Seq, Seq)| first.at_least(*lower) && end.at_most(*upper);
    (end.at_most(ack.ack) || ack.blocks.get(1).is_some_and(within)).then_some((first, end))
}

#[cfg(test)]
mod tests {
    use super::super::super::seq::Seq;
    use super::super::Ack;
    use super::duplicate_block;

    /// RFC 2883, 4: what is below the acknowledgement, or within the second block.
    #[test]
    fn the_first_block_may_be_a_duplicate() {
        // The acknowledgement is 100.
        for (blocks, duplicate) in [
            (&[][..], false),
            (&[(90, 100)], true),
            (&[(90, 101)], false),
            (&[(110, 120)], false),
            (&[(110, 120), (110, 120)], true),
            (&[(110, 120), (105, 130)], true),
            (&[(110, 120), (111, 130)], false),
            (&[(110, 120), (105, 119)], false),
            (&[(110, 120), (130, 140)], false),
            // Invalid: empty, backwards, and of a quarter of all numbers.
            (&[(90, 90)], false),
            (&[(95, 90)], false),
            (&[(100 - (1 << 30), 100)], true),
            (&[(99 - (1 << 30), 100)], false),
        ] {
            let blocks: Vec<(Seq, Seq)> = blocks
                .iter()
                .map(|(first, end): &(i64, i64)| (Seq(*first as u32), Seq(*end as u32)))
                .collect();
            let ack = Ack {
                snd_una: Seq(100),
                ack: Seq(100),
                snd_nxt: Seq(200),
                blocks: &blocks,
                sack: true,
                duplicate: false,
                tsecr: None,
                mss: 10,
                srtt_ns: 0,
                min_rtt_ns: 0,
                mtu_probe: None,
                now_ns: 0,
            };
            let expected = duplicate.then(|| blocks[0]);
            assert_eq!(duplicate_block(&ack), expected, "{blocks:?}");
        }
    }
}
