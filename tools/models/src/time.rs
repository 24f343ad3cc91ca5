//! As in `kernel`.

use std::cell::Cell;

loom::thread_local! {
    static POLLS: Cell<u8> = Cell::new(0);
}

/// Time stands still. Counts turns of polling: others run in between, and soon end it.
pub fn monotonic_ns() -> u64 {
    POLLS.with(|polls| {
        assert!(polls.get() < 100, "a processor polls for good");
        polls.set(polls.get() + 1);
    });
    0
}
