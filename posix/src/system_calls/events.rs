//! `epoll`, `eventfd`, `timerfd` and `signalfd`.

use super::poll;
use super::program::{bytes, bytes_mut, load, store};
use super::signals::wait_under;
use super::time::deadline;
use crate::blocking::{readiness, signals};
use crate::errors::Result;
use crate::file::{Description, File};
use crate::files::epoll::{self, Epoll, Event};
use crate::files::eventfd::Counter;
use crate::files::signalfd::Signals;
use crate::files::timerfd::{Setting, Timer};
use crate::process;
use crate::table::MAX_OPEN;
use core::mem::offset_of;

/// Bytes of `struct epoll_event`, which is packed on x86-64.
const EVENT: u64 = size_of::<libc::epoll_event>() as u64;
/// The word of its data.
const DATA: usize = offset_of!(libc::epoll_event, u64) / 4;

/// A descriptor of a new file; `flags` are those of the call, of which `others` are permitted in
/// addition to those of `open`.
fn insert(file: impl File, flags: u64, others: i32) -> Result<u64> {
    let flags = flags as i32;
    if flags & !(libc::O_CLOEXEC | libc::O_NONBLOCK | others) != 0 {
        return Err(libc::EINVAL);
    }
    let access = libc::O_RDWR | flags & libc::O_NONBLOCK;
    process::install(Description::new(file, access), flags)
}

/// `epoll_create`.
pub fn epoll_create(size: u64) -> Result<u64> {
    if (size as i32) <= 0 {
        return Err(libc::EINVAL);
    }
    epoll_create1(0)
}

/// `epoll_create1`.
pub fn epoll_create1(flags: u64) -> Result<u64> {
    if flags as i32 & !libc::EPOLL_CLOEXEC != 0 {
        return Err(libc::EINVAL);
    }
    insert(Epoll::new(), flags, 0)
}

