//! Per-process timers: timer_create(2), timer_settime(2), timer_getoverrun(2). Pure bookkeeping: no
//! clock, no register.
//!
//! A timer that has sent its signal pauses until a thread takes that, and then counts the missed
//! expirations, as in Linux's `kernel/time/posix-timers.c`.

use super::timers::{Clock, Clocks, Schedule, Setting};
use alloc::vec::Vec;

/// The receiver of a timer's signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// None: the program polls (`SIGEV_NONE`).
    Nothing,
    /// The process.
    Process,
    /// The thread with this number (`SIGEV_THREAD_ID`).
    Thread(u64),
}

/// A timer's clock and notification, as passed to `timer_create`.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The clock it counts by.
    pub clock: Clock,
    /// Whether absolute times are the real-time clock's.
    pub is_real_time: bool,
    /// The receiver of its signal.
    pub receiver: Receiver,
    /// Its signal.
    pub signal: u64,
    /// The value that goes with the signal (`sigev_value`); its number if there is none.
    pub value: Option<u64>,
}

struct Timer {
    kind: Kind,
    schedule: Schedule,
    /// Its signal was sent and not yet taken.
    is_sent: bool,
    /// It has been set since.
    is_new: bool,
    overrun: u64,
}

impl Timer {
    /// Continues once its signal has been taken.
    fn taken(&mut self, clocks: &impl Clocks) {
        self.overrun = 0;
        if !self.is_new
            && let Some(now) = clocks.now(self.kind.clock)
        {
            self.overrun = self.schedule.forward(now);
        }
        self.is_sent = false;
    }
}

/// A signal to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiration {
    /// The timer's number.
    pub timer: usize,
    /// The signal.
    pub signal: u64,
    /// Its receiver.
    pub receiver: Receiver,
}

/// Information about a signal that a thread takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The timer's number.
    pub timer: usize,
    /// Expirations after the one that sent the signal.
    pub overrun: i32,
    /// The value that goes with it.
    pub value: u64,
    /// Another timer has sent the same signal to the same receiver.
    pub more: bool,
}

/// The timers, by number.
pub struct PosixTimers(Vec<Option<Timer>>);

