//! Clocks and sleeping.

use crate::errno::Errno;
use crate::memory::{self, load, store};
use crate::wait::For;
use crate::{signals, time, wait};

/// The time of the clock with this number. Clocks made from the number of a process or a thread are
/// [`crate::threads`]'s.
pub(super) fn clock(which: u64) -> Result<u64, Errno> {
    match which {
        0 | 5 => Ok(time::wall_ns()),
        1 | 4 | 6 | 7 => Ok(time::monotonic_ns()),
        // Of the process, and of the one thread.
        2 | 3 => Ok(wait::process_ns()),
        _ => Err(Errno::EINVAL),
    }
}

/// The monotonic time of a time of day. Both in nanoseconds.
pub(crate) fn monotonic_of(real: u64) -> u64 {
    time::monotonic_ns().saturating_add(real.saturating_sub(time::wall_ns()))
}

/// A `struct timespec`.
pub(super) const fn timespec(ns: u64) -> [u64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000]
}

pub(super) fn put_timespec(result: u64, ns: u64) -> Result<u64, Errno> {
    store(result, &timespec(ns))
}

/// Seconds and their fractions of `unit` nanoseconds, in nanoseconds, saturating. A unit of 1 is a
/// `struct timespec`, one of 1000 a `struct timeval`.
pub(super) fn span_of([seconds, parts]: [u64; 2], unit: u64) -> Result<u64, Errno> {
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
fn span(start: u64, unit: u64) -> Result<u64, Errno> {
    span_of(load(start)?, unit)
}

/// The deadline of a wait whose length is at `timeout`, as for [`span`]; `None` if that is null.
pub(crate) fn deadline(timeout: u64, unit: u64) -> Result<Option<u64>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    span(timeout, unit).map(|span| Some(time::monotonic_ns().saturating_add(span)))
}

/// The deadline (monotonic nanoseconds) of a wait until the time at `at`, of the real-time clock if
/// `real`; `None` if that is null.
pub(crate) fn absolute_deadline(at: u64, real: bool) -> Result<Option<u64>, Errno> {
    if at == 0 {
        return Ok(None);
    }
    let at = span(at, 1)?;
    Ok(Some(match real {
        true => monotonic_of(at),
        false => at,
    }))
}

/// Sleeps in a system call until the deadline (monotonic nanoseconds), or forever. Polls no device.
///
/// # Errors
/// EINTR when a signal is to be handled.
pub fn sleep(deadline: Option<u64>) -> Result<u64, Errno> {
    while deadline.is_none_or(|deadline| time::monotonic_ns() < deadline) {
        if signals::is_ready() {
            return Err(Errno::EINTR);
        }
        wait::pause_until(For::Time, deadline);
    }
    Ok(0)
}

/// `clock_nanosleep`; the rest of an interrupted sleep goes to `remaining`.
pub(super) fn clock_sleep(
    which: u64,
    flags: u64,
    request: u64,
    remaining: u64,
) -> Result<u64, Errno> {
    sleep_by(which, flags, span(request, 1)?, |rest| match remaining {
        0 => Ok(0),
        _ => put_timespec(remaining, rest),
    })
}

/// The same for `span` nanoseconds; an interrupted sleep's rest goes to `put_rest`.
pub(super) fn sleep_by(
    which: u64,
    flags: u64,
    span: u64,
    put_rest: impl FnOnce(u64) -> Result<u64, Errno>,
) -> Result<u64, Errno> {
    const ABSOLUTE: u64 = 1;
    // Clocks that can only be read.
    if matches!(which, 2..=6) {
        return Err(Errno::EOPNOTSUPP);
    }
    let now = clock(which)?;
    let absolute = flags & ABSOLUTE != 0;
    let left = if absolute {
        span.saturating_sub(now)
    } else {
        span
    };
    let deadline = time::monotonic_ns().saturating_add(left);
    let result = sleep(Some(deadline));
    if result.is_err() && !absolute {
        put_rest(deadline.saturating_sub(time::monotonic_ns()))?;
    }
    result
}

/// The `who` of `getrusage` for the running thread.
pub(crate) const THREAD_USAGE: u64 = 1;

/// Stores a `struct rusage`: all the time that was `used`, in nanoseconds, is the program's, none
/// the system's.
pub fn put_usage(result: u64, used: u64) -> Result<u64, Errno> {
    let mut words = [0; 18];
    words[0] = used / 1_000_000_000;
    words[1] = used / 1000 % 1_000_000;
    words[4] = memory::statistics().in_use / 1024;
    store(result, &words)
}

/// `times`, in hundredths of a second.
pub(super) fn times(result: u64) -> Result<u64, Errno> {
    const TICK_NS: u64 = 10_000_000;
    if result != 0 {
        store(result, &[wait::process_ns() / TICK_NS, 0, 0, 0])?;
    }
    Ok(time::monotonic_ns() / TICK_NS)
}
