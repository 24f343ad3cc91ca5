//! volumes in memory: a part of its own, since what refers to it carries it.

use crate::ffi::Int;
use resources::files::drivers;
use resources::runtime::call;

/// Makes volumes in memory one of the file systems that can be mounted.
#[unsafe(no_mangle)]
pub extern "C" fn soil_use_memory() -> Int {
    call(|rt| drivers::register(rt, drivers::MEMORY))
}
