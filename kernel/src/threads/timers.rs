//! Interval timers: setitimer(2), getitimer(2), alarm(2). Pure bookkeeping: no clock, no register.
//!
//! All three count the monotonic clock's time: the processor is the program's alone, as for
//! `getrusage`.

/// The timers' signals, by `ITIMER_REAL`, `ITIMER_VIRTUAL` and `ITIMER_PROF`.
const SIGNALS: [u64; 3] = [14, 26, 27];

/// A time until the next expiration and between others, in nanoseconds: 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Between expirations.
    pub interval: u64,
    /// Until the next one.
    pub value: u64,
}

/// The three timers. All zeros while none is set.
pub struct Timers {
    /// The next expiration, in monotonic nanoseconds; 0 for none.
    next: [u64; SIGNALS.len()],
    interval: [u64; SIGNALS.len()],
}

impl Timers {
    /// None is set.
    pub const fn new() -> Self {
        Self {
            next: [0; SIGNALS.len()],
            interval: [0; SIGNALS.len()],
        }
    }

    /// The setting of timer `which`; `None` if there is no such timer.
    pub fn get(&self, which: u64, now: u64) -> Option<Setting> {
        let which = usize::try_from(which).ok()?;
        let next = *self.next.get(which)?;
        Some(Setting {
            interval: self.interval[which],
            // Not 0, which would say that it isn't set.
            value: if next == 0 {
                0
            } else {
                next.saturating_sub(now).max(1000)
            },
        })
    }

    /// Sets timer `which`; its old setting.
    pub fn set(&mut self, which: u64, setting: Setting, now: u64) -> Option<Setting> {
        let old = self.get(which, now)?;
        let next = now.saturating_add(setting.value);
        self.next[which as usize] = if setting.value == 0 { 0 } else { next };
        self.interval[which as usize] = setting.interval;
        Some(old)
    }

    /// The next expiration of any.
    pub fn earliest(&self) -> Option<u64> {
        self.next.iter().copied().filter(|next| *next != 0).min()
    }

    /// Takes a timer that has expired by `now`: its signal.
    pub fn expire(&mut self, now: u64) -> Option<u64> {
        let timers = self.next.iter_mut().zip(self.interval).zip(SIGNALS);
        for ((next, interval), signal) in timers {
            if *next != 0 && *next <= now {
                let passed = (now - *next).checked_div(interval);
                let after =
                    |passed: u64| next.saturating_add((passed + 1).saturating_mul(interval));
                *next = passed.map_or(0, after);
                return Some(signal);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Setting, Timers};

    const MS: u64 = 1_000_000;

    #[test]
    fn a_timer_expires_once_and_a_periodic_one_again() {
        let mut timers = Timers::new();
        assert_eq!(timers.earliest(), None);
        let once = Setting {
            interval: 0,
            value: 5 * MS,
        };
        let often = Setting {
            interval: 2 * MS,
            value: 3 * MS,
        };
        assert_eq!(timers.set(0, once, MS), Some(Setting::default()));
        assert_eq!(timers.set(1, often, MS), Some(Setting::default()));
        assert_eq!(
            (timers.earliest(), timers.expire(4 * MS - 1)),
            (Some(4 * MS), None)
        );
        assert_eq!(
            (timers.expire(4 * MS), timers.expire(4 * MS)),
            (Some(26), None)
        );
        assert_eq!(timers.earliest(), Some(6 * MS));
        // Times that were missed are one signal.
        assert_eq!(timers.expire(11 * MS), Some(14));
        assert_eq!(timers.expire(11 * MS), Some(26));
        assert_eq!(
            (timers.expire(11 * MS), timers.earliest()),
            (None, Some(12 * MS))
        );
        assert_eq!(timers.get(0, 11 * MS), Some(Setting::default()));
    }

    #[test]
    fn the_longest_interval_is_for_ever() {
        let mut timers = Timers::new();
        let setting = Setting {
            interval: u64::MAX,
            value: MS,
        };
        timers.set(0, setting, 0);
        assert_eq!((timers.expire(MS), timers.expire(MS)), (Some(14), None));
        assert_eq!(timers.earliest(), Some(u64::MAX));
    }

    #[test]
    fn setting_a_timer_returns_what_was_left() {
        let mut timers = Timers::new();
        let setting = |value| Setting { interval: 0, value };
        timers.set(2, setting(10 * MS), 0);
        assert_eq!(timers.get(2, 4 * MS), Some(setting(6 * MS)));
        assert_eq!(timers.get(2, 20 * MS), Some(setting(1000)), "not yet taken");
        assert_eq!(timers.set(2, setting(0), 4 * MS), Some(setting(6 * MS)));
        assert_eq!((timers.earliest(), timers.expire(90 * MS)), (None, None));
        assert_eq!(
            (timers.get(3, 0), timers.set(3, setting(1), 0)),
            (None, None)
        );
    }
}
