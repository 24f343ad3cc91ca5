//! Interrupts of the processor that a thread stands for.

use std::cell::Cell;

thread_local! {
    /// A thread of this execution has a handler: the others needn't search for theirs.
    static ANY: Cell<bool> = const { Cell::new(false) };
}

loom::thread_local! {
    static HANDLER: Cell<Option<fn()>> = Cell::new(None);
}

/// No thread has a handler.
pub fn reset() {
    ANY.set(false);
}

/// Runs `handler` before each further operation of the current thread on an atomic or a cell, and
/// at each [`point`], but for those of the handler itself.
pub fn set_handler(handler: fn()) {
    ANY.set(true);
    HANDLER.with(|place| place.set(Some(handler)));
}

/// An interrupt comes here, if the thread has a handler.
pub fn point() {
    if !ANY.get() {
        return;
    }
    if let Some(handler) = HANDLER.with(Cell::take) {
        handler();
        HANDLER.with(|place| place.set(Some(handler)));
    }
}
