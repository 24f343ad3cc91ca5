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

    /// The time: `for_all` by a clock of all processors, if there is one, else by the `own` clock
    /// of the processor that runs. A clock of all that comes later waits for what was shown before.
    pub fn read(&self, for_all: Option<u64>, own: impl FnOnce() -> u64) -> u64 {
        match for_all {
            Some(ns) => ns.max(self.0.load(Ordering::Relaxed)),
            None => self.next(own()),
        }
    }

    /// The time where a processor's own clock shows `ns`.
    fn next(&self, ns: u64) -> u64 {
        // Relaxed: the values of one place are in one order for all.
        self.0.fetch_max(ns, Ordering::Relaxed).max(ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Latest};
    use crate::clock::{Page, Rate};

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

    /// The host writes a page for each of two processors, which are apart by a microsecond, or by a
    /// second.
    #[test]
    fn time_goes_on_where_the_hosts_pages_differ() {
        for apart in [1000, -1000, 1_000_000_000] {
            let pages = [Page::new(), Page::new()];
            let second = 5_000_000_000u64.saturating_add_signed(apart);
            pages[0].write(0, 5_000_000_000, Rate(1 << 32));
            pages[1].write(0, second, Rate(1 << 32));
            let latest = Latest::new();
            let read = |processor: usize, ticks: u64| {
                let (ns, is_promised) = pages[0].read_promised(|| ticks);
                let for_all = is_promised.then_some(ns);
                latest.read(for_all, || pages[processor].read(|| ticks).max(ns))
            };
            let mut before = 0;
            for ticks in (0..5000).step_by(7) {
                let now = read((ticks % 2) as usize, ticks);
                assert!(now >= before, "{apart}: {before}, {now}");
                before = now;
            }
            // It goes on as well where the host promises that the first page is right for all, and
            // where it takes that back.
            for (turn, is_stable) in [true, false, true, false].into_iter().enumerate() {
                pages[0].set_stable(is_stable);
                for processor in [0, 1, 0] {
                    let now = read(processor, 6000 + turn as u64);
                    assert!(now >= before, "{apart}: {before}, {now}");
                    before = now;
                }
            }
            assert!(before >= 5_000_006_003.max(second), "{apart}: {before}");
            // The first page alone counts as soon as it is ahead of all that was shown.
            pages[0].set_stable(true);
            assert_eq!(read(1, 3_000_000_000), 8_000_000_000);
        }
    }

    #[test]
    fn time_goes_on_where_counters_differ() {
        let latest = Latest::new();
        let shown = [500, 100, 510, 110, 900, 520].map(|ns| latest.next(ns));
        assert_eq!(shown, [500, 500, 510, 510, 900, 900]);
    }
}
