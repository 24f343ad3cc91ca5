//! The processor's use of page tables: the root, and the translations that it caches.

use super::paging::PAGE;
use core::ops::Range;
use x86_64::registers::control::{Cr2, Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, VirtAddr};

/// A flush is for all processors.
pub const BROADCASTS: bool = false;

/// Translates by the tables below the frame `root` from now on.
///
/// # Safety
/// They map all code and data in use as the current ones do.
pub unsafe fn activate(root: u64) {
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(root));
    // SAFETY: the caller's promise.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

/// Flushes the translation of one page.
pub fn flush(address: u64) {
    x86_64::instructions::tlb::flush(VirtAddr::new_truncate(address));
}

/// Flushes the translations of some pages.
pub fn flush_each(addresses: impl Iterator<Item = u64>) {
    addresses.for_each(flush);
}

/// Flushes all translations. QEMU's software TLB grows only here, see `memory::tlb`.
pub fn flush_all() {
    x86_64::instructions::tlb::flush_all();
}

/// Flushes the translations of these addresses.
pub fn flush_range(range: Range<u64>) {
    /// From this many pages on, flushing all translations is cheaper than flushing each.
    const EACH: u64 = 64;
    if range.end - range.start > EACH * PAGE {
        return flush_all();
    }
    flush_each(range.step_by(PAGE as usize));
}

/// The address whose access caused the last page fault.
pub(super) fn fault_address() -> u64 {
    Cr2::read_raw()
}

/// Whether an access that faulted is allowed by now: no, since walks of the tables are ordered as
/// other accesses are.
#[inline(always)]
pub fn translates(_: u64, _: bool) -> bool {
    false
}

/// Whether page tables can translate `address`.
pub fn is_canonical(address: u64) -> bool {
    VirtAddr::try_new(address).is_ok()
}
