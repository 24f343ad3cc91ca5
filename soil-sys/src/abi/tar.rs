//! Tar archives: a part of its own, since what refers to it carries it.

use crate::ffi::Int;
use resources::files::drivers;
use resources::runtime::call;

/// Makes tar archives one of the file systems that can be mounted.
#[unsafe(no_mangle)]
pub extern "C" fn soil_use_tar() -> Int {
    call(|rt| drivers::register(rt, drivers::TAR))
}
