//! Memory for frames that the ring reads and writes behind Rust's back: it is reached by pointers
//! only, and stays when its owner goes while requests are under way.

use super::{HEADER, MAX_FRAME};
use crate::ring::{Handle, Owner};
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;
use rustix_uring::Errno;
use rustix_uring::squeue::Entry;

/// Bytes of a slot: the largest frame with its header.
pub const SLOT: usize = (HEADER + MAX_FRAME).next_multiple_of(64);

/// Slots of memory, one for each frame.
pub struct Slots {
    owner: Owner,
    start: NonNull<u8>,
    count: u32,
    /// Slots that the kernel hasn't got, as bits.
    free: u32,
}

/// Bytes that the C library maps instead of taking them from memory that was used (glibc's
/// `M_MMAP_THRESHOLD` is 128 KiB): pages that no frame touches are never there.
pub const MIN_MAPPED: usize = 2 * SLOT;

fn layout(count: u32) -> Option<Layout> {
    // `malloc`'s own alignment.
    Layout::from_size_align((count as usize * SLOT).max(MIN_MAPPED), 16).ok()
}

impl Slots {
    /// 1 to 31 slots; nothing where there is no ring or no memory. `quiet`: see [`Handle::open`].
    pub fn new(ring: &Handle, count: u32, quiet: bool) -> Option<Slots> {
        let owner = ring.open(quiet)?;
        // SAFETY: the layout isn't empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout(count)?) })?;
        Some(Slots {
            owner,
            start,
            count,
            free: (1 << count) - 1,
        })
    }

    /// A slot that the kernel hasn't got: its number.
    pub fn free(&self) -> Option<u32> {
        let slot = self.free.trailing_zeros();
        (slot < self.count).then_some(slot)
    }

    /// Where a slot is. What is there is the caller's as long as the slot is free.
    pub fn at(&self, slot: u32) -> NonNull<u8> {
        // SAFETY: within the memory, whatever the number.
        unsafe { self.start.add(slot.min(self.count - 1) as usize * SLOT) }
    }

    /// Gives a free slot to the kernel with a request that uses it and nothing else.
    pub fn give(&mut self, slot: u32, request: Entry, urgent: bool) {
        // SAFETY: the slot isn't touched until the request has ended, and stays if we go before.
        if unsafe { self.owner.push(request, u64::from(slot), urgent) } {
            self.free &= !(1 << slot);
        }
    }

    /// The next slot that the kernel is done with, and its request's result.
    pub fn ended(&mut self) -> Option<(u32, Result<u32, Errno>)> {
        let ended = self.owner.ended()?;
        let slot = (ended.tag as u32).min(self.count - 1);
        self.free |= 1 << slot;
        Some((slot, ended.result))
    }

    /// Begins what was given.
    pub fn submit(&self) {
        self.owner.submit();
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        while self.ended().is_some() {}
        let all = self.free.count_ones() == self.count;
        if let Some(layout) = layout(self.count).filter(|_| all) {
            // SAFETY: memory of this layout; all slots are free, so it is no longer used.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}