/// `epoll_ctl`.
pub fn epoll_ctl(set: u64, operation: u64, descriptor: u64, event: u64) -> Result<u64> {
    let (outer, description) = (process::get(set)?, process::get(descriptor)?);
    epoll::control(&outer, operation as i32, (descriptor, &description), || {
        let bytes = bytes(event, EVENT)?;
        let word = |at: usize| {
            let bytes = bytes.chunks_exact(4).nth(at);
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        Ok(Event {
            events: word(0),
            data: u64::from(word(DATA)) | u64::from(word(DATA + 1)) << 32,
        })
    })?;
    readiness::changed();
    Ok(0)
}

/// `epoll_wait`.
pub fn epoll_wait([set, list, most, timeout, ..]: [u64; 6]) -> Result<u64> {
    wait(set, list, most, poll::deadline_ms(timeout))
}

/// `epoll_pwait`.
pub fn epoll_pwait([set, list, most, timeout, mask, size]: [u64; 6]) -> Result<u64> {
    wait_under(mask, size)?;
    wait(set, list, most, poll::deadline_ms(timeout))
}

/// `epoll_pwait2`.
pub fn epoll_pwait2([set, list, most, timeout, mask, size]: [u64; 6]) -> Result<u64> {
    let deadline = deadline(timeout, 1)?;
    wait_under(mask, size)?;
    wait(set, list, most, deadline)
}

fn wait(set: u64, list: u64, most: u64, deadline: Option<u64>) -> Result<u64> {
    /// Linux's `EP_MAX_EVENTS`.
    const MAX_EVENTS: i32 = i32::MAX / EVENT as i32;
    if !(1..=MAX_EVENTS).contains(&(most as i32)) {
        return Err(libc::EINVAL);
    }
    let description = process::get(set)?;
    let epoll = description.downcast::<Epoll>().ok_or(libc::EINVAL)?;
    // At most the number of descriptors.
    let most = most.min(MAX_OPEN as u64);
    // Also of an empty set: another thread may add to it meanwhile.
    let found = readiness::wait_for(deadline, libc::EINTR, |rt| {
        // Before events are taken, which would be lost with a list that isn't mapped completely.
        let room = match bytes_mut(list, most * EVENT) {
            Ok(_) => most,
            Err(_) => bytes_mut(list, EVENT).map(|_| 1)?,
        };
        let found = epoll.take(rt, room as usize);
        Ok(Some(found).filter(|found| !found.is_empty()))
    })?;
    let found = found.unwrap_or_default();
    let into = bytes_mut(list, found.len() as u64 * EVENT)?;
    for (into, event) in into.chunks_exact_mut(EVENT as usize).zip(&found) {
        let (events, data) = into.split_at_mut(4 * DATA);
        if let Some(events) = events.first_chunk_mut() {
            *events = event.events.to_le_bytes();
        }
        data.copy_from_slice(&event.data.to_le_bytes());
    }
    Ok(found.len() as u64)
}

/// `eventfd2`, and `eventfd` without flags.
pub fn eventfd(value: u64, flags: u64) -> Result<u64> {
    let semaphore = flags as i32 & libc::EFD_SEMAPHORE != 0;
    let counter = Counter::new(value as u32, semaphore);
    insert(counter, flags, libc::EFD_SEMAPHORE)
}

/// `timerfd_create`.
pub fn timerfd_create(clock: u64, flags: u64) -> Result<u64> {
    insert(Timer::new(clock as i32)?, flags, 0)
}

fn with_timer<T>(descriptor: u64, f: impl FnOnce(&Timer) -> Result<T>) -> Result<T> {
    let description = process::get(descriptor)?;
    f(description.downcast().ok_or(libc::EINVAL)?)
}

/// Stores a `struct itimerspec`.
fn put(result: u64, setting: Setting) -> Result<u64> {
    let parts = |ns: u64| [ns / 1_000_000_000, ns % 1_000_000_000];
    let [interval, value] = [setting.interval, setting.value].map(parts);
    store(result, &[interval, value].concat())
}

/// `timerfd_settime`.
pub fn timerfd_settime(descriptor: u64, flags: u64, new: u64, old: u64) -> Result<u64> {
    let flags = flags as i32;
    let words: [u64; 4] = load(new)?;
    if flags & !(libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(libc::EINVAL);
    }
    let ns = |seconds: u64, ns: u64| match (i64::try_from(seconds), ns) {
        (Ok(_), 0..1_000_000_000) => Ok(seconds.saturating_mul(1_000_000_000).saturating_add(ns)),
        _ => Err(libc::EINVAL),
    };
    let [a, b, c, d] = words;
    let setting = Setting {
        interval: ns(a, b)?,
        value: ns(c, d)?,
    };
    let absolute = flags & libc::TFD_TIMER_ABSTIME != 0;
    let before = with_timer(descriptor, |timer| Ok(timer.set(setting, absolute)))?;
    readiness::changed();
    match old {
        0 => Ok(0),
        old => put(old, before),
    }
}

/// `timerfd_gettime`.
pub fn timerfd_gettime(descriptor: u64, result: u64) -> Result<u64> {
    put(result, with_timer(descriptor, |timer| Ok(timer.setting()))?)
}

/// `signalfd4`, and `signalfd` without flags.
pub fn signalfd(descriptor: u64, mask: u64, size: u64, flags: u64) -> Result<u64> {
    /// SIGKILL and SIGSTOP can't be read.
    const FIRM: u64 = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);
    if size != 8 {
        return Err(libc::EINVAL);
    }
    let [set] = load(mask)?;
    let set = set & !FIRM;
    if descriptor as i32 == -1 {
        return insert(Signals::new(set), flags, 0);
    }
    let description = process::get(descriptor)?;
    let signals = description.downcast::<Signals>().ok_or(libc::EINVAL)?;
    signals.set(set);
    readiness::changed();
    Ok(descriptor)
}

/// `rt_sigtimedwait`.
pub fn await_signal(mask: u64, information: u64, timeout: u64, size: u64) -> Result<u64> {
    /// Bytes of `siginfo_t`.
    const INFORMATION: u64 = 128;
    if size != 8 {
        return Err(libc::EINVAL);
    }
    let [set] = load(mask)?;
    let deadline = deadline(timeout, 1)?;
    let found = readiness::wait_for(deadline, libc::EINTR, |_| {
        readiness::await_signals(set);
        Ok(signals::take(set))
    })?;
    let taken = found.ok_or(libc::EAGAIN)?;
    if information != 0 {
        bytes_mut(information, INFORMATION)?.fill(0);
        let [first, second] = taken.sender.map(u64::from);
        // `si_signo`, `si_code`, the sender, `si_value`.
        let words = [
            taken.signal,
            u64::from(taken.code),
            first | second << 32,
            taken.value,
        ];
        store(information, &words)?;
    }
    Ok(taken.signal)
}
