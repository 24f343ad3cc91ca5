//! Shims for the process: the C library's allocator, and a panic handler that aborts.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt::Write;

/// Alignment of `malloc`'s memory on x86-64 in bytes (System V ABI: `max_align_t`).
const MALLOC_ALIGN: usize = 16;

struct Malloc;

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

// SAFETY: the C library's allocator, asked for at least the alignment of the layout.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size is allowed; `aligned_alloc` gets a power of two.
        unsafe {
            if layout.align() <= MALLOC_ALIGN {
                libc::malloc(layout.size()).cast()
            } else {
                libc::aligned_alloc(
                    layout.align(),
                    layout.size().next_multiple_of(layout.align()),
                )
                .cast()
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`; the memory has the size that is zeroed.
        unsafe {
            if layout.align() <= MALLOC_ALIGN {
                return libc::calloc(1, layout.size()).cast();
            }
            let memory = self.alloc(layout);
            if !memory.is_null() {
                memory.write_bytes(0, layout.size());
            }
            memory
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: it came from `malloc` or `aligned_alloc`.
        unsafe { libc::free(memory.cast()) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `memory` came from `alloc` with `layout`; the copy stays within the smaller of
        // both.
        unsafe {
            if layout.align() <= MALLOC_ALIGN {
                return libc::realloc(memory.cast(), size).cast();
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(memory, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            new
        }
    }
}

/// Writes directly to standard error: memory may be exhausted.
struct ErrorOutput;

impl Write for ErrorOutput {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        // SAFETY: reads within `text`.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(
        ErrorOutput,
        "soil: internal error, please report it: {info}"
    );
    // SAFETY: ends the process with SIGABRT.
    unsafe { libc::abort() }
}
