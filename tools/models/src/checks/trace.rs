//! The ring of the scheduler's events, which `soil run --trace` reads while the program runs.

#[rustfmt::skip]
#[path = "../../../../soil-sys/src/abi/trace.rs"]
mod ring;

use crate::ffi::Text;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
use loom::thread;
use ring::soil_trace;

/// The layout of `tools/src/trace.rs`.
const CAPACITY: u64 = 8192;
const WORDS: u64 = 5;
/// The word of an entry with its task.
const TASK: u64 = 2;

/// The part that the launcher reads and writes.
#[repr(C)]
struct State {
    on: AtomicU64,
    count: AtomicU64,
    ring: AtomicPtr<AtomicU64>,
}

unsafe extern "C" {
    /// The program's.
    #[link_name = "soil_trace_state"]
    safe static STATE: State;
}

/// Event `number` is of the task with that number.
fn record(number: u64) {
    soil_trace(1, number as isize, Text(b"task"));
}

/// The task of the entry for event `number`.
fn task(number: u64) -> &'static AtomicU64 {
    let at = number % CAPACITY * WORDS + TASK;
    // SAFETY: an entry of the ring, which is never freed.
    unsafe { &*STATE.ring.load(Ordering::Relaxed).add(at as usize) }
}

/// Reads both entries as `Trace::read_events` does. Each read is a system call, or a message: they
/// are in order.
fn read() {
    let count = STATE.count.load(Ordering::Acquire);
    let last = |slot| slot + (count - 1 - slot) / CAPACITY * CAPACITY;
    let entries = [0, 1].map(|slot| (last(slot), task(slot).load(Ordering::Relaxed)));
    fence(Ordering::Acquire);
    let oldest = STATE.count.load(Ordering::Relaxed) + 1 - CAPACITY;
    for (number, task) in entries {
        assert!(number < oldest || number == task, "{number}: {task}");
    }
}

/// The program overwrites the two oldest events while they are read.
pub fn trace() {
    STATE.on.store(1, Ordering::Relaxed);
    record(0);
    record(1);
    // The others.
    STATE.count.store(CAPACITY, Ordering::Relaxed);
    let launcher = thread::spawn(read);
    record(CAPACITY);
    record(CAPACITY + 1);
    launcher.join().expect("no panic");
}
