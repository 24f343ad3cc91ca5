//! Physical memory as read before there is an address space, and by the parsers of firmware's
//! tables.

use super::layout::{BOOT_MAPPED, DIRECT};

/// The type of usable memory in the memory map (E820's number).
const USABLE: u32 = 1;
/// Maximum number of entries, more than any loader reports; a longer map is truncated.
const MAX_REGIONS: usize = 128;
/// Bytes of an entry (`struct hvm_memmap_table_entry`).
const ENTRY: usize = 24;

/// A range of usable memory: `[start, end)`, physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// The loader's memory map, trusted only as far as its length.
#[derive(Clone, Copy, Debug)]
pub struct MemoryMap {
    address: u64,
    entries: usize,
}

impl MemoryMap {
    /// The map of `entries` entries at physical address `address`.
    pub fn new(address: u64, entries: u32) -> Self {
        Self {
            address,
            entries: (entries as usize).min(MAX_REGIONS),
        }
    }

    /// The usable regions, in the loader's order.
    pub fn usable<'a, M: Physical>(
        &self,
        memory: &'a M,
    ) -> impl Iterator<Item = Region> + use<'a, M> {
        let map = memory
            .read(self.address, self.entries * ENTRY)
            .unwrap_or(&[]);
        map.chunks_exact(ENTRY).filter_map(|entry| {
            let start = word(entry, 0)?;
            let end = start.checked_add(word(entry, 8)?)?;
            (word(entry, 16)? as u32 == USABLE && start < end).then_some(Region { start, end })
        })
    }
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
        // SAFETY: the first GiB is mapped at DIRECT by the boot tables.
        (end <= BOOT_MAPPED && address != 0)
            .then(|| unsafe { core::slice::from_raw_parts((DIRECT + address) as *const u8, len) })
    }
}
