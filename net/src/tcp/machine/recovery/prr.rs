//! Proportional rate reduction (RFC 9937).

use super::super::congestion::Control;
use super::{Ack, Phase, Recovery};

impl Recovery {
    /// Whether to send the next segment although the window is full: the first one of a recovery
    /// (RFC 9937, 4).
    pub(crate) fn forced(&self) -> bool {
        self.phase == Phase::Recovery
            && self
                .scoreboard
                .as_ref()
                .is_some_and(|scoreboard| scoreboard.prr.out == 0)
    }

    /// RFC 9937, 4: sets the window by the bytes delivered. `safe` (SafeACK): SND.UNA advanced, and
    /// no further loss was detected.
    pub(super) fn reduce(
        &mut self,
        ack: &Ack<'_>,
        delivered: u32,
        safe: bool,
        control: &mut Control,
    ) {
        let pipe = self.pipe(ack.ack, ack.snd_nxt, ack.mss);
        let Some(scoreboard) = &mut self.scoreboard else {
            return;
        };
        let prr = &mut scoreboard.prr;
        prr.delivered = prr.delivered.saturating_add(delivered);
        let quota = if pipe > control.ssthresh {
            let share = u64::from(prr.delivered) * u64::from(control.ssthresh);
            let share = share.div_ceil(u64::from(prr.recover_fs)) as u32;
            share.saturating_sub(prr.out)
        } else {
            // Packet conservation; slow start up to `ssthresh` while no further loss shows.
            let mut limit = prr.delivered.saturating_sub(prr.out).max(delivered);
            if safe {
                limit = limit.saturating_add(ack.mss);
            }
            limit.min(control.ssthresh - pipe)
        };
        // The first retransmission is sent at once.
        let quota = if prr.out == 0 {
            quota.max(ack.mss)
        } else {
            quota
        };
        control.cwnd = pipe.saturating_add(quota);
    }
}
