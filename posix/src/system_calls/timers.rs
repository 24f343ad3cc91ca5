//! Timers that send signals: `setitimer`, `timer_create` and their like.

use super::program::{bytes_mut, load, store};
use crate::errors::Result;
use kernel::threads::program_timers::{self as timers, Event, Receiver, Setting};

/// Stores a `struct itimerval` (`unit` 1000) or a `struct itimerspec` (1).
fn put(at: u64, setting: Setting, unit: u64) -> Result<u64> {
    let parts = |ns: u64| [ns / 1_000_000_000, ns % 1_000_000_000 / unit];
    let [interval, value] = [setting.interval, setting.value].map(parts);
    store(at, &[interval[0], interval[1], value[0], value[1]])
}

/// Stores one of the two, unless `at` is null.
fn put_some(at: u64, setting: Setting, unit: u64) -> Result<u64> {
    match at {
        0 => Ok(0),
        at => put(at, setting, unit),
    }
}

/// Loads one of the two, whose fractions must be below a second. EINVAL otherwise.
fn get_setting(at: u64, unit: u64) -> Result<Setting> {
    let words: [u64; 4] = load(at)?;
    let ns = |seconds: u64, rest: u64| match i64::try_from(seconds) {
        Ok(_) if rest < 1_000_000_000 / unit => Ok(seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(rest * unit)),
        _ => Err(libc::EINVAL),
    };
    Ok(Setting {
        interval: ns(words[0], words[1])?,
        value: ns(words[2], words[3])?,
    })
}

/// `setitimer`.
pub fn set_interval(which: u64, new: u64, old: u64) -> Result<u64> {
    let setting = match new {
        // As on Linux: the timer is disarmed.
        0 => Setting::default(),
        new => get_setting(new, 1000)?,
    };
    put_some(old, timers::set_interval(which, setting)?, 1000)
}

/// `getitimer`.
pub fn interval(which: u64, to: u64) -> Result<u64> {
    put(to, timers::interval(which)?, 1000)
}

/// `timer_create`.
pub fn create(clock: u64, event: u64, to: u64) -> Result<u64> {
    let event = match event {
        0 => None,
        event => {
            // `sigev_value`, `sigev_signo` and `sigev_notify`, the thread.
            let [value, kind, thread] = load(event)?;
            let receiver = match (kind >> 32) as i32 {
                libc::SIGEV_NONE => Receiver::Nothing,
                // The C library manages its own thread.
                libc::SIGEV_SIGNAL | libc::SIGEV_THREAD => Receiver::Process,
                libc::SIGEV_THREAD_ID => Receiver::Thread(u64::from(thread as u32)),
                _ => return Err(libc::EINVAL),
            };
            Some(Event {
                receiver,
                signal: u64::from(kind as u32),
                value,
            })
        }
    };
    let into = bytes_mut(to, 4)?;
    let created = timers::create(clock, event)?;
    into.copy_from_slice(&(created as u32).to_le_bytes());
    Ok(0)
}

/// The place of a timer by its number, Linux's `timer_t`.
fn place(timer: u64) -> usize {
    timer as u32 as usize
}

/// `timer_settime`.
pub fn set(timer: u64, flags: u64, new: u64, old: u64) -> Result<u64> {
    let is_absolute = flags & libc::TIMER_ABSTIME as u64 != 0;
    let setting = get_setting(new, 1)?;
    put_some(old, timers::set(place(timer), setting, is_absolute)?, 1)
}

/// `timer_gettime`.
pub fn get(timer: u64, to: u64) -> Result<u64> {
    put(to, timers::get(place(timer))?, 1)
}

/// `timer_getoverrun`.
pub fn overrun(timer: u64) -> Result<u64> {
    Ok(timers::overrun(place(timer))?)
}

/// `timer_delete`.
pub fn delete(timer: u64) -> Result<u64> {
    timers::delete(place(timer))?;
    Ok(0)
}
