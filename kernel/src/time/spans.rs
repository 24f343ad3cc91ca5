//! Times in the program's memory: `struct timespec` and `struct timeval`.

use super::{monotonic_ns, wall_ns};
use crate::errno::Errno;
use crate::memory::load;

/// The monotonic time of a time of day. Both in nanoseconds.
pub fn monotonic_of(real: u64) -> u64 {
    monotonic_ns().saturating_add(real.saturating_sub(wall_ns()))
}

/// A `struct timespec`.
pub const fn timespec(ns: u64) -> [u64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000]
}

/// Seconds and their fractions of `unit` nanoseconds, in nanoseconds, saturating. A unit of 1 is a
/// `struct timespec`, one of 1000 a `struct timeval`.
///
/// # Errors
/// EINVAL for a negative number of seconds, or a fraction of a second or more.
pub fn span_of([seconds, parts]: [u64; 2], unit: u64) -> Result<u64, Errno> {
    // Linux takes any number of microseconds.
    let most = if unit == 1 {
        999_999_999
    } else {
        i64::MAX as u64
    };
    if seconds > i64::MAX as u64 || parts > most {
        return Err(Errno::EINVAL);
    }
    let parts = parts.saturating_mul(unit);
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(parts))
}

/// The same at `start`.
pub fn span(start: u64, unit: u64) -> Result<u64, Errno> {
    span_of(load(start)?, unit)
}

/// The deadline of a wait whose length is at `timeout`, as for [`span`]; `None` if that is null.
pub fn deadline(timeout: u64, unit: u64) -> Result<Option<u64>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    span(timeout, unit).map(|span| Some(monotonic_ns().saturating_add(span)))
}

/// The deadline (monotonic nanoseconds) of a wait until the time at `at`, of the real-time clock if
/// `real`; `None` if that is null.
pub fn absolute_deadline(at: u64, real: bool) -> Result<Option<u64>, Errno> {
    if at == 0 {
        return Ok(None);
    }
    let at = span(at, 1)?;
    Ok(Some(match real {
        true => monotonic_of(at),
        false => at,
    }))
}
