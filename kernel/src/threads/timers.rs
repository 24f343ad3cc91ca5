//! Interval timers, and their common part with those of `timer_create`: setitimer(2), getitimer(2),
//! alarm(2). Pure bookkeeping: no clock, no register.

/// A clock that a timer counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The time since boot.
    Monotonic,
    /// The processor time of all threads.
    Process,
    /// The processor time of the thread with this number.
    Thread(u64),
}

/// The clocks and signals of `ITIMER_REAL`, `ITIMER_VIRTUAL` and `ITIMER_PROF`. All processor time
/// is the program's, as for `getrusage`.
const INTERVAL_TIMERS: [(Clock, u64); 3] = [
    (Clock::Monotonic, 14),
    (Clock::Process, 26),
    (Clock::Process, 27),
];

/// The clocks of timers.
pub trait Clocks {
    /// The time of a clock, in nanoseconds; `None` for that of an ended thread.
    fn now(&self, clock: Clock) -> Option<u64>;

    /// Whether the clock advances. That of a thread does while the thread runs.
    fn is_advancing(&self, clock: Clock) -> bool;

    /// The monotonic time at which `clock` reaches `at`, if it advances until then.
    fn monotonic(&self, clock: Clock, at: u64) -> Option<u64> {
        let left = at.saturating_sub(self.now(clock)?);
        let now = self.now(Clock::Monotonic)?;
        self.is_advancing(clock).then(|| now.saturating_add(left))
    }
}

/// The time until the next expiration and the interval, in nanoseconds: 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Between expirations.
    pub interval: u64,
    /// Until the next one.
    pub value: u64,
}

/// The expirations of one timer. All zeros while it is disarmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The next expiration, as its clock shows it; 0 for none.
    next: u64,
    interval: u64,
}

impl Schedule {
    const UNSET: Self = Self {
        next: 0,
        interval: 0,
    };

    /// The first expiration at `next`, 0 for none.
    pub fn at(next: u64, interval: u64) -> Self {
        Self { next, interval }
    }

    /// The setting at time `now`; `least` is the value if an expiration is already due.
    pub fn setting(self, now: u64, least: u64) -> Setting {
        let value = match self.next {
            0 => 0,
            next => next.saturating_sub(now).max(least),
        };
        let interval = self.interval;
        Setting { interval, value }
    }

    /// The next expiration.
    pub fn next(self) -> Option<u64> {
        Some(self.next).filter(|next| *next != 0)
    }

    /// Whether an expiration is due.
    pub fn is_due(self, now: u64) -> bool {
        self.next != 0 && self.next <= now
    }

    /// Skips the expirations that are due; returns their number without the first.
    pub fn forward(&mut self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.next).checked_div(self.interval);
        let after = |passed: u64| {
            let span = passed.saturating_add(1).saturating_mul(self.interval);
            self.next.saturating_add(span)
        };
        self.next = passed.map_or(0, after);
        passed.unwrap_or(0)
    }
}

/// The three interval timers. All zeros while none is armed.
pub struct IntervalTimers([Schedule; INTERVAL_TIMERS.len()]);

impl IntervalTimers {
    /// None is set.
    pub const fn new() -> Self {
        Self([Schedule::UNSET; INTERVAL_TIMERS.len()])
    }

    /// The setting of timer `which`; `None` if there is no such timer.
    pub fn get(&self, which: u64, clocks: &impl Clocks) -> Option<Setting> {
        let which = usize::try_from(which).ok()?;
        let (clock, _) = *INTERVAL_TIMERS.get(which)?;
        // Not 0, which would mean disarmed.
        Some(self.0[which].setting(clocks.now(clock)?, 1000))
    }

    /// Sets timer `which`; returns its old setting.
    pub fn set(&mut self, which: u64, setting: Setting, clocks: &impl Clocks) -> Option<Setting> {
        let old = self.get(which, clocks)?;
        let (clock, _) = INTERVAL_TIMERS[which as usize];
        let next = clocks.now(clock)?.saturating_add(setting.value);
        let next = if setting.value == 0 { 0 } else { next };
        self.0[which as usize] = Schedule::at(next, setting.interval);
        Some(old)
    }

    /// The monotonic time of the next expiration of any, if no clock stops.
    pub fn earliest(&self, clocks: &impl Clocks) -> Option<u64> {
        let timers = self.0.iter().zip(INTERVAL_TIMERS);
        timers
            .filter_map(|(timer, (clock, _))| clocks.monotonic(clock, timer.next()?))
            .min()
    }

