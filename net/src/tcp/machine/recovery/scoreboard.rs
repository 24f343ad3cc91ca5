//! The scoreboard: what is known of a flight that isn't simply in order (RFC 6675, 3).

use alloc::collections::VecDeque;

use super::super::congestion::Saved;
use super::super::ranges::Ranges;
use super::super::seq::Seq;

/// F-RTO (RFC 5682): what is awaited after a timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Frto {
    #[default]
    Off,
    /// The first acknowledgement after the head was sent again.
    First,
    /// It came: two segments of new data are sent, and the next one decides.
    Second,
}

/// A retransmission, in the order in which they were made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resent {
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
    /// The timestamp of the first retransmission, until an acknowledgement tells whether it was
    /// needed.
    pub(super) retransmit_ts: Option<u32>,
    /// Bytes sent again that the peer didn't report as duplicates.
    pub(super) unreported: u32,
    /// Something was sent again at all.
    pub(super) resent: bool,
    /// Recovery has ended; the peer's report counts until this is acknowledged.
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
    /// Lost and not sent again.
    pub(super) lost: Ranges,
    pub(super) resent: VecDeque<Resent>,
    /// All below that was sent once is judged: acknowledged, lost or sent again.
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
