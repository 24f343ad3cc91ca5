//! Rust's heap: a TLSF allocator (crate `rlsf`) over pages that are added on demand.
//!
//! Used by system calls, by calls of OCaml's, and by ticks, which run only if no use of a cell was
//! interrupted; never by an interrupt's handler.

use super::reserve::{on_heap_allocated, on_heap_freed};
use super::space;
use crate::arch::paging::PAGE;
use crate::cell::{ExclusiveCell, Guard, rank};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use rlsf::Tlsf;

/// Minimum growth of the heap: small, since `hello` has to run in 8 MiB.
const GROWTH: usize = 16 << 10;

struct State {
    /// Blocks up to 16 GiB in 28 classes of 16.
    tlsf: Tlsf<'static, u32, u16, 28, 16>,
    end: usize,
}

struct Heap(ExclusiveCell<State, rank::Heap>);

// SAFETY: the pointers inside point into heap pages, which belong to the holder of the cell.
unsafe impl Send for State {}

#[cfg_attr(not(any(test, loom)), global_allocator)]
static HEAP: Heap = Heap(ExclusiveCell::new(State {
    tlsf: Tlsf::new(),
    end: 0,
}));

/// Whether the heap isn't in use: false if a crash interrupted it.
pub fn is_free() -> bool {
    HEAP.0.try_with(|_| ()).is_some()
}

/// The heap in use.
type InUse<'a> = Guard<'a, State, rank::Heap>;

impl Heap {
    fn allocate(state: &mut InUse<'_>, layout: Layout) -> Option<NonNull<u8>> {
        if let Some(block) = state.tlsf.allocate(layout) {
            return Some(block);
        }
        // TLSF rounds sizes up to its classes, and needs a header and a sentinel.
        let need = layout
            .size()
            .checked_add(layout.size() / 8)?
            .checked_add(layout.align())?;
        let len = need
            .checked_add(256)?
            .max(GROWTH)
            .checked_next_multiple_of(PAGE as usize)?;
        let added = space::grow_heap(state, len)?;
        let start = added as *mut u8 as usize;
        let added = NonNull::new(added)?;
        // SAFETY: the pages are new; if they follow the last ones, those also belong to the heap.
        unsafe {
            if start == state.end {
                state.tlsf.append_free_block_ptr(added);
            } else {
                state.tlsf.insert_free_block_ptr(added);
            }
        }
        state.end = start + len;
        on_heap_freed(len);
        state.tlsf.allocate(layout)
    }
}

// SAFETY: TLSF returns blocks that are as large and aligned as requested, and that don't overlap.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut state = self.0.lock();
        let block = Heap::allocate(&mut state, layout);
        if block.is_some() {
            on_heap_allocated(layout.size());
        }
        block.map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            self.0.with(|state| {
                on_heap_freed(layout.size());
                // SAFETY: the caller's promise: the block is of this allocator, with this layout.
                unsafe { state.tlsf.deallocate(block, layout.align()) }
            });
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(old) = NonNull::new(block) else {
            return null_mut();
        };
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return null_mut();
        };
        let grown = self.0.with(|state| {
            // SAFETY: as for `dealloc`.
            let grown = unsafe { state.tlsf.reallocate(old, new_layout) };
            if grown.is_some() {
                on_heap_freed(layout.size());
                on_heap_allocated(new_size);
            }
            grown
        });
        if let Some(block) = grown {
            return block.as_ptr();
        }
        // SAFETY: as above; the copy is as long as the shorter of the two.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
