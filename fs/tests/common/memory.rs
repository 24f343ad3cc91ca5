//! Memory that a thread takes. A test program that measures it has [`Counting`] as its allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what each thread allocates.
pub struct Counting;

thread_local! {
    // Bytes now and at most. What one thread took and another gives back is negative there.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A thread that ends gives memory back after its counters are gone.
    let _ = BYTES.try_with(|counted| {
        let (now, peak) = counted.get();
        counted.set((now + bytes, peak.max(now + bytes)));
    });
}

// SAFETY: every call goes to `System` as it is; counting touches no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs `work`; its result, and the bytes that this thread had at most beyond those of before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, _) = BYTES.get();
    BYTES.set((before, before));
    let done = work();
    let (_, peak) = BYTES.get();
    (done, (peak - before) as usize)
}
