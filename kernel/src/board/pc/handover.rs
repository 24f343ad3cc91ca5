//! What the loader left: PVH's start info.

use crate::acpi;
use crate::memory::{BootMemory, DIRECT};
use crate::seed;
use firmware::SEED;

pub use firmware::pvh::Info as Handover;

/// Reads the start info at this physical address, on the boot tables; `None` if it is invalid.
/// Takes the random bytes out of the loader's memory.
pub fn read(start_info: u64) -> Option<Handover> {
    let info = Handover::parse(&BootMemory, start_info)?;
    if let Some((address, bytes)) = info.seed(&BootMemory) {
        seed::keep(&bytes);
        #[expect(clippy::disallowed_methods, reason = "memory, not registers")]
        // SAFETY: the module's memory, which the boot tables map, as it was just read there;
        // nothing else refers to it.
        unsafe {
            ((DIRECT + address) as *mut [u8; SEED]).write_volatile([0; SEED])
        };
    }
    Some(info)
}

/// What the message of a failure names.
pub const NAME: &str = "PVH start info with a memory map";

/// The physical address of the machine's identifier, which changes when it resumes from a snapshot:
/// ACPI's "VM generation ID".
#[inline(always)]
pub fn machine_id() -> Option<u64> {
    acpi::tables().machine_id
}
