//! Memory for frames that the ring reads and writes concurrently: it is accessed by pointers only,
//! and leaked if its owner is dropped while requests are in flight.

use super::{HEADER, MAX_FRAME};
use crate::ring::{Handle, Owner, Requests};
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;
use rustix_uring::Errno;
use rustix_uring::squeue::Entry;

/// Bytes of a slot: the largest frame with its header.
pub const SLOT: usize = (HEADER + MAX_FRAME).next_multiple_of(64);

/// Memory slots, one for each frame.
pub struct Slots {
    owner: Owner,
    start: NonNull<u8>,
    count: u32,
    /// Slots that the kernel doesn't have, as bits.
    free: u32,
}

/// Allocation size from which the C library maps memory instead of reusing old one (glibc's
/// `M_MMAP_THRESHOLD` is 128 KiB): untouched pages take no memory.
pub const MIN_MAPPED: usize = 2 * SLOT;

fn layout(count: u32) -> Option<Layout> {
    // `malloc`'s own alignment.
    Layout::from_size_align((count as usize * SLOT).max(MIN_MAPPED), 16).ok()
}

impl Slots {
    /// 1 to 31 slots for requests of this kind; `None` without a ring or memory.
    pub fn new(ring: &Handle, count: u32, kind: Requests) -> Option<Slots> {
        let owner = ring.open(kind)?;
        // SAFETY: the layout isn't empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout(count)?) })?;
        Some(Slots {
            owner,
            start,
            count,
            free: (1 << count) - 1,
        })
    }

    /// The number of a slot that the kernel doesn't have.
    pub fn free(&self) -> Option<u32> {
        let slot = self.free.trailing_zeros();
        (slot < self.count).then_some(slot)
    }

    /// The address of a slot. Its contents are the caller's as long as the slot is free.
    pub fn at(&self, slot: u32) -> NonNull<u8> {
        // SAFETY: within the memory for any number.
        unsafe { self.start.add(slot.min(self.count - 1) as usize * SLOT) }
    }

    /// Passes a free slot to the kernel with a request that uses only it.
    pub fn submit_with(&mut self, slot: u32, request: Entry, urgent: bool) {
        // SAFETY: the slot isn't touched until the request has completed, and is leaked if `self`
        // is dropped before.
        if unsafe { self.owner.push(request, u64::from(slot), urgent) } {
            self.free &= !(1 << slot);
        }
    }

    /// The next slot that the kernel has completed, and its request's result.
    pub fn ended(&mut self) -> Option<(u32, Result<u32, Errno>)> {
        let ended = self.owner.ended()?;
        let slot = (ended.tag as u32).min(self.count - 1);
        self.free |= 1 << slot;
        Some((slot, ended.result))
    }

    /// Submits the requests.
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
