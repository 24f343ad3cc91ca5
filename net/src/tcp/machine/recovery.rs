//! Loss detection and recovery: RACK-TLP (RFC 8985) over a scoreboard of SACK blocks (RFC 2018,
//! 6675), duplicate acknowledgements if the peer has no SACK (RFC 5681, 6582), proportional rate
//! reduction (RFC 9937), and the detection of spurious retransmissions: DSACK (RFC 2883, 3708),
//! Eifel (RFC 3522) and F-RTO (RFC 5682).
//!
//! The scoreboard is allocated at the first loss, and freed when all is repaired. An
//! acknowledgement costs time for its new information only: known ranges are not scanned again.

mod prr;
mod rack;
mod scoreboard;
mod spurious;
mod tail;

use alloc::boxed::Box;

use self::scoreboard::{Frto, Prr, Retransmission, Scoreboard, Undo};
use self::spurious::duplicate_block;
use super::congestion::Control;
use super::sent::{Part, SentLog};
use super::seq::Seq;

/// DupThresh: duplicate acknowledgements, or selectively acknowledged segments, from which on a gap
/// counts as a loss and not as reordering.
const DUP_THRESH: u32 = 3;
/// Maximum number of recorded retransmissions.
const MAX_RETRANSMISSIONS: usize = 4096;

/// The phase of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    #[default]
    Open,
    /// Retransmitting losses that acknowledgements show.
    Recovery,
    /// Retransmitting after a timeout.
    Loss,
}

impl Phase {
    /// The name, as in Linux.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Open => "Open",
            Phase::Recovery => "Recovery",
            Phase::Loss => "Loss",
        }
    }
}

/// An acknowledgement, and the state of the sender before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack<'a> {
    /// Before it.
    pub(crate) snd_una: Seq,
    /// The acknowledgement number: at least `snd_una`.
    pub(crate) ack: Seq,
    pub(crate) snd_nxt: Seq,
    /// SACK blocks, including DSACK; empty unless SACK was negotiated.
    pub(crate) blocks: &'a [(Seq, Seq)],
    /// Whether SACK was negotiated.
    pub(crate) sack: bool,
    /// A duplicate in the sense of RFC 5681, 2.
    pub(crate) duplicate: bool,
    /// In milliseconds of the clock that `now_ns` is from.
    pub(crate) tsecr: Option<u32>,
    pub(crate) mss: u32,
    /// 0: unknown.
    pub(crate) srtt_ns: u64,
    pub(crate) min_rtt_ns: u64,
    /// The bytes of a probe of the path MTU: its loss isn't a sign of congestion (RFC 4821, 7.5).
    pub(crate) mtu_probe: Option<(Seq, Seq)>,
    pub(crate) now_ns: u64,
}

/// Results of one acknowledgement: bytes delivered, round trips, spurious retransmissions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckSummary {
    /// Bytes newly known to be received.
    pub(crate) delivered: u32,
    /// Round trips of bytes that were sent once: of the first and of the last.
    pub(crate) rtt_first_ns: Option<u64>,
    pub(crate) rtt_last_ns: Option<u64>,
    /// A retransmission turned out to be spurious.
    pub(crate) spurious: bool,
    /// When to detect losses again.
    pub(crate) reorder_ns: Option<u64>,
    /// Bytes that were sent once, before the retransmission, arrived.
    original: bool,
    reordered: bool,
}

/// The state of loss detection and recovery.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    sent: SentLog,
    pub(crate) phase: Phase,
    /// RACK.xmit_ts, RACK.end_seq and RACK.rtt (RFC 8985, 5.3): of the last-sent segment among
    /// those received.
    rack_xmit_ns: u64,
    rack_end_seq: Seq,
    rack_rtt_ns: u64,
    reordering_seen: bool,
    /// RACK.reo_wnd_mult less one.
    widened: u8,
    reo_wnd_persist: u8,
    dsack_round: Option<Seq>,
    /// RecoveryPoint (RFC 6675, 2): SND.NXT when recovery began.
    recovery_point: Seq,
    dup_acks: u8,
    /// TLP.end_seq and TLP.is_retrans (RFC 8985, 7.1) of a probe in flight.
    tlp: Option<(Seq, bool)>,
    scoreboard: Option<Box<Scoreboard>>,
}

