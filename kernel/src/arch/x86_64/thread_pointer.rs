//! The register of thread-local storage: FS's base.

use x86_64::VirtAddr;
use x86_64::registers::model_specific::FsBase;

/// The current thread's pointer.
pub fn read() -> u64 {
    FsBase::read().as_u64()
}

/// Sets the current thread's pointer; returns `false`, and changes nothing, if it isn't canonical.
pub fn write(address: u64) -> bool {
    let address = VirtAddr::try_new(address);
    address.map(FsBase::write).is_ok()
}
