//! The memory that a split virtqueue shares with its device (virtio 1.2, 2.7.5 to 2.7.8).
//!
//! This module contains only typed accesses to single fields. Fields that the device can write are
//! read once per use, and are untrusted until [`Queue`](super::Queue) has validated them.

use core::ptr::NonNull;
use sync::atomic::{AtomicU16, AtomicU32, Ordering};

use crate::transport::QueueAddresses;
use crate::{MemoryRef, Region};

/// The chain continues with `next`.
pub const NEXT: u16 = 1;
/// The device writes the buffer (otherwise it reads it).
pub const WRITE: u16 = 2;
/// The buffer is a table of descriptors.
pub const INDIRECT: u16 = 4;

/// Available ring: "don't interrupt". Used ring: "don't notify".
const SUPPRESS: u16 = 1;

/// Legacy devices expect the used ring at the next page (virtio 1.2, 2.7.2).
const LEGACY_ALIGN: usize = 4096;
/// Modern devices require an alignment of 16 for descriptors; with whole cache lines none
/// straddles.
const ALIGN: usize = 64;

/// A descriptor as the device reads it; little-endian, as are all supported CPUs.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Descriptor {
    pub address: u64,
    pub len: u32,
    pub flags: u16,
    pub next: u16,
}

/// Bytes of a descriptor.
pub const DESCRIPTOR: usize = size_of::<Descriptor>();

/// The three parts of the queue in one region, and the indirect descriptor tables in another.
pub struct Ring {
    region: Region,
    size: u16,
    available: usize,
    used: usize,
    tables: Option<Region>,
    table_len: u16,
}

impl Ring {
    /// Allocates a queue of `size` (a power of two) descriptors and, unless `table_len` is 0, a
    /// table of `table_len` descriptors for each of the first `tables`.
    pub fn new(
        memory: MemoryRef,
        size: u16,
        legacy: bool,
        (tables, table_len): (u16, u16),
    ) -> Option<Ring> {
        let align = if legacy { LEGACY_ALIGN } else { ALIGN };
        let entries = usize::from(size);
        let available = DESCRIPTOR * entries;
        let used = (available + 6 + 2 * entries).next_multiple_of(align);
        let region = Region::new(memory, used + 6 + 8 * entries, align)?;
        let tables = match usize::from(table_len) {
            0 => None,
            len => {
                let len = DESCRIPTOR * len * usize::from(tables);
                Some(Region::new(memory, len, ALIGN)?)
            }
        };
        Some(Ring {
            region,
            size,
            available,
            used,
            tables,
            table_len,
        })
    }

    /// Zeroes the memory after a reset.
    pub fn clear(&mut self) {
        // SAFETY: the device has been reset, and each access to a field is a call of its own.
        unsafe { self.region.slice(0, self.region.len()) }.fill(0);
    }

    pub fn addresses(&self) -> QueueAddresses {
        QueueAddresses {
            size: self.size,
            descriptors: self.region.phys(0),
            driver: self.region.phys(self.available),
            device: self.region.phys(self.used),
        }
    }

    pub fn leak(&mut self) {
        self.region.leak();
        if let Some(tables) = &mut self.tables {
            tables.leak();
        }
    }

    /// Writes descriptor `index` (below the size).
    #[allow(clippy::disallowed_methods, reason = "memory, not registers")]
    pub fn set_descriptor(&self, index: u16, descriptor: Descriptor) {
        debug_assert!(index < self.size);
        let at = self
            .region
            .ptr(DESCRIPTOR * usize::from(index))
            .cast::<Descriptor>();
        // SAFETY: `index` comes from the queue's own free list, so the slot is inside the table,
        // aligned, and not in use by the device.
        unsafe { at.write_volatile(descriptor) };
    }

    /// Writes entry `position` (below the table length) of the table that belongs to descriptor
    /// `index`.
    #[allow(clippy::disallowed_methods, reason = "memory, not registers")]
    pub fn set_table_entry(&self, index: u16, position: u16, descriptor: Descriptor) {
        debug_assert!(position < self.table_len);
        if let Some(tables) = &self.tables {
            let entry = usize::from(index) * usize::from(self.table_len) + usize::from(position);
            let at = tables.ptr(DESCRIPTOR * entry).cast::<Descriptor>();
            // SAFETY: inside the region (`ptr` checks the start; the region holds whole entries),
            // aligned, and the table belongs to a descriptor that the device doesn't use.
            unsafe { at.write_volatile(descriptor) };
        }
    }

    /// Physical address of the indirect table of descriptor `index`.
    pub fn table_phys(&self, index: u16) -> u64 {
        let offset = DESCRIPTOR * usize::from(self.table_len) * usize::from(index);
        self.tables.as_ref().map_or(0, |tables| tables.phys(offset))
    }

    fn atomic_u16(&self, offset: usize) -> &AtomicU16 {
        let at: NonNull<u16> = self.region.ptr(offset).cast();
        // SAFETY: inside the region, 2-byte aligned (all offsets are even, the region is aligned),
        // valid as long as `self`; both sides access the field only atomically.
        unsafe { AtomicU16::from_ptr(at.as_ptr()) }
    }

    fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        let at: NonNull<u32> = self.region.ptr(offset).cast();
        // SAFETY: as above; used elements are 4-byte aligned.
        unsafe { AtomicU32::from_ptr(at.as_ptr()) }
    }

    fn slot(&self, index: u16) -> usize {
        usize::from(index & (self.size - 1))
    }

    pub fn set_available(&self, index: u16, head: u16) {
        let offset = self.available + 4 + 2 * self.slot(index);
        self.atomic_u16(offset).store(head, Ordering::Relaxed);
    }

    /// Publishes all earlier writes: the device may use entries below `index`.
    pub fn set_available_index(&self, index: u16) {
        // Release: the descriptors, the entries and the buffers are written, and the used elements
        // whose slots this gives back are read, before the device sees the index.
        self.atomic_u16(self.available + 2)
            .store(index, Ordering::Release);
    }

    /// A hint, without an order: `enable_interrupts_after` has the barrier.
    pub fn suppress_interrupts(&self, suppress: bool) {
        let flags = if suppress { SUPPRESS } else { 0 };
        self.atomic_u16(self.available)
            .store(flags, Ordering::Relaxed);
    }

    /// Requests an interrupt when the used index passes `index` (`used_event`).
    pub fn set_used_event(&self, index: u16) {
        let offset = self.available + 4 + 2 * usize::from(self.size);
        self.atomic_u16(offset).store(index, Ordering::Relaxed);
    }

    /// The index up to which the device has filled used elements.
    pub fn used_index(&self) -> u16 {
        // Acquire: the elements below it, and the buffers that they return, are read after it.
        self.atomic_u16(self.used + 2).load(Ordering::Acquire)
    }

    /// Id and length that the device wrote in used element `index`.
    pub fn used_element(&self, index: u16) -> (u32, u32) {
        let offset = self.used + 4 + 8 * self.slot(index);
        let id = self.atomic_u32(offset).load(Ordering::Relaxed);
        (id, self.atomic_u32(offset + 4).load(Ordering::Relaxed))
    }

    pub fn notifications_suppressed(&self) -> bool {
        self.atomic_u16(self.used).load(Ordering::Relaxed) & SUPPRESS != 0
    }

    /// The index at whose publication the device wants a notification (`avail_event`).
    pub fn available_event(&self) -> u16 {
        let offset = self.used + 4 + 8 * usize::from(self.size);
        self.atomic_u16(offset).load(Ordering::Relaxed)
    }
}
