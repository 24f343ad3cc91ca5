//! The log of sent bytes with their times, for RACK (RFC 8985, 5.2) and round-trip measurement.

use alloc::collections::VecDeque;

use super::seq::Seq;

/// Maximum number of records. Beyond it new bytes get the time of the last record, and
/// retransmissions are recorded for more bytes than were sent.
const MAX_RECORDS: usize = 8192;
/// Records whose memory is kept while nothing is in flight.
const MIN_CAPACITY: usize = 8;

/// Bytes that were sent together, up to `end`; they begin at the end of the previous record.
#[derive(Clone, Copy, Debug)]
struct Sent {
    end: Seq,
    retransmitted: bool,
    at_ns: u64,
}

/// A part of what was sent: `first..end`, last sent at `at_ns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) first: Seq,
    pub(crate) end: Seq,
    pub(crate) at_ns: u64,
    pub(crate) retransmitted: bool,
}

/// Everything from SND.UNA to SND.NXT, in order of sequence numbers.
#[derive(Debug, Default)]
pub(crate) struct SentLog {
    records: VecDeque<Sent>,
}

impl SentLog {
    /// New bytes were sent, up to `end`.
    pub(crate) fn push(&mut self, end: Seq, now_ns: u64) {
        let full = self.records.len() >= MAX_RECORDS;
        match self.records.back_mut() {
            Some(last) if (last.at_ns == now_ns || full) && !last.retransmitted => last.end = end,
            _ => self.records.push_back(Sent {
                end,
                retransmitted: false,
                at_ns: now_ns,
            }),
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        if self.records.capacity() > MIN_CAPACITY {
            self.records = VecDeque::new();
        }
    }

    /// Removes the parts between `una` and `ack`, and calls `f` with each.
    pub(crate) fn acknowledge(&mut self, una: Seq, ack: Seq, mut f: impl FnMut(Part)) {
        let mut first = una;
        while let Some(record) = self.records.front().copied()
            && first.before(ack)
        {
            let end = record.end.min(ack);
            f(Part {
                first,
                end,
                at_ns: record.at_ns,
                retransmitted: record.retransmitted,
            });
            first = end;
            if record.end.at_most(ack) {
                self.records.pop_front();
            }
        }
        if self.records.is_empty() {
            self.clear();
        }
    }

    /// The index of the record that has `seq`.
    fn find(&self, seq: Seq) -> usize {
        self.records
            .partition_point(|record| record.end.at_most(seq))
    }

    /// Calls `f` with the parts of `first..end`, in order, until it returns false.
    pub(crate) fn visit(&self, first: Seq, end: Seq, mut f: impl FnMut(Part) -> bool) {
        let mut at = first;
        for record in self
            .records
            .range(self.find(first).min(self.records.len())..)
        {
            if at.at_least(end) {
                return;
            }
            let upper = record.end.min(end);
            let part = Part {
                first: at,
                end: upper,
                at_ns: record.at_ns,
                retransmitted: record.retransmitted,
            };
            if !f(part) {
                return;
            }
            at = upper;
        }
    }

    /// `first..end` was retransmitted. `una`: where the first record begins.
    pub(crate) fn resend(&mut self, una: Seq, first: Seq, end: Seq, now_ns: u64) {
        let mut at = self.find(first);
        let begin = match at
            .checked_sub(1)
            .and_then(|before| self.records.get(before))
        {
            Some(before) => before.end,
            None => una,
        };
        let split = self.records.len() < MAX_RECORDS;
        if begin.before(first) && split {
            let Some(mut lower) = self.records.get(at).copied() else {
                return;
            };
            lower.end = first;
            self.records.insert(at, lower);
            at += 1;
        }
        let mut from = first;
        while let Some(record) = self.records.get_mut(at)
            && from.before(end)
        {
            if record.end.after(end) && split {
                let again = Sent {
                    end,
                    retransmitted: true,
                    at_ns: now_ns,
                };
                self.records.insert(at, again);
                return;
            }
            record.retransmitted = true;
            record.at_ns = now_ns;
            from = record.end;
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RECORDS, SentLog};
    use crate::tcp::machine::seq::Seq;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        /// Against a time for each byte.
        #[test]
        fn every_byte_has_the_time_it_was_last_sent(
            base in any::<u32>(),
            steps in prop::collection::vec((0u8..3, 0u32..100, 1u32..50), 1..60),
        ) {
            let mut log = SentLog::default();
            let mut bytes = std::collections::VecDeque::new();
            let mut una = Seq(base);
            for (now, (what, at, len)) in steps.into_iter().enumerate() {
                let now = now as u64;
                let flight = bytes.len() as u32;
                match what {
                    0 => {
                        log.push(una + flight + len, now);
                        bytes.extend((0..len).map(|_| (now, false)));
                    }
                    1 => {
                        let first = at.min(flight);
                        let end = (first + len).min(flight);
                        if first < end {
                            log.resend(una, una + first, una + end, now);
                            let resent = first as usize..end as usize;
                            bytes.range_mut(resent).for_each(|b| *b = (now, true));
                        }
                    }
                    _ => {
                        let len = len.min(flight);
                        let mut seen = Vec::new();
                        log.acknowledge(una, una + len, |part| {
                            seen.extend(
                                (0..part.end - part.first).map(
                                    |_| (part.at_ns, part.retransmitted),
                                ),
                            );
                        });
                        assert_eq!(seen, bytes.drain(..len as usize).collect::<Vec<_>>());
                        una += len;
                    }
                }
                let mut seen = Vec::new();
                log.visit(una, una + 1000, |part| {
                    seen.extend(
                        (0..part.end - part.first).map(|_| (part.at_ns, part.retransmitted)),
                    );
                    true
                });
                assert_eq!(seen, bytes.iter().copied().collect::<Vec<_>>());
            }
        }
    }

    /// A sender writes byte by byte to a peer that acknowledges nothing.
    #[test]
    fn the_number_of_records_is_bounded() {
        let mut log = SentLog::default();
        let end = 2 * MAX_RECORDS as u32;
        for n in 1..=end {
            log.push(Seq(n), u64::from(n));
        }
        assert_eq!(log.records.len(), MAX_RECORDS);
        let mut seen = 0;
        log.acknowledge(Seq(0), Seq(end), |part| seen += part.end - part.first);
        assert_eq!((seen, log.records.len()), (end, 0));
    }
}
