//! Whether a device has interrupted since the last halt, for each of two that wait, how often one
//! has, for any number of others, and the order in which an interrupt is acknowledged, ended and
//! noted.
//!
//! `tools/models` checks it under loom.

use super::Handler;
use crate::board::vectors::TIMER;
use sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A device has interrupted since [`take_pending`]. Set by interrupts, on any processor.
static PENDING: AtomicBool = AtomicBool::new(false);
/// The same since [`take_pending_for_call`].
static PENDING_FOR_CALL: AtomicBool = AtomicBool::new(false);

/// Number of events so far. Counted by interrupts, on any processor.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Number of events so far: who waits for one reads it before the check after which it waits.
pub fn events() -> u64 {
    // Acquire: pairs with `note`. Who finds another event than before then checks again.
    EVENTS.load(Ordering::Acquire)
}

/// Whether a device has interrupted since the last call.
pub fn take_pending() -> bool {
    // Acquire: pairs with `note`. The caller then reads the devices' memory.
    PENDING.swap(false, Ordering::Acquire)
}

/// The same, for calls that wait for one device, while a thread waits for all.
pub fn take_pending_for_call() -> bool {
    // Acquire: as above.
    PENDING_FOR_CALL.swap(false, Ordering::Acquire)
}

/// Records an event as if a device had interrupted.
pub fn note() {
    // Release: who takes the note, on any processor, sees what was written before the event. By an
    // exchange: a store would hide an earlier note of another processor, and the order with it.
    PENDING.swap(true, Ordering::Release);
    // Release: the same for the other one, and for the rest.
    PENDING_FOR_CALL.swap(true, Ordering::Release);
    EVENTS.fetch_add(1, Ordering::Release);
}

/// Runs the handler of an interrupt, ends it, and notes a device's. The note comes last, since the
/// thread that takes it checks the device's memory and may sleep. Before the acknowledgement an
/// edge-triggered line may still be high, so that the device's next event raises no edge. Before
/// the end the controller may drop an edge (KVM's I/O APIC does where a line is routed as
/// level-triggered). Who takes the note sees what the device had done by then.
#[inline(always)]
pub fn complete(vector: u8, handler: Option<Handler>, end: impl FnOnce(u8)) {
    if let Some(handler) = handler {
        handler(vector);
    }
    end(vector);
    if vector != TIMER {
        note();
    }
}

#[cfg(test)]
mod tests {
    use super::{TIMER, complete, take_pending};
    use std::cell::Cell;

    thread_local! {
        static HANDLED: Cell<u8> = const { Cell::new(0) };
    }

    #[test]
    fn an_event_is_noted_once_the_interrupt_has_ended() {
        let handler = |vector| HANDLED.set(vector);
        complete(40, Some(handler), |vector| {
            assert_eq!((HANDLED.get(), vector), (40, 40));
            assert!(!take_pending(), "an edge may be dropped after it");
        });
        assert!(take_pending());
        complete(TIMER, None, |_| ());
        assert!(!take_pending(), "the timer is no device");
    }
}
