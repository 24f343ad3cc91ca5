//! A ring of what the scheduler does, which `soil run --trace` reads out of the program's memory.
//!
//! `tools/src/trace.rs` knows the layout, and `tools/models` checks the order under loom.

use alloc::alloc::{Layout, alloc_zeroed};
use core::ptr::null_mut;
use sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};

/// Entries of the ring.
pub const CAPACITY: usize = 8192;
/// Words of an entry: time, kind, task, and the name's first 16 bytes.
pub const WORDS: usize = 5;

/// The part that the launcher reads and writes.
#[repr(C)]
pub struct Trace {
    /// Not 0: events are recorded. Written by the launcher.
    pub on: AtomicU64,
    /// Number of events so far; the last is in the ring before it is counted.
    pub count: AtomicU64,
    /// The ring, once there was an event.
    pub ring: AtomicPtr<AtomicU64>,
}

impl Trace {
    /// Without events.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Trace {
        Trace {
            on: AtomicU64::new(0),
            count: AtomicU64::new(0),
            ring: AtomicPtr::new(null_mut()),
        }
    }

    /// Whether the launcher listens. From any thread.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed) != 0
    }

    /// Records an event: what `task` does at the monotonic time `now`, and the first 16 bytes of a
    /// name. Of the thread with the scheduler. Does nothing without memory for the ring.
    #[cold]
    pub fn record(&self, now: u64, kind: u64, task: u64, name: &[u8]) {
        let mut ring = self.ring.load(Ordering::Relaxed);
        if ring.is_null() {
            let layout = Layout::new::<[AtomicU64; CAPACITY * WORDS]>();
            // SAFETY: the layout has a size.
            ring = unsafe { alloc_zeroed(layout) }.cast();
            if ring.is_null() {
                return;
            }
            self.ring.store(ring, Ordering::Relaxed);
        }
        let count = self.count.load(Ordering::Relaxed);
        // SAFETY: zeroed memory of that many words that is never freed.
        let entry = unsafe {
            &*ring
                .add(count as usize % CAPACITY * WORDS)
                .cast::<[AtomicU64; WORDS]>()
        };
        let mut text = 0;
        for byte in name.iter().take(16).rev() {
            text = text << 8 | u128::from(*byte);
        }
        // Release: who sees a part of this event in place of an old one also sees that all earlier
        // ones are counted, and drops the old one. The launcher reads a process while it runs.
        fence(Ordering::Release);
        let [at, of, by, first, second] = entry;
        at.store(now, Ordering::Relaxed);
        of.store(kind, Ordering::Relaxed);
        by.store(task, Ordering::Relaxed);
        first.store(text as u64, Ordering::Relaxed);
        second.store((text >> 64) as u64, Ordering::Relaxed);
        // Release: the event is in the ring before it is counted.
        self.count.store(count + 1, Ordering::Release);
    }
}
