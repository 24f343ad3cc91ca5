//! What the loader left: PVH's start info.

use super::irq;
use crate::firmware;
use crate::memory::BootMemory;

pub use crate::firmware::pvh::StartInfo as Handover;

/// Reads the start info at this physical address, on the boot tables; `None` if it is invalid.
pub fn read(start_info: u64) -> Option<Handover> {
    Handover::parse(&BootMemory, start_info)
}

/// What the message of a failure names.
pub const NAME: &str = "PVH start info with a memory map";

/// Prepares the console's devices, which PCs have at fixed ports.
pub fn set_up_early(_: &Handover) {}

/// Mixes random bytes of the loader into `seed`; false: PVH has none.
#[inline(always)]
pub fn take_seed(_: &mut [u8; 32]) -> bool {
    false
}

/// Finds ACPI's tables, and prepares the interrupt controller and the timer.
pub fn set_up(handover: &Handover) {
    firmware::set_root(handover.rsdp);
    irq::set_up();
}

/// The physical address of the machine's identifier, which changes when it resumes from a snapshot:
/// ACPI's "VM generation ID".
#[inline(always)]
pub fn machine_id() -> Option<u64> {
    firmware::acpi().machine_id
}
