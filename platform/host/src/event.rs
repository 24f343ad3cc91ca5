//! The event that ends the program's sleep: an `eventfd`, cleared by a system call only if it was
//! raised.
//!
//! `tools/models` checks it under loom.

use crate::os;
use sync::atomic::{AtomicI32, AtomicUsize, Ordering};

static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
/// How often it was raised: at least the sum of what was written to it.
static RAISED: AtomicUsize = AtomicUsize::new(0);
/// The sum of what was read from it.
static CLEARED: AtomicUsize = AtomicUsize::new(0);

/// Creates it.
pub fn open() {
    DESCRIPTOR.store(create(0), Ordering::Relaxed);
}

fn create(value: u32) -> i32 {
    // SAFETY: a call without pointers.
    unsafe { os::eventfd(value, os::EFD_CLOEXEC | os::EFD_NONBLOCK) }
}

/// Replaces it in the child of a fork, which has one thread, by its own with the same descriptor
/// and value. The inherited one is the parent's: each would wake the other, which clears only what
/// it has raised and so never sleeps again, or would take the other's wake-up. If the system has no
/// memory for one, the child has none, and only times and descriptors end its sleeps.
pub fn reopen() {
    let number = descriptor();
    let unread = RAISED
        .load(Ordering::Relaxed)
        .wrapping_sub(CLEARED.load(Ordering::Relaxed));
    // SAFETY: calls without pointers on descriptors of this module.
    let event = unsafe {
        // First, so that the process has room for another.
        os::close(number);
        let event = create(unread as u32);
        // A lower number may be one that the program has freed for a file.
        let moved =
            event >= 0 && event != number && os::dup3(event, number, os::O_CLOEXEC) == number;
        if moved {
            os::close(event);
        }
        if moved { number } else { event }
    };
    DESCRIPTOR.store(event, Ordering::Relaxed);
}

/// Readable once it was raised; -1 before [`open`].
pub fn descriptor() -> i32 {
    DESCRIPTOR.load(Ordering::Relaxed)
}

/// Makes it readable. From any thread, and from handlers of signals.
pub fn raise() {
    // Before the write. The kernel orders it: who was woken by the write sees the number.
    RAISED.fetch_add(1, Ordering::Relaxed);
    let one = 1u64;
    // SAFETY: write(2) of 8 bytes, which doesn't block, and is safe in a handler.
    unsafe { os::write(descriptor(), (&raw const one).cast(), size_of::<u64>()) };
}

/// Makes it unreadable, if it was raised since the last time. One thread at a time. Where another
/// thread has counted and not written yet, the next call clears what it then writes: the numbers
/// differ until all that was written is read.
pub fn clear() {
    let cleared = CLEARED.load(Ordering::Relaxed);
    if RAISED.load(Ordering::Relaxed) != cleared {
        let mut read = 0u64;
        // SAFETY: an eventfd yields 8 bytes, or nothing; it doesn't block.
        unsafe { os::read(descriptor(), (&raw mut read).cast(), size_of::<u64>()) };
        CLEARED.store(cleared.wrapping_add(read as usize), Ordering::Relaxed);
    }
}
