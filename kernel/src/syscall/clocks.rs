//! Clocks and sleeping.

use crate::errno::Errno;
use crate::memory::{self, store};
use crate::time::spans::{span, timespec};
use crate::wait::For;
use crate::{halt, signals, threads, time, wait};

/// The time of the clock with this number, which may be made from the number of a process or a
/// thread.
pub(super) fn clock(which: u64) -> Result<u64, Errno> {
    match which {
        0 | 5 => Ok(time::wall_ns()),
        1 | 4 | 6 | 7 => Ok(time::monotonic_ns()),
        2 => Ok(halt::process_ns()),
        _ => threads::used_time(which),
    }
}

pub(super) fn put_timespec(result: u64, ns: u64) -> Result<u64, Errno> {
    store(result, &timespec(ns))
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
    match which {
        // Clocks that can only be read.
        2..=6 => return Err(Errno::EOPNOTSUPP),
        _ if (which as i32) < 0 => return Err(Errno::EINVAL),
        _ => {}
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

/// Stores a `struct rusage`: all the time that was `used`, in nanoseconds, is the program's, none
/// the system's.
pub(super) fn put_usage(result: u64, used: u64) -> Result<u64, Errno> {
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
        store(result, &[halt::process_ns() / TICK_NS, 0, 0, 0])?;
    }
    Ok(time::monotonic_ns() / TICK_NS)
}
