//! The memory that the program lends a system call, over a wait: another thread may unmap it
//! meanwhile, or close it.
//!
//! Calls that take memory away run one at a time with those that are lent some, so it stays until a
//! wait (`kernel/src/threads/calls.rs`). A call that goes on after one checks what it was lent once
//! more, and fails with [`libc::EFAULT`] as on Linux.
//! Memory that an operation of the runtime uses while the call waits ([`super::operation::block`])
//! is [`pinned`]: calls that take such memory away wait for the operation's end. It is a disk's, so
//! that they don't wait for long, and the disk may write to that memory.

use crate::errors::Result;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};
use platform::Wait;
use resources::current::Current;
use sync::mutex::{Mutex, level};

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Memory that was lent to a call.
#[derive(Clone, Copy)]
pub struct Lent {
    start: u64,
    len: u64,
    write: bool,
}

impl Lent {
    /// None.
    pub const NONE: Lent = Lent {
        start: 0,
        len: 0,
        write: false,
    };

    /// Memory that the call reads.
    pub fn to_read<T>(memory: &[T]) -> Lent {
        Lent {
            start: memory.as_ptr() as u64,
            len: size_of_val(memory) as u64,
            write: false,
        }
    }

    /// Memory that it writes.
    pub fn to_write<T>(memory: &mut [T]) -> Lent {
        Lent {
            write: true,
            ..Lent::to_read(memory)
        }
    }

    /// Fails with [`libc::EFAULT`] if the program can't use it any more.
    pub fn check(self) -> Result<()> {
        match self.len == 0 || permits(self.start, self.len, self.write) {
            true => Ok(()),
            false => Err(libc::EFAULT),
        }
    }

    fn range(self) -> Range<u64> {
        self.start..self.start + self.len
    }
}

/// Fails with [`libc::EFAULT`] if the program can't use memory any more that it has lent, to be
/// read or (`write`) written.
#[inline(never)]
pub fn check<T>(memory: &[T], write: bool) -> Result<()> {
    match permits(memory.as_ptr() as u64, size_of_val(memory) as u64, write) {
        true => Ok(()),
        false => Err(libc::EFAULT),
    }
}

#[cfg(feature = "image")]
fn permits(start: u64, len: u64, write: bool) -> bool {
    // Not the kernel's own check, which is inline in what these call.
    match write {
        true => kernel::memory::bytes_mut(start, len).is_ok(),
        false => kernel::memory::bytes(start, len).is_ok(),
    }
}

#[cfg(not(feature = "image"))]
fn permits(_: u64, _: u64, _: bool) -> bool {
    true
}

/// What operations use.
static PINNED: Mutex<Vec<Range<u64>>, level::Lent> = Mutex::new(Vec::new());
/// Counts their ends. Changes wake threads that wait.
static ENDS: AtomicU32 = AtomicU32::new(0);
/// Number of ranges, and of threads that wait for the end of one.
static COUNT: AtomicU32 = AtomicU32::new(0);
static WAITING: AtomicU32 = AtomicU32::new(0);

/// Memory that stays until this is dropped.
pub struct Pin(Range<u64>);

/// Pins memory for an operation.
///
/// # Errors
/// [`libc::ENOMEM`].
pub fn pinned(lent: Lent) -> Result<Pin> {
    let mut all = PINNED.lock();
    all.try_reserve(1).map_err(|_| libc::ENOMEM)?;
    all.push(lent.range());
    COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(Pin(lent.range()))
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut all = PINNED.lock();
        if let Some(at) = all.iter().position(|range| *range == self.0) {
            all.swap_remove(at);
            COUNT.fetch_sub(1, Ordering::Relaxed);
        }
        drop(all);
        if WAITING.load(Ordering::Relaxed) != 0 {
            ENDS.fetch_add(1, Ordering::Relaxed);
            Current::wake(&ENDS);
        }
    }
}

/// Whether any memory is pinned.
pub fn is_any_pinned() -> bool {
    COUNT.load(Ordering::Relaxed) != 0
}

/// Waits until nothing is pinned in the pages of the `len` bytes at `start`. The caller is about to
/// take them away: none is pinned from the return on, until it waits.
pub fn await_unpinned(start: u64, len: u64) {
    let end = start.saturating_add(len);
    let end = end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
    WAITING.fetch_add(1, Ordering::Relaxed);
    loop {
        // Relaxed: an end changes the list first, under its lock.
        let ends = ENDS.load(Ordering::Relaxed);
        let overlaps = |pinned: &Range<u64>| pinned.start < end && start < pinned.end;
        if !PINNED.lock().iter().any(overlaps) {
            break;
        }
        super::signals::within_call(false, || Current::await_release(&ENDS, ends));
    }
    WAITING.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{Lent, PAGE, await_unpinned, is_any_pinned, pinned};
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    #[repr(align(4096))]
    struct Pages([u8; 3 * PAGE as usize]);

    #[test]
    fn a_call_that_takes_memory_away_waits_for_the_operation_on_it() {
        static DONE: AtomicBool = AtomicBool::new(false);
        let mut memory = Box::new(Pages([0; 3 * PAGE as usize]));
        let start = memory.0.as_ptr() as u64;
        // The end of the second page.
        let lent = Lent::to_write(&mut memory.0[8000..8100]);
        let (first, second) = (pinned(lent).expect("memory"), pinned(lent).expect("memory"));
        assert!(is_any_pinned());
        // The other pages, and nothing.
        await_unpinned(start, PAGE);
        await_unpinned(start + 2 * PAGE, 1);
        await_unpinned(start + PAGE, 0);
        thread::scope(|scope| {
            // All of the second page.
            let taker = scope.spawn(|| {
                await_unpinned(start + PAGE, 1);
                assert!(DONE.load(Ordering::SeqCst));
            });
            drop(first);
            thread::sleep(Duration::from_millis(20));
            DONE.store(true, Ordering::SeqCst);
            drop(second);
            taker.join().expect("no panic");
        });
        assert!(!super::PINNED.lock().contains(&lent.range()));
    }
}
