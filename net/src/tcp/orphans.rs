//! Orphans: connections that the program has closed, and that still deliver what was written or
//! wait for the peer's FIN. They hold their share of the budget meanwhile, until new connections
//! need it.

use alloc::collections::VecDeque;

use crate::types::Handle;

/// Time in which an orphan may deliver, before new connections get its memory.
pub(crate) const DELIVERY_NS: u64 = 1_000_000_000;
/// Maximum number of entries that one search visits.
const SEARCH: usize = 32;
/// Entries beyond twice the number of orphans from which on the queue is compacted.
const STALE: usize = 64;

/// All orphans.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    count: usize,
    /// With the time of their close, oldest first; with entries of some that are over.
    closed: VecDeque<(Handle, u64)>,
}

impl Orphans {
    /// Their number.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds one; `is_orphan` finds the entries that are over.
    pub(crate) fn add(&mut self, handle: Handle, now_ns: u64, is_orphan: impl Fn(Handle) -> bool) {
        self.count += 1;
        if self.closed.len() >= 2 * self.count + STALE {
            self.closed.retain(|(handle, _)| is_orphan(*handle));
        }
        self.closed.push_back((handle, now_ns));
    }

    /// One of them is over.
    pub(crate) fn remove(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Takes the oldest one that `may_go`, of the first ones, which also gets whether its time to
    /// deliver is over; `None` for one that is over already.
    pub(crate) fn take(
        &mut self,
        now_ns: u64,
        may_go: impl Fn(Handle, bool) -> Option<bool>,
    ) -> Option<Handle> {
        let mut at = 0;
        for _ in 0..SEARCH {
            let (handle, closed_ns) = *self.closed.get(at)?;
            match may_go(handle, now_ns.saturating_sub(closed_ns) >= DELIVERY_NS) {
                Some(false) => at += 1,
                gone => {
                    self.closed.remove(at);
                    if gone.is_some() {
                        return Some(handle);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{DELIVERY_NS, Orphans, SEARCH, STALE};
    use crate::types::Handle;

    #[test]
    fn the_oldest_that_may_go_is_taken_once() {
        let mut orphans = Orphans::default();
        let handle = Handle::from_raw;
        for n in 0..5 {
            orphans.add(handle(n), n, |_| true);
        }
        // 0 is over, and 2 has nothing left to deliver.
        let may_go = |h: Handle, late: bool| match h.to_raw() {
            0 => None,
            n => Some(n == 2 || late),
        };
        assert_eq!(orphans.take(10, may_go), Some(handle(2)));
        assert_eq!(orphans.take(10, may_go), None);
        let late_ns = DELIVERY_NS + 3;
        assert_eq!(orphans.take(late_ns, may_go), Some(handle(1)));
        assert_eq!(orphans.take(late_ns, may_go), Some(handle(3)));
        assert_eq!(orphans.take(late_ns, may_go), None);
    }

    #[test]
    fn neither_the_queue_nor_a_search_grows_with_what_is_over() {
        let mut orphans = Orphans::default();
        let handle = Handle::from_raw;
        orphans.add(handle(0), 0, |_| true);
        for n in 1..10_000 {
            orphans.add(handle(n), 0, |handle| handle.to_raw() == 0);
            orphans.remove();
        }
        assert!(
            orphans.closed.len() <= STALE + 5,
            "{}",
            orphans.closed.len()
        );
        assert_eq!(orphans.len(), 1);
        let visits = core::cell::Cell::new(0);
        let may_go = |_: Handle, _: bool| {
            visits.set(visits.get() + 1);
            None
        };
        assert_eq!(orphans.take(0, may_go), None);
        assert!(visits.get() <= SEARCH);
    }
}
