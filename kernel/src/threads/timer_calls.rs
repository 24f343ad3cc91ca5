//! The system calls of timers and of threads' processor time, and the signals of timers that have
//! expired.

use super::posix_timers::{Kind, PosixTimers, Receiver};
use super::scheduler::{Scheduler, bit};
use super::timers::{Clock, Clocks, IntervalTimers, Setting};
use super::{
    State, Thread, be_preempted, interrupt_for_process, local_of, nudge, number, resume, send, with,
};
use crate::arch::interrupts::without_interrupts;
use crate::arch::local::MAX;
use crate::errno::Errno;
use crate::memory::{self, bytes_mut, store};
use crate::peers::Set;
use crate::signals::{self, Origin, PID};
use crate::time::spans::monotonic_of;
use crate::{halt, time};
use core::sync::atomic::Ordering;

/// The program's timers.
pub(super) struct Timers {
    interval: IntervalTimers,
    posix: PosixTimers,
}

impl Timers {
    /// None.
    pub const fn new() -> Self {
        Self {
            interval: IntervalTimers::new(),
            posix: PosixTimers::new(),
        }
    }

    /// The monotonic time of the next expiration of any, if no clock stops.
    pub fn earliest(&self, clocks: &Program) -> Option<u64> {
        let times = [self.interval.earliest(clocks), self.posix.earliest(clocks)];
        times.into_iter().flatten().min()
    }
}

/// The program's clocks: processor time is the time in which the processors didn't halt.
pub(super) struct Program<'a> {
    pub scheduler: &'a Scheduler<Thread, MAX>,
    /// See [`State::busy`].
    pub busy: Set,
}

impl Program<'_> {
    /// The processor that holds the thread with this number, and the thread.
    fn find(&self, number: u64) -> Option<(Option<usize>, &Thread)> {
        let mut threads = self.scheduler.threads();
        let (index, thread) = threads.find(|(_, thread)| thread.number == number)?;
        Some((self.scheduler.holder(index), thread))
    }
}

impl Clocks for Program<'_> {
    fn now(&self, clock: Clock) -> Option<u64> {
        match clock {
            Clock::Monotonic => Some(time::monotonic_ns()),
            Clock::Process => Some(halt::process_ns()),
            Clock::Thread(number) => {
                let (holder, thread) = self.find(number)?;
                let local = holder.and_then(local_of);
                let now = local.map_or(0, |local| {
                    let used = local.used_ns(time::monotonic_ns());
                    used.saturating_sub(local.since.load(Ordering::Relaxed))
                });
                Some(thread.used + now)
            }
        }
    }

    fn is_advancing(&self, clock: Clock) -> bool {
        match clock {
            Clock::Monotonic => true,
            Clock::Process => self.busy != 0,
            Clock::Thread(number) => {
                let holder = self.find(number).and_then(|(holder, _)| holder);
                holder.is_some_and(|holder| self.busy & bit(holder) != 0)
            }
        }
    }
}

/// `getitimer`.
pub fn interval_timer(which: u64, at: u64) -> Result<u64, Errno> {
    on_timers(|timers, clocks| timers.interval.get(which, clocks))
        .and_then(|setting| put_setting(at, setting, 1000))
}

/// `timer_gettime`.
pub fn timer(timer: u64, at: u64) -> Result<u64, Errno> {
    on_timers(|timers, clocks| timers.posix.get(place(timer), clocks))
        .and_then(|setting| put_setting(at, setting, 1))
}

/// `timer_getoverrun`.
pub fn timer_overrun(timer: u64) -> Result<u64, Errno> {
    on_timers(|timers, _| timers.posix.overrun(place(timer)))
}

/// `timer_delete`.
pub fn delete_timer(timer: u64) -> Result<u64, Errno> {
    on_timers(|timers, _| timers.posix.delete(place(timer)).then_some(0))
}

/// The place of a timer by its number, Linux's `timer_t`.
fn place(timer: u64) -> usize {
    timer as u32 as usize
}

/// The processor time of the running thread, in nanoseconds.
pub fn used_ns() -> u64 {
    let clock = Clock::Thread(number());
    with(|state| state.clocks().now(clock)).unwrap_or(0)
}

/// Whether `which` is the number of the running thread's clock of processor time, or of one made by
/// clock_getcpuclockid(3) or pthread_getcpuclockid(3).
fn is_used_time(which: u64) -> bool {
    which == RUNNING_THREAD || (which as i32) < 0
}

