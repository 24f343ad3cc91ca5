//! `soil simulate`: the process as a node.

use crate::ffi::{Int, Text};
use platform::Simulation;
use resources::current::Current;
use resources::runtime::call;

/// Makes this process a node of the coordinator at the other end of the socket `fd`. Errors:
/// `Unsupported` in an image.
#[unsafe(no_mangle)]
pub extern "C" fn soil_simulation_attach(fd: Int) -> Int {
    call(|rt| match Current::attach(fd as i32) {
        Ok(()) => Ok(0),
        Err(failure) => rt.fail(failure),
    })
}

/// Sends `from[off .. off + len]` to the coordinator. Errors: `Unsupported` without one.
#[unsafe(no_mangle)]
pub extern "C" fn soil_simulation_note(from: Text, off: Int, len: Int) -> Int {
    call(|_| match Current::note(from.range(off, len)?) {
        true => Ok(0),
        false => Err(platform::error::Error::Unsupported.into()),
    })
}
