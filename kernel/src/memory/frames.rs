//! Physical memory by the page: which frames are free.
//!
//! One bit per frame, set while it is free. A search begins where the last one ended or where
//! something was freed, so that single frames cost a few instructions; runs for devices are taken
//! from the top, away from them.

use crate::arch::paging::PAGE;
use core::ops::Range;

/// The free frames of a machine. Frame `n` begins at physical address `n * PAGE`.
pub struct Frames<'a> {
    /// A bit set is a free frame.
    bits: &'a mut [u64],
    free: usize,
    total: usize,
    /// The minimum of `free` since everything was added.
    lowest_free: usize,
    /// No word below this one has a free frame.
    lowest: usize,
    /// Frames that are never given, see [`Frames::keep`].
    kept: Range<u64>,
}

impl<'a> Frames<'a> {
    /// The words of bitmap that frames below `end` (a physical address) need.
    pub fn words_for(end: u64) -> usize {
        end.div_ceil(PAGE).div_ceil(64) as usize
    }

    /// No free frames yet; `bits` is overwritten.
    pub fn new(bits: &'a mut [u64]) -> Self {
        bits.fill(0);
        let lowest = bits.len();
        Self {
            bits,
            free: 0,
            total: 0,
            lowest_free: 0,
            lowest,
            kept: 0..0,
        }
    }

    /// Keeps the frames of `[start, end)` (physical addresses) away from the allocator. Once,
    /// before any is added.
    pub fn keep(&mut self, start: u64, end: u64) {
        self.kept = start / PAGE..end.div_ceil(PAGE);
    }

    /// Frames that are free now.
    pub fn free_count(&self) -> usize {
        self.free
    }

    /// The minimum number of free frames so far.
    pub fn lowest_free_count(&self) -> usize {
        self.lowest_free
    }

    /// Frames that were ever added with [`Frames::add`].
    pub fn total_count(&self) -> usize {
        self.total
    }

    /// Gives the whole frames within `[start, end)` (physical addresses) to the allocator. Skips
    /// frames that it already has, and frames beyond the bitmap.
    pub fn add(&mut self, start: u64, end: u64) {
        let (mut frame, end) = (start.div_ceil(PAGE), end / PAGE);
        while frame < end {
            if self.kept.contains(&frame) {
                frame = self.kept.end;
                continue;
            }
            // Whole words at once: a machine has thousands.
            let is_whole = frame % 64 == 0 && end - frame >= 64;
            let kept = self.kept.start.wrapping_sub(frame);
            let whole = is_whole && kept >= 64 && self.set(frame, u64::MAX);
            let count = if whole { 64 } else { 1 };
            if whole || self.set(frame, 1) {
                self.total += count;
                self.lowest_free += count;
                self.free += count;
            }
            frame += count as u64;
        }
    }

    /// Sets the bits `these`, of which the first is that of `frame`; false if any of them is
    /// already set or lies beyond the bitmap.
    fn set(&mut self, frame: u64, these: u64) -> bool {
        let word = (frame / 64) as usize;
        let these = these << (frame % 64);
        match self.bits.get_mut(word) {
            Some(bits) if *bits & these == 0 => {
                *bits |= these;
                self.lowest = self.lowest.min(word);
                true
            }
            _ => false,
        }
    }

    /// Allocates the lowest free frame; its physical address.
    pub fn allocate(&mut self) -> Option<u64> {
        let rest = self.bits.get_mut(self.lowest..)?;
        let Some(at) = rest.iter().position(|bits| *bits != 0) else {
            self.lowest = self.bits.len();
            return None;
        };
        let bits = &mut rest[at];
        let bit = bits.trailing_zeros();
        *bits &= *bits - 1;
        self.free -= 1;
        self.lowest_free = self.lowest_free.min(self.free);
        self.lowest += at;
        Some((self.lowest as u64 * 64 + u64::from(bit)) * PAGE)
    }

    /// `count` contiguous frames whose first address is a multiple of `align` bytes (a power of
    /// two).
    pub fn allocate_run(&mut self, count: usize, align: u64) -> Option<u64> {
        let step = align.div_ceil(PAGE).max(1);
        let last = (self.bits.len() as u64 * 64).checked_sub(count as u64)?;
        let mut first = last - last % step;
        loop {
            match (first..first + count as u64)
                .rev()
                .find(|frame| !self.is_free(*frame))
            {
                None => break,
                // The taken frame must lie behind the run's end.
                Some(taken) => {
                    let below = taken.checked_sub(count as u64)?;
                    first = below - below % step;
                }
            }
        }
        for frame in first..first + count as u64 {
            self.bits[(frame / 64) as usize] &= !(1 << (frame % 64));
        }
        self.free -= count;
        self.lowest_free = self.lowest_free.min(self.free);
        Some(first * PAGE)
    }

    /// Whether frame `frame` is free.
    pub fn is_free(&self, frame: u64) -> bool {
        self.bits
            .get((frame / 64) as usize)
            .is_some_and(|bits| bits & (1 << (frame % 64)) != 0)
    }

    /// Frees the frame at physical address `address`.
    ///
    /// # Panics
    /// When it is already free.
    pub fn free(&mut self, address: u64) {
        assert!(
            self.set(address / PAGE, 1),
            "frame {address:#x} was freed twice"
        );
        self.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, PAGE};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeSet;

