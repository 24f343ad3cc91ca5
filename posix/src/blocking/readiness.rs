//! Readiness: events, and the wait for a change of those of any descriptor, as in poll(2),
//! select(2) and epoll(7).
//!
//! A wait runs the reactor's drivers first, so that a non-blocking poll sees a device's data. If
//! the poll finds nothing, a token is parked for the next change of any descriptor
//! ([`Runtime::watch`]) before anything else can run: no change is lost, and nothing is polled.
//! Files that become ready independently of the reactor's descriptors call
//! [`Runtime::wake_watchers`], or are known to this module's driver: the console, timers and
//! signals (`await_…`).

use super::lent::Lent;
use super::operation::{at_once, end, now, number, token};
use super::signals::{self, Set, is_interrupted, within_call};
use crate::errors::{Errno, RESTART, Result};
use bitflags::bitflags;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use platform::error::{Error, Stop};
use platform::{Clock, Console, Direction, Interest as _, Stream};
use resources::current::Current;
use resources::runtime::wait_from_anywhere as wait;
use resources::types::Int;
use resources::{Driver, Runtime};

bitflags! {
    /// Events, with the numbers of `poll.h`, which equal those of `sys/epoll.h`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u32 {
        /// A read doesn't wait.
        const IN = 0x1;
        /// There is urgent data.
        const PRI = 0x2;
        /// A write doesn't wait.
        const OUT = 0x4;
        /// An error; for the write end of a pipe, that there is no reader. Always reported.
        const ERR = 0x8;
        /// The peer has gone. Always reported.
        const HUP = 0x10;
        /// Normal data, as [`Events::IN`].
        const RDNORM = 0x40;
        /// Normal data, as [`Events::OUT`].
        const WRNORM = 0x100;
        /// The peer writes no more.
        const RDHUP = 0x2000;
        /// A read doesn't wait, by both names.
        const READABLE = 0x41;
        /// A write doesn't wait, by both names.
        const WRITABLE = 0x104;
        /// Reported even if not requested.
        const ALWAYS = 0x18;
    }
}

impl Events {
    /// `events` if the condition holds, else none.
    pub fn when(condition: bool, events: Events) -> Events {
        if condition { events } else { Events::empty() }
    }
}

/// Events that threads wait for in addition to the reactor's descriptors. Threads that still wait
/// register again when they poll.
struct Awaited {
    /// The console's input.
    input: AtomicBool,
    /// The first expiration of a timer, in monotonic nanoseconds.
    timers_until: AtomicU64,
    signals: AtomicU64,
    /// The driver is registered.
    registered: AtomicBool,
}

static AWAITED: Awaited = Awaited {
    input: AtomicBool::new(false),
    timers_until: AtomicU64::new(u64::MAX),
    signals: AtomicU64::new(0),
    registered: AtomicBool::new(false),
};

/// A thread waits for the console's input.
pub fn await_input(rt: &mut Runtime) {
    if !AWAITED.input.swap(true, Ordering::Relaxed) {
        rt.renew_sleep();
    }
}

/// A thread waits for a timer that expires at this time, in monotonic nanoseconds.
pub fn await_timer(rt: &mut Runtime, next: u64) {
    if AWAITED.timers_until.fetch_min(next, Ordering::Relaxed) > next {
        rt.renew_sleep();
    }
}

/// A thread waits to read signals.
pub fn await_signals(set: Set) {
    AWAITED.signals.fetch_or(set, Ordering::Relaxed);
}

/// Repeats `attempt`, which uses memory that the call was lent, until it has a result, at each
/// change of any descriptor. With `O_NONBLOCK` in `flags` it fails with [`libc::EAGAIN`] in place of
/// a wait.
pub fn retry<T>(
    flags: i32,
    lent: Lent,
    mut attempt: impl FnMut(&mut Runtime) -> Result<Option<T>>,
) -> Result<T> {
    let done = now(&mut attempt)?;
    if done.is_some() || flags & libc::O_NONBLOCK != 0 {
        return done.ok_or(libc::EAGAIN);
    }
    let again = |rt: &mut Runtime| lent.check().and_then(|()| attempt(rt));
    wait_for(None, RESTART, again)?.ok_or(libc::EAGAIN)
}

