//! The register of thread-local storage: FS's base.

use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, Msr};

/// The model-specific register of FS's base (IA32_FS_BASE).
const FS_BASE: Msr = Msr::new(0xc000_0100);

/// The current thread's pointer.
pub fn read() -> u64 {
    // SAFETY: reading the register affects nothing.
    unsafe { FS_BASE.read() }
}

/// Sets the current thread's pointer; returns `false`, and changes nothing, if it isn't canonical.
pub fn write(address: u64) -> bool {
    let address = VirtAddr::try_new(address);
    address.map(FsBase::write).is_ok()
}
