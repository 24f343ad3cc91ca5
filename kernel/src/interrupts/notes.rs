//! Whether a device has interrupted since the last halt, for each of two that wait.
//!
//! `tools/models` checks it under loom.

use core::sync::atomic::{AtomicBool, Ordering};

/// A device has interrupted since [`take_pending`]. Set by interrupts, on any processor.
static PENDING: AtomicBool = AtomicBool::new(false);
/// The same since [`take_pending_for_call`].
static PENDING_FOR_CALL: AtomicBool = AtomicBool::new(false);

/// Whether a device has interrupted since the last call.
pub fn take_pending() -> bool {
    // Acquire: pairs with `note`. The caller then reads the devices' memory.
    PENDING.swap(false, Ordering::Acquire)
}

/// The same, for calls that wait for one device beside the thread that waits for all.
pub fn take_pending_for_call() -> bool {
    // Acquire: as above.
    PENDING_FOR_CALL.swap(false, Ordering::Acquire)
}

/// Records an event as if a device had interrupted.
pub fn note() {
    // Release: who takes the note, on any processor, sees what was written before the event. By an
    // exchange: a store would hide an earlier note of another processor, and the order with it.
    PENDING.swap(true, Ordering::Release);
    // Release: the same for the other one.
    PENDING_FOR_CALL.swap(true, Ordering::Release);
}