impl PosixTimers {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Creates a disarmed timer: the lowest free number, or `None` if memory is short.
    pub fn create(&mut self, kind: Kind) -> Option<usize> {
        let timer = Timer {
            kind,
            schedule: Schedule::default(),
            is_sent: false,
            is_new: false,
            overrun: 0,
        };
        let number = match self.0.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.0.try_reserve(1).ok()?;
                self.0.push(None);
                self.0.len() - 1
            }
        };
        self.0[number] = Some(timer);
        Some(number)
    }

    /// Removes a timer; returns whether it existed.
    pub fn delete(&mut self, number: usize) -> bool {
        let slot = self.0.get_mut(number);
        slot.is_some_and(|slot| slot.take().is_some())
    }

    fn timer(&mut self, number: usize) -> Option<&mut Timer> {
        self.0.get_mut(number)?.as_mut()
    }

    /// The kind of a timer.
    pub fn kind(&mut self, number: usize) -> Option<Kind> {
        Some(self.timer(number)?.kind)
    }

    /// The setting of a timer.
    pub fn get(&mut self, number: usize, clocks: &impl Clocks) -> Option<Setting> {
        let timer = self.timer(number)?;
        let Some(now) = clocks.now(timer.kind.clock) else {
            return Some(Setting::default());
        };
        let mut schedule = timer.schedule;
        let silent = timer.kind.receiver == Receiver::Nothing;
        // A timer that has sent its signal, and doesn't know its next expiration yet.
        let waits = silent || timer.is_sent && !timer.is_new;
        if waits && schedule.is_due(now) {
            schedule.forward(now);
        }
        // 0 would mean disarmed.
        Some(schedule.setting(now, u64::from(!silent)))
    }

    /// Sets a timer to expire `setting.value` from now or, if `absolute`, at that time of its
    /// clock; returns its old setting.
    pub fn set(
        &mut self,
        number: usize,
        setting: Setting,
        absolute: bool,
        clocks: &impl Clocks,
    ) -> Option<Setting> {
        let old = self.get(number, clocks)?;
        let timer = self.timer(number)?;
        let now = clocks.now(timer.kind.clock).unwrap_or(0);
        timer.schedule = match setting.value {
            0 => Schedule::default(),
            // Time 0 is in the past, and so is time 1.
            value if absolute => Schedule::at(value.max(1), setting.interval),
            value => Schedule::at(now.saturating_add(value), setting.interval),
        };
        timer.is_new = timer.is_sent;
        timer.overrun = 0;
        Some(old)
    }

    /// The overrun of the signal that was taken last.
    pub fn overrun(&mut self, number: usize) -> Option<u64> {
        Some(self.timer(number)?.overrun.min(i32::MAX as u64))
    }

    /// The monotonic time of the next signal, if no clock stops.
    pub fn earliest(&self, clocks: &impl Clocks) -> Option<u64> {
        let timers = self.0.iter().flatten();
        let sending =
            timers.filter(|timer| !timer.is_sent && timer.kind.receiver != Receiver::Nothing);
        sending
            .filter_map(|timer| clocks.monotonic(timer.kind.clock, timer.schedule.next()?))
            .min()
    }

    /// Takes a timer that has expired and whose signal is to be sent.
    pub fn expire(&mut self, clocks: &impl Clocks) -> Option<Expiration> {
        let mut timers = (0..).zip(&mut self.0);
        timers.find_map(|(number, slot)| {
            let timer = slot.as_mut()?;
            let now = clocks.now(timer.kind.clock)?;
            let due = timer.schedule.is_due(now) && !timer.is_sent;
            if !due || timer.kind.receiver == Receiver::Nothing {
                return None;
            }
            (timer.is_sent, timer.is_new) = (true, false);
            Some(Expiration {
                timer: number,
                signal: timer.kind.signal,
                receiver: timer.kind.receiver,
            })
        })
    }

    /// The program ignores the signal of a timer, which continues.
    pub fn ignored(&mut self, number: usize, clocks: &impl Clocks) -> Option<()> {
        self.timer(number)?.taken(clocks);
        Some(())
    }

    /// A thread takes `signal`, which was sent to `receiver`: returns the timer that sent it, if
    /// one did.
    pub fn take(&mut self, signal: u64, receiver: Receiver, clocks: &impl Clocks) -> Option<Taken> {
        let mut timers = (0..).zip(&mut self.0).filter_map(|(number, slot)| {
            let timer = slot.as_mut()?;
            let is_it =
                timer.is_sent && timer.kind.signal == signal && timer.kind.receiver == receiver;
            is_it.then_some((number, timer))
        });
        let (number, timer) = timers.next()?;
        let more = timers.next().is_some();
        timer.taken(clocks);
        Some(Taken {
            timer: number,
            overrun: i32::try_from(timer.overrun).unwrap_or(i32::MAX),
            value: timer.kind.value.unwrap_or(number as u64),
            more,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Expiration, Kind, PosixTimers, Receiver, Taken};
    use crate::threads::timers::fake::Fake;
    use crate::threads::timers::{Clock, Setting};

    const MS: u64 = 1_000_000;

    fn kind(clock: Clock, receiver: Receiver) -> Kind {
        Kind {
            clock,
            is_real_time: false,
            receiver,
            signal: 10,
            value: Some(77),
        }
    }

    fn with_one(kind: Kind) -> (PosixTimers, usize) {
        let mut timers = PosixTimers::new();
        let one = timers.create(kind).unwrap();
        (timers, one)
    }

    fn every(interval: u64) -> Setting {
        Setting {
            interval,
            value: interval,
        }
    }

    #[test]
    fn a_timer_counts_what_it_missed_until_its_signal_is_taken() {
        let (mut timers, one) = with_one(kind(Clock::Monotonic, Receiver::Process));
        assert_eq!(
            timers.set(one, every(MS), false, &Fake::all(0)),
            Some(Setting::default())
        );
        assert_eq!(timers.earliest(&Fake::all(0)), Some(MS));
        let sent = Expiration {
            timer: one,
            signal: 10,
            receiver: Receiver::Process,
        };
        assert_eq!(timers.expire(&Fake::all(MS)), Some(sent));
        let later = Fake::all(5 * MS + 1);
        assert_eq!(
            (timers.expire(&later), timers.earliest(&later)),
            (None, None)
        );
        assert_eq!(timers.get(one, &later).map(|left| left.value), Some(MS - 1));
        assert_eq!(timers.take(10, Receiver::Thread(1), &later), None);
        assert_eq!(timers.take(12, Receiver::Process, &later), None);
        let taken = Taken {
            timer: one,
            overrun: 4,
            value: 77,
            more: false,
        };
        assert_eq!(timers.take(10, Receiver::Process, &later), Some(taken));
        assert_eq!(
            (timers.overrun(one), timers.earliest(&later)),
            (Some(4), Some(6 * MS))
        );
        assert_eq!(timers.take(10, Receiver::Process, &later), None);
    }

    #[test]
    fn a_timer_that_is_set_again_owes_nothing() {
        let (mut timers, one) = with_one(kind(Clock::Monotonic, Receiver::Process));
        timers.set(one, every(MS), false, &Fake::all(0));
        timers.expire(&Fake::all(MS));
        timers.set(one, every(10 * MS), false, &Fake::all(5 * MS));
        let taken = timers
            .take(10, Receiver::Process, &Fake::all(7 * MS))
            .unwrap();
        assert_eq!(taken.overrun, 0);
        assert_eq!(timers.earliest(&Fake::all(7 * MS)), Some(15 * MS));
        let unset = Setting::default();
        let old = timers.set(one, unset, false, &Fake::all(7 * MS)).unwrap();
        assert_eq!((old.interval, old.value), (10 * MS, 8 * MS));
        assert_eq!(timers.get(one, &Fake::all(90 * MS)), Some(unset));
        assert_eq!(timers.expire(&Fake::all(90 * MS)), None);
    }

    /// While the signal of its last setting is pending: the rest shown is that of the new setting,
    /// even once that has expired, and the expirations that the old one missed don't count.
    #[test]
    fn a_timer_that_is_set_while_its_signal_is_sent_shows_the_new_setting() {
        let (mut timers, one) = with_one(kind(Clock::Monotonic, Receiver::Process));
        timers.set(one, every(MS), false, &Fake::all(0));
        timers.expire(&Fake::all(MS));
        timers
            .take(10, Receiver::Process, &Fake::all(5 * MS))
            .unwrap();
        assert_eq!(timers.overrun(one), Some(4));
        timers.expire(&Fake::all(6 * MS));
        timers.set(one, every(10 * MS), false, &Fake::all(6 * MS));
        assert_eq!(timers.overrun(one), Some(0));
        let left = |timers: &mut PosixTimers, now| timers.get(one, &Fake::all(now)).unwrap().value;
        assert_eq!(left(&mut timers, 9 * MS), 7 * MS);
        // It has expired, and its own signal is still to be sent.
        assert_eq!(left(&mut timers, 19 * MS), 1);
        let now = Fake::all(19 * MS);
        assert_eq!((timers.expire(&now), timers.earliest(&now)), (None, None));
        assert_eq!(timers.take(10, Receiver::Process, &now).unwrap().overrun, 0);
        assert!(timers.expire(&now).is_some());
        // A removed timer discards its signal; its number is reused.
        assert!(timers.delete(one) && !timers.delete(one));
        assert_eq!(timers.take(10, Receiver::Process, &now), None);
        assert_eq!(
            timers.create(kind(Clock::Monotonic, Receiver::Process)),
            Some(one)
        );
        assert_eq!((timers.expire(&now), timers.earliest(&now)), (None, None));
    }

    /// After that: its next signal counts what it missed, as any other.
    #[test]
    fn the_signal_after_a_new_setting_counts_again() {
        let (mut timers, one) = with_one(kind(Clock::Monotonic, Receiver::Process));
        timers.set(one, every(MS), false, &Fake::all(0));
        timers.expire(&Fake::all(MS));
        timers.set(one, every(10 * MS), false, &Fake::all(MS));
        timers.take(10, Receiver::Process, &Fake::all(2 * MS));
        assert!(timers.expire(&Fake::all(11 * MS)).is_some());
        let late = Fake::all(35 * MS);
        let taken = timers.take(10, Receiver::Process, &late).unwrap();
        assert_eq!((taken.overrun, timers.expire(&late)), (2, None));
        assert_eq!(timers.earliest(&late), Some(41 * MS));
    }

    #[test]
    fn two_timers_send_one_signal_each() {
        let mut timers = PosixTimers::new();
        for _ in 0..2 {
            let timer = timers
                .create(kind(Clock::Monotonic, Receiver::Thread(1)))
                .unwrap();
            timers.set(timer, every(MS), false, &Fake::all(0));
        }
        let now = Fake::all(MS);
        let expired = [
            timers.expire(&now),
            timers.expire(&now),
            timers.expire(&now),
        ];
        assert_eq!(
            expired.map(|one| one.map(|one| one.timer)),
            [Some(0), Some(1), None]
        );
        let taken = timers.take(10, Receiver::Thread(1), &now).unwrap();
        assert_eq!((taken.timer, taken.more), (0, true));
        let taken = timers.take(10, Receiver::Thread(1), &now).unwrap();
        assert_eq!((taken.timer, taken.more), (1, false));
        assert!(timers.delete(0) && !timers.delete(0) && !timers.delete(7));
        assert_eq!(
            timers.create(kind(Clock::Process, Receiver::Process)),
            Some(0)
        );
    }

    #[test]
    fn a_silent_timer_sends_nothing_and_tells_what_is_left() {
        let (mut timers, one) = with_one(kind(Clock::Monotonic, Receiver::Nothing));
        timers.set(one, every(10 * MS), true, &Fake::all(3 * MS));
        let late = Fake::all(25 * MS);
        assert_eq!((timers.earliest(&late), timers.expire(&late)), (None, None));
        assert_eq!(timers.get(one, &late).map(|left| left.value), Some(5 * MS));
        let once = Setting {
            interval: 0,
            value: MS,
        };
        timers.set(one, once, false, &late);
        assert_eq!(
            timers.get(one, &Fake::all(90 * MS)),
            Some(Setting::default())
        );
    }

    #[test]
    fn a_clock_of_processor_time_waits_for_its_thread() {
        let (mut timers, one) = with_one(kind(Clock::Thread(1), Receiver::Process));
        timers.set(one, every(5 * MS), false, &Fake::default());
        let mut now = Fake {
            monotonic: 50 * MS,
            process: 50 * MS,
            thread: 2 * MS,
            idle: true,
        };
        assert_eq!((timers.earliest(&now), timers.expire(&now)), (None, None));
        now.idle = false;
        assert_eq!(timers.earliest(&now), Some(53 * MS));
        now.thread = 5 * MS;
        assert!(timers.expire(&now).is_some());
        let gone = timers
            .create(kind(Clock::Thread(9), Receiver::Process))
            .unwrap();
        timers.set(gone, every(MS), false, &now);
        assert_eq!(timers.get(gone, &now), Some(Setting::default()));
        assert_eq!(timers.ignored(one, &now), Some(()));
        assert_eq!(timers.get(one, &now).map(|left| left.value), Some(5 * MS));
    }
}