/// The time of the clock of processor time with this number.
///
/// # Errors
/// EINVAL for an unknown one.
pub fn used_time(which: u64) -> Result<u64, Errno> {
    let clock = used_clock(which)?;
    with(|state| state.clocks().now(clock)).ok_or(Errno::EINVAL)
}

/// `CLOCK_PROCESS_CPUTIME_ID`.
const PROCESS: u64 = 2;
/// `CLOCK_THREAD_CPUTIME_ID`.
const RUNNING_THREAD: u64 = 3;

/// The clock of processor time with this number.
///
/// # Errors
/// EINVAL for an unknown one.
fn used_clock(which: u64) -> Result<Clock, Errno> {
    // The lowest bits of a negative number, whose other bits name a process or a thread: the clock
    // is a thread's; it isn't one of processor time.
    const CPUCLOCK_PERTHREAD: i32 = 4;
    const OTHER: i32 = 3;
    match which {
        PROCESS => return Ok(Clock::Process),
        RUNNING_THREAD => return Ok(Clock::Thread(number())),
        _ if !is_used_time(which) => return Err(Errno::EINVAL),
        _ => {}
    }
    let which = which as i32;
    let named = u64::from(!(which >> 3) as u32);
    match (which & OTHER, which & CPUCLOCK_PERTHREAD, named) {
        (OTHER, ..) => Err(Errno::EINVAL),
        (_, 0, 0 | PID) => Ok(Clock::Process),
        (_, 0, _) => Err(Errno::EINVAL),
        (_, _, 0) => Ok(Clock::Thread(number())),
        (_, _, named) => Ok(Clock::Thread(named)),
    }
}

/// Runs `f` on the timers and their clocks. EINVAL if it finds no timer.
fn on_timers<T>(f: impl FnOnce(&mut Timers, &Program) -> Option<T>) -> Result<T, Errno> {
    with(|state| {
        let (timers, clocks) = state.timers();
        f(timers, &clocks).ok_or(Errno::EINVAL)
    })
}

/// Seconds, and the rest in units of `unit` nanoseconds.
fn parts(ns: u64, unit: u64) -> [u64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000 / unit]
}

/// Stores a `struct itimerval` (`unit` 1000) or a `struct itimerspec` (1).
fn put_setting(at: u64, setting: Setting, unit: u64) -> Result<u64, Errno> {
    let [interval, value] = [setting.interval, setting.value].map(|ns| parts(ns, unit));
    store(at, &[interval[0], interval[1], value[0], value[1]])
}

/// Loads one of the two, whose fractions must be below a second. EINVAL otherwise.
fn load_setting(at: u64, unit: u64) -> Result<Setting, Errno> {
    let words: [u64; 4] = memory::load(at)?;
    let ns = |seconds: u64, rest: u64| match i64::try_from(seconds) {
        Ok(_) if rest < 1_000_000_000 / unit => Ok(seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(rest * unit)),
        _ => Err(Errno::EINVAL),
    };
    Ok(Setting {
        interval: ns(words[0], words[1])?,
        value: ns(words[2], words[3])?,
    })
}

/// `setitimer`.
pub fn set_interval_timer(which: u64, new: u64, old: u64) -> Result<u64, Errno> {
    be_preempted()?;
    let setting = match new {
        // As on Linux: the timer is disarmed.
        0 => Setting::default(),
        new => load_setting(new, 1000)?,
    };
    let before = on_timers(|timers, clocks| timers.interval.set(which, setting, clocks))?;
    resume(time::monotonic_ns());
    match old {
        0 => Ok(0),
        old => put_setting(old, before, 1000),
    }
}

