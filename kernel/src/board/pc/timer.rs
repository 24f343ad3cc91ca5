//! The timer: the local APIC's.

use super::clock;
use crate::arch::apic;

/// Interrupts once after `ns` nanoseconds, or earlier. Replaces the last call's.
pub fn set(ns: u64) {
    apic::set_timer(clock::bus_clocks(ns));
}
