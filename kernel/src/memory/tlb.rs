//! When to flush all translations so that QEMU's software TLB grows.
//!
//! Under TCG the TLB begins with 256 entries and is resized only by a full flush: doubled if more
//! than 70 % of it was in use since the last one (QEMU's `accel/tcg/cputlb.c`,
//! `tlb_mmu_resize_locked`). Without a flush a larger working set costs ten times as much for each
//! access. So flush whenever as many pages were touched for the first time as the TLB has entries:
//! it is full then, and afterwards has room for all pages touched so far. On hardware this is one
//! flush per many page faults, which cost more than it.

use crate::arch::local::{self, MAX};
use core::sync::atomic::{AtomicU64, Ordering};

/// The entries that the TLB begins with.
const MIN_ENTRIES: u64 = 256;
/// Larger than QEMU's largest (2^22 entries).
const MAX_ENTRIES: u64 = 1 << 22;

/// Tracks the size of a processor's TLB, which alone uses this, with interrupts disabled.
pub struct TlbGrowth {
    /// Beyond [`MIN_ENTRIES`]. All zeros, or the image would carry that of each processor.
    more: AtomicU64,
    touched: AtomicU64,
}

static GROWTHS: [TlbGrowth; MAX] = [const { TlbGrowth::new() }; MAX];

/// That of the processor that runs.
pub fn own() -> &'static TlbGrowth {
    &GROWTHS[usize::from(local::get().number()) % MAX]
}

impl TlbGrowth {
    /// A TLB at its minimum size, and empty.
    pub const fn new() -> Self {
        Self {
            more: AtomicU64::new(0),
            touched: AtomicU64::new(0),
        }
    }

    fn size(&self) -> u64 {
        MIN_ENTRIES + self.more.load(Ordering::Relaxed)
    }

    fn set_size(&self, size: u64) {
        let more = size.min(MAX_ENTRIES) - MIN_ENTRIES;
        self.more.store(more, Ordering::Relaxed);
    }

    /// Records that `pages` were touched for the first time; returns whether to flush now.
    pub fn touched(&self, pages: u64) -> bool {
        let touched = self.touched.load(Ordering::Relaxed) + pages;
        let full = touched >= self.size();
        if full {
            self.set_size(2 * self.size());
        }
        let touched = if full { 0 } else { touched };
        self.touched.store(touched, Ordering::Relaxed);
        full
    }

    /// The pages to touch before each of a number of flushes so that the TLB has room for `pages`
    /// after the last.
    pub fn grow_to(&self, pages: u64) -> impl Iterator<Item = u64> + use<> {
        let first = self.size();
        self.set_size(first.max(pages.next_power_of_two()));
        self.touched.store(0, Ordering::Relaxed);
        let last = self.size();
        core::iter::successors(Some(first), |size| Some(2 * size))
            .take_while(move |size| *size < last)
    }
}

impl Default for TlbGrowth {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::TlbGrowth;

    #[test]
    fn flushes_when_full_and_then_half_as_often() {
        let growth = TlbGrowth::new();
        let flushes: Vec<u64> = (1..=2000).filter(|_| growth.touched(1)).collect();
        assert_eq!(flushes, [256, 256 + 512, 256 + 512 + 1024]);
    }

    #[test]
    fn grows_ahead_by_doubling() {
        let growth = TlbGrowth::new();
        assert_eq!(growth.grow_to(2000).collect::<Vec<_>>(), [256, 512, 1024]);
        assert_eq!(growth.grow_to(100).count(), 0);
        assert!((1..2048).all(|_| !growth.touched(1)) && growth.touched(1));
    }

    #[test]
    fn never_flushes_at_every_fault() {
        let growth = TlbGrowth::new();
        let flushes = (0..100_000).filter(|_| growth.touched(8)).count();
        assert!(flushes < 20, "{flushes}");
    }
}
