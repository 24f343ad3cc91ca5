//! Descriptors for events of the process and for times: eventfd(2), timerfd_create(2).

use crate::memory::{load, store};
use crate::objects::{Kind, Timer};
use crate::state::{self, State};
use crate::wait::now;

const SECOND: u64 = 1_000_000_000;

/// eventfd2(2).
pub fn counter(value: u32, flags: i32) -> Result<i32, i32> {
    let kind = Kind::Counter {
        value: u64::from(value),
        semaphore: flags & libc::EFD_SEMAPHORE != 0,
    };
    state::with(|state| state.add(kind, flags))
}

/// timerfd_create(2).
pub fn timer(clock: i32, flags: i32) -> Result<i32, i32> {
    let kind = Kind::Timer(Timer {
        clock,
        next: None,
        interval: 0,
    });
    state::with(|state| state.add(kind, flags))
}

/// The nanoseconds of a `struct timespec`.
pub fn nanoseconds([seconds, nanoseconds]: [i64; 2]) -> u64 {
    let [seconds, rest] = [seconds, nanoseconds].map(|part| u64::try_from(part).unwrap_or(0));
    seconds.saturating_mul(SECOND).saturating_add(rest)
}

/// The `struct timespec` of nanoseconds.
pub fn timespec(ns: u64) -> [i64; 2] {
    [(ns / SECOND) as i64, (ns % SECOND) as i64]
}

/// The time of the monotonic clock at a time of another one.
pub fn monotonic_at(clock: i32, time: u64) -> u64 {
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_TAI => {
            let left = time.saturating_sub(sim::wall_ns().unwrap_or(0));
            now().saturating_add(left)
        }
        _ => time,
    }
}

impl Timer {
    /// Whether it has expired since it was read.
    pub fn has_expired(&self) -> bool {
        self.next.is_some_and(|next| next <= now())
    }

    /// How often it has expired since the last call.
    pub fn expirations(&mut self) -> u64 {
        let now = now();
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return 0;
        };
        let more = (now - next).checked_div(self.interval).unwrap_or(0);
        let passed = (more + 1).saturating_mul(self.interval);
        self.next = (self.interval > 0).then(|| next.saturating_add(passed));
        more + 1
    }

    /// The `struct itimerspec`: the interval, and the time left.
    fn status(&self) -> [i64; 4] {
        let left = self
            .next
            .map_or(0, |next| next.saturating_sub(now()).max(1));
        let ([a, b], [c, d]) = (timespec(self.interval), timespec(left));
        [a, b, c, d]
    }
}

fn find(state: &mut State, fd: i32) -> Result<&mut Timer, i32> {
    match &mut state.object(fd)?.kind {
        Kind::Timer(timer) => Ok(timer),
        _ => Err(libc::EINVAL),
    }
}

/// timerfd_settime(2).
pub fn set_timer(fd: i32, flags: i32, new: usize, old: usize) -> Result<isize, i32> {
    state::with(|state| {
        let timer = find(state, fd)?;
        let unread = u64::from(timer.has_expired());
        store(old, timer.status());
        let [a, b, c, d]: [i64; 4] = load(new);
        timer.interval = nanoseconds([a, b]);
        timer.next = match nanoseconds([c, d]) {
            0 => None,
            time if flags & libc::TFD_TIMER_ABSTIME != 0 => Some(monotonic_at(timer.clock, time)),
            left => Some(now().saturating_add(left)),
        };
        // The unread expiration is gone; the count doesn't go back.
        state.object(fd)?.arrivals += unread;
        Ok(0)
    })
}

/// timerfd_gettime(2).
pub fn get_timer(fd: i32, to: usize) -> Result<isize, i32> {
    state::with(|state| {
        store(to, find(state, fd)?.status());
        Ok(0)
    })
}
