//! Proportional rate reduction (RFC 9937).

use super::super::congestion::Control;
use super::{Ack, Phase, Recovery};

impl Recovery {
    /// Whether the next segment must leave even though the window is full: the first one of a
    /// recovery (RFC 9937, 4).
    pub(crate) fn forced(&self) -> bool {
        self.phase == Phase::Recovery
            && self
                .scoreboard
                .as_ref()
                .is_some_and(|scoreboard| scoreboard.reduction.out == 0)
    }

    /// RFC 9937, 4: how much may leave for what arrived. `safe` (SafeACK): SND.UNA moved on, and no
    /// other loss showed.
    pub(super) fn reduce(
        &mut self,
        ack: &Ack<'_>,
        delivered: u32,
        safe: bool,
        control: &mut Control,
    ) {
        let pipe = self.in_flight(ack.ack, ack.next, ack.mss);
        let Some(scoreboard) = &mut self.scoreboard else {
            return;
        };
        let reduction = &mut scoreboard.reduction;
        reduction.delivered = reduction.delivered.saturating_add(delivered);
        let quota = if pipe > control.ssthresh {
            let share = u64::from(reduction.delivered) * u64::from(control.ssthresh);
            let share = share.div_ceil(u64::from(reduction.flight)) as u32;
            share.saturating_sub(reduction.out)
        } else {
            // Conservation of packets; slow start back to the threshold while all goes well.
            let mut limit = reduction
                .delivered
                .saturating_sub(reduction.out)
                .max(delivered);
            if safe {
                limit = limit.saturating_add(ack.mss);
            }
            limit.min(control.ssthresh - pipe)
        };
        // The first retransmission leaves at once.
        let quota = if reduction.out == 0 {
            quota.max(ack.mss)
        } else {
            quota
        };
        control.cwnd = pipe.saturating_add(quota);
    }
}
