//! Physical memory as read before there is an address space, and by the parsers of firmware's
//! tables.

use super::layout::DIRECT;
use crate::arch::start::boot_mapped;

/// A range of usable memory: `[start, end)`, physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// The loader's memory map.
pub trait MemoryMap {
    /// The usable regions, in the loader's order, without what the loader left and must still be
    /// read above the image. The map itself may be below.
    fn usable<M: Physical>(&self, memory: &M) -> impl Iterator<Item = Region>;
}

/// The little-endian word at offset `at`.
pub fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads physical memory by its addresses.
///
/// # Implementation safety
/// `read` returns bytes that stay unchanged while the slice lives.
pub unsafe trait Physical {
    /// The `len` bytes at `address`, or `None` if they can't be read.
    fn read(&self, address: u64, len: usize) -> Option<&[u8]>;
}

/// Physical memory as mapped by the boot tables, except address 0, which counts as null.
pub struct BootMemory;

// SAFETY: nothing changes the loader's data while the kernel starts.
unsafe impl Physical for BootMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len as u64)?;
        let mapped = boot_mapped();
        // SAFETY: the boot tables map this range at DIRECT.
        (end <= mapped.end && address >= mapped.start && address != 0)
            .then(|| unsafe { core::slice::from_raw_parts((DIRECT + address) as *const u8, len) })
    }
}