/// Makes every waiting thread poll again: changes by the current call may make a descriptor ready.
pub fn changed() {
    // The runtime exists for a system call.
    let _ = at_once(|rt| {
        rt.wake_watchers();
        Ok(0)
    });
}

/// Repeats `poll` at each change of the readiness of any descriptor, until it returns a result or
/// `deadline` (monotonic nanoseconds) has passed: `None`. `poll` doesn't block; it has the
/// runtime's lock.
///
/// # Errors
/// Errors of `poll`; `interrupted` when a signal is to be handled.
pub fn wait_for<T>(
    deadline: Option<u64>,
    interrupted: Errno,
    mut poll: impl FnMut(&mut Runtime) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let token = token();
    let mut until = Some(0);
    loop {
        let mut found = Ok(None);
        let answer = within_call(true, || {
            wait(token, until, |rt| {
                // Without a change, it is a signal or the deadline.
                end(rt, token)?;
                found = poll(rt);
                if !matches!(found, Ok(None)) {
                    return Ok(0);
                }
                // Also for a non-blocking poll: the library waits after one.
                register(rt)?;
                if deadline.is_some_and(|at| Current::monotonic_ns() >= at) {
                    return Ok(0);
                }
                if is_interrupted() {
                    found = Err(interrupted);
                    return Ok(0);
                }
                rt.watch(token as Int)
            })
        });
        match answer {
            Ok(_) => return found,
            Err(Stop::Pending) => until = deadline,
            Err(stop) => {
                // If the wait has failed, the watch still exists.
                let _ = at_once(|rt| end(rt, token));
                return Err(number(stop));
            }
        }
    }
}

/// Adds events that no other driver watches to the reactor's wait.
fn register(rt: &mut Runtime) -> core::result::Result<(), Error> {
    if AWAITED.registered.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    rt.register(&Driver {
        poll: |rt, now| {
            let input = AWAITED.input.load(Ordering::Relaxed)
                && Current::console_ready(Stream::Standard, Direction::Read);
            if input {
                AWAITED.input.store(false, Ordering::Relaxed);
            }
            let expired = AWAITED.timers_until.load(Ordering::Relaxed) <= now;
            if expired {
                AWAITED.timers_until.store(u64::MAX, Ordering::Relaxed);
            }
            let awaited = AWAITED.signals.load(Ordering::Relaxed);
            let signalled = signals::is_pending(awaited) | signals::take_sent_to_threads(awaited);
            if signalled {
                AWAITED.signals.store(0, Ordering::Relaxed);
            }
            if input || expired || signalled {
                rt.wake_watchers();
            }
        },
        deadline: |_| {
            let until = AWAITED.timers_until.load(Ordering::Relaxed);
            Some(until).filter(|until| *until != u64::MAX)
        },
        interest: |_, interest| {
            if AWAITED.input.load(Ordering::Relaxed) {
                interest.console(Stream::Standard, Direction::Read);
            }
        },
        finish: |_| true,
        counter: |_, _| 0,
    })
}

#[cfg(test)]
mod tests {
    use super::{Errno, Events, wait_for};
    use crate::blocking::operation::now;
    use crate::blocking::signals;
    use crate::file::{Description, Offset};
    use crate::files::eventfd::Counter;
    use crate::files::pipe::{self, ATOMIC};
    use crate::files::timerfd::{Setting, Timer};
    use crate::tests::begin;
    use alloc::sync::Arc;
    use platform::Clock;
    use resources::current::Current;
    use std::time::Duration;
    use std::{thread, vec};

    /// The ends of a new pipe: read, write.
    fn pipe() -> (Arc<Description>, Arc<Description>) {
        let [reader, writer] = pipe::open(0).expect("memory");
        (reader, writer)
    }

    fn events(description: &Description) -> Events {
        crate::tests::events(description.file())
    }

    fn changes(description: &Description) -> u64 {
        now(|rt| Ok::<_, Errno>(description.file().changes(rt))).expect("the runtime")
    }

