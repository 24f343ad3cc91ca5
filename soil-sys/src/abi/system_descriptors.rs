//! File descriptors of the system: a part of its own, for what waits for those of other libraries.

use crate::ffi::Int;
use platform::error::Stop;
use resources::runtime::{decode_direction, encode};
use resources::system_descriptors::await_ready;

/// Waits for the file descriptor `fd` of Linux, or of an image's system calls, to be ready for
/// `direction` (`PARK_READ`, `PARK_WRITE`). 1: it is, or a transfer would fail at once. It
/// completes with 0 when it may have become ready: call again. Errors: `Closed` (there is no such
/// descriptor).
#[unsafe(no_mangle)]
pub extern "C" fn soil_system_descriptor_await(fd: Int, direction: Int, token: Int) -> Int {
    let direction = decode_direction(direction).map_err(Stop::Error);
    encode(direction.and_then(|direction| await_ready(fd, direction, token)))
}
