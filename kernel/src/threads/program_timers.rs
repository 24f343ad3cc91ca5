//! The program's timers, their signals when they have expired, and threads' processor time.

pub use super::posix_timers::Receiver;
pub use super::timers::Setting;

use super::posix_timers::{Kind, PosixTimers};
use super::scheduler::{Scheduler, bit};
use super::timers::{Clock, Clocks, IntervalTimers};
use super::{
    State, Thread, be_preempted, interrupt_for_process, local_of, nudge, number, resume, send, with,
};
use crate::arch::interrupts::without_interrupts;
use crate::arch::local::MAX;
use crate::errno::Errno;
use crate::signals::{self, Origin, PID};
use crate::smp::Set;
use crate::time::monotonic_of;
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

/// The setting of an interval timer (`ITIMER_REAL` …).
///
/// # Errors
/// EINVAL for an unknown one.
pub fn interval(which: u64) -> Result<Setting, Errno> {
    on_timers(|timers, clocks| timers.interval.get(which, clocks))
}

/// Sets an interval timer; returns its previous setting.
///
/// # Errors
/// EINVAL for an unknown one.
pub fn set_interval(which: u64, setting: Setting) -> Result<Setting, Errno> {
    be_preempted()?;
    let before = on_timers(|timers, clocks| timers.interval.set(which, setting, clocks))?;
    resume(time::monotonic_ns());
    Ok(before)
}

/// The setting of the timer with this number.
///
/// # Errors
/// EINVAL for an unknown one.
pub fn get(timer: usize) -> Result<Setting, Errno> {
    on_timers(|timers, clocks| timers.posix.get(timer, clocks))
}

/// The number of expirations that the last signal of the timer stands for, but for the first.
///
/// # Errors
/// EINVAL for an unknown one.
pub fn overrun(timer: usize) -> Result<u64, Errno> {
    on_timers(|timers, _| timers.posix.overrun(timer))
}

/// Deletes a timer.
///
/// # Errors
/// EINVAL for an unknown one.
pub fn delete(timer: usize) -> Result<(), Errno> {
    on_timers(|timers, _| timers.posix.delete(timer).then_some(()))
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

/// The signal of a new timer.
pub struct Event {
    /// Its receiver.
    pub receiver: Receiver,
    /// Its number.
    pub signal: u64,
    /// The value that goes with it.
    pub value: u64,
}

/// Creates a timer of the clock with this number, with `SIGALRM` for the process unless `event` is
/// given; returns its number.
///
/// # Errors
/// EINVAL for an unknown clock, signal or thread; EOPNOTSUPP for a clock that can only be read;
/// EAGAIN: memory is short.
pub fn create(which: u64, event: Option<Event>) -> Result<usize, Errno> {
    const ALARM: u64 = 14;
    /// `CLOCK_REALTIME`.
    const REAL: u64 = 0;
    be_preempted()?;
    let clock = match which {
        REAL | 1 | 7 => Clock::Monotonic,
        4..=6 => return Err(Errno::EOPNOTSUPP),
        _ if which == PROCESS || is_used_time(which) => used_clock(which)?,
        _ => return Err(Errno::EINVAL),
    };
    let (value, signal, receiver) = match event {
        None => (None, ALARM, Receiver::Process),
        Some(event) => (Some(event.value), event.signal, event.receiver),
    };
    if receiver != Receiver::Nothing {
        signals::check(signal)?;
    }
    with(|state| {
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
    })
}

/// Sets a timer, to a time of its clock if `is_absolute`; returns its previous setting.
///
/// # Errors
/// EINVAL for an unknown one.
pub fn set(timer: usize, mut setting: Setting, is_absolute: bool) -> Result<Setting, Errno> {
    let kind = on_timers(|timers, _| timers.posix.kind(timer))?;
    if is_absolute && kind.is_real_time && setting.value != 0 {
        // Time 0 is in the past, and so is time 1.
        setting.value = monotonic_of(setting.value).max(1);
    }
    let before = on_timers(|timers, clocks| timers.posix.set(timer, setting, is_absolute, clocks))?;
    resume(time::monotonic_ns());
    Ok(before)
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
