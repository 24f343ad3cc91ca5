//! Sets of sequence numbers: bytes acknowledged selectively, bytes lost (RFC 6675, 2 and 3).

use alloc::vec::Vec;

use super::seq::Seq;

/// Maximum number of ranges of a set. Further ones are dropped: the retransmission timeout repairs
/// that.
const MAX_RANGES: usize = 256;

/// Ranges without overlap or contact, in order. They lie within one window, so comparison is a
/// total order.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    ranges: Vec<(Seq, Seq)>,
    total: u32,
}

impl Ranges {
    /// Sequence numbers in the set.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The lowest range.
    pub(crate) fn first(&self) -> Option<(Seq, Seq)> {
        self.ranges.first().copied()
    }

    /// The highest range.
    pub(crate) fn last(&self) -> Option<(Seq, Seq)> {
        self.ranges.last().copied()
    }

    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.total = 0;
    }

    /// The index of the first range that ends after `seq`.
    fn find(&self, seq: Seq) -> usize {
        self.ranges.partition_point(|(_, end)| end.at_most(seq))
    }

    /// Calls `f` with the parts of `first..end` that are not in the set, in order.
    pub(crate) fn gaps(&self, first: Seq, end: Seq, mut f: impl FnMut(Seq, Seq)) {
        let mut at = first;
        for (lower, upper) in self.ranges.get(self.find(first)..).unwrap_or_default() {
            if lower.at_least(end) {
                break;
            }
            if at.before(*lower) {
                f(at, *lower);
            }
            at = at.max(*upper);
        }
        if at.before(end) {
            f(at, end);
        }
    }

    /// The number of bytes of `first..end` that are not in the set.
    pub(crate) fn missing(&self, first: Seq, end: Seq) -> u32 {
        let mut missing = 0;
        self.gaps(first, end, |lower, upper| missing += upper - lower);
        missing
    }

    /// Whether all of `first..end` is in the set.
    pub(crate) fn covers(&self, first: Seq, end: Seq) -> bool {
        self.ranges
            .get(self.find(first))
            .is_some_and(|(lower, upper)| lower.at_most(first) && end.at_most(*upper))
    }

    /// Adds `first..end`; false if there are too many ranges.
    pub(crate) fn insert(&mut self, first: Seq, end: Seq) -> bool {
        if first.at_least(end) {
            return true;
        }
        // Ranges that touch the new one are merged with it.
        let from = self
            .ranges
            .partition_point(|(_, upper)| upper.before(first));
        let touched = self
            .ranges
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(|(lower, _)| lower.at_most(end))
            .count();
        if touched == 0 {
            if self.ranges.len() >= MAX_RANGES {
                return false;
            }
            self.ranges.insert(from, (first, end));
            self.total += end - first;
            return true;
        }
        let mut merged = (first, end);
        for (lower, upper) in self.ranges.iter().skip(from).take(touched) {
            merged = (merged.0.min(*lower), merged.1.max(*upper));
            self.total -= *upper - *lower;
        }
        self.total += merged.1 - merged.0;
        if let Some(range) = self.ranges.get_mut(from) {
            *range = merged;
        }
        if touched > 1 {
            self.ranges.drain(from + 1..from + touched);
        }
        true
    }

    /// Removes `first..end`.
    pub(crate) fn remove(&mut self, first: Seq, end: Seq) {
        if first.at_least(end) {
            return;
        }
        let mut at = self.find(first);
        while let Some(range) = self.ranges.get_mut(at) {
            let (lower, upper) = *range;
            if lower.at_least(end) {
                return;
            }
            let cut = upper.min(end) - lower.max(first);
            match (lower.before(first), end.before(upper)) {
                (true, true) => {
                    // A part remains on either side. With a full set the upper one goes too.
                    range.1 = first;
                    self.total -= cut;
                    if self.ranges.len() < MAX_RANGES {
                        self.ranges.insert(at + 1, (end, upper));
                    } else {
                        self.total -= upper - end;
                    }
                    return;
                }
                (true, false) => {
                    range.1 = first;
                    at += 1;
                }
                (false, true) => {
                    range.0 = end;
                    self.total -= cut;
                    return;
                }
                (false, false) => {
                    // Ranges that are removed completely are removed together.
                    let gone = self
                        .ranges
                        .get(at..)
                        .unwrap_or_default()
                        .iter()
                        .take_while(|(_, upper)| upper.at_most(end))
                        .count();
                    let bytes: u32 = self.ranges.drain(at..at + gone).map(|(a, b)| b - a).sum();
                    self.total -= bytes;
                    continue;
                }
            }
            self.total -= cut;
        }
    }

    /// Removes everything below `seq`.
    pub(crate) fn cut_below(&mut self, seq: Seq) {
        if let Some((first, _)) = self.first()
            && first.before(seq)
        {
            self.remove(first, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use crate::tcp::machine::seq::Seq;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        /// Against a set of single numbers, across the wrap-around.
        #[test]
        fn behaves_as_a_set(
            base in any::<u32>(),
            steps in prop::collection::vec((0u8..3, 0u32..200, 0u32..40), 0..80),
        ) {
            let mut ranges = Ranges::default();
            let mut set = std::collections::BTreeSet::new();
            let at = |n: u32| Seq(base) + n;
            for (what, first, len) in steps {
                match what {
                    0 => {
                        assert!(ranges.insert(at(first), at(first + len)));
                        set.extend(first..first + len);
                    }
                    1 => {
                        ranges.remove(at(first), at(first + len));
                        set.retain(|n| !(first..first + len).contains(n));
                    }
                    _ => { ranges.cut_below(at(first)); set.retain(|n| *n >= first); }
                }
                assert_eq!(ranges.total() as usize, set.len());
                assert_eq!(ranges.is_empty(), set.is_empty());
                assert_eq!(
                    ranges.covers(at(first), at(first + len + 1)),
                    (first..=first + len).all(|n| set.contains(&n)),
                );
                let mut gaps = Vec::new();
                ranges.gaps(at(0), at(250), |a, b| gaps.extend((a - at(0))..(b - at(0))));
                assert_eq!(gaps, (0..250).filter(|n| !set.contains(n)).collect::<Vec<_>>());
                for pair in ranges.ranges.windows(2) {
                    assert!(pair[0].1.before(pair[1].0));
                }
            }
        }
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let mut ranges = Ranges::default();
        for n in 0..1000 {
            ranges.insert(Seq(n * 10), Seq(n * 10 + 5));
        }
        assert_eq!(ranges.ranges.len(), super::MAX_RANGES);
        ranges.remove(Seq(1), Seq(2));
        assert_eq!(ranges.ranges.len(), super::MAX_RANGES);
        assert_eq!(
            ranges.total(),
            ranges.ranges.iter().map(|(a, b)| *b - *a).sum::<u32>()
        );
    }
}
