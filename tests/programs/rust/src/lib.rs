//! A Rust library with an allocator, a panic and threads of its own, on the standard library. A
//! program that has Soil's library too calls it from OCaml.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Number of different remainders of 0, 7, 14, … (`count` numbers) by 100, counted by two threads.
#[unsafe(no_mangle)]
pub extern "C" fn second_remainders(count: isize) -> isize {
    let half = |first: isize| {
        move || {
            let mut seen = HashMap::new();
            for number in (first..count).step_by(2) {
                *seen.entry(number * 7 % 100).or_insert(0) += 1;
            }
            seen
        }
    };
    let other = thread::spawn(half(1));
    let mut seen = half(0)();
    for (remainder, times) in other.join().unwrap_or_default() {
        *seen.entry(remainder).or_insert(0) += times;
    }
    seen.len() as isize
}

/// Length of the message of a panic that is caught here.
#[unsafe(no_mangle)]
pub extern "C" fn second_panic(number: isize) -> isize {
    panic::set_hook(Box::new(|_| ()));
    let caught = panic::catch_unwind(|| {
        let message = format!("no {number}");
        assert!(number == 0, "{message}");
    });
    match caught {
        Ok(()) => 0,
        Err(message) => message
            .downcast_ref::<String>()
            .map_or(-1, |text| text.len() as isize),
    }
}

/// Number of calls of this library's own allocator so far.
#[unsafe(no_mangle)]
pub extern "C" fn second_allocations(_: isize) -> isize {
    ALLOCATIONS.load(Ordering::Relaxed) as isize
}
