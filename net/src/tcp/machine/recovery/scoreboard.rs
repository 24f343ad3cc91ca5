//! The scoreboard of a flight with losses or reordering (RFC 6675, 3).

use alloc::collections::VecDeque;

use super::super::congestion::Saved;
use super::super::ranges::Ranges;
use super::super::seq::Seq;

/// The state of F-RTO after a timeout (RFC 5682).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Frto {
    #[default]
    Off,
    /// Waits for the first acknowledgement after the head was retransmitted.
    First,
    /// It arrived: two segments of new data are sent, and the next acknowledgement decides.
    Second,
}

/// A retransmission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retransmission {
    pub(super) first: Seq,
    pub(super) end: Seq,
    pub(super) at_ns: u64,
}

/// State to undo a reduction of the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    pub(super) saved: Saved,
    /// SND.UNA when it was made.
    pub(super) snd_una: Seq,
    /// The timestamp of the first retransmission, until the next acknowledgement of new data.
    pub(super) retransmit_ts: Option<u32>,
    /// Retransmitted bytes that the peer didn't report as duplicates.
    pub(super) unreported: u32,
    /// Something was retransmitted.
    pub(super) resent: bool,
    /// The recovery has ended; reports of duplicates count until this is acknowledged.
    pub(super) until: Option<Seq>,
}

/// Proportional rate reduction (RFC 9937).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prr {
    pub(super) delivered: u32,
    pub(super) out: u32,
    /// RecoverFS: the flight when recovery began.
    pub(super) recover_fs: u32,
}

/// The scoreboard of a flight with losses or reordering.
#[derive(Debug)]
pub(super) struct Scoreboard {
    pub(super) sacked: Ranges,
    /// Lost and not retransmitted.
    pub(super) lost: Ranges,
    pub(super) resent: VecDeque<Retransmission>,
    /// All bytes below that were sent once are acknowledged, lost or retransmitted.
    pub(super) judged: Seq,
    pub(super) prr: Prr,
    pub(super) undo: Option<Undo>,
    pub(super) frto: Frto,
}

impl Scoreboard {
    pub(super) fn new(snd_una: Seq) -> Scoreboard {
        Scoreboard {
            sacked: Ranges::default(),
            lost: Ranges::default(),
            resent: VecDeque::new(),
            judged: snd_una,
            prr: Prr::default(),
            undo: None,
            frto: Frto::Off,
        }
    }

    /// Marks as lost the bytes of `first..end` that weren't received.
    pub(super) fn mark_lost(&mut self, first: Seq, end: Seq) {
        let lost = &mut self.lost;
        self.sacked.gaps(first, end, |lower, upper| {
            lost.insert(lower, upper);
        });
    }
}
