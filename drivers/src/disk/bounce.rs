//! Bounce buffers: aligned memory through which the driver copies unaligned data.

use alloc::vec::Vec;

use crate::{MemoryRef, Region};

/// Bytes per buffer. Slots are whole pages.
pub const BUFFER: usize = 128 << 10;
const PAGE: usize = 4096;
/// Pages per buffer, one bit each.
const PAGES: usize = BUFFER / PAGE;

/// A slot: a range of pages of one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BounceSlot {
    buffer: usize,
    page: usize,
    pages: usize,
}

/// A few buffers, allocated on first use.
pub struct BounceBuffers {
    memory: MemoryRef,
    limit: usize,
    /// Each buffer with a bit mask of its pages in use.
    buffers: Vec<(Region, u32)>,
}

fn mask(pages: usize) -> u32 {
    u32::MAX >> (PAGES - pages)
}

impl BounceBuffers {
    pub fn new(memory: MemoryRef, limit: u16) -> BounceBuffers {
        BounceBuffers {
            memory,
            limit: usize::from(limit),
            buffers: Vec::new(),
        }
    }

    /// True if no buffer has been allocated so far.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Takes a slot for `len` (1 to [`BUFFER`]) bytes; `None` when all are in use.
    pub fn take(&mut self, len: usize) -> Option<BounceSlot> {
        let pages = len.div_ceil(PAGE).clamp(1, PAGES);
        let find = |used: u32| (0..=PAGES - pages).find(|page| used & mask(pages) << page == 0);
        for (buffer, (_, used)) in self.buffers.iter_mut().enumerate() {
            if let Some(page) = find(*used) {
                *used |= mask(pages) << page;
                return Some(BounceSlot {
                    buffer,
                    page,
                    pages,
                });
            }
        }
        if self.buffers.len() == self.limit {
            return None;
        }
        let region = Region::new(self.memory, BUFFER, PAGE)?;
        self.buffers.push((region, mask(pages)));
        Some(BounceSlot {
            buffer: self.buffers.len() - 1,
            page: 0,
            pages,
        })
    }

    /// Returns a slot.
    pub fn put(&mut self, slot: BounceSlot) {
        if let Some((_, used)) = self.buffers.get_mut(slot.buffer) {
            *used &= !(mask(slot.pages) << slot.page);
        }
    }

    /// Returns the region of a slot and the offset in it.
    pub fn at(&self, slot: BounceSlot) -> Option<(&Region, usize)> {
        self.buffers
            .get(slot.buffer)
            .map(|(region, _)| (region, slot.page * PAGE))
    }

    /// Leaks the memory, because the device may still use it.
    pub fn leak(&mut self) {
        self.buffers
            .iter_mut()
            .for_each(|(region, _)| region.leak());
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER, BounceBuffers};
    use crate::fake::HostMemory;

    #[test]
    fn small_and_large_slots_share_the_buffers_without_overlap() {
        let mut bounces = BounceBuffers::new(HostMemory::new(), 2);
        assert!(bounces.is_empty());
        let whole = bounces.take(BUFFER).unwrap();
        let small: Vec<_> = (0..32).map(|_| bounces.take(1).unwrap()).collect();
        assert_eq!(bounces.take(1), None);
        let mut addresses: Vec<_> = small
            .iter()
            .map(|slot| bounces.at(*slot).map(|(r, at)| r.phys(at)))
            .collect();
        addresses.push(bounces.at(whole).map(|(region, at)| region.phys(at)));
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 33);
        bounces.put(small[3]);
        bounces.put(small[4]);
        assert_eq!(bounces.take(3 * 4096), None);
        assert_eq!(
            bounces.take(4097),
            Some(super::BounceSlot {
                buffer: 1,
                page: 3,
                pages: 2
            })
        );
        bounces.put(whole);
        assert_eq!(bounces.take(BUFFER), Some(whole));
    }

    #[test]
    fn without_memory_there_are_none() {
        let memory = HostMemory::new();
        memory.limit(1000);
        let mut bounces = BounceBuffers::new(memory, 2);
        assert_eq!(bounces.take(1), None);
        assert!(bounces.is_empty());
    }

    use std::vec::Vec;
}
