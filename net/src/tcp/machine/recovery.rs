//! Loss detection and recovery: RACK-TLP (RFC 8985) over a scoreboard of SACK blocks (RFC 2018, 6675), duplicate
//! acknowledgements where the peer has no SACK (RFC 5681, 6582), proportional rate reduction (RFC 6937), and what finds
//! out that a retransmission wasn't needed: DSACK (RFC 2883, 3708), Eifel (RFC 3522) and F-RTO (RFC 5682).
//!
//! The scoreboard is made when the first loss shows, and freed when all is repaired. Each acknowledgement costs time for
//! what it newly tells: ranges that are known already are not looked at again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::congestion::{Control, Saved};
use super::ranges::Ranges;
use super::sent::{Part, SentLog};
use super::seq::Seq;

/// Duplicate acknowledgements, or segments acknowledged selectively, after which reordering is no excuse.
const DUP_THRESH: u32 = 3;
/// Recoveries for which a reordering window stays widened (RFC 8985, 6.2).
const PERSIST: u8 = 16;
/// Retransmissions whose times are remembered, at most.
const RESENT_MAX: usize = 4096;

/// What the sender is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    #[default]
    Open,
    /// Repairing what acknowledgements show to be lost.
    Recovery,
    /// Repairing after a timeout.
    Loss,
}

/// F-RTO (RFC 5682): what is awaited after a timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Frto {
    #[default]
    Off,
    /// The first acknowledgement after the head was sent again.
    First,
    /// It came: two segments of new data are sent, and the next one decides.
    Second,
}

/// A retransmission, in the order in which they were made.
#[derive(Clone, Copy, Debug)]
struct Resent {
    first: Seq,
    end: Seq,
    at_ns: u64,
}

/// How to take back a reduction of the window.
#[derive(Clone, Copy, Debug)]
struct Undo {
    saved: Saved,
    /// SND.UNA when it was made.
    una: Seq,
    /// The timestamp of the first retransmission, until an acknowledgement tells whether it was needed.
    stamp: Option<u32>,
    /// Bytes sent again that the peer didn't report as duplicates.
    unreported: u32,
    /// Something was sent again at all.
    resent: bool,
    /// Recovery has ended; the peer's report counts until this is acknowledged.
    until: Option<Seq>,
}

/// Proportional rate reduction (RFC 6937).
#[derive(Clone, Copy, Debug, Default)]
struct Reduction {
    delivered: u32,
    out: u32,
    /// RecoverFS.
    flight: u32,
}

/// What is known of a flight that isn't simply in order.
#[derive(Debug)]
struct Board {
    sacked: Ranges,
    /// Lost and not sent again.
    lost: Ranges,
    resent: VecDeque<Resent>,
    /// What was sent once and lies below was judged already: it is acknowledged, lost or sent again.
    judged: Seq,
    reduction: Reduction,
    undo: Option<Undo>,
    frto: Frto,
}

impl Board {
    fn new(una: Seq) -> Board {
        Board {
            sacked: Ranges::default(),
            lost: Ranges::default(),
            resent: VecDeque::new(),
            judged: una,
            reduction: Reduction::default(),
            undo: None,
            frto: Frto::Off,
        }
    }

    /// What of `first..end` wasn't received is lost.
    fn mark_lost(&mut self, first: Seq, end: Seq) {
        let lost = &mut self.lost;
        self.sacked.gaps(first, end, |lower, upper| {
            lost.insert(lower, upper);
        });
    }
}

/// The sender as it was when an acknowledgement came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack<'a> {
    /// SND.UNA before it.
    pub(crate) una: Seq,
    /// The acknowledgement itself: at least `una`.
    pub(crate) ack: Seq,
    /// SND.NXT.
    pub(crate) next: Seq,
    /// SACK blocks, with DSACK among them; empty where SACK wasn't agreed upon.
    pub(crate) blocks: &'a [(Seq, Seq)],
    /// Whether SACK was agreed upon.
    pub(crate) sack: bool,
    /// A duplicate in the sense of RFC 5681, 2.
    pub(crate) duplicate: bool,
    /// TSecr.
    pub(crate) echo: Option<u32>,
    pub(crate) mss: u32,
    /// SRTT and the least round trip; 0: unknown.
    pub(crate) rtt_ns: u64,
    pub(crate) rtt_min_ns: u64,
    /// The bytes of a segment that tried a larger size: its loss says nothing about congestion (RFC 4821, 7.5).
    pub(crate) mtu_probe: Option<(Seq, Seq)>,
    pub(crate) now_ns: u64,
}

