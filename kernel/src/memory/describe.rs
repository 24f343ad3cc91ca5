//! The meaning of an address: for crash reports, and for addresses passed to system calls.

use super::layout::{DEVICES, PROGRAM, STACKS, image};
use super::space::{MEMORY, Memory, with};
use super::vma::Protection;
use crate::arch::mmu::is_canonical;
use crate::arch::paging::{PAGE, is_borrowed, is_present, is_writable};
use crate::arch::stacks;
use alloc::vec::Vec;
use core::ops::Range;

/// The meaning of an address that faulted, for the crash report.
pub fn describe(address: u64, write: bool, fetch: bool) -> &'static str {
    let image = image::all();
    if address < PAGE {
        "null page: a null pointer was used"
    } else if address < image.start {
        "near the null page: a field or element of a null pointer was used"
    } else if stacks::guards().contains(&(address & !(PAGE - 1)))
        || (STACKS..DEVICES).contains(&address)
    {
        "guard page of a kernel stack: stack overflow"
    } else if is_stack_guard(address) {
        "guard page: stack overflow (in C or Rust)"
    } else if write && image::text().contains(&address) {
        "write to code"
    } else if write && image.contains(&address) {
        "write to read-only data"
    } else if fetch {
        "execution of what isn't code"
    } else if PROGRAM.contains(&address) {
        "memory that isn't mapped, or not for this access (freed?)"
    } else {
        "an address where nothing can be"
    }
}

/// The program's mappings and its stack, with their protection.
pub fn mappings() -> Vec<(Range<u64>, Protection)> {
    // Allocated before, since a growing vector may change them.
    let count = with(|memory| memory.vmas.iter().count());
    let mut mappings = Vec::with_capacity(count + 8);
    let room = mappings.capacity();
    with(|memory| {
        let all = memory.vmas.iter().take(room);
        mappings.extend(all.map(|vma| (vma.range.clone(), vma.protection)));
    });
    mappings
}

/// Whether `address` is inaccessible and a stack, which is the only memory writable without being
/// committed, lies above.
fn is_stack_guard(address: u64) -> bool {
    let find = |memory: &mut Option<Memory>| {
        let vmas = &memory.as_ref()?.vmas;
        let guard = vmas
            .find(address)
            .filter(|vma| vma.protection == Protection::default())?;
        let above = vmas.find(guard.range.end)?;
        Some(above.protection.write && !above.committed)
    };
    MEMORY.try_with(find).flatten().unwrap_or(false)
}

/// Whether all `len` bytes at `start` may be read (or written): the program's mappings, touched or
/// not, and the kernel's, except for device registers. Leases of received bytes and of files lie in
/// the kernel's memory.
pub fn permits(start: u64, len: u64, write: bool) -> bool {
    let end = start.checked_add(len);
    let Some(end) = end.filter(|_| is_canonical(start)) else {
        return false;
    };
    with(|memory| {
        if PROGRAM.contains(&start) {
            return memory.vmas.permits(&(start..end), write);
        }
        let mut address = start;
        while address < end {
            let (entry, size) = memory.tables.get(&mut memory.physical, address);
            if !is_present(entry) || is_borrowed(entry) || write && !is_writable(entry) {
                return false;
            }
            address = (address | (size - 1)).saturating_add(1);
        }
        true
    })
}

/// Whether `address` can be read without a fault that ends the program; for traces of a broken
/// stack.
pub fn is_readable(address: u64) -> bool {
    MEMORY
        .try_with(|memory| {
            let memory = memory.as_mut();
            memory.is_some_and(|memory| address < DEVICES && memory.present(address))
        })
        .unwrap_or(false)
}
