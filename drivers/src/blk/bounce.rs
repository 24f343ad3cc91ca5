//! Aligned memory through which unaligned data passes.

use alloc::vec::Vec;

use crate::{MemoryRef, Region};

/// Bytes of one buffer, which is given out in whole pages.
pub const BUFFER: usize = 128 << 10;
const PAGE: usize = 4096;
/// Pages of a buffer: one bit each.
const PAGES: usize = BUFFER / PAGE;

/// Some pages of a buffer, in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    buffer: usize,
    page: usize,
    pages: usize,
}

/// A few buffers, allocated when they are first needed.
pub struct Bounces {
    memory: MemoryRef,
    limit: usize,
    /// Each with its pages in use.
    buffers: Vec<(Region, u32)>,
}

fn mask(pages: usize) -> u32 {
    u32::MAX >> (PAGES - pages)
}

impl Bounces {
    pub fn new(memory: MemoryRef, limit: u16) -> Bounces {
        Bounces {
            memory,
            limit: usize::from(limit),
            buffers: Vec::new(),
        }
    }

    /// True when no buffer could be allocated so far.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Takes room for `len` (1 to [`BUFFER`]) bytes.
    pub fn take(&mut self, len: usize) -> Option<Place> {
        let pages = len.div_ceil(PAGE).clamp(1, PAGES);
        let find = |used: u32| (0..=PAGES - pages).find(|page| used & mask(pages) << page == 0);
        for (buffer, (_, used)) in self.buffers.iter_mut().enumerate() {
            if let Some(page) = find(*used) {
                *used |= mask(pages) << page;
                return Some(Place {
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
        Some(Place {
            buffer: self.buffers.len() - 1,
            page: 0,
            pages,
        })
    }

    /// Gives room back.
    pub fn put(&mut self, place: Place) {
        if let Some((_, used)) = self.buffers.get_mut(place.buffer) {
            *used &= !(mask(place.pages) << place.page);
        }
    }

    /// Where it is: the region and the offset in it.
    pub fn at(&self, place: Place) -> Option<(&Region, usize)> {
        self.buffers
            .get(place.buffer)
            .map(|(region, _)| (region, place.page * PAGE))
    }

    /// Never gives the memory back.
    pub fn leak(&mut self) {
        self.buffers
            .iter_mut()
            .for_each(|(region, _)| region.leak());
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER, Bounces};
    use crate::fake::HostMemory;

    #[test]
    fn small_and_large_places_share_the_buffers_without_overlap() {
        let mut bounces = Bounces::new(HostMemory::new(), 2);
        assert!(bounces.is_empty());
        let whole = bounces.take(BUFFER).unwrap();
        let small: Vec<_> = (0..32).map(|_| bounces.take(1).unwrap()).collect();
        assert_eq!(bounces.take(1), None);
        let mut addresses: Vec<_> = small
            .iter()
            .map(|place| bounces.at(*place).map(|(r, at)| r.phys(at)))
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
            Some(super::Place {
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
        let mut bounces = Bounces::new(memory, 2);
        assert_eq!(bounces.take(1), None);
        assert!(bounces.is_empty());
    }

    use std::vec::Vec;
}
