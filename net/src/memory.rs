//! The buffers of connections: how large they are, and using them again.
//!
//! smoltcp's buffers can't grow, so the choice is made when the connection begins. The rule: the
//! connection that comes as number *n* (counting from 0 those that are open) gets, for both buffers
//! together, `limit / (8 · (n + 4))`, but neither less than the minimum nor more than the maximum
//! for each. So the first few get 1/32, 1/40, 1/48… of the limit, and since the harmonic series
//! grows so slowly, a thousand fit: with a limit of 16 MiB and a minimum of 4 KiB, 1 024 connections
//! take 14 MiB. Once the limit is reached no connection is taken or made.
//!
//! Sizes are rounded down to two for each power of two, so that memory given back fits what is
//! wanted next; and some of what is given back is kept as it is, since clearing half a megabyte for
//! a connection that carries a kilobyte would be most of its cost.

use alloc::vec::Vec;

use crate::tcp::connection::Io;

/// Connections' buffers that are kept, at most, and the part of the limit that they may take.
const SPARE: usize = 64;
const SPARE_PART: usize = 8;

/// Bytes set aside for the buffers of TCP connections.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    /// Of connections.
    used: usize,
    /// Of `spare`.
    kept: usize,
    open: usize,
    min: usize,
    max: usize,
    spare: Vec<Io>,
}

/// The largest size of the form `2^n` or `3 · 2^n` that is not above `size`.
fn class(size: usize) -> usize {
    let power = 1 << size.max(2).ilog2();
    if size >= power + power / 2 {
        power + power / 2
    } else {
        power
    }
}

impl Budget {
    pub(crate) fn new(limit: usize, min: usize, max: usize) -> Budget {
        let max = class(max.clamp(2048, 1 << 20));
        let min = class(min.clamp(2048, max));
        Budget {
            limit,
            used: 0,
            kept: 0,
            open: 0,
            min,
            max,
            spare: Vec::new(),
        }
    }

    /// The buffers of a new connection; `None` if there is no room.
    pub(crate) fn take(&mut self) -> Option<Io> {
        let share = class(self.limit / (8 * (self.open + 4)) / 2);
        let wanted = share.clamp(self.min, self.max);
        let size = if self.used + 2 * wanted <= self.limit {
            wanted
        } else {
            self.min
        };
        if self.used + 2 * size > self.limit {
            return None;
        }
        self.used += 2 * size;
        self.open += 1;
        if let Some(at) = self.spare.iter().position(|io| io.buffer == size) {
            self.kept -= 2 * size;
            return Some(self.spare.swap_remove(at).renew());
        }
        while self.used + self.kept > self.limit
            && let Some(io) = self.spare.pop()
        {
            self.kept -= 2 * io.buffer;
        }
        Some(Io::new(size))
    }

    /// Gives back what [`Budget::take`] gave.
    pub(crate) fn give_back(&mut self, io: Io) {
        let bytes = 2 * io.buffer;
        self.used = self.used.saturating_sub(bytes);
        self.open = self.open.saturating_sub(1);
        if self.spare.len() < SPARE && self.kept + bytes <= self.limit / SPARE_PART {
            self.kept += bytes;
            self.spare.push(io);
        }
    }

    /// Bytes that connections have.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, class};

    #[test]
    fn sizes_are_two_for_each_power_of_two() {
        let sizes = [2048, 3071, 3072, 4095, 4096, 6143, 6144, 262_144].map(class);
        assert_eq!(sizes, [2048, 2048, 3072, 3072, 4096, 4096, 6144, 262_144]);
    }

    #[test]
    fn many_fit_and_the_first_are_large() {
        let mut budget = Budget::new(16 << 20, 4 << 10, 256 << 10);
        let ios: Vec<_> = (0..1024).map_while(|_| budget.take()).collect();
        assert_eq!(ios.len(), 1024);
        assert_eq!(ios[0].buffer, 256 << 10);
        assert!(ios[64].buffer >= 12 << 10, "{}", ios[64].buffer);
        assert!(budget.used() <= 16 << 20);
        ios.into_iter().for_each(|io| budget.give_back(io));
        assert_eq!(budget.used(), 0);
        assert!(budget.kept <= 2 << 20 && budget.spare.len() <= 64);
        assert_eq!(budget.take().unwrap().buffer, 256 << 10);
    }

    #[test]
    fn a_small_machine_still_takes_hundreds() {
        let mut budget = Budget::new(3 << 20, 4 << 10, 256 << 10);
        let first = budget.take().unwrap();
        assert_eq!(first.buffer, 48 << 10);
        let rest: Vec<_> = core::iter::from_fn(|| budget.take()).collect();
        assert!(rest.len() > 250, "{}", rest.len());
        // What is kept for later makes room for what is needed now.
        rest.into_iter().for_each(|io| budget.give_back(io));
        assert!(budget.kept > 0);
        let again: Vec<_> = core::iter::from_fn(|| budget.take()).collect();
        assert!(again.len() > 250 && budget.used + budget.kept <= budget.limit);
    }
}
