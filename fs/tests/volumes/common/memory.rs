//! Memory use of a thread. A test program that measures it sets [`Counting`] as its allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Allocator that counts the allocations of each thread.
pub struct Counting;

thread_local! {
    // Current and peak bytes. Memory that one thread allocates and another frees is negative there.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A terminating thread frees memory after its counters are gone.
    let _ = BYTES.try_with(|counted| {
        let (now, peak) = counted.get();
        counted.set((now + bytes, peak.max(now + bytes)));
    });
}

// SAFETY: forwards every call to `System`; counting touches no allocated memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: forwards the caller's guarantee.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: forwards the caller's guarantee.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs `work`; returns its result, and the peak of this thread's memory above the level before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, _) = BYTES.get();
    BYTES.set((before, before));
    let done = work();
    let (_, peak) = BYTES.get();
    (done, (peak - before) as usize)
}