/// What an acknowledgement told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Bytes that are known to have been received only now.
    pub(crate) delivered: u32,
    /// Round trips of what was sent once: of the first and of the last such byte.
    pub(crate) rtt_first_ns: Option<u64>,
    pub(crate) rtt_last_ns: Option<u64>,
    /// A retransmission turned out to have been unneeded.
    pub(crate) spurious: bool,
    /// When to look for losses again.
    pub(crate) reorder_ns: Option<u64>,
    /// Something that was sent once, before what was sent again, arrived.
    original: bool,
    reordered: bool,
}

/// Everything about losses.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    sent: SentLog,
    pub(crate) phase: Phase,
    /// RACK.xmit_ts, RACK.end_seq and RACK.rtt: of the segment that was sent last among those received.
    rack_at_ns: u64,
    rack_end: Seq,
    rack_rtt_ns: u64,
    reordering: bool,
    /// RACK.reo_wnd_mult less one, and what remains of its persistence.
    widened: u8,
    persist: u8,
    dsack_round: Option<Seq>,
    /// RecoveryPoint: what had been sent when recovery began.
    point: Seq,
    duplicates: u8,
    /// TLP.end_seq, and whether the probe repeated something.
    probe: Option<(Seq, bool)>,
    board: Option<Box<Board>>,
}

impl Told {
    fn take(&mut self, part: Part, fresh: u32, highest: Option<Seq>, point: Seq, now_ns: u64) {
        self.delivered += fresh;
        if part.retransmitted {
            return;
        }
        self.original |= part.first.before(point);
        self.reordered |= highest.is_some_and(|highest| part.end.before(highest));
        let rtt = now_ns.saturating_sub(part.at_ns);
        self.rtt_first_ns = Some(self.rtt_first_ns.map_or(rtt, |first| first.max(rtt)));
        self.rtt_last_ns = Some(self.rtt_last_ns.map_or(rtt, |last| last.min(rtt)));
    }
}

impl Recovery {
    /// New bytes were sent, up to `end`.
    pub(crate) fn sent(&mut self, end: Seq, len: u32, now_ns: u64) {
        self.sent.push(end, now_ns);
        self.count_out(len);
    }

    fn count_out(&mut self, len: u32) {
        if self.phase == Phase::Recovery
            && let Some(board) = &mut self.board
        {
            board.reduction.out = board.reduction.out.saturating_add(len);
        }
    }

    /// `first..end` was sent again, with that timestamp.
    pub(crate) fn resent(&mut self, una: Seq, first: Seq, end: Seq, stamp: u32, now_ns: u64) {
        self.count_out(end - first);
        self.sent.resend(una, first, end, now_ns);
        let board = self.board.get_or_insert_with(|| Box::new(Board::new(una)));
        board.lost.remove(first, end);
        if board.resent.len() < RESENT_MAX {
            board.resent.push_back(Resent {
                first,
                end,
                at_ns: now_ns,
            });
        }
        if let Some(undo) = &mut board.undo {
            if !undo.resent {
                undo.resent = true;
                undo.stamp = Some(stamp);
            }
            undo.unreported = undo.unreported.saturating_add(end - first);
        }
    }

    /// When the first byte in flight was last sent.
    pub(crate) fn first_sent_at(&self) -> Option<u64> {
        self.sent.first_at()
    }

    /// The pipe (RFC 6675, 4): bytes that are thought to be in the network.
    pub(crate) fn in_flight(&self, una: Seq, next: Seq, mss: u32) -> u32 {
        let all = next - una;
        let gone = match &self.board {
            Some(board) => board.sacked.total() + board.lost.total(),
            None => 0,
        };
        // Without SACK each duplicate acknowledgement stands for a segment that left.
        let left = u32::from(self.duplicates) * mss;
        all.saturating_sub(gone).saturating_sub(left)
    }

    /// What is to be sent again first.
    pub(crate) fn next_lost(&self) -> Option<(Seq, Seq)> {
        let board = self.board.as_ref()?;
        // F-RTO, step 2: new data goes before.
        (board.frto != Frto::Second).then(|| board.lost.first())?
    }

    /// How much new data F-RTO wants to be sent now instead of what is lost (RFC 5682, 2.1 step 2b); `None`: it is over.
    pub(crate) fn frto_room(&self, next: Seq, mss: u32) -> Option<u32> {
        let board = self.board.as_ref()?;
        (board.frto == Frto::Second).then(|| (2 * mss).saturating_sub(next.beyond(self.point)))
    }