    #[test]
    fn a_pipe_has_linuxs_events() {
        let _one = begin("pipes");
        let (reader, writer) = pipe();
        assert_eq!(events(&reader), Events::empty());
        assert_eq!(events(&writer), Events::WRITABLE);
        let all = vec![0; 64 << 10];
        assert_eq!(writer.write(&all, Offset::Position), Ok(all.len()));
        assert_eq!(events(&reader), Events::READABLE);
        assert_eq!(events(&writer), Events::empty());
        assert_eq!(reader.file().available(), Ok(64 << 10));
        drop(writer);
        assert_eq!(events(&reader), Events::READABLE | Events::HUP);
        let mut into = all;
        assert_eq!(reader.read(&mut into, Offset::Position), Ok(64 << 10));
        assert_eq!(events(&reader), Events::HUP);
        let (reader, writer) = pipe();
        drop(reader);
        assert_eq!(events(&writer), Events::WRITABLE | Events::ERR);
    }

    /// The events of a description once it has some; `None` if there are none in time.
    fn await_events(description: &Description, deadline: Option<u64>) -> Option<Events> {
        wait_for(deadline, libc::EINTR, |rt| {
            let events = description.file().events(rt);
            Ok(Some(events).filter(|events| !events.is_empty()))
        })
        .expect("no signal")
    }

    #[test]
    fn small_writes_to_a_pipe_are_whole_or_wait() {
        let _one = begin("atomic");
        let (reader, writer) = pipe();
        let most = 64 << 10;
        let write = |len| writer.write(&vec![1; len], Offset::Position);
        let read = |len| reader.read(&mut vec![0; len], Offset::Position);
        assert_eq!(write(most - ATOMIC + 1), Ok(most - ATOMIC + 1));
        assert_eq!(events(&writer), Events::empty());
        writer.set_flags(libc::O_NONBLOCK);
        assert_eq!(write(ATOMIC), Err(libc::EAGAIN));
        assert_eq!(write(0), Ok(0));
        assert_eq!(write(ATOMIC + 1), Ok(ATOMIC - 1));
        assert_eq!(write(1), Err(libc::EAGAIN));
        assert_eq!(read(ATOMIC), Ok(ATOMIC));
        assert_eq!(write(ATOMIC), Ok(ATOMIC), "as much as there is room for");
        assert_eq!(read(ATOMIC - 1), Ok(ATOMIC - 1));
        assert_eq!(events(&writer), Events::empty());
        writer.set_flags(0);
        let mut changed = false;
        thread::scope(|scope| {
            // The pipe isn't full when it gets room for the waiting write.
            let waiting = scope.spawn(|| write(ATOMIC));
            thread::sleep(Duration::from_millis(20));
            let len = most - (ATOMIC - 1);
            assert_eq!(reader.file().available(), Ok(len as u64));
            let before = changes(&writer);
            assert_eq!(read(1), Ok(1));
            changed = changes(&writer) != before;
            assert_eq!(read(1), Ok(1));
            assert_eq!(waiting.join().expect("no panic"), Ok(ATOMIC));
        });
        assert!(changed, "an edge, and a wake");
        drop(reader);
        assert_eq!([write(1), write(ATOMIC + 1)], [Err(libc::EPIPE); 2]);
        assert_eq!(write(0), Ok(0));
    }

    /// A pipe that breaks while a write waits: bytes written before count, and SIGPIPE is sent as
    /// for a write that began later.
    #[test]
    fn a_pipe_that_breaks_within_a_write_sends_the_signal() {
        let _one = begin("breaks");
        const SIGPIPE: u64 = 1 << (libc::SIGPIPE - 1);
        let most = 64 << 10;
        for (len, before, written) in [
            (3 * most, 0, Ok(most)),
            (3 * most, 1000, Ok(most - 1000)),
            (3 * most, most, Err(libc::EPIPE)),
            (ATOMIC, most, Err(libc::EPIPE)),
        ] {
            let (reader, writer) = pipe();
            let write = |len| writer.write(&vec![1; len], Offset::Position);
            assert_eq!(write(before), Ok(before));
            thread::scope(|scope| {
                let waiting = scope.spawn(|| write(len));
                while reader.file().available() != Ok(most as u64) {
                    thread::yield_now();
                }
                assert!(!signals::is_pending(SIGPIPE));
                drop(reader);
                assert_eq!(waiting.join().expect("no panic"), written);
            });
            assert!(signals::take(SIGPIPE).is_some(), "{len} {before}");
            assert_eq!(write(1), Err(libc::EPIPE));
            assert!(signals::take(SIGPIPE).is_some());
            assert_eq!(write(0), Ok(0));
            assert!(signals::take(SIGPIPE).is_none());
        }
    }

