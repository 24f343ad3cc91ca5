//! The memory of all TCP connections together.
//!
//! The rule. Everything that connections hold counts against one limit: their records, from the first SYN on, and the
//! bytes that wait in their buffers. Nothing is set aside beforehand, so that an idle connection costs its
//! record alone.
//!
//! - Below 5/8 of the limit there is no pressure: windows grow to what the path needs.
//! - From 5/8 on pressure is moderate: windows stop growing, and shrink as far as they may without taking back what
//!   was offered to the peer (RFC 9293, 3.8.6.2.1).
//! - From 7/8 on it is hard: no connection begins, data out of order is not kept, and a connection takes
//!   bytes only up to the guaranteed minimum in each direction. The last eighth is there for that.
//! - At the limit nothing is taken: what comes in is dropped and repeated by the peer, a write waits.

/// How scarce memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Plenty.
    None,
    /// Windows don't grow.
    Moderate,
    /// Only the guaranteed minimum of each connection is given.
    Hard,
}

/// Bytes that connections hold, and may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    minimum: usize,
    buffers: usize,
    records: usize,
}

impl Budget {
    /// `limit`: bytes for all connections together. `minimum`: bytes that a connection is to have in each direction
    /// even if memory is scarce.
    pub(crate) fn new(limit: usize, minimum: usize) -> Budget {
        Budget {
            limit,
            minimum,
            buffers: 0,
            records: 0,
        }
    }

    /// Takes bytes for a buffer; `false`, with nothing taken, if they would exceed the limit.
    #[must_use]
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.limit.saturating_sub(self.buffers + self.records);
        if fits {
            self.buffers += bytes;
        }
        fits
    }

    /// Gives back what [`Budget::take`] gave.
    pub(crate) fn give(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.buffers, "more is given back than was taken");
        self.buffers = self.buffers.saturating_sub(bytes);
    }

    /// Takes the record of a new connection; `false` under hard pressure.
    #[must_use]
    pub(crate) fn admit(&mut self, bytes: usize) -> bool {
        let all = self.buffers.saturating_add(self.records);
        let fits = all.saturating_add(bytes) <= self.limit / 8 * 7;
        if fits {
            self.records += bytes;
        }
        fits
    }

    /// Gives back what [`Budget::admit`] gave.
    pub(crate) fn leave(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.records, "more is given back than was taken");
        self.records = self.records.saturating_sub(bytes);
    }

    /// How scarce memory is now.
    pub(crate) fn pressure(&self) -> Pressure {
        let used = self.buffers + self.records;
        if used >= self.limit / 8 * 7 {
            Pressure::Hard
        } else if used >= self.limit / 8 * 5 {
            Pressure::Moderate
        } else {
            Pressure::None
        }
    }

    /// Bytes that a connection may hold in each direction even under hard pressure.
    pub(crate) fn minimum(&self) -> usize {
        self.minimum
    }

    /// Bytes in buffers.
    pub(crate) fn used(&self) -> usize {
        self.buffers
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Pressure};

    #[test]
    fn pressure_rises_and_the_limit_holds() {
        let mut budget = Budget::new(8000, 100);
        assert_eq!(budget.pressure(), Pressure::None);
        assert!(budget.take(4999));
        assert_eq!(budget.pressure(), Pressure::None);
        assert!(budget.admit(1));
        assert_eq!(budget.pressure(), Pressure::Moderate);
        assert!(budget.admit(2000));
        assert_eq!(budget.pressure(), Pressure::Hard);
        // Those that are there still get something, new ones don't.
        assert!(!budget.admit(1));
        assert!(budget.take(1000));
        assert!(!budget.take(1));
        assert_eq!(budget.used(), 5999);
        budget.give(5999);
        budget.leave(2001);
        assert_eq!((budget.used(), budget.pressure()), (0, Pressure::None));
        assert!(!budget.take(8001) && budget.take(8000) && !budget.take(usize::MAX));
    }
}
