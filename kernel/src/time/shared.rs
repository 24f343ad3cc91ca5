//! Whether the counters of several processors are one clock, and a clock where they aren't.
//!
//! A processor's counter may differ from another's by its firmware's or its host's doing. Two that
//! take turns find that out: a reading that is less than one which another processor has taken
//! before it (Linux: `arch/x86/kernel/tsc_sync.c`).

use core::sync::atomic::{AtomicU64, Ordering};

/// The comparison of the processors' counters.
pub struct Comparison {
    /// The latest reading of any.
    latest: AtomicU64,
    /// By how much a later reading was less, at most.
    warp: AtomicU64,
}

impl Comparison {
    /// Of no readings yet.
    pub const fn new() -> Self {
        Self {
            latest: AtomicU64::new(0),
            warp: AtomicU64::new(0),
        }
    }

    /// Reads the counter of the processor that runs by `counter`, which orders the reading after
    /// earlier loads.
    pub fn observe(&self, counter: impl FnOnce() -> u64) {
        // Acquire: the counter is read after it.
        let latest = self.latest.load(Ordering::Acquire);
        let now = counter();
        self.warp
            .fetch_max(latest.saturating_sub(now), Ordering::Relaxed);
        // Release: pairs with the load.
        self.latest.fetch_max(now, Ordering::Release);
    }

    /// By how many ticks the counters differ, as far as it showed.
    pub fn warp(&self) -> u64 {
        self.warp.load(Ordering::Relaxed)
    }
}

/// The latest time that any processor has seen.
pub struct Latest(AtomicU64);

impl Latest {
    /// Time 0.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The time where a processor's own clock shows `ns`.
    pub fn next(&self, ns: u64) -> u64 {
        // Relaxed: the values of one place are in one order for all.
        self.0.fetch_max(ns, Ordering::Relaxed).max(ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Latest};

    #[test]
    fn counters_that_differ_are_found_from_either_side() {
        // Two processors take turns, each turn 7 ticks later; the second's counter is off by this.
        for (off, warp) in [(0i64, 0..1), (5, 0..1), (400, 380..401), (-400, 380..401)] {
            let comparison = Comparison::new();
            for turn in 0..20u64 {
                let now = 1000 + 7 * turn;
                let read = || now.saturating_add_signed(if turn % 2 == 1 { off } else { 0 });
                comparison.observe(read);
            }
            assert!(
                warp.contains(&comparison.warp()),
                "{off}: {}",
                comparison.warp()
            );
        }
    }

    #[test]
    fn time_goes_on_where_counters_differ() {
        let latest = Latest::new();
        let shown = [500, 100, 510, 110, 900, 520].map(|ns| latest.next(ns));
        assert_eq!(shown, [500, 500, 510, 510, 900, 900]);
    }
}
