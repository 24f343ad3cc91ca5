//! The memory of frames to send: slots of two sizes in one piece, which a device without raw
//! addresses needs before the first frame.

use alloc::vec::Vec;

use crate::net::{MAX_FRAME, NetConfig};
use crate::{Error, MemoryRef, Region};

/// Maximum numbers of slots of each size.
const SMALL: u16 = 64;
const LARGE: u16 = 4;

/// A slot for a frame. Small ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u16);

impl Slot {
    /// The slot's number.
    pub fn tag(self) -> u16 {
        self.0
    }

    /// The slot with this number, which is smaller than [`Slots::count`].
    pub fn from_tag(tag: u16) -> Slot {
        Slot(tag)
    }
}

pub struct Slots {
    region: Region,
    small_len: usize,
    small: u16,
    large: u16,
    free_small: Vec<Slot>,
    free_large: Vec<Slot>,
}

impl Slots {
    /// Slots for frames of at most `small_len` bytes, and for frames of any length if `large`; at
    /// most `max` in all, which is at least 8.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(
        memory: MemoryRef,
        small_len: usize,
        large: bool,
        max: u16,
        config: &NetConfig,
    ) -> Result<Slots, Error> {
        let small_len = small_len.next_multiple_of(64);
        let small = config.tx_small.clamp(1, SMALL.min(max - LARGE));
        let large = match large {
            true => config.tx_large.clamp(1, LARGE),
            false => 0,
        };
        let len = usize::from(small) * small_len + usize::from(large) * large_len();
        let region = Region::new(memory, len.next_multiple_of(4096), 4096);
        Ok(Slots {
            region: region.ok_or(Error::OutOfMemory)?,
            small_len,
            small,
            large,
            free_small: (0..small).rev().map(Slot).collect(),
            free_large: (small..small + large).rev().map(Slot).collect(),
        })
    }

    /// The memory, whole pages.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Number of slots.
    pub fn count(&self) -> u16 {
        self.small + self.large
    }

    /// Takes a free slot for `len` bytes: a large one also for a small frame, if no small one is
    /// free.
    pub fn take(&mut self, len: usize) -> Option<Slot> {
        let small = if len <= self.small_len {
            self.free_small.pop()
        } else {
            None
        };
        small.or_else(|| self.free_large.pop())
    }

    /// Whether a slot for a frame of any length is free.
    pub fn has_largest(&self) -> bool {
        match self.large {
            0 => !self.free_small.is_empty(),
            _ => !self.free_large.is_empty(),
        }
    }

    /// Returns a taken slot.
    pub fn give_back(&mut self, slot: Slot) {
        match slot.0 < self.small {
            true => self.free_small.push(slot),
            false => self.free_large.push(slot),
        }
    }

    /// Where a slot's memory begins.
    pub fn offset(&self, slot: Slot) -> usize {
        let large = slot.0.saturating_sub(self.small);
        let small = slot.0.min(self.small);
        usize::from(small) * self.small_len + usize::from(large) * large_len()
    }

    pub fn leak(&mut self) {
        self.region.leak();
    }
}

fn large_len() -> usize {
    MAX_FRAME.next_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::HostMemory;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_dont_overlap(small in 0..100u16, large in 0..9u16, len in 60..9300usize,
                              has_large: bool, max in 8..100u16) {
            let config = NetConfig { tx_small: small, tx_large: large, ..NetConfig::default() };
            let memory = HostMemory::new();
            let mut slots = Slots::new(memory, len, has_large, max, &config).expect("memory");
            prop_assert!(slots.count() <= max);
            let mut ranges = Vec::new();
            let lens = [len, MAX_FRAME];
            for want in lens.into_iter().take(1 + usize::from(has_large)).rev() {
                while let Some(slot) = slots.take(want) {
                    let start = slots.offset(slot);
                    ranges.push((start, start + want, slot));
                }
            }
            prop_assert_eq!(ranges.len(), usize::from(slots.count()));
            ranges.sort_by_key(|(start, ..)| *start);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            let end = ranges.last().map_or(0, |(_, end, _)| *end);
            prop_assert!(end <= slots.region().len());
            ranges.iter().for_each(|(_, _, slot)| slots.give_back(*slot));
            prop_assert!(slots.has_largest());
        }
    }
}
