//! Prepares the PC.

use super::handover::Handover;
use super::irq;
use crate::acpi;

/// Prepares the console's devices, which PCs have at fixed ports.
pub fn early(_: &Handover) {}

/// Finds ACPI's tables, and prepares the interrupt controller and the timer.
pub fn late(handover: &Handover) {
    acpi::set_root(handover.rsdp);
    irq::set_up();
}
