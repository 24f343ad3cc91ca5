//! Physical memory as read before there is an address space.

use super::layout::DIRECT;
use crate::arch::start::boot_mapped;
use firmware::memory::Physical;

/// Physical memory as mapped by the boot tables, except address 0, which counts as null.
pub struct BootMemory;

impl Physical for BootMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len as u64)?;
        let mapped = boot_mapped();
        // SAFETY: the boot tables map this range at DIRECT, and nothing changes the loader's data
        // while the kernel starts.
        (end <= mapped.end && address >= mapped.start && address != 0)
            .then(|| unsafe { core::slice::from_raw_parts((DIRECT + address) as *const u8, len) })
    }
}