/// `timer_create`.
pub fn create(which: u64, event: u64, result: u64) -> Result<u64, Errno> {
    be_preempted()?;
    const SIGNAL: u32 = 0;
    const NOTHING: u32 = 1;
    const THREAD: u32 = 2;
    const THREAD_BY_NUMBER: u32 = 4;
    const ALARM: u64 = 14;
    /// `CLOCK_REALTIME`.
    const REAL: u64 = 0;
    let clock = match which {
        REAL | 1 | 7 => Clock::Monotonic,
        // Clocks that can only be read.
        4..=6 => return Err(Errno::EOPNOTSUPP),
        _ if which == PROCESS || is_used_time(which) => used_clock(which)?,
        _ => return Err(Errno::EINVAL),
    };
    let (value, signal, receiver) = match event {
        0 => (None, ALARM, Receiver::Process),
        event => {
            // `sigev_value`, `sigev_signo` and `sigev_notify`, the thread.
            let [value, kind, thread] = memory::load(event)?;
            let receiver = match (kind >> 32) as u32 {
                NOTHING => Receiver::Nothing,
                // The C library manages its own thread.
                SIGNAL | THREAD => Receiver::Process,
                THREAD_BY_NUMBER => Receiver::Thread(u64::from(thread as u32)),
                _ => return Err(Errno::EINVAL),
            };
            (Some(value), u64::from(kind as u32), receiver)
        }
    };
    if receiver != Receiver::Nothing {
        signals::check(signal)?;
    }
    let into = bytes_mut(result, 4)?;
    let created = with(|state| {
        let clocks = state.clocks();
        let exists = |number| clocks.now(Clock::Thread(number)).is_some();
        let known = match receiver {
            Receiver::Thread(number) => exists(number),
            _ => true,
        };
        if !known || clocks.now(clock).is_none() {
            return Err(Errno::EINVAL);
        }
        let kind = Kind {
            clock,
            is_real_time: which == REAL,
            receiver,
            signal,
            value,
        };
        state.timers.posix.create(kind).ok_or(Errno::EAGAIN)
    })?;
    into.copy_from_slice(&(created as u32).to_le_bytes());
    Ok(0)
}

/// `timer_settime`.
pub fn set_timer(timer: u64, flags: u64, new: u64, old: u64) -> Result<u64, Errno> {
    const ABSOLUTE: u64 = 1;
    let (timer, absolute) = (place(timer), flags & ABSOLUTE != 0);
    let mut setting = load_setting(new, 1)?;
    let kind = on_timers(|timers, _| timers.posix.kind(timer))?;
    if absolute && kind.is_real_time && setting.value != 0 {
        // Time 0 is in the past, and so is time 1.
        setting.value = monotonic_of(setting.value).max(1);
    }
    let before = on_timers(|timers, clocks| timers.posix.set(timer, setting, absolute, clocks))?;
    resume(time::monotonic_ns());
    match old {
        0 => Ok(0),
        old => put_setting(old, before, 1),
    }
}

/// Sends the signals of expired timers: one for the process to the first thread that accepts it.
pub(super) fn send_expired() {
    while let Ok(signal) = on_timers(|timers, clocks| timers.interval.expire(clocks)) {
        // A valid signal to the existing process.
        let _ = signals::send_to(PID, signal, false);
        interrupt_for_process();
    }
    while let Ok(expired) = on_timers(|timers, clocks| timers.posix.expire(clocks)) {
        let sent = match expired.receiver {
            Receiver::Nothing => continue,
            Receiver::Process => {
                let sent = signals::send_to(PID, expired.signal, false);
                interrupt_for_process();
                sent
            }
            // It may have ended; the timer then stops, as on Linux.
            Receiver::Thread(number) => send(number, expired.signal),
        };
        if sent == Ok(false) {
            let _ = on_timers(|timers, clocks| timers.posix.ignored(expired.timer, clocks));
            continue;
        }
        // A thread may wait to take it, by `sigwait` or a descriptor of `signalfd`.
        nudge();
    }
}

/// The timer that sent the signal that the running thread takes, sent to the thread or (false) to
/// the process. If more than one has sent it, it is sent again.
pub fn timer_of(signal: u64, to_thread: bool) -> Option<Origin> {
    /// `SI_TIMER`.
    const SI_TIMER: u64 = -2i32 as u32 as u64;
    let receiver = match to_thread {
        true => Receiver::Thread(number()),
        false => Receiver::Process,
    };
    let taken = without_interrupts(|| {
        on_timers(|timers, clocks| timers.posix.take(signal, receiver, clocks))
    });
    let taken = taken.ok()?;
    if taken.more {
        // It was pending, so it may be again.
        let _ = signals::send_to(PID, signal, to_thread);
    }
    // The timer continues.
    resume(time::monotonic_ns());
    Some(Origin {
        code: SI_TIMER,
        // `si_timerid`, `si_overrun`.
        sender: taken.timer as u64 | u64::from(taken.overrun as u32) << 32,
        value: taken.value,
    })
}

impl State {
    /// The program's clocks.
    pub(super) fn clocks(&self) -> Program<'_> {
        Program {
            scheduler: &self.scheduler,
            busy: self.busy,
        }
    }

    /// The timers, and the clocks that they count by.
    fn timers(&mut self) -> (&mut Timers, Program<'_>) {
        let clocks = Program {
            scheduler: &self.scheduler,
            busy: self.busy,
        };
        (&mut self.timers, clocks)
    }
}