    /// Takes a timer that has expired; returns its signal.
    pub fn expire(&mut self, clocks: &impl Clocks) -> Option<u64> {
        let mut timers = self.0.iter_mut().zip(INTERVAL_TIMERS);
        timers.find_map(|(timer, (clock, signal))| {
            let now = clocks.now(clock)?;
            timer.is_due(now).then(|| {
                timer.forward(now);
                signal
            })
        })
    }
}

/// Clocks of tests.
#[cfg(test)]
pub mod fake {
    use super::{Clock, Clocks};

    /// The three clocks; those of processor time stop while `idle`.
    #[derive(Default)]
    pub struct Fake {
        pub monotonic: u64,
        pub process: u64,
        /// Of thread 1, which runs unless it is `idle`.
        pub thread: u64,
        pub idle: bool,
    }

    impl Fake {
        /// All show the same.
        pub fn all(now: u64) -> Fake {
            Fake {
                monotonic: now,
                process: now,
                thread: now,
                idle: false,
            }
        }
    }

    impl Clocks for Fake {
        fn now(&self, clock: Clock) -> Option<u64> {
            match clock {
                Clock::Monotonic => Some(self.monotonic),
                Clock::Process => Some(self.process),
                Clock::Thread(1) => Some(self.thread),
                Clock::Thread(_) => None,
            }
        }

        fn is_advancing(&self, clock: Clock) -> bool {
            clock == Clock::Monotonic || !self.idle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::{IntervalTimers, Setting};

    const MS: u64 = 1_000_000;

    #[test]
    fn a_timer_expires_once_and_a_periodic_one_again() {
        let mut timers = IntervalTimers::new();
        let at = Fake::all;
        assert_eq!(timers.earliest(&at(0)), None);
        let once = Setting {
            interval: 0,
            value: 5 * MS,
        };
        let often = Setting {
            interval: 2 * MS,
            value: 3 * MS,
        };
        assert_eq!(timers.set(0, once, &at(MS)), Some(Setting::default()));
        assert_eq!(timers.set(1, often, &at(MS)), Some(Setting::default()));
        let early = at(4 * MS - 1);
        assert_eq!(
            (timers.earliest(&early), timers.expire(&early)),
            (Some(4 * MS), None)
        );
        let due = at(4 * MS);
        assert_eq!((timers.expire(&due), timers.expire(&due)), (Some(26), None));
        assert_eq!(timers.earliest(&due), Some(6 * MS));
        // Missed expirations are one signal.
        let late = at(11 * MS);
        assert_eq!(timers.expire(&late), Some(14));
        assert_eq!(timers.expire(&late), Some(26));
        assert_eq!(
            (timers.expire(&late), timers.earliest(&late)),
            (None, Some(12 * MS))
        );
        assert_eq!(timers.get(0, &late), Some(Setting::default()));
    }

    #[test]
    fn the_longest_interval_is_for_ever() {
        let mut timers = IntervalTimers::new();
        let setting = Setting {
            interval: u64::MAX,
            value: MS,
        };
        timers.set(0, setting, &Fake::all(0));
        let now = Fake::all(MS);
        assert_eq!((timers.expire(&now), timers.expire(&now)), (Some(14), None));
        assert_eq!(timers.earliest(&now), Some(u64::MAX));
    }

    #[test]
    fn setting_a_timer_returns_what_was_left() {
        let mut timers = IntervalTimers::new();
        let at = Fake::all;
        let setting = |value| Setting { interval: 0, value };
        timers.set(2, setting(10 * MS), &at(0));
        assert_eq!(timers.get(2, &at(4 * MS)), Some(setting(6 * MS)));
        assert_eq!(
            timers.get(2, &at(20 * MS)),
            Some(setting(1000)),
            "not yet taken"
        );
        assert_eq!(
            timers.set(2, setting(0), &at(4 * MS)),
            Some(setting(6 * MS))
        );
        let late = at(90 * MS);
        assert_eq!((timers.earliest(&late), timers.expire(&late)), (None, None));
        assert_eq!(
            (timers.get(3, &at(0)), timers.set(3, setting(1), &at(0))),
            (None, None)
        );
    }

    #[test]
    fn a_timer_of_processor_time_stands_still_while_the_processor_is_idle() {
        let mut timers = IntervalTimers::new();
        let setting = Setting {
            interval: 0,
            value: 5 * MS,
        };
        timers.set(1, setting, &Fake::all(0));
        let mut now = Fake {
            monotonic: 100 * MS,
            process: 2 * MS,
            idle: true,
            ..Fake::default()
        };
        assert_eq!((timers.earliest(&now), timers.expire(&now)), (None, None));
        assert_eq!(timers.get(1, &now).map(|left| left.value), Some(3 * MS));
        now.idle = false;
        assert_eq!(timers.earliest(&now), Some(103 * MS));
        now.process = 5 * MS;
        assert_eq!(timers.expire(&now), Some(26));
    }
}
