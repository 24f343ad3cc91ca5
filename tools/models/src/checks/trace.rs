//! The ring of the scheduler's events, which `soil run --trace` reads while the program runs.

use loom::thread;
use reactor::trace::{CAPACITY as ENTRIES, Trace, WORDS};
use std::sync::OnceLock;
use sync::atomic::{AtomicU64, Ordering, fence};

const CAPACITY: u64 = ENTRIES as u64;
/// The word of an entry with its task.
const TASK: usize = 2;

/// The program's.
static STATE: Trace = Trace::new();

/// The ring, the same in each execution: its words are loom's, and nothing writes to it.
fn ring() -> *mut AtomicU64 {
    static RING: OnceLock<&'static [AtomicU64]> = OnceLock::new();
    let words = || &*Vec::leak((0..ENTRIES * WORDS).map(|_| AtomicU64::new(0)).collect());
    RING.get_or_init(words).as_ptr().cast_mut()
}

/// Event `number` is of the task with that number.
fn record(number: u64) {
    STATE.record(0, 1, number, b"task");
}

/// The task of the entry for event `number`.
fn task(number: u64) -> &'static AtomicU64 {
    let at = number as usize % ENTRIES * WORDS + TASK;
    // SAFETY: an entry of the ring, which is never freed.
    unsafe { &*STATE.ring.load(Ordering::Relaxed).add(at) }
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
    STATE.ring.store(ring(), Ordering::Relaxed);
    record(0);
    record(1);
    // The others.
    STATE.count.store(CAPACITY, Ordering::Relaxed);
    let launcher = thread::spawn(read);
    record(CAPACITY);
    record(CAPACITY + 1);
    launcher.join().expect("no panic");
}
