//! The memory budget of all TCP connections.
//!
//! There is one limit. Each connection reserves a share of it when it begins: its record, and a
//! guaranteed minimum of buffer in each direction. If that doesn't fit, no connection begins. All
//! connections share the rest for their windows and buffers.
//!
//! - Below 5/8 of the free part there is no pressure.
//! - Above it pressure is moderate: windows stop growing, and shrink as far as possible without
//!   taking back what the peer was offered (RFC 9293, 3.8.6.2.1).
//! - Above 7/8 it is hard: connections take only their minimum, and data out of order is dropped.
//!   The last eighth is for new connections.
//!
//! While the program's memory is nearly full, pressure is moderate at least: what arrives is more for
//! it to hold. Buffers don't grow beyond their size at that time, although peers may send up to the
//! windows that they were offered: the rest of the machine's memory is for garbage collections.
//! While the machine's memory is short, pressure is hard below the limit as well, and no connection
//! begins.
//!
//! An idle connection holds no buffer; only its share counts. So neither the number of connections
//! nor the behavior of peers can exceed the limit, and no connection stalls because of others.

use alloc::vec::Vec;

use crate::tcp::connection::Connection;
use crate::tcp::machine::{self, Block, GUARANTEED, LARGE, Pressure, SMALL};

/// The share of a connection: its record with its table entries, and the minimum in each direction.
const SHARE: usize = size_of::<Connection>() + 128 + 2 * GUARANTEED;

/// Maximum of spare blocks kept for the next allocation, as a fraction of the limit: a fast stream
/// takes and returns large ones by the dozen.
const SPARE_SMALL: usize = 32;
const SPARE_LARGE: core::ops::RangeInclusive<usize> = 8..=128;
const SPARE_PART: usize = 32;

/// The part of the limit that connections may use in any case while the program's memory is nearly
/// full.
const WHEN_FULL: usize = 32;

/// Bytes that connections hold, and may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    connections: usize,
    /// Bytes taken from the shared part, and from the minimums of connections.
    free_used: usize,
    minimum_used: usize,
    /// See [`crate::Stack::set_memory_short`].
    pub(crate) short: bool,
    /// The most bytes of the shared part while the program's memory is nearly full.
    limit_when_full: Option<usize>,
    small: Vec<Block>,
    large: Vec<Block>,
}

impl Budget {
    /// `limit`: bytes for all connections together.
    pub(crate) fn new(limit: usize) -> Budget {
        Budget {
            limit,
            connections: 0,
            free_used: 0,
            minimum_used: 0,
            short: false,
            limit_when_full: None,
            small: Vec::new(),
            large: Vec::new(),
        }
    }

    /// Bytes that aren't the share of a connection.
    fn free(&self) -> usize {
        self.limit
            .saturating_sub(self.connections.saturating_mul(SHARE))
    }

    /// Takes the share of a new connection; `false` if it doesn't fit.
    #[must_use]
    pub(crate) fn admit(&mut self) -> bool {
        let fits = self.admits(1);
        self.connections += usize::from(fits);
        fits
    }

    /// Whether the shares of `connections` new ones would fit.
    pub(crate) fn admits(&self, connections: usize) -> bool {
        !self.short && self.free_used.saturating_add(connections * SHARE) <= self.free()
    }

    /// Returns the share of a connection, after its buffers.
    pub(crate) fn leave(&mut self) {
        self.connections = self.connections.saturating_sub(1);
    }

    /// Unused bytes of all connections' minimums, and of the shared part that they may use while
    /// the program's memory is nearly full.
    pub(crate) fn promised(&self) -> usize {
        let minimums = (self.connections * 2 * GUARANTEED).saturating_sub(self.minimum_used);
        match self.connections {
            0 => 0,
            _ => minimums + (self.limit / WHEN_FULL).saturating_sub(self.free_used),
        }
    }

    /// See [`crate::Stack::set_program_nearly_full`].
    pub(crate) fn set_program_nearly_full(&mut self, full: bool) {
        let now = self.free_used.max(self.limit / WHEN_FULL);
        self.limit_when_full = full.then(|| self.limit_when_full.unwrap_or(now));
    }

    /// Bytes in buffers.
    pub(crate) fn used(&self) -> usize {
        self.free_used + self.minimum_used
    }

    /// Bytes that the limit leaves for buffers beyond the minimum.
    pub(crate) fn room(&self) -> usize {
        let limit = self.limit_when_full.unwrap_or(usize::MAX);
        limit
            .min(self.free() / 8 * 7)
            .saturating_sub(self.free_used)
    }

    fn spare(&mut self, size: usize) -> Option<Block> {
        match size {
            SMALL => self.small.pop(),
            _ => self.large.pop(),
        }
    }
}

impl machine::Budget for Budget {
    fn block(&mut self, wanted: usize) -> Option<Block> {
        let size = if wanted <= SMALL { SMALL } else { LARGE };
        if !self.take(size) {
            return None;
        }
        let block = self.spare(size).or_else(|| Block::try_new(size));
        if block.is_none() {
            self.give(size);
        }
        block
    }

    fn guaranteed(&mut self) -> Block {
        self.minimum_used += SMALL;
        self.spare(SMALL).unwrap_or_else(|| Block::new(SMALL))
    }

