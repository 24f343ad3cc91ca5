//! Clocks and sleeping.

use super::program::{load, store};
use crate::errno::Errno;
use crate::{memory, time, wait};

pub(super) fn clock(which: u64) -> Result<u64, Errno> {
    match which {
        0 | 5 => Ok(time::wall_ns()),
        1..=4 | 6 | 7 => Ok(time::monotonic_ns()),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn put_timespec(result: u64, ns: u64) -> Result<u64, Errno> {
    store(result, &[ns / 1_000_000_000, ns % 1_000_000_000])
}

/// The `struct timespec` at `start` in nanoseconds; one too large for that is the largest there is.
pub(super) fn timespec(start: u64) -> Result<u64, Errno> {
    let [seconds, ns] = load(start)?;
    if seconds > i64::MAX as u64 || ns >= 1_000_000_000 {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(ns))
}

pub(super) fn sleep(deadline: u64) -> Result<u64, Errno> {
    while time::monotonic_ns() < deadline {
        wait::pause_until(Some(deadline));
    }
    Ok(0)
}

pub(super) fn clock_sleep(which: u64, flags: u64, request: u64) -> Result<u64, Errno> {
    const ABSOLUTE: u64 = 1;
    let span = timespec(request)?;
    let now = clock(which)?;
    let left = if flags & ABSOLUTE != 0 {
        span.saturating_sub(now)
    } else {
        span
    };
    sleep(time::monotonic_ns().saturating_add(left))
}

/// `struct rusage`: all time is the program's.
pub(super) fn usage(result: u64) -> Result<u64, Errno> {
    let now = time::monotonic_ns();
    let mut words = [0; 18];
    words[0] = now / 1_000_000_000;
    words[1] = now / 1000 % 1_000_000;
    words[4] = memory::statistics().in_use / 1024;
    store(result, &words)
}

pub(super) fn times(result: u64) -> Result<u64, Errno> {
    let ticks = time::monotonic_ns() / 10_000_000;
    if result != 0 {
        store(result, &[ticks, 0, 0, 0])?;
    }
    Ok(ticks)
}
