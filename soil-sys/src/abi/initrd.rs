//! The machine's initrd: a part of its own, since what refers to it carries it.

use crate::ffi::Int;
use resources::files;
use resources::runtime::call;

/// Makes the files of the machine's initrd a file system that can be mounted, and mounts them at
/// `/` unless something is mounted there.
#[unsafe(no_mangle)]
pub extern "C" fn soil_use_initrd() -> Int {
    call(files::use_initrd)
}