/// The clock of timestamps, without the offset of the connection.
fn milliseconds(at_ns: u64) -> u32 {
    (at_ns / 1_000_000) as u32
}

/// RFC 7323, 5.2: comparison of timestamps.
fn is_before(stamp: u32, other: u32) -> bool {
    (stamp.wrapping_sub(other) as i32) < 0
}

impl AckSummary {
    /// `overtaken`: bytes after it arrived before (RFC 8985, 6.2 step 3).
    fn take(&mut self, part: Part, fresh: u32, overtaken: bool, point: Seq, now_ns: u64) {
        self.delivered += fresh;
        if part.retransmitted {
            return;
        }
        self.original |= part.first.before(point);
        self.reordered |= overtaken;
        let rtt = now_ns.saturating_sub(part.at_ns);
        self.rtt_first_ns = Some(self.rtt_first_ns.map_or(rtt, |first| first.max(rtt)));
        self.rtt_last_ns = Some(self.rtt_last_ns.map_or(rtt, |last| last.min(rtt)));
    }
}

impl Recovery {
    /// New bytes were sent, up to `end`.
    pub(crate) fn sent(&mut self, end: Seq, len: u32, now_ns: u64) {
        self.sent.push(end, now_ns);
        self.count_sent_bytes(len);
    }

    fn count_sent_bytes(&mut self, len: u32) {
        if self.phase == Phase::Recovery
            && let Some(scoreboard) = &mut self.scoreboard
        {
            scoreboard.prr.out = scoreboard.prr.out.saturating_add(len);
        }
    }

    /// `first..end` was retransmitted.
    pub(crate) fn resent(&mut self, snd_una: Seq, first: Seq, end: Seq, now_ns: u64) {
        self.count_sent_bytes(end - first);
        self.sent.resend(snd_una, first, end, now_ns);
        let scoreboard = self
            .scoreboard
            .get_or_insert_with(|| Box::new(Scoreboard::new(snd_una)));
        scoreboard.lost.remove(first, end);
        if scoreboard.resent.len() < MAX_RETRANSMISSIONS {
            scoreboard.resent.push_back(Retransmission {
                first,
                end,
                at_ns: now_ns,
            });
        }
        if let Some(undo) = &mut scoreboard.undo {
            if !undo.resent {
                undo.resent = true;
                undo.retransmit_ts = Some(milliseconds(now_ns));
            }
            undo.unreported = undo.unreported.saturating_add(end - first);
        }
    }

    /// Whether the peer has reported all of `first..end`.
    #[cfg(test)]
    pub(crate) fn is_sacked(&self, first: Seq, end: Seq) -> bool {
        self.scoreboard
            .as_ref()
            .is_some_and(|scoreboard| scoreboard.sacked.covers(first, end))
    }

    /// The pipe (RFC 6675, 4): bytes estimated to be in the network.
    pub(crate) fn pipe(&self, snd_una: Seq, snd_nxt: Seq, mss: u32) -> u32 {
        let all = snd_nxt - snd_una;
        let gone = match &self.scoreboard {
            Some(scoreboard) => scoreboard.sacked.total() + scoreboard.lost.total(),
            None => 0,
        };
        // Without SACK each duplicate acknowledgement means a segment that left the network.
        let left = u32::from(self.dup_acks) * mss;
        all.saturating_sub(gone).saturating_sub(left)
    }

    /// The range to retransmit first.
    pub(crate) fn next_lost(&self) -> Option<(Seq, Seq)> {
        let scoreboard = self.scoreboard.as_ref()?;
        // F-RTO, step 2: new data is sent first.
        (scoreboard.frto != Frto::Second).then(|| scoreboard.lost.first())?
    }

    /// All was acknowledged. Only the state to undo a reduction may stay.
    pub(crate) fn all_acknowledged(&mut self) {
        self.sent.clear();
        self.dup_acks = 0;
        self.tlp = None;
    }

    /// Drops everything: the connection is over.
    pub(crate) fn clear(&mut self) {
        self.sent.clear();
        self.scoreboard = None;
        self.phase = Phase::Open;
        self.dup_acks = 0;
        self.tlp = None;
    }