    /// There is no new data to send: what is lost is repaired, unless some was sent. Whether F-RTO ends.
    pub(crate) fn no_new_data(&mut self, next: Seq) -> bool {
        match &mut self.board {
            Some(board) if board.frto == Frto::Second && next.at_most(self.point) => {
                board.frto = Frto::Off;
                true
            }
            _ => false,
        }
    }

    /// Whether the next segment must leave even though the window is full: the first one of a recovery (RFC 6937, 3).
    pub(crate) fn forced(&self) -> bool {
        self.phase == Phase::Recovery
            && self
                .board
                .as_ref()
                .is_some_and(|board| board.reduction.out == 0)
    }

    /// Whether a tail loss probe makes sense: nothing is known to be lost or out of order, and none was sent since
    /// (RFC 8985, 7.2).
    pub(crate) fn may_probe(&self) -> bool {
        self.phase == Phase::Open
            && self.probe.is_none()
            && self
                .board
                .as_ref()
                .is_none_or(|board| board.sacked.is_empty())
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

    /// All was acknowledged. What is kept is at most how to undo a reduction.
    pub(crate) fn all_acknowledged(&mut self) {
        self.sent.clear();
        self.duplicates = 0;
        self.probe = None;
    }

    /// Forgets everything: the connection is over.
    pub(crate) fn clear(&mut self) {
        self.sent.clear();
        self.board = None;
        self.phase = Phase::Open;
        self.duplicates = 0;
        self.probe = None;
    }

    /// Takes an acknowledgement that lies between SND.UNA and SND.NXT.
    pub(crate) fn acknowledge(&mut self, ack: &Ack<'_>, control: &mut Control) -> Told {
        let mut told = Told::default();
        let dsack = duplicate_block(ack);
        self.take_delivered(ack, &mut told);
        let advanced = ack.ack.after(ack.una);
        if told.reordered {
            self.reordering = true;
        }
        let unneeded = self.is_unneeded(ack, dsack, advanced, &told);
        if unneeded {
            self.take_back(control);
            told.spurious = true;
        }
        self.end_probe(ack, dsack, control);
        self.widen(ack, dsack);
        if ack.sack {
            told.reorder_ns = self.detect(ack);
        } else {
            self.count_duplicates(ack, advanced);
        }
        self.turn(ack, advanced, &told, control);
        if let Some(board) = &mut self.board {
            while board.resent.front().is_some_and(|resent| {
                resent.end.at_most(ack.ack) || board.sacked.covers(resent.first, resent.end)
            }) {
                board.resent.pop_front();
            }
            let told = |undo: &Undo| undo.until.is_none_or(|until| ack.ack.at_least(until));
            let idle = board.sacked.is_empty()
                && board.lost.is_empty()
                && board.resent.is_empty()
                && board.undo.as_ref().is_none_or(told);
            if self.phase == Phase::Open && idle {
                self.board = None;
            }
        }
        told
    }

    /// Finds out what was received, and keeps RACK's idea of time (RFC 8985, 6.2, steps 1 and 2).
    fn take_delivered(&mut self, ack: &Ack<'_>, told: &mut Told) {
        let now_ns = ack.now_ns;
        let mut newest: Option<Part> = None;
        let mut see = |part: Part| {
            // Step 2: an acknowledgement of a retransmission that comes too soon means the first sending.
            let early = now_ns.saturating_sub(part.at_ns) < ack.rtt_min_ns;
            let later = newest.is_none_or(|old| {
                part.at_ns > old.at_ns || (part.at_ns == old.at_ns && part.end.after(old.end))
            });
            if later && !(part.retransmitted && early) {
                newest = Some(part);
            }
        };
        let point = self.point;
        let board = &mut self.board;
        let highest = board
            .as_ref()
            .and_then(|board| board.sacked.last())
            .map(|(_, end)| end);
        if ack.ack.after(ack.una) {
            self.sent.acknowledge(ack.una, ack.ack, |part| {
                let fresh = match board {
                    Some(board) => board.sacked.missing(part.first, part.end),
                    None => part.end - part.first,
                };
                if fresh > 0 {
                    told.take(part, fresh, highest, point, now_ns);
                    see(part);
                }
            });
            if let Some(board) = board {
                board.sacked.cut_below(ack.ack);
                board.lost.cut_below(ack.ack);
                board.judged = board.judged.max(ack.ack);
            }
        }
        for (first, end) in ack.blocks.iter().copied() {
            // RFC 2018, 5: only what is in flight; the rest is a duplicate's, or nonsense.
            if first.before(ack.ack) || end.after(ack.next) || first.at_least(end) {
                continue;
            }
            let Board { sacked, lost, .. } =
                &mut **board.get_or_insert_with(|| Box::new(Board::new(ack.ack)));
            let sent = &self.sent;
            sacked.gaps(first, end, |lower, upper| {
                sent.visit(lower, upper, |part| {
                    told.take(part, part.end - part.first, highest, point, now_ns);
                    see(part);
                    true
                });
                lost.remove(lower, upper);
            });
            sacked.insert(first, end);
        }
        if let Some(part) = newest {
            self.rack_rtt_ns = now_ns.saturating_sub(part.at_ns);
            let later = part.at_ns > self.rack_at_ns
                || (part.at_ns == self.rack_at_ns && part.end.after(self.rack_end));
            if later {
                self.rack_at_ns = part.at_ns;
                self.rack_end = part.end;
            }
        }
    }

    /// Whether what was sent again since the window was reduced had arrived anyway.
    fn is_unneeded(
        &mut self,
        ack: &Ack<'_>,
        dsack: Option<(Seq, Seq)>,
        advanced: bool,
        told: &Told,
    ) -> bool {
        let loss = self.phase == Phase::Loss;
        let Some(board) = &mut self.board else {
            return false;
        };
        let frto = board.frto;
        if loss && frto != Frto::Off {
            let partial = ack.sack && ack.ack.before(self.point);
            if told.original && (partial || frto != Frto::First) {
                // RFC 5682, 2.1 and 3.1, step 3: something arrived that wasn't sent again.
                return true;
            }
            board.frto = match frto {
                Frto::First if advanced && ack.ack.before(self.point) => Frto::Second,
                _ if advanced || ack.duplicate => Frto::Off,
                same => same,
            };
        }
        let Some(undo) = &mut board.undo else {
            return false;
        };
        // RFC 3522, 3.2: the acknowledgement echoes a timestamp from before the retransmission.
        if advanced
            && self.phase != Phase::Open
            && let Some(stamp) = undo.stamp.take()
            && ack
                .echo
                .is_some_and(|echo| (echo.wrapping_sub(stamp) as i32) < 0)
        {
            return true;
        }
        // RFC 3708, 3: the peer had everything that was sent again.
        if let Some((first, end)) = dsack
            && first.at_least(undo.una)
        {
            undo.unreported = undo.unreported.saturating_sub(end - first);
            return undo.resent && undo.unreported == 0 && board.lost.is_empty();
        }
        false
    }

    fn take_back(&mut self, control: &mut Control) {
        if let Some(board) = &mut self.board {
            if let Some(undo) = board.undo.take() {
                control.restore(&undo.saved);
            }
            board.lost.clear();
            board.frto = Frto::Off;
        }
        // It was late, not lost (RFC 8985, 6.2 step 4).
        self.reordering = true;
        self.phase = Phase::Open;
    }

    /// RFC 8985, 7.4: what the acknowledgement of a probe means.
    fn end_probe(&mut self, ack: &Ack<'_>, dsack: Option<(Seq, Seq)>, control: &mut Control) {
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

    /// RFC 8985, 6.2 step 4: the reordering window grows where retransmissions turn out to be duplicates.
    fn widen(&mut self, ack: &Ack<'_>, dsack: Option<(Seq, Seq)>) {
        if self
            .dsack_round
            .is_some_and(|round| ack.ack.at_least(round))
        {
            self.dsack_round = None;
        }
        if dsack.is_some() && self.dsack_round.is_none() {
            self.dsack_round = Some(ack.next);
            self.widened = self.widened.saturating_add(1);
            self.persist = PERSIST;
        }
    }

    fn reorder_window(&self, ack: &Ack<'_>) -> u64 {
        let sacked = self.board.as_ref().map_or(0, |board| board.sacked.total());
        if !self.reordering && (self.phase != Phase::Open || sacked >= DUP_THRESH * ack.mss) {
            return 0;
        }
        let quarter = ack.rtt_min_ns / 4;
        (quarter.saturating_mul(u64::from(self.widened) + 1)).min(ack.rtt_ns)
    }

    /// RFC 8985, 6.2 step 5: marks what was sent before something that arrived, and is late. When to look again.
    pub(crate) fn detect(&mut self, ack: &Ack<'_>) -> Option<u64> {
        let window = self.rack_rtt_ns + self.reorder_window(ack);
        let (rack_at_ns, rack_end) = (self.rack_at_ns, self.rack_end);
        let board = self.board.as_mut()?;
        let mut next: Option<u64> = None;
        let mut judged = board.judged.max(ack.ack);
        let from = judged;
        // Those that were sent once, in the order in which they were.
        self.sent.visit(from, ack.next, |part| {
            if part.retransmitted {
                judged = part.end;
                return true;
            }
            let end = if part.at_ns < rack_at_ns {
                part.end
            } else if part.at_ns == rack_at_ns {
                part.end.min(rack_end)
            } else {
                return false;
            };
            if end.at_most(part.first) {
                return false;
            }
            let late_ns = part.at_ns.saturating_add(window);
            if late_ns > ack.now_ns && board.sacked.missing(part.first, end) > 0 {
                next = Some(late_ns);
                return false;
            }
            board.mark_lost(part.first, end);
            judged = end;
            end == part.end
        });
        board.judged = judged;
        // Those that were sent again.
        while let Some(resent) = board.resent.front().copied() {
            let before = resent.at_ns < rack_at_ns
                || (resent.at_ns == rack_at_ns && resent.end.before(rack_end));
            let first = resent.first.max(ack.ack);
            let open = first.before(resent.end) && board.sacked.missing(first, resent.end) > 0;
            if open {
                if !before {
                    break;
                }
                let late_ns = resent.at_ns.saturating_add(window);
                if late_ns > ack.now_ns {
                    next = Some(next.map_or(late_ns, |next| next.min(late_ns)));
                    break;
                }
                board.mark_lost(first, resent.end);
            }
            board.resent.pop_front();
        }
        next
    }

    /// RFC 5681, 3.2 and RFC 6582, 3.2, for peers without SACK.
    fn count_duplicates(&mut self, ack: &Ack<'_>, advanced: bool) {
        let head = (ack.ack, ack.next.min(ack.ack + ack.mss));
        if advanced {
            self.duplicates = 0;
            if self.phase == Phase::Recovery && ack.ack.before(self.point) {
                // A partial acknowledgement: the next hole begins there.
                let board = self
                    .board
                    .get_or_insert_with(|| Box::new(Board::new(ack.ack)));
                board.mark_lost(head.0, head.1);
            }
        } else if ack.duplicate && ack.next.after(ack.una) {
            self.duplicates = self.duplicates.saturating_add(1);
            // RFC 6582, 3.2 step 1: what was sent before the last recovery causes no other one.
            if u32::from(self.duplicates) == DUP_THRESH && self.phase == Phase::Open {
                let board = self
                    .board
                    .get_or_insert_with(|| Box::new(Board::new(ack.ack)));
                board.mark_lost(head.0, head.1);
            }
        }
    }

    /// Recovery begins, goes on, or ends.
    fn turn(&mut self, ack: &Ack<'_>, advanced: bool, told: &Told, control: &mut Control) {
        if self.phase != Phase::Open && advanced && ack.ack.at_least(self.point) {
            if self.phase == Phase::Recovery {
                control.cwnd = control.ssthresh.max(ack.mss);
            }
            self.phase = Phase::Open;
            self.persist = self.persist.saturating_sub(1);
            if self.persist == 0 {
                self.widened = 0;
            }
            if let Some(board) = &mut self.board {
                board.frto = Frto::Off;
                if let Some(undo) = &mut board.undo {
                    // One more flight: the report of a duplicate may come after all else.
                    undo.until = Some(ack.next + 1);
                }
            }
        }
        let lost = self
            .board
            .as_ref()
            .and_then(|board| Some((board.lost.first()?.0, board.lost.last()?.1)));
        if self.phase == Phase::Open
            && let Some((first, end)) = lost
            && !ack
                .mtu_probe
                .is_some_and(|(lower, upper)| first.at_least(lower) && end.at_most(upper))
        {
            self.enter(ack, control);
        }
        if self.phase == Phase::Recovery {
            self.reduce(ack, told.delivered, control);
        }
    }

    /// RFC 6937, 3, and RFC 5681, 3.2.
    fn enter(&mut self, ack: &Ack<'_>, control: &mut Control) {
        let flight = ack.next - ack.ack;
        let saved = control.save();
        control.lost(flight, ack.mss);
        self.phase = Phase::Recovery;
        self.point = ack.next;
        self.probe = None;
        if let Some(board) = &mut self.board {
            board.reduction = Reduction {
                delivered: 0,
                out: 0,
                flight: flight.max(1),
            };
            board.undo = Some(Undo {
                saved,
                una: ack.ack,
                stamp: None,
                unreported: 0,
                resent: false,
                until: None,
            });
        }
    }

    /// RFC 6937, 3: how much may leave for what arrived.
    fn reduce(&mut self, ack: &Ack<'_>, delivered: u32, control: &mut Control) {
        let pipe = self.in_flight(ack.ack, ack.next, ack.mss);
        let Some(board) = &mut self.board else { return };
        let reduction = &mut board.reduction;
        // Without SACK each duplicate acknowledgement delivers a segment.
        let delivered = if ack.duplicate && !ack.sack {
            ack.mss
        } else {
            delivered
        };
        reduction.delivered = reduction.delivered.saturating_add(delivered);
        let quota = if pipe > control.ssthresh {
            let share = u64::from(reduction.delivered) * u64::from(control.ssthresh);
            let share = share.div_ceil(u64::from(reduction.flight)) as u32;
            share.saturating_sub(reduction.out)
        } else {
            // Slow start back to the threshold if all goes well, conservation of packets otherwise.
            let mut limit = reduction
                .delivered
                .saturating_sub(reduction.out)
                .max(delivered);
            limit = limit.saturating_add(ack.mss);
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

    /// A loss was found by the clock, not by an acknowledgement.
    pub(crate) fn look(&mut self, ack: &Ack<'_>, control: &mut Control) -> Option<u64> {
        let next = self.detect(ack);
        self.turn(ack, false, &Told::default(), control);
        next
    }

    /// The retransmission timer ran out (RFC 5681, 3.1; RFC 6298, 5.4; RFC 8985, 6.3): everything that isn't known to
    /// have arrived is lost.
    pub(crate) fn timeout(&mut self, una: Seq, next: Seq, mss: u32, control: &mut Control) {
        let first = self.phase != Phase::Loss;
        let board = self.board.get_or_insert_with(|| Box::new(Board::new(una)));
        if board
            .sacked
            .first()
            .is_some_and(|(lower, _)| lower.at_most(una))
        {
            // RFC 2018, 8: the peer has dropped what it had reported.
            board.sacked.clear();
        }
        board.lost.clear();
        board.resent.clear();
        board.mark_lost(una, next);
        board.judged = next;
        if first {
            let saved = match (&board.undo, self.phase) {
                (Some(undo), Phase::Recovery) => undo.saved,
                _ => control.save(),
            };
            control.lost(next - una, mss);
            board.undo = Some(Undo {
                saved,
                una,
                stamp: None,
                unreported: 0,
                resent: false,
                until: None,
            });
            // RFC 5682, 3.1 step 1: not on top of another recovery.
            board.frto = match self.phase {
                Phase::Open => Frto::First,
                _ => Frto::Off,
            };
        } else {
            board.frto = Frto::Off;
        }
        control.timeout(mss);
        self.phase = Phase::Loss;
        self.point = next;
        self.duplicates = 0;
        self.probe = None;
    }

    /// A size of segments turned out not to pass: what is in flight is lost, without congestion (RFC 8899, 4; RFC 1191, 6.5).
    pub(crate) fn too_big(&mut self, una: Seq, next: Seq) {
        let board = self.board.get_or_insert_with(|| Box::new(Board::new(una)));
        board.resent.clear();
        board.mark_lost(una, next);
        board.judged = next;
        if self.phase == Phase::Open {
            // Repaired as after a timeout, but with the window as it is.
            self.phase = Phase::Loss;
            self.point = next;
        }
    }
}

/// A block that reports something twice received (RFC 2883, 4): it is the first, and lies below the acknowledgement or
/// within the second.
fn duplicate_block(ack: &Ack<'_>) -> Option<(Seq, Seq)> {
    let (first, end) = ack.blocks.first().copied()?;
    if first.at_least(end) || end - first > 1 << 30 {
        return None;
    }
    let within = |(lower, upper): &(Seq, Seq)| first.at_least(*lower) && end.at_most(*upper);
    (end.at_most(ack.ack) || ack.blocks.get(1).is_some_and(within)).then_some((first, end))
}
