//! Clocks and sleeps, and times in the program's memory.

use super::program::{load, load_shared, store, store_shared};
use crate::errors::Result;
use kernel::time::{has_wall_for_all, monotonic_ns, monotonic_of, wall_ns};
use kernel::{halt, threads, wait};

/// `CLOCK_MONOTONIC`.
pub const MONOTONIC: u64 = libc::CLOCK_MONOTONIC as u64;

const SECOND_NS: u64 = 1_000_000_000;

/// A `struct timespec`.
const fn timespec(ns: u64) -> [u64; 2] {
    [ns / SECOND_NS, ns % SECOND_NS]
}

/// Seconds and their fractions of `unit` nanoseconds, in nanoseconds, saturating. A unit of 1 is a
/// `struct timespec`, one of 1000 a `struct timeval`.
///
/// # Errors
/// EINVAL for a negative number of seconds, or a fraction of a second or more.
fn span_of([seconds, parts]: [u64; 2], unit: u64) -> Result<u64> {
    // Linux takes any number of microseconds.
    let most = if unit == 1 {
        SECOND_NS - 1
    } else {
        i64::MAX as u64
    };
    if seconds > i64::MAX as u64 || parts > most {
        return Err(libc::EINVAL);
    }
    let parts = parts.saturating_mul(unit);
    Ok(seconds.saturating_mul(SECOND_NS).saturating_add(parts))
}

/// The deadline (monotonic nanoseconds) of a wait whose length is at `timeout`, in seconds and
/// units of `unit` nanoseconds; `None` if that is null.
pub fn deadline(timeout: u64, unit: u64) -> Result<Option<u64>> {
    if timeout == 0 {
        return Ok(None);
    }
    let span = span_of(load(timeout)?, unit)?;
    Ok(Some(monotonic_ns().saturating_add(span)))
}

/// The deadline (monotonic nanoseconds) of a wait until the time at `at`, of the real-time clock if
/// `is_real`; `None` if that is null.
pub fn absolute_deadline(at: u64, is_real: bool) -> Result<Option<u64>> {
    if at == 0 {
        return Ok(None);
    }
    let at = span_of(load(at)?, 1)?;
    Ok(Some(if is_real { monotonic_of(at) } else { at }))
}

/// The time of a clock, which may be made from the number of a process or a thread.
fn now(clock: u64) -> Result<u64> {
    match clock {
        0 | 5 => Ok(wall_ns()),
        1 | 4 | 6 | 7 => Ok(monotonic_ns()),
        2 => Ok(halt::process_ns()),
        _ => Ok(threads::used_time(clock)?),
    }
}

/// Whether all processors read the clock without changing it. The threads have the clocks of
/// processor time.
pub fn is_shared(arguments: [u64; 6]) -> bool {
    match arguments {
        [0 | 5, ..] => has_wall_for_all(),
        [1 | 4 | 6 | 7, ..] => true,
        _ => false,
    }
}

/// The same for the time of day.
pub fn is_wall_shared(_: [u64; 6]) -> bool {
    has_wall_for_all()
}

/// `clock_gettime`.
pub fn clock(clock: u64, to: u64) -> Result<u64> {
    store_shared(to, &timespec(now(clock)?))
}

/// `clock_getres`.
pub fn resolution(clock: u64, to: u64) -> Result<u64> {
    now(clock)?;
    match to {
        0 => Ok(0),
        _ => store(to, &timespec(1)),
    }
}

/// `gettimeofday`.
pub fn of_day(to: u64) -> Result<u64> {
    let now = wall_ns();
    store_shared(to, &[now / SECOND_NS, now / 1000 % 1_000_000])
}

/// `time`.
pub fn seconds(to: u64) -> Result<u64> {
    let now = wall_ns() / SECOND_NS;
    if to != 0 {
        store(to, &[now])?;
    }
    Ok(now)
}

/// `times`, in hundredths of a second.
pub fn used(to: u64) -> Result<u64> {
    const TICK_NS: u64 = 10_000_000;
    if to != 0 {
        store(to, &[halt::process_ns() / TICK_NS, 0, 0, 0])?;
    }
    Ok(monotonic_ns() / TICK_NS)
}

/// `clock_nanosleep`; the rest of an interrupted sleep goes to `rest`.
pub fn sleep(clock: u64, flags: u64, span: u64, rest: u64) -> Result<u64> {
    let span = span_of(load_shared(span)?, 1)?;
    match clock {
        // Clocks that can only be read.
        2..=6 => return Err(libc::EOPNOTSUPP),
        _ if (clock as i32) < 0 => return Err(libc::EINVAL),
        _ => {}
    }
    let is_absolute = flags & libc::TIMER_ABSTIME as u64 != 0;
    let now = now(clock)?;
    let left = if is_absolute {
        span.saturating_sub(now)
    } else {
        span
    };
    let deadline = monotonic_ns().saturating_add(left);
    let result = wait::sleep(Some(deadline));
    if result.is_err() && !is_absolute && rest != 0 {
        store_shared(rest, &timespec(deadline.saturating_sub(monotonic_ns())))?;
    }
    result?;
    Ok(0)
}