    /// Handles an acknowledgement between SND.UNA and SND.NXT.
    pub(crate) fn acknowledge(&mut self, ack: &Ack<'_>, control: &mut Control) -> AckSummary {
        let mut summary = AckSummary::default();
        let dsack = duplicate_block(ack);
        self.take_delivered(ack, &mut summary);
        let advanced = ack.ack.after(ack.snd_una);
        if summary.reordered {
            self.reordering_seen = true;
        }
        let unneeded = self.is_unneeded(ack, dsack, advanced, &summary);
        if unneeded {
            self.undo_reduction(ack.ack, control);
            summary.spurious = true;
        }
        self.end_probe(ack, dsack, control);
        self.widen(ack, dsack);
        let lost = self.lost();
        if ack.sack {
            summary.reorder_ns = self.detect(ack);
        } else {
            summary.delivered = self.count_duplicates(ack, advanced, summary.delivered);
        }
        let safe = advanced && self.lost() <= lost;
        self.turn(ack, advanced, &summary, safe, control);
        if let Some(scoreboard) = &mut self.scoreboard {
            while scoreboard.resent.front().is_some_and(|resent| {
                resent.end.at_most(ack.ack) || scoreboard.sacked.covers(resent.first, resent.end)
            }) {
                scoreboard.resent.pop_front();
            }
            let complete = |undo: &Undo| undo.until.is_none_or(|until| ack.ack.at_least(until));
            let idle = scoreboard.sacked.is_empty()
                && scoreboard.lost.is_empty()
                && scoreboard.resent.is_empty()
                && scoreboard.undo.as_ref().is_none_or(complete);
            if self.phase == Phase::Open && idle {
                self.scoreboard = None;
            }
        }
        summary
    }

    /// Records the bytes received, and updates RACK's variables (RFC 8985, 6.2, steps 1 and 2).
    fn take_delivered(&mut self, ack: &Ack<'_>, summary: &mut AckSummary) {
        let now_ns = ack.now_ns;
        let mut newest: Option<Part> = None;
        let mut see = |part: Part| {
            // Step 2: an acknowledgement of a retransmission that arrives too soon, or echoes an
            // older timestamp, is of the original transmission. (Segments out of order have no
            // timestamp of their own.)
            let stamp = milliseconds(part.at_ns);
            let early = now_ns.saturating_sub(part.at_ns) < ack.min_rtt_ns
                || (part.end.at_most(ack.ack)
                    && ack.tsecr.is_some_and(|echo| is_before(echo, stamp)));
            let later = newest.is_none_or(|old| {
                part.at_ns > old.at_ns || (part.at_ns == old.at_ns && part.end.after(old.end))
            });
            if later && !(part.retransmitted && early) {
                newest = Some(part);
            }
        };
        let point = self.recovery_point;
        let scoreboard = &mut self.scoreboard;
        let highest = scoreboard
            .as_ref()
            .and_then(|scoreboard| scoreboard.sacked.last())
            .map(|(_, end)| end);
        if ack.ack.after(ack.snd_una) {
            self.sent.acknowledge(ack.snd_una, ack.ack, |part| {
                let fresh = match scoreboard {
                    Some(scoreboard) => scoreboard.sacked.missing(part.first, part.end),
                    None => part.end - part.first,
                };
                if fresh > 0 {
                    // Bytes sent together are one part, of which some may be known already.
                    let overtaken = match (&*scoreboard, highest) {
                        (Some(scoreboard), Some(highest)) => {
                            let end = part.end.min(highest);
                            end.after(part.first) && scoreboard.sacked.missing(part.first, end) > 0
                        }
                        _ => false,
                    };
                    summary.take(part, fresh, overtaken, point, now_ns);
                    see(part);
                }
            });
            if let Some(scoreboard) = scoreboard {
                scoreboard.sacked.cut_below(ack.ack);
                scoreboard.lost.cut_below(ack.ack);
                scoreboard.judged = scoreboard.judged.max(ack.ack);
            }
        }
        for (first, end) in ack.blocks.iter().copied() {
            // RFC 2018, 5: only blocks in flight; others report duplicates, or are invalid.
            if first.before(ack.ack) || end.after(ack.snd_nxt) || first.at_least(end) {
                continue;
            }
            let Scoreboard { sacked, lost, .. } =
                &mut **scoreboard.get_or_insert_with(|| Box::new(Scoreboard::new(ack.ack)));
            let sent = &self.sent;
            sacked.gaps(first, end, |lower, upper| {
                sent.visit(lower, upper, |part| {
                    let overtaken = highest.is_some_and(|highest| part.end.before(highest));
                    summary.take(part, part.end - part.first, overtaken, point, now_ns);
                    see(part);
                    true
                });
                lost.remove(lower, upper);
            });
            sacked.insert(first, end);
        }
        if let Some(part) = newest {
            self.rack_rtt_ns = now_ns.saturating_sub(part.at_ns);
            let later = part.at_ns > self.rack_xmit_ns
                || (part.at_ns == self.rack_xmit_ns && part.end.after(self.rack_end_seq));
            if later {
                self.rack_xmit_ns = part.at_ns;
                self.rack_end_seq = part.end;
            }
        }
    }

