//! Time.

use crate::ffi::Int;
use crate::platform::{Current, Platform};

/// Nanoseconds of a clock that never jumps; its zero is some time before the program's start.
#[unsafe(no_mangle)]
pub extern "C" fn soil_clock_monotonic_ns() -> Int {
    Int::try_from(Current::monotonic_ns()).unwrap_or(Int::MAX >> 1)
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
#[unsafe(no_mangle)]
pub extern "C" fn soil_clock_wall_ns() -> Int {
    Int::try_from(Current::wall_ns()).unwrap_or(Int::MAX >> 1)
}