    #[test]
    fn gives_every_frame_once() {
        let mut bits = [0; 4];
        let mut frames = Frames::new(&mut bits);
        frames.add(0x1800, 0x20_0000);
        assert_eq!(frames.free_count(), 254);
        let all: BTreeSet<_> = core::iter::from_fn(|| frames.allocate()).collect();
        assert_eq!(all.len(), 254);
        assert_eq!(all.first(), Some(&0x2000));
        assert_eq!(frames.free_count(), 0);
        frames.free(0x5000);
        assert_eq!(frames.allocate(), Some(0x5000));
        assert_eq!(frames.allocate(), None);
    }

    #[test]
    fn run_is_aligned_and_contiguous() {
        let mut bits = [0; 4];
        let mut frames = Frames::new(&mut bits);
        frames.add(0, 256 * PAGE);
        assert_eq!(frames.allocate_run(16, 64 << 10), Some(240 * PAGE));
        assert_eq!(frames.allocate_run(16, PAGE), Some(224 * PAGE));
        assert_eq!(frames.allocate_run(300, PAGE), None);
        assert_eq!(frames.allocate_run(224, PAGE), Some(0));
        assert_eq!(frames.free_count(), 0);
    }

    /// Memory begins at 1 GiB on some machines: thousands of words have no frame.
    #[test]
    fn the_first_search_begins_where_memory_does() {
        let mut bits = [0; 8];
        let mut frames = Frames::new(&mut bits);
        frames.add(300 * PAGE, 500 * PAGE);
        assert_eq!(frames.lowest, 300 / 64);
        assert_eq!(frames.allocate(), Some(300 * PAGE));
    }

    #[test]
    fn a_bit_for_each_frame() {
        let ends = [0, 1, PAGE, 64 * PAGE, 64 * PAGE + 1, 200 * PAGE];
        assert_eq!(ends.map(Frames::words_for), [0, 1, 1, 1, 2, 4]);
    }

    #[test]
    fn counts_what_there_is_and_the_fewest_that_were_left() {
        let mut bits = [0; 2];
        let mut frames = Frames::new(&mut bits);
        let counts = |frames: &Frames<'_>| {
            let free = frames.free_count();
            (frames.total_count(), free, frames.lowest_free_count())
        };
        frames.add(0, 100 * PAGE);
        // Twice, and beyond the bitmap: neither counts.
        frames.add(90 * PAGE, 1000 * PAGE);
        assert_eq!(counts(&frames), (128, 128, 128));
        let one = frames.allocate().unwrap();
        let run = frames.allocate_run(10, PAGE).unwrap();
        assert_eq!(counts(&frames), (128, 117, 117));
        frames.free(one);
        for page in 0..10 {
            frames.free(run + page * PAGE);
        }
        assert_eq!(counts(&frames), (128, 128, 117));
    }

    /// Ranges that begin and end within words, over each other and beyond the bitmap.
    #[test]
    fn what_is_added_is_what_lies_within() {
        for (first, end) in [
            (0, 1),
            (0, 64),
            (63, 65),
            (5, 60),
            (64, 192),
            (1, 191),
            (70, 300),
        ] {
            let mut bits = [0; 3];
            let mut frames = Frames::new(&mut bits);
            frames.add(30 * PAGE, 40 * PAGE);
            frames.add(first * PAGE - first.min(1), end * PAGE + 1);
            let all: BTreeSet<_> = core::iter::from_fn(|| frames.allocate()).collect();
            let wanted = (30..40)
                .chain(first..end.min(192))
                .map(|frame| frame * PAGE);
            assert_eq!(all, wanted.collect(), "{first}..{end}");
            assert_eq!(
                (frames.total_count(), frames.lowest_free_count()),
                (all.len(), 0)
            );
        }
    }

    /// The initrd's pages: within a word, over words, before and beyond the added pages.
    #[test]
    fn what_is_kept_is_never_given() {
        for (first, end) in [
            (0, 1),
            (5, 60),
            (63, 65),
            (64, 128),
            (1, 191),
            (130, 300),
            (0, 300),
        ] {
            let mut bits = [0; 3];
            let mut frames = Frames::new(&mut bits);
            frames.keep(first * PAGE + first.min(1), end * PAGE - 1);
            frames.add(0, 40 * PAGE);
            frames.add(0, 192 * PAGE);
            let all: BTreeSet<_> = core::iter::from_fn(|| frames.allocate()).collect();
            let wanted = (0..192).filter(|frame| !(first..end).contains(frame));
            assert_eq!(
                all,
                wanted.map(|frame| frame * PAGE).collect(),
                "{first}..{end}"
            );
            assert_eq!(frames.total_count(), all.len());
        }
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn notices_a_double_free() {
        let mut bits = [0; 1];
        let mut frames = Frames::new(&mut bits);
        frames.add(0, PAGE);
        frames.free(0);
    }

    proptest! {
        #[test]
        fn never_gives_a_frame_twice(
            steps in proptest::collection::vec((0..3u8, 1..9usize), 1..200),
        ) {
            let mut bits = [0; 3];
            let mut frames = Frames::new(&mut bits);
            frames.add(PAGE, 150 * PAGE);
            let mut held = BTreeSet::new();
            for (kind, count) in steps {
                match kind {
                    0 => if let Some(frame) = frames.allocate() {
                        prop_assert!(held.insert(frame));
                    },
                    1 => if let Some(first) = frames.allocate_run(count, 2 * PAGE) {
                        prop_assert_eq!(first % (2 * PAGE), 0);
                        for i in 0..count as u64 {
                            prop_assert!(held.insert(first + i * PAGE));
                        }
                    },
                    _ => for _ in 0..count {
                        if let Some(frame) = held.pop_first() {
                            frames.free(frame);
                        }
                    },
                }
                prop_assert_eq!(frames.free_count() + held.len(), 149);
            }
        }
    }
}