    #[test]
    fn large_writes_and_reads_wait_for_the_other_end() {
        let _one = begin("large");
        let (reader, writer) = pipe();
        let most = 64 << 10;
        let write = |len| writer.write(&vec![1; len], Offset::Position);
        let read = |len| reader.read(&mut vec![0; len], Offset::Position);
        thread::scope(|scope| {
            let reading = scope.spawn(|| read(9));
            thread::sleep(Duration::from_millis(20));
            assert_eq!(write(1), Ok(1));
            assert_eq!(reading.join().expect("no panic"), Ok(1));
            let writing = scope.spawn(|| write(2 * most));
            let mut count = 0;
            while count < 2 * most {
                count += read(most).expect("bytes");
            }
            assert_eq!(writing.join().expect("no panic"), Ok(2 * most));
            assert_eq!((count, reader.file().available()), (2 * most, Ok(0)));
        });
        // A part is written when the reader closes: no error for it.
        let writing = thread::spawn(move || {
            let len = most + 1;
            writer.write(&vec![1; len], Offset::Position)
        });
        while reader.file().available() != Ok(most as u64) {
            thread::yield_now();
        }
        drop(reader);
        assert_eq!(writing.join().expect("no panic"), Ok(most));
    }

    #[test]
    fn a_wait_ends_by_another_threads_change_or_in_time() {
        let _one = begin("waits");
        let (reader, writer) = pipe();
        assert_eq!(await_events(&reader, Some(0)), None);
        let soon = Current::monotonic_ns() + 5_000_000;
        assert_eq!(await_events(&reader, Some(soon)), None);
        assert!(Current::monotonic_ns() >= soon);
        for _ in 0..100 {
            let other = {
                let writer = Arc::clone(&writer);
                thread::spawn(move || writer.write(b"x", Offset::Position))
            };
            assert_eq!(await_events(&reader, None), Some(Events::READABLE));
            assert_eq!(other.join().expect("no panic"), Ok(1));
            assert_eq!(reader.read(&mut [0; 9], Offset::Position), Ok(1));
        }
        let waiting = {
            let reader = Arc::clone(&reader);
            thread::spawn(move || await_events(&reader, None))
        };
        drop(writer);
        assert_eq!(waiting.join().expect("no panic"), Some(Events::HUP));
    }

    #[test]
    fn a_timers_expiration_ends_a_wait_and_is_an_edge() {
        let _one = begin("timers");
        let timer = Timer::new(libc::CLOCK_MONOTONIC).expect("a clock");
        let every = |ns| Setting {
            interval: ns,
            value: ns,
        };
        // The setting is also a change. Expirations can occur before the next line.
        let timer = Description::new(timer, libc::O_RDWR);
        let of = timer.downcast::<Timer>().expect("a timer");
        let mut before = changes(&timer) + 1;
        of.set(every(2_000_000), false);
        for _ in 0..3 {
            assert_eq!(await_events(&timer, None), Some(Events::IN));
            let now = changes(&timer);
            assert!(now > before, "{now} after {before}");
            before = now;
            assert_eq!(timer.read(&mut [0; 8], Offset::Position), Ok(8));
        }
        // Expirations after the first that a thread waits for also end waits.
        of.set(every(3_600_000_000_000), false);
        let soon = Some(Current::monotonic_ns() + 1_000_000);
        assert_eq!(await_events(&timer, soon), None);
        of.set(every(2_000_000), false);
        assert_eq!(await_events(&timer, None), Some(Events::IN));
    }

    #[test]
    fn each_write_of_a_counter_is_an_edge() {
        let _one = begin("counters");
        let counter = Description::new(Counter::new(0, false), libc::O_RDWR);
        assert_eq!(events(&counter), Events::OUT);
        let before = changes(&counter);
        let one = 1u64.to_le_bytes();
        assert_eq!(counter.write(&one, Offset::Position), Ok(8));
        let between = changes(&counter);
        assert_eq!(counter.write(&one, Offset::Position), Ok(8));
        assert!(before != between && between != changes(&counter));
        assert_eq!(events(&counter), Events::IN | Events::OUT);
    }
}
