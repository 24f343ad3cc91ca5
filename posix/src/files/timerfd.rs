//! timerfd_create(2): reads the expirations of a timer.

use crate::blocking::lent::Lent;
use crate::blocking::readiness::{self, Events};
use crate::errors::Result;
use crate::file::{File, Offset};
use crate::stat::Stat;
use alloc::string::String;
use platform::Clock;
use resources::Runtime;
use resources::current::Current;
use sync::mutex::{Mutex, level};

/// The time until the first expiration and the interval, in nanoseconds, as in `struct itimerspec`:
/// 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// The interval.
    pub interval: u64,
    /// Until the next one.
    pub value: u64,
}

/// A timer.
pub struct Timer {
    /// It uses the wall clock (`CLOCK_REALTIME`).
    real: bool,
    state: Mutex<State, level::Timer>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// The next expiration, in monotonic nanoseconds.
    next: Option<u64>,
    interval: u64,
    /// Unread expirations.
    unread: u64,
    /// Number of expirations and settings.
    changes: u64,
}

impl State {
    /// Counts the expirations until `now`.
    fn advance(&mut self, now: u64) {
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return;
        };
        let more = (now - next).checked_div(self.interval);
        self.unread += 1 + more.unwrap_or(0);
        self.changes += 1;
        let after = |more: u64| next.saturating_add((1 + more).saturating_mul(self.interval));
        self.next = more.map(after);
    }
}

impl Timer {
    /// A disarmed timer of this clock. [`libc::EINVAL`] for an unknown one.
    pub fn new(clock: i32) -> Result<Timer> {
        let real = match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_ALARM => true,
            libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME | libc::CLOCK_BOOTTIME_ALARM => false,
            _ => return Err(libc::EINVAL),
        };
        Ok(Timer {
            real,
            state: Mutex::new(State::default()),
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State, u64) -> T) -> T {
        let now = Current::monotonic_ns();
        let mut state = self.state.lock();
        state.advance(now);
        f(&mut state, now)
    }

    /// `timerfd_settime`; if `absolute`, the value is a time of the timer's clock. Returns the old
    /// setting.
    pub fn set(&self, setting: Setting, absolute: bool) -> Setting {
        self.with(|state, now| {
            let old = state.setting(now);
            let clock = match absolute {
                true if self.real => Current::wall_ns(),
                true => now,
                false => 0,
            };
            let left = setting.value.saturating_sub(clock);
            state.next = (setting.value != 0).then(|| now.saturating_add(left));
            state.interval = setting.interval;
            state.unread = 0;
            state.changes += 1;
            old
        })
    }

    /// `timerfd_gettime`.
    pub fn setting(&self) -> Setting {
        self.with(|state, now| state.setting(now))
    }

    /// Whether it has expired, and the time of the next expiration.
    fn state(&self) -> (bool, Option<u64>) {
        self.with(|state, _| (state.unread > 0, state.next))
    }

    /// Takes the number of expirations since the last call; `None` if there were none.
    fn take(&self, into: &mut [u8]) -> Result<Option<usize>> {
        let into = into.get_mut(..8).ok_or(libc::EINVAL)?;
        let unread = self.with(|state, _| core::mem::take(&mut state.unread));
        into.copy_from_slice(&unread.to_le_bytes());
        Ok((unread > 0).then_some(8))
    }
}

impl File for Timer {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat::special(0, 0o600, 1))
    }

    fn name(&self) -> String {
        "anon_inode:[timerfd]".into()
    }

    fn read(&self, into: &mut [u8], _: Offset, flags: i32) -> Result<usize> {
        readiness::retry(flags, Lent::to_write(into), |rt| {
            // Records its next expiration.
            self.events(rt);
            self.take(into)
        })
    }

    fn has_more(&self) -> bool {
        false
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        let (expired, next) = self.state();
        if let (false, Some(next)) = (expired, next) {
            readiness::await_timer(rt, next);
        }
        Events::when(expired, Events::IN)
    }

    /// Every expiration and setting changes it.
    fn changes(&self, _: &mut Runtime) -> u64 {
        self.with(|state, _| state.changes)
    }
}

impl State {
    fn setting(&self, now: u64) -> Setting {
        Setting {
            interval: self.interval,
            value: self.next.map_or(0, |next| next.saturating_sub(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Setting, State, Timer};
    use platform::Clock;
    use resources::current::Current;

    fn changes(timer: &Timer) -> u64 {
        timer.with(|state, _| state.changes)
    }

    #[test]
    fn expirations_are_counted_once() {
        let mut state = State {
            next: Some(100),
            interval: 10,
            ..State::default()
        };
        for (now, unread, next) in [(99, 0, 100), (100, 1, 110), (109, 1, 110), (135, 4, 140)] {
            state.advance(now);
            assert_eq!((state.unread, state.next), (unread, Some(next)), "at {now}");
        }
        state.interval = 0;
        state.advance(500);
        assert_eq!((state.unread, state.next), (5, None));
        state.advance(600);
        assert_eq!(state.unread, 5);
    }

    #[test]
    fn the_longest_interval_expires_once() {
        let mut state = State {
            next: Some(100),
            interval: u64::MAX,
            ..State::default()
        };
        for now in [100, 200] {
            state.advance(now);
            assert_eq!((state.unread, state.next), (1, Some(u64::MAX)), "at {now}");
        }
    }

    /// timerfd_create(2): `read` returns the expirations since the last setting. Independent of the
    /// clock: a past time expires at once, and an hour doesn't pass.
    #[test]
    fn a_new_setting_forgets_what_was_not_read() {
        let timer = Timer::new(libc::CLOCK_MONOTONIC).expect("a clock");
        let setting = |value, interval| Setting { interval, value };
        let hour = 3_600_000_000_000;
        for (again, absolute) in [
            (setting(hour, 0), false),
            (setting(hour, hour), false),
            (setting(u64::MAX, 0), true),
            (setting(0, 0), false),
        ] {
            timer.set(setting(1, hour), true);
            assert!(timer.state().0);
            let before = changes(&timer);
            timer.set(again, absolute);
            assert!(changes(&timer) > before, "{again:?}");
            assert!(!timer.state().0, "{again:?}");
            let mut count = [1; 8];
            assert_eq!(timer.take(&mut count), Ok(None), "{again:?}");
        }
    }

    #[test]
    fn a_time_that_has_passed_expires_at_once() {
        for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME] {
            let timer = Timer::new(clock).expect("a clock");
            let hour = 3_600_000_000_000;
            let setting = |value| Setting { interval: 0, value };
            timer.set(setting(1), true);
            assert!(timer.state().0, "{clock}");
            assert_eq!(timer.take(&mut [0; 8]), Ok(Some(8)));
            assert_eq!(timer.take(&mut [0; 8]), Ok(None));
            assert_eq!(timer.take(&mut [0; 7]), Err(libc::EINVAL));
            let now = match clock {
                libc::CLOCK_REALTIME => Current::wall_ns(),
                _ => Current::monotonic_ns(),
            };
            timer.set(setting(now + hour), true);
            let left = timer.setting().value;
            assert!(left <= hour && left > hour / 2, "{left}");
            timer.set(setting(hour), false);
            let old = timer.set(setting(0), false).value;
            assert!(old <= hour && old > hour / 2, "{old}");
            assert_eq!(timer.state(), (false, None));
        }
        assert_eq!(Timer::new(99).err(), Some(libc::EINVAL));
    }
}
