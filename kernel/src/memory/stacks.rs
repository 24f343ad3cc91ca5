//! Stacks of threads: the kernel stack of each, and the program's stacks, which grow on demand.

use super::layout::STACKS;
use super::space::{READ_WRITE, with, with_room};
use super::vma::{Protection, Vma};
use crate::arch::paging::{PAGE, publish};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a thread's stack for system calls.
const KERNEL_STACK: u64 = 16 << 10;
/// Distance between two stacks: the lower half is never mapped.
pub(super) const STEP: u64 = 2 * KERNEL_STACK;

/// Number of stacks allocated by [`kernel_stack`]. Changed within a use of the address space.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// The end of a new stack of [`KERNEL_STACK`] bytes, all present, with a guard below. It is never
/// freed. `None` when memory is short.
pub fn kernel_stack() -> Option<u64> {
    with(|memory| {
        let number = GIVEN.load(Ordering::Relaxed);
        let end = STACKS + (number + 1) * STEP;
        if !memory.can_commit(KERNEL_STACK) {
            return None;
        }
        let mut pages = (end - KERNEL_STACK..end).step_by(PAGE as usize);
        // Allocated pages stay for the next call.
        if !pages.all(|page| memory.map_zeroed(page, READ_WRITE, false)) {
            return None;
        }
        publish();
        GIVEN.store(number + 1, Ordering::Relaxed);
        Some(end)
    })
}

/// The addresses of a thread's stack that ends at `end`; `None` unless that is mapped writable.
///
/// A stack that the C library mapped, which has a guard below, grows on demand from then on, as the
/// program's first stack does. Untouched pages are no longer committed, so that thousands of
/// threads use only what they touch. Memory that the program mapped stays committed.
pub fn grow_on_demand(end: u64) -> Option<Range<u64>> {
    with_room(|memory| {
        let vma = memory.vmas.find(end.checked_sub(1)?)?.clone();
        if !vma.protection.write {
            return None;
        }
        // Memory above `end` belongs to the thread as well, but may be joined to other mappings.
        let range = vma.range.start..end.next_multiple_of(PAGE).min(vma.range.end);
        let below = range
            .start
            .checked_sub(1)
            .and_then(|at| memory.vmas.find(at));
        let guarded = below.is_some_and(|below| below.protection == Protection::default());
        if vma.committed && guarded {
            let mut touched = 0;
            for page in range.clone().step_by(PAGE as usize) {
                touched += u64::from(memory.tables.get(&mut memory.physical, page).0 != 0);
            }
            memory.physical.taken += touched;
            memory.vmas.remove(&range);
            memory.vmas.insert(Vma {
                range: range.clone(),
                committed: false,
                ..vma
            });
        }
        Some(range)
    })
}