    /// Bytes reported by SACK and not acknowledged.
    pub(crate) fn sacked(&self) -> u32 {
        self.scoreboard
            .as_ref()
            .map_or(0, |scoreboard| scoreboard.sacked.total())
    }

    /// Whether reordering was seen, since the beginning.
    pub(crate) fn reordering(&self) -> bool {
        self.reordering_seen
    }

    /// Bytes lost and not retransmitted.
    pub(crate) fn lost(&self) -> u32 {
        self.scoreboard
            .as_ref()
            .map_or(0, |scoreboard| scoreboard.lost.total())
    }

    /// RFC 5681, 3.2 and RFC 6582, 3.2, for peers without SACK. Returns the bytes that arrived (RFC
    /// 9937, 4): a segment for each duplicate, which isn't counted again when it is acknowledged.
    fn count_duplicates(&mut self, ack: &Ack<'_>, advanced: bool, delivered: u32) -> u32 {
        let head = (ack.ack, ack.snd_nxt.min(ack.ack + ack.mss));
        if advanced {
            let counted = u32::from(self.dup_acks) * ack.mss;
            self.dup_acks = 0;
            if self.phase == Phase::Recovery && ack.ack.before(self.recovery_point) {
                // A partial acknowledgement: the next hole begins there.
                let scoreboard = self
                    .scoreboard
                    .get_or_insert_with(|| Box::new(Scoreboard::new(ack.ack)));
                scoreboard.mark_lost(head.0, head.1);
            }
            delivered.saturating_sub(counted)
        } else if ack.duplicate && ack.snd_nxt.after(ack.snd_una) {
            self.dup_acks = self.dup_acks.saturating_add(1);
            // RFC 6582, 3.2 step 1: bytes sent before the last recovery start no other one.
            if u32::from(self.dup_acks) == DUP_THRESH && self.phase == Phase::Open {
                let scoreboard = self
                    .scoreboard
                    .get_or_insert_with(|| Box::new(Scoreboard::new(ack.ack)));
                scoreboard.mark_lost(head.0, head.1);
            }
            ack.mss
        } else {
            delivered
        }
    }

    /// Begins, continues or ends a recovery. `safe`: see [`Recovery::reduce`].
    fn turn(
        &mut self,
        ack: &Ack<'_>,
        advanced: bool,
        summary: &AckSummary,
        safe: bool,
        control: &mut Control,
    ) {
        if self.phase != Phase::Open && advanced && ack.ack.at_least(self.recovery_point) {
            if self.phase == Phase::Recovery {
                control.cwnd = control.ssthresh.max(ack.mss);
            }
            self.phase = Phase::Open;
            self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
            if self.reo_wnd_persist == 0 {
                self.widened = 0;
            }
            if let Some(scoreboard) = &mut self.scoreboard {
                scoreboard.frto = Frto::Off;
                if let Some(undo) = &mut scoreboard.undo {
                    // One more flight: the report of a duplicate may arrive last.
                    undo.until = Some(ack.snd_nxt + 1);
                }
            }
        }
        let lost = self
            .scoreboard
            .as_ref()
            .and_then(|scoreboard| Some((scoreboard.lost.first()?.0, scoreboard.lost.last()?.1)));
        if self.phase == Phase::Open
            && let Some((first, end)) = lost
            && !ack
                .mtu_probe
                .is_some_and(|(lower, upper)| first.at_least(lower) && end.at_most(upper))
        {
            self.enter(ack, summary.delivered, control);
        }
        if self.phase == Phase::Recovery {
            self.reduce(ack, summary.delivered, safe, control);
        }
    }

