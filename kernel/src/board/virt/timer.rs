//! The timer of the processor, as the one timer of the kernel.

use crate::arch::counter::counter;
use crate::arch::timer;
use crate::clock;

/// Interrupts once after `ns` nanoseconds, or earlier. Replaces the last call's.
pub fn set(ns: u64) {
    timer::set(counter().saturating_add(clock::ticks(ns)));
}
