//! How large the buffers of a connection are.
//!
//! smoltcp's buffers can't grow, so the choice is made when the connection begins. The rule: the
//! connection that comes as number *n* (counting from 0 those that are open) gets, for both buffers
//! together, `limit / (8 · (n + 4))`, but neither less than the minimum nor more than the maximum
//! for each. So the first few get 1/32, 1/40, 1/48… of the limit, and since the harmonic series
//! grows so slowly, a thousand fit: with a limit of 16 MiB and a minimum of 4 KiB, 1 024 connections
//! take 14 MiB. Once the limit is reached no connection is taken or made.

/// Bytes set aside for the buffers of TCP connections.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: usize,
    open: usize,
    min: usize,
    max: usize,
}

const PAGE: usize = 4096;

impl Budget {
    pub(crate) fn new(limit: usize, min: usize, max: usize) -> Budget {
        let max = max.clamp(2048, 1 << 20);
        Budget {
            limit,
            used: 0,
            open: 0,
            min: min.clamp(2048, max),
            max,
        }
    }

    /// The size of each of the two buffers of a new connection; `None` if there is no room.
    pub(crate) fn take(&mut self) -> Option<usize> {
        let share = self.limit / (8 * (self.open + 4)) / 2;
        let share = if share >= PAGE {
            share / PAGE * PAGE
        } else {
            share
        };
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
        Some(size)
    }

    /// Gives back what [`Budget::take`] gave.
    pub(crate) fn give_back(&mut self, size: usize) {
        self.used = self.used.saturating_sub(2 * size);
        self.open = self.open.saturating_sub(1);
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn many_fit_and_the_first_are_large() {
        let mut budget = Budget::new(16 << 20, 4 << 10, 256 << 10);
        let sizes: Vec<usize> = (0..1024).map_while(|_| budget.take()).collect();
        assert_eq!(sizes.len(), 1024);
        assert_eq!(sizes[0], 256 << 10);
        assert!(sizes[64] >= 12 << 10, "{}", sizes[64]);
        assert!(budget.used() <= 16 << 20);
        sizes.iter().for_each(|size| budget.give_back(*size));
        assert_eq!(budget.used(), 0);
        assert_eq!(budget.take(), Some(256 << 10));
    }

    #[test]
    fn a_small_machine_still_takes_hundreds() {
        let mut budget = Budget::new(3 << 20, 4 << 10, 256 << 10);
        assert_eq!(budget.take(), Some(48 << 10));
        let count = 1 + core::iter::from_fn(|| budget.take()).count();
        assert!(count > 250, "{count}");
    }
}