    fn recycle(&mut self, mut block: Block) {
        let size = block.capacity();
        // The origin of the bytes isn't known. The guaranteed part must not seem larger than it is.
        let minimum = if size == SMALL {
            SMALL.min(self.minimum_used)
        } else {
            0
        };
        self.minimum_used -= minimum;
        self.give(size - minimum);
        let (spare, most) = match size {
            SMALL => (&mut self.small, SPARE_SMALL),
            _ => {
                let part = self.limit / SPARE_PART / LARGE;
                let most = part.clamp(*SPARE_LARGE.start(), *SPARE_LARGE.end());
                (&mut self.large, most)
            }
        };
        if !self.short && spare.len() < most && (size == SMALL || size == LARGE) {
            block.clear();
            spare.push(block);
        }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let fits = !self.short && bytes <= self.room();
        if fits {
            self.free_used += bytes;
        }
        fits
    }

    fn give(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.free_used, "more is given back than was taken");
        self.free_used = self.free_used.saturating_sub(bytes);
    }

    fn pressure(&self) -> Pressure {
        let eighth = self.free() / 8;
        // Another block wouldn't fit.
        if self.short || self.room() < LARGE {
            Pressure::Hard
        } else if self.limit_when_full.is_some() || self.free_used >= eighth * 5 {
            Pressure::Moderate
        } else {
            Pressure::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, SHARE, WHEN_FULL};
    use crate::tcp::machine::{Budget as _, GUARANTEED, LARGE, Pressure, SMALL};

    #[test]
    fn pressure_rises_and_the_limit_holds() {
        let mut budget = Budget::new(80 * LARGE);
        let mut blocks = Vec::new();
        let mut seen = Vec::new();
        while let Some(block) = budget.block(LARGE) {
            blocks.push(block);
            seen.push(budget.pressure());
        }
        assert_eq!(blocks.len(), 70);
        assert_eq!(seen[48], Pressure::None);
        assert_eq!(seen[49], Pressure::Moderate);
        assert_eq!(seen[69], Pressure::Hard);
        assert!(seen.is_sorted() && !budget.take(1));
        // The last eighth is for new connections, each with its minimum.
        let mut connections = 0;
        while budget.admit() {
            connections += 1;
        }
        assert_eq!(connections, 10 * LARGE / SHARE);
        for _ in 0..connections * 2 * GUARANTEED / SMALL {
            blocks.push(budget.guaranteed());
        }
        assert!(budget.used() + connections * (SHARE - 2 * GUARANTEED) <= 80 * LARGE);
        blocks.drain(..).for_each(|block| budget.recycle(block));
        (0..connections).for_each(|_| budget.leave());
        assert_eq!((budget.used(), budget.pressure()), (0, Pressure::None));
        assert!(budget.small.len() <= 32 && budget.large.len() <= 8);
    }

    #[test]
    fn short_memory_is_for_what_was_promised() {
        let mut budget = Budget::new(80 * LARGE);
        assert!(budget.admit());
        let block = budget.block(LARGE);
        budget.short = true;
        assert_eq!(budget.pressure(), Pressure::Hard);
        assert!(!budget.admit() && budget.block(1).is_none() && !budget.take(1));
        let shared = 80 * LARGE / WHEN_FULL - LARGE;
        assert_eq!(budget.promised(), 2 * GUARANTEED + shared);
        let small = budget.guaranteed();
        assert_eq!(budget.promised(), 2 * GUARANTEED - SMALL + shared);
        // No returned block is kept.
        block
            .into_iter()
            .chain([small])
            .for_each(|block| budget.recycle(block));
        assert!(budget.small.is_empty() && budget.large.is_empty());
        budget.short = false;
        assert!(budget.admit() && budget.block(LARGE).is_some());
    }

    #[test]
    fn windows_shrink_while_the_program_is_nearly_full() {
        let mut budget = Budget::new(80 * LARGE);
        budget.set_program_nearly_full(true);
        assert_eq!(budget.pressure(), Pressure::Moderate);
        // What is there is received.
        assert!(budget.admit() && budget.block(LARGE).is_some());
        budget.short = true;
        assert_eq!(budget.pressure(), Pressure::Hard);
    }

    #[test]
    fn buffers_keep_their_size_while_the_program_is_nearly_full() {
        let mut budget = Budget::new(80 * LARGE);
        assert_eq!(budget.promised(), 0, "nothing without connections");
        assert!(budget.admit());
        assert_eq!(budget.promised(), 2 * GUARANTEED + 80 * LARGE / WHEN_FULL);
        let mut blocks: Vec<_> = (0..10).filter_map(|_| budget.block(LARGE)).collect();
        assert_eq!(budget.promised(), 2 * GUARANTEED);
        let mut grows = |budget: &mut Budget, full| {
            budget.set_program_nearly_full(full);
            let block = budget.block(LARGE);
            let grows = block.is_some();
            blocks.extend(block);
            (grows, budget.pressure())
        };
        assert_eq!(grows(&mut budget, true), (false, Pressure::Hard));
        // Peers may have filled the windows that they were offered before; their minimum is left.
        budget.give(LARGE);
        assert_eq!(grows(&mut budget, true), (true, Pressure::Hard));
        assert_eq!(grows(&mut budget, false), (true, Pressure::None));
        budget.guaranteed();
        // The last connections to come have a part, too.
        budget.give(11 * LARGE);
        budget.set_program_nearly_full(true);
        assert_eq!(budget.room(), 80 * LARGE / WHEN_FULL);
    }

    #[test]
    fn connections_alone_never_exceed_it() {
        let mut budget = Budget::new(16 << 20);
        let connections = (0..).take_while(|_| budget.admit()).count();
        assert!(
            connections >= 1600 && connections * SHARE <= 16 << 20,
            "{connections}"
        );
        assert_eq!(budget.pressure(), Pressure::Hard);
        assert!(budget.room() < SHARE);
        budget.leave();
        assert!(budget.admit() && !budget.admit());
    }
}
