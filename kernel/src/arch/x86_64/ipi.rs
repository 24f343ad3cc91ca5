//! Interrupts from one processor to another (IPIs), by the local APIC.

use super::apic::{self, Command, WAKE};

/// Ends a halt of the processor `id`, or its next one. With interrupts disabled.
pub fn wake(id: u64) {
    apic::send(Some(id as u32), Command::Interrupt(WAKE));
}

/// As [`wake`], all processors but this one at once; false if each is to be woken.
pub fn wake_others() -> bool {
    apic::send(None, Command::Interrupt(WAKE));
    true
}

/// Interrupts the processor `id` to stop it, whatever it does: the handler of exceptions finds out
/// that it is to stop. With interrupts disabled.
pub fn stop(id: u64) {
    apic::send(Some(id as u32), Command::NonMaskable);
}
