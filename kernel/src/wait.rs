//! Halting until something happens.
//!
//! Interrupts are closed whenever code runs, so one that comes between the caller's last look at its devices and the
//! halt stays pending in the APIC and ends the halt at once: no wake-up is lost.

use crate::{apic, power, time};

/// Halts until any interrupt or, if given, until the monotonic clock shows `deadline_ns`. May return early; the caller
/// looks at what it waits for and calls again. Nothing of the caller's runs meanwhile.
pub fn wait_until(deadline_ns: Option<u64>) {
    power::listen();
    match deadline_ns {
        Some(deadline) => {
            let now = time::monotonic_ns();
            if deadline <= now {
                return;
            }
            apic::set_timer(time::bus_clocks(deadline - now));
        }
        None => apic::set_timer(0),
    }
    x86_64::instructions::interrupts::enable_and_hlt();
    x86_64::instructions::interrupts::disable();
    power::obey();
}
