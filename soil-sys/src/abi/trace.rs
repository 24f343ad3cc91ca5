//! A ring of what the scheduler does, which `soil run --trace` reads out of the program's memory.
//!
//! The launcher switches it on, too, by a word of [`STATE`]: the program has no code for either.
//! `tools/src/trace.rs` knows the layout, and `tools/models` checks the order under loom.

use crate::ffi::{Int, Text};
use alloc::alloc::{Layout, alloc_zeroed};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
use platform::Clock;
use resources::current::Current;

/// Entries of the ring.
const CAPACITY: usize = 8192;
/// Words of an entry: time, kind, task, and the name's first 16 bytes.
const WORDS: usize = 5;

/// The part that the launcher reads and writes.
#[repr(C)]
pub struct State {
    /// Not 0: events are recorded. Written by the launcher.
    on: AtomicU64,
    /// Number of events so far; the last is in the ring before it is counted.
    count: AtomicU64,
    /// The ring, once there was an event.
    ring: AtomicPtr<AtomicU64>,
}

/// The state, by its name.
#[unsafe(export_name = "soil_trace_state")]
static STATE: State = State {
    on: AtomicU64::new(0),
    count: AtomicU64::new(0),
    ring: AtomicPtr::new(null_mut()),
};

/// Whether `soil run --trace` listens: 1 or 0. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tracing() -> Int {
    Int::from(STATE.on.load(Ordering::Relaxed) != 0)
}

/// Records an event of the scheduler, if `soil run --trace` listens: what `task` does, by one of
/// the `TRACE_*`, and a name, of which 16 bytes are kept. Of the thread with the scheduler.
#[unsafe(no_mangle)]
pub extern "C" fn soil_trace(kind: Int, task: Int, name: Text) -> Int {
    if STATE.on.load(Ordering::Relaxed) != 0 {
        record(kind, task, name.all());
    }
    0
}

#[cold]
fn record(kind: Int, task: Int, name: &[u8]) {
    let mut ring = STATE.ring.load(Ordering::Relaxed);
    if ring.is_null() {
        let layout = Layout::new::<[AtomicU64; CAPACITY * WORDS]>();
        // SAFETY: the layout has a size.
        ring = unsafe { alloc_zeroed(layout) }.cast();
        if ring.is_null() {
            return;
        }
        STATE.ring.store(ring, Ordering::Relaxed);
    }
    let count = STATE.count.load(Ordering::Relaxed);
    // SAFETY: only this function stores there, zeroed memory of that many words that is never
    // freed.
    let entry = unsafe {
        &*ring
            .add(count as usize % CAPACITY * WORDS)
            .cast::<[AtomicU64; WORDS]>()
    };
    let mut text = 0;
    for byte in name.iter().take(16).rev() {
        text = text << 8 | u128::from(*byte);
    }
    // Release: who sees a part of this event in place of an old one also sees that all earlier ones
    // are counted, and drops the old one. The launcher reads a process while it runs.
    fence(Ordering::Release);
    let [at, of, by, first, second] = entry;
    at.store(Current::monotonic_ns(), Ordering::Relaxed);
    of.store(kind as u64, Ordering::Relaxed);
    by.store(task as u64, Ordering::Relaxed);
    first.store(text as u64, Ordering::Relaxed);
    second.store((text >> 64) as u64, Ordering::Relaxed);
    // Release: the event is in the ring before it is counted.
    STATE.count.store(count + 1, Ordering::Release);
}