    /// RFC 9937, 4, and RFC 5681, 3.2. `delivered`: bytes delivered by the acknowledgement that
    /// began it.
    fn enter(&mut self, ack: &Ack<'_>, delivered: u32, control: &mut Control) {
        let flight = ack.snd_nxt - ack.ack;
        // Bytes that arrived before aren't delivered in this recovery.
        let arrived = match &self.scoreboard {
            Some(scoreboard) if ack.sack => scoreboard.sacked.total(),
            _ => u32::from(self.dup_acks) * ack.mss,
        };
        let begun = (flight + delivered).saturating_sub(arrived).max(1);
        let saved = control.save();
        control.lost(flight, ack.mss);
        self.phase = Phase::Recovery;
        self.recovery_point = ack.snd_nxt;
        self.tlp = None;
        if let Some(scoreboard) = &mut self.scoreboard {
            scoreboard.prr = Prr {
                delivered: 0,
                out: 0,
                recover_fs: begun,
            };
            scoreboard.undo = Some(Undo {
                saved,
                snd_una: ack.ack,
                retransmit_ts: None,
                unreported: 0,
                resent: false,
                until: None,
            });
        }
    }

    /// The retransmission timer expired (RFC 5681, 3.1; RFC 6298, 5.4; RFC 8985, 6.3): all bytes
    /// that aren't known to have arrived are lost.
    pub(crate) fn timeout(&mut self, snd_una: Seq, snd_nxt: Seq, mss: u32, control: &mut Control) {
        let first = self.phase != Phase::Loss;
        let scoreboard = self
            .scoreboard
            .get_or_insert_with(|| Box::new(Scoreboard::new(snd_una)));
        if scoreboard
            .sacked
            .first()
            .is_some_and(|(lower, _)| lower.at_most(snd_una))
        {
            // RFC 2018, 8: the peer has reneged.
            scoreboard.sacked.clear();
        }
        scoreboard.lost.clear();
        scoreboard.resent.clear();
        scoreboard.mark_lost(snd_una, snd_nxt);
        scoreboard.judged = snd_nxt;
        if first {
            let saved = match (&scoreboard.undo, self.phase) {
                (Some(undo), Phase::Recovery) => undo.saved,
                _ => control.save(),
            };
            control.lost(snd_nxt - snd_una, mss);
            scoreboard.undo = Some(Undo {
                saved,
                snd_una,
                retransmit_ts: None,
                unreported: 0,
                resent: false,
                until: None,
            });
            // RFC 5682, 3.1 step 1: not during another recovery.
            scoreboard.frto = match self.phase {
                Phase::Open => Frto::First,
                _ => Frto::Off,
            };
        } else {
            scoreboard.frto = Frto::Off;
        }
        control.timeout(mss);
        self.phase = Phase::Loss;
        self.recovery_point = snd_nxt;
        self.dup_acks = 0;
        self.tlp = None;
    }

    /// Segments are too large for the path: all bytes in flight are lost, without congestion (RFC
    /// 8899, 4; RFC 1191, 6.5).
    pub(crate) fn too_big(&mut self, snd_una: Seq, snd_nxt: Seq) {
        let scoreboard = self
            .scoreboard
            .get_or_insert_with(|| Box::new(Scoreboard::new(snd_una)));
        scoreboard.resent.clear();
        scoreboard.mark_lost(snd_una, snd_nxt);
        scoreboard.judged = snd_nxt;
        if self.phase == Phase::Open {
            // As after a timeout, but with an unchanged window.
            self.phase = Phase::Loss;
            self.recovery_point = snd_nxt;
        }
    }
}
