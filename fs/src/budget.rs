//! Memory budget that the caches of all volumes share, and their counters.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::memory_pressure::is_memory_short;

/// Page cache memory, shared by all volumes that are mounted with the budget, and their counters.
///
/// In addition, each volume has its own lines and buffers for writes (`cache_bytes`, `stream_bytes`
/// of its options), so that no volume waits for another's memory.
#[derive(Debug)]
pub struct CacheBudget {
    limit: AtomicUsize,
    used: AtomicUsize,
    volumes: AtomicUsize,
    /// A volume without page cache found the budget exhausted.
    wanted: AtomicBool,
    counters: CacheCounters,
}

/// Counters of the cache of one volume, or of all volumes together.
#[derive(Debug, Default)]
pub struct CacheCounters {
    dirty: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
    read_ahead: AtomicU64,
}

/// Statistics of the caches since the program started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStatistics {
    /// Limit of the page cache in bytes.
    pub limit_bytes: usize,
    /// Size of the page cache in bytes.
    pub used_bytes: usize,
    /// Counters of all volumes.
    pub counts: CacheCounts,
}

/// Values of [`CacheCounters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheCounts {
    /// Written bytes that no device has received yet.
    pub dirty_bytes: usize,
    /// Reads by file systems without a device request.
    pub hits: u64,
    /// Reads by file systems with a device request.
    pub misses: u64,
    /// Bytes that were read ahead.
    pub read_ahead_bytes: u64,
}

impl CacheBudget {
    /// Creates a budget of `limit` bytes; 0 disables the page cache.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            volumes: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            counters: CacheCounters::new(),
        }
    }

    /// Changes the limit. Volumes shrink to a smaller one as they read.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Returns the statistics of all caches.
    pub fn statistics(&self) -> CacheStatistics {
        CacheStatistics {
            limit_bytes: self.limit.load(Relaxed),
            used_bytes: self.used.load(Relaxed),
            counts: self.counters.counts(),
        }
    }

    /// Counts a read that needed no device and that no cache has counted: one served while the
    /// device was unresponsive.
    pub fn count_hit(&self) {
        self.counters.count_hit();
    }

    /// Counters of all volumes.
    pub(crate) fn counters(&self) -> &CacheCounters {
        &self.counters
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Takes `bytes` if the budget has them and memory isn't short.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        if is_memory_short() {
            return false;
        }
        let limit = self.limit();
        self.used
            .fetch_update(Relaxed, Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= limit)
            })
            .is_ok()
    }

    /// Returns `bytes` to the budget.
    pub(crate) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Records that a volume without page cache found the budget exhausted.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Relaxed);
    }

    /// Whether a volume that holds `bytes` should release some: for a volume that has none, or
    /// because the limit became smaller.
    pub(crate) fn must_shrink(&self, bytes: usize) -> bool {
        let limit = self.limit();
        if self.used.load(Relaxed) > limit {
            return true;
        }
        let share = limit / self.volumes.load(Relaxed).max(1);
        bytes > share && self.wanted.swap(false, Relaxed)
    }

    pub(crate) fn join(&self) {
        self.volumes.fetch_add(1, Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.volumes.fetch_sub(1, Relaxed);
    }
}

impl CacheCounters {
    /// Creates counters of zero.
    pub const fn new() -> Self {
        Self {
            dirty: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            read_ahead: AtomicU64::new(0),
        }
    }

    /// Resets the counters for another volume; the cache of the last one was dropped.
    pub fn reset(&self) {
        self.dirty.store(0, Relaxed);
        for counter in [&self.hits, &self.misses, &self.read_ahead] {
            counter.store(0, Relaxed);
        }
    }

    /// Returns the values of the counters.
    pub fn counts(&self) -> CacheCounts {
        CacheCounts {
            dirty_bytes: self.dirty.load(Relaxed),
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            read_ahead_bytes: self.read_ahead.load(Relaxed),
        }
    }

    /// As [`CacheBudget::count_hit`], for one volume.
    pub fn count_hit(&self) {
        self.count(true);
    }

    pub(crate) fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_ahead(&self, bytes: u64) {
        self.read_ahead.fetch_add(bytes, Relaxed);
    }

    /// Updates the number of dirty bytes of a volume from `before` to `now`.
    pub(crate) fn set_dirty(&self, before: usize, now: usize) {
        if now >= before {
            self.dirty.fetch_add(now - before, Relaxed);
        } else {
            self.dirty.fetch_sub(before - now, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_taken_up_to_its_limit() {
        let budget = CacheBudget::new(100);
        assert!(budget.take(60) && !budget.take(41) && budget.take(40));
        assert_eq!(budget.statistics().used_bytes, 100);
        budget.release(100);
        budget.set_limit(50);
        assert_eq!(budget.statistics().limit_bytes, 50);
        assert!(!budget.take(51) && budget.take(50));
    }

    #[test]
    fn who_has_more_than_a_share_gives_up_for_who_has_none() {
        let budget = CacheBudget::new(100);
        budget.join();
        budget.join();
        assert!(!budget.must_shrink(80), "there is none");
        budget.want();
        assert!(!budget.must_shrink(50), "it is a share");
        assert!(budget.must_shrink(51) && !budget.must_shrink(51), "once");
        budget.leave();
        budget.want();
        assert!(!budget.must_shrink(100) && budget.must_shrink(101));
        // A smaller limit shrinks all volumes until it is met.
        assert!(budget.take(100) && !budget.must_shrink(10));
        budget.set_limit(99);
        assert!(budget.must_shrink(10) && budget.must_shrink(10));
    }

    #[test]
    fn counters_say_what_was_counted() {
        let counters = CacheCounters::new();
        let counts = |dirty_bytes, hits, misses, read_ahead_bytes| CacheCounts {
            dirty_bytes,
            hits,
            misses,
            read_ahead_bytes,
        };
        counters.count_hit();
        counters.count(true);
        counters.count(false);
        counters.count_ahead(700);
        counters.set_dirty(0, 30);
        counters.set_dirty(30, 10);
        counters.set_dirty(0, 5);
        counters.set_dirty(5, 5);
        assert_eq!(counters.counts(), counts(15, 2, 1, 700));
        counters.reset();
        assert_eq!(counters.counts(), counts(0, 0, 0, 0));
        let budget = CacheBudget::new(0);
        budget.count_hit();
        assert_eq!(budget.statistics().counts, counts(0, 1, 0, 0));
    }
}
