//! Memory shared with devices, and a clock: the only interface that drivers need from the machine.

use core::ptr::NonNull;
use sync::atomic::{Ordering, fence};

/// A range of physical addresses, as a device addresses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First physical address.
    pub phys: u64,
    /// Length in bytes; never 0 where a [`Memory`] reports it.
    pub len: usize,
}

/// Access of a device to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The device reads: the memory must be present.
    DeviceReads,
    /// The device writes: the memory must be present, private and writable (a copy-on-write page
    /// must be copied before it is reported).
    DeviceWrites,
}

/// Physically contiguous memory from [`Memory::allocate`].
#[derive(Debug)]
pub struct Allocation {
    /// Virtual address.
    pub ptr: NonNull<u8>,
    /// Physical address, as devices see it.
    pub phys: u64,
    /// Length in bytes, at least the requested one.
    pub len: usize,
}

/// Memory shared with devices, and the devices' registers. The kernel implements it; tests have
/// `fake::HostMemory`.
///
/// # Safety
///
/// An implementation promises that
/// - [`allocate`](Memory::allocate) returns memory that nothing else uses, readable and writable by
///   the CPU through `ptr` and by devices at `phys`, coherent between the two, until it is freed;
/// - [`segments`](Memory::segments) reports the physical memory that backs the virtual range, and
///   it stays the same as long as the range stays mapped (no page is moved or reclaimed while a
///   device may use it);
/// - [`map_mmio`](Memory::map_mmio) never maps memory that is RAM, and what it returns stays
///   mapped, uncached, for good.
pub unsafe trait Memory: Sync {
    /// Allocates `len` (> 0) bytes, physically contiguous, zeroed, at a multiple of `align` (a
    /// power of two, at most 4096), or `None` when there is no such memory. Never blocks.
    fn allocate(&self, len: usize, align: usize) -> Option<Allocation>;

    /// Frees memory.
    ///
    /// # Safety
    ///
    /// `allocation` came from [`allocate`](Memory::allocate) of this object, is freed once, and no
    /// device uses it any more.
    unsafe fn free(&self, allocation: Allocation);

    /// Calls `visit` with the physical segments behind the virtual range `[ptr, ptr + len)`, in
    /// order and without gaps, after making them present for `access`. They may be as small as a
    /// page; drivers merge adjacent ones. When `visit` returns false the rest is skipped, and the
    /// result is true.
    ///
    /// False when some of the range (that was reached) isn't memory, or is not writable for
    /// [`Access::DeviceWrites`]; `visit` may have been called before.
    fn segments(
        &self,
        ptr: *const u8,
        len: usize,
        access: Access,
        visit: &mut dyn FnMut(Segment) -> bool,
    ) -> bool;

    /// Maps device registers: `len` bytes from physical address `phys`, neither necessarily aligned
    /// to pages. `None` when the range is RAM, wraps, or is beyond the CPU's physical addresses.
    /// Mapping the same range again returns a valid mapping (the same or another).
    fn map_mmio(&self, phys: u64, len: usize) -> Option<NonNull<u8>>;

    /// Maps video memory as [`map_mmio`](Memory::map_mmio) maps registers, with write combining if
    /// the machine supports it: writes reach the device in any order, before
    /// [`barrier`](Memory::barrier) returns.
    fn map_video(&self, phys: u64, len: usize) -> Option<NonNull<u8>> {
        self.map_mmio(phys, len)
    }

    /// Nanoseconds since some moment, never fewer than before: for the time limits of devices.
    fn now_ns(&self) -> u64;

    /// Orders this thread's earlier writes to memory before its later reads, as seen by devices
    /// (virtio 1.2, 2.7.13.3.1 and 2.7.14). For machines on which the language's own fence doesn't
    /// do that.
    fn barrier(&self) {
        // SeqCst: no other fence orders a store before a later load.
        fence(Ordering::SeqCst);
    }
}

/// A reference to the machine's memory, which lives as long as the program.
pub type MemoryRef = &'static dyn Memory;

/// Physically contiguous memory that is freed on drop.
pub struct Region {
    memory: MemoryRef,
    allocation: Option<Allocation>,
    ptr: NonNull<u8>,
    phys: u64,
    len: usize,
}

// SAFETY: a Region is the only owner of its memory (promise of `Memory::allocate`), and `Memory` is
// Sync.
unsafe impl Send for Region {}

impl Region {
    /// Allocates zeroed, contiguous memory; see [`Memory::allocate`] for the units and the limits.
    pub fn new(memory: MemoryRef, len: usize, align: usize) -> Option<Region> {
        let allocation = memory.allocate(len, align)?;
        let (ptr, phys) = (allocation.ptr, allocation.phys);
        Some(Region {
            memory,
            allocation: Some(allocation),
            ptr,
            phys,
            len,
        })
    }

    /// Requested length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for a region of no bytes (which [`Memory::allocate`] never returns).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The virtual address of byte `offset`.
    ///
    /// # Panics
    ///
    /// When `offset` is beyond the end: offsets are the driver's own arithmetic, never a device's.
    pub fn ptr(&self, offset: usize) -> NonNull<u8> {
        assert!(
            offset <= self.len,
            "offset {offset} outside a region of {} bytes",
            self.len
        );
        // SAFETY: the offset is inside the allocation or one past its end (checked above).
        unsafe { self.ptr.add(offset) }
    }

    /// The physical address of byte `offset`.
    pub fn phys(&self, offset: usize) -> u64 {
        debug_assert!(offset <= self.len);
        self.phys + offset as u64
    }

    /// The bytes `[offset, offset + len)`.
    ///
    /// # Safety
    ///
    /// The device doesn't use these bytes, and no other reference to them exists.
    ///
    /// # Panics
    ///
    /// When the range isn't inside the region.
    #[allow(clippy::mut_from_ref)] // Disjoint buffers of one region are borrowed at the same time.
    pub unsafe fn slice(&self, offset: usize, len: usize) -> &mut [u8] {
        assert!(
            len <= self.len && offset <= self.len - len,
            "range outside the region"
        );
        // SAFETY: inside the allocation (checked), initialised (it was zeroed), and unshared
        // (promised by the caller).
        unsafe { core::slice::from_raw_parts_mut(self.ptr.add(offset).as_ptr(), len) }
    }

    /// Leaks the memory, because a device whose reset failed may still write to it.
    pub fn leak(&mut self) {
        self.allocation = None;
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(allocation) = self.allocation.take() {
            // SAFETY: it came from this `memory`, and is freed once since it was taken out. A
            // driver that can't take its memory back from a device leaks the region instead.
            unsafe { self.memory.free(allocation) }
        }
    }
}
