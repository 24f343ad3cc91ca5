//! Memory shared with devices: their registers, and RAM by its physical addresses.

use super::layout::{DIRECT, HEAP, LARGE_PAGE};
use super::space::{Fault, Memory, clear, with};
use super::vma::whole_pages;
use crate::arch::cpu;
use crate::arch::paging::{
    Kind, PAGE, caching, frame_of, is_present, is_writable, page as entry_of, publish,
};

/// `len` zeroed bytes, contiguous, at a physical address that is a multiple of `align`: (physical,
/// virtual).
pub fn allocate_contiguous(len: usize, align: usize) -> Option<(u64, *mut u8)> {
    let len = whole_pages(len as u64)?;
    with(|memory| {
        if !memory.can_commit(len) {
            return None;
        }
        let first = memory
            .physical
            .frames
            .allocate_run((len / PAGE) as usize, align as u64)?;
        memory.physical.taken += len / PAGE;
        for page in (first..first + len).step_by(PAGE as usize) {
            // SAFETY: these frames were free.
            unsafe { clear(DIRECT + page) };
        }
        Some((first, (DIRECT + first) as *mut u8))
    })
}

/// Frees memory of [`allocate_contiguous`].
///
/// # Safety
/// `physical` and `len` are of one call, and neither the processor nor a device uses the memory.
pub unsafe fn free_contiguous(physical: u64, len: usize) {
    let Some(len) = whole_pages(len as u64) else {
        return;
    };
    with(|memory| {
        for page in (physical..physical + len).step_by(PAGE as usize) {
            memory.physical.frames.free(page);
            memory.physical.taken -= 1;
        }
    });
}

/// Calls `visit` with the physical ranges behind the `len` bytes at `start`, in order, adjacent
/// ones joined, until it returns false; touches pages that weren't yet. False if some of it isn't
/// readable memory: `visit` may have been called by then.
pub fn segments(
    start: u64,
    len: usize,
    write: bool,
    visit: &mut dyn FnMut(u64, usize) -> bool,
) -> bool {
    let Some(end) = start.checked_add(len as u64) else {
        return false;
    };
    let mut address = start;
    while address < end {
        // `visit` may need memory itself, so it isn't called while memory is in use.
        let Some((physical, len)) = with(|memory| memory.run(address, end, write)) else {
            return false;
        };
        if !visit(physical, len as usize) {
            break;
        }
        address += len;
    }
    true
}

impl Memory {
    /// The physical address of `start` and how many bytes from there on, up to `end`, are
    /// contiguous.
    fn run(&mut self, start: u64, end: u64, write: bool) -> Option<(u64, u64)> {
        let mut address = start;
        let mut first = None;
        while address < end {
            let Some((physical, size)) = self.translate(address, write) else {
                break;
            };
            if physical != *first.get_or_insert(physical) + (address - start) {
                break;
            }
            address += (size - address % size).min(end - address);
        }
        Some((first?, address - start))
    }

    /// The physical address of `address` and the size of its page.
    fn translate(&mut self, address: u64, write: bool) -> Option<(u64, u64)> {
        let (entry, size) = self.tables.get(&mut self.physical, address);
        if is_present(entry) {
            return (!write || is_writable(entry))
                .then(|| ((frame_of(entry) & !(size - 1)) + address % size, size));
        }
        if self.fault(address, write, false) != Fault::Mapped {
            return None;
        }
        let (entry, size) = self.tables.get(&mut self.physical, address);
        Some(((frame_of(entry) & !(size - 1)) + address % size, size))
    }
}

/// Whether some of the `len` bytes at `physical` are RAM that the machine reported as usable.
pub fn is_ram(physical: u64, len: usize) -> bool {
    let end = physical.saturating_add(len as u64).min(HEAP - DIRECT);
    let mut pages = (physical & !(PAGE - 1)..end).step_by(PAGE as usize);
    with(|memory| pages.any(|page| memory.present(DIRECT + page)))
}

/// Whether video memory can't be there: the range has a free frame, or a whole block of the direct
/// map. At its ends it may share a block with RAM, since firmware takes it from RAM without a
/// display of its own (QEMU's `ramfb`). RAM in use that shares such a block isn't noticed: the
/// address is the word of the firmware, or of the machine that has the device.
pub fn overlaps_ram(physical: u64, len: usize) -> bool {
    let end = physical.saturating_add(len as u64).min(HEAP - DIRECT);
    let mut pages = (physical & !(PAGE - 1)..end).step_by(PAGE as usize);
    with(|memory| {
        pages.any(|page| {
            let block = page & !(LARGE_PAGE - 1);
            let is_inside = block >= physical && block + LARGE_PAGE <= end;
            let is_free = memory.physical.frames.is_free(page / PAGE);
            is_free || is_inside && memory.present(DIRECT + page)
        })
    })
}

/// Maps device registers at a physical address; `None` for an address that the processor or the
/// windows don't have, for a page that is mapped as memory, and when no memory is left for the
/// tables.
pub fn map_device(physical: u64, len: usize) -> Option<*mut u8> {
    map(physical, len, entry_of(0, Kind::Registers))
}

/// Maps memory that firmware or the host keeps, for reading; `None` likewise. It isn't RAM that the
/// machine reported as usable.
pub fn map_firmware(physical: u64, len: usize) -> Option<*mut u8> {
    map(physical, len, entry_of(0, Kind::Firmware))
}

/// Maps video memory likewise; writes to it are combined.
pub fn map_video(physical: u64, len: usize) -> Option<*mut u8> {
    cpu::enable_write_combining();
    map(physical, len, entry_of(0, Kind::Video))
}

/// Maps memory other than usable RAM by entries with these attributes.
fn map(physical: u64, len: usize, attributes: u64) -> Option<*mut u8> {
    let end = physical.checked_add(len as u64)?;
    // Every 64-bit processor has the first 4 GiB.
    if end > 1 << 32 && end > 1 << cpu::physical_address_bits() {
        return None;
    }
    with(|memory| {
        let address = memory.windows.address(physical, end)?;
        let distance = address.wrapping_sub(physical);
        for page in (physical & !(PAGE - 1)..end).step_by(PAGE as usize) {
            let entry = page | attributes;
            let page = page.wrapping_add(distance);
            let (before, _) = memory.tables.get(&mut memory.physical, page);
            let entry = shared(before, entry)?;
            memory.tables.set(&mut memory.physical, page, entry).ok()?;
        }
        publish();
        Some(address as *mut u8)
    })
}

/// The entry of a page of device memory that has the entry `before`, or none, and is to have `new`.
/// Registers stay uncached for who only reads memory; `None` if the page is cached and mustn't be,
/// since caches may hold some of it.
fn shared(before: u64, new: u64) -> Option<u64> {
    if !is_present(before) || caching(before) == caching(new) {
        return Some(new);
    }
    (caching(before) == caching(entry_of(0, Kind::Registers))).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::{Kind, entry_of, shared};

    #[test]
    fn a_page_is_cached_in_one_way() {
        let [registers, firmware, video] =
            [Kind::Registers, Kind::Firmware, Kind::Video].map(|kind| entry_of(0x9000, kind));
        for first in [registers, firmware, video] {
            assert_eq!(shared(0, first), Some(first));
            assert_eq!(shared(first, first), Some(first));
        }
        assert_eq!(shared(registers, firmware), Some(registers));
        assert_eq!(shared(firmware, registers), None);
        assert_eq!(shared(video, registers), None);
    }
}
