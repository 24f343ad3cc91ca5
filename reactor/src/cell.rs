//! The program's one runtime, behind its lock.

use crate::completions::FOLLOWS;
use crate::lock::Lock;
use crate::wait::{FINISH, From, Next, SCHEDULERS, continue_wait, finished};
use crate::{Resources, Runtime};
use platform::error::{Answer, Error, Stop};
use platform::{Clock, Interest as _, System, Wait};
use sync::atomic::{AtomicUsize, Ordering};
use sync::cell::UnsafeCell;

/// Words of a bit for each domain that has a scheduler.
const WORDS: usize = SCHEDULERS / usize::BITS as usize;

/// The program's one runtime behind its lock. Any thread of the OCaml domains that it serves and a
/// tick may use it; one at a time gets the runtime.
pub struct Cell<R: Resources> {
    lock: Lock<R::Platform>,
    /// The OCaml domains that the runtime serves, a bit each; none: all.
    served: [AtomicUsize; WORDS],
    runtime: UnsafeCell<Runtime<R>>,
}

// SAFETY: the runtime is only accessed while the lock is held. Its parts that aren't `Send` don't
// depend on the thread, only on exclusive access.
unsafe impl<R: Resources> Sync for Cell<R> {}

impl<R: Resources> Cell<R> {
    /// A new runtime, which serves all domains until the first [`Cell::join`].
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Cell<R> {
        Cell {
            lock: Lock::new(),
            served: [const { AtomicUsize::new(0) }; WORDS],
            runtime: UnsafeCell::new(Runtime::new()),
        }
    }

    /// The word and the bit of the current domain, if it can have a scheduler.
    fn place() -> Option<(usize, usize)> {
        let domain = R::Platform::domain();
        let bits = usize::BITS as usize;
        (domain < SCHEDULERS).then_some((domain / bits, 1 << (domain % bits)))
    }

    /// From now on [`Cell::call`] serves the threads of the current domain, too; `false`: it has
    /// too high a number. The first call ends the service of all others.
    pub fn join(&self) -> bool {
        let place = Self::place();
        if let Some((word, bit)) = place {
            self.served[word].fetch_or(bit, Ordering::Relaxed);
        }
        place.is_some()
    }

    /// Ends what [`Cell::join`] began: the domain is about to end. Not for the first that joined.
    pub fn leave_domain(&self) {
        if let Some((word, bit)) = Self::place() {
            self.served[word].fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Whether the runtime serves the current domain.
    pub fn serves(&self) -> bool {
        // Relaxed: a domain that has joined sees its own bit.
        let [first, rest @ ..] = self
            .served
            .each_ref()
            .map(|word| word.load(Ordering::Relaxed));
        // The first to join is the first domain. Before it does, OCaml may not have started, and
        // has no domain to ask for.
        if first == 0 {
            return true;
        }
        match R::Platform::domain() {
            domain if domain < usize::BITS as usize => first & 1 << domain != 0,
            _ => Self::place().is_some_and(|(word, bit)| rest[word - 1] & bit != 0),
        }
    }

    /// Whether the runtime serves several domains.
    pub fn is_shared(&self) -> bool {
        let [first, rest @ ..] = self
            .served
            .each_ref()
            .map(|word| word.load(Ordering::Relaxed));
        // The first domain has joined first.
        first > 1 || rest != [0; WORDS - 1]
    }

    /// Takes the lock for a call of a domain that is served.
    #[inline(never)]
    fn enter(&self) -> bool {
        self.serves() && self.enter_from_anywhere()
    }

    /// Takes the lock for a call.
    fn enter_from_anywhere(&self) -> bool {
        let entered = self.lock.enter();
        if entered {
            R::entered();
        }
        entered
    }

    /// Runs `f` on the runtime; waits while another thread's call is inside. `Busy`: this is a
    /// nested call (an OCaml finalizer), or one from a domain that isn't served; the call inside
    /// isn't disturbed. The lock's holder never waits for OCaml, so that a domain that waits here,
    /// and with it a garbage collection of all, is delayed by one call at most.
    #[inline(always)]
    pub fn call(&self, f: impl FnOnce(&mut Runtime<R>) -> Answer) -> Answer {
        self.call_as(f, |answer| answer)
    }

    /// [`Cell::call`], with the answer converted.
    #[inline(always)]
    pub fn call_as<T>(
        &self,
        f: impl FnOnce(&mut Runtime<R>) -> Answer,
        form: impl Fn(Answer) -> T,
    ) -> T {
        if !self.enter() {
            return refuse(form);
        }
        // SAFETY: the lock is ours until `leave`; with panic=abort there is no other exit.
        let answer = f(unsafe { &mut *self.runtime.get() });
        self.leave(answer, form)
    }

    /// [`Cell::call_as`] for threads of any domain, and of none. `f` must not use OCaml's memory,
    /// which only calls of domains keep from moving.
    pub fn call_from_anywhere<T>(
        &self,
        f: impl FnOnce(&mut Runtime<R>) -> Answer,
        form: impl Fn(Answer) -> T,
    ) -> T {
        if !self.enter_from_anywhere() {
            return refuse(form);
        }
        // SAFETY: as in `call_as`.
        let answer = f(unsafe { &mut *self.runtime.get() });
        self.leave(answer, form)
    }

    /// Ends a call, and releases the held lock. Not inline: each function of the boundary has a
    /// copy of [`Cell::call_as`].
    #[inline(never)]
    fn leave<T>(&self, answer: Answer, form: impl Fn(Answer) -> T) -> T {
        // SAFETY: the lock is ours until it is released below.
        let rt = unsafe { &mut *self.runtime.get() };
        if rt.is_slept_on() {
            match core::mem::take(&mut rt.adds_requests_only) {
                true => rt.interest.submit_all(),
                false => rt.nudge(),
            }
        }
        self.release(rt, &answer);
        form(answer)
    }

    /// Records a failure, and releases the held lock.
    fn release(&self, rt: &mut Runtime<R>, answer: &Answer) {
        if matches!(answer, Err(Stop::Error(_))) {
            rt.messages.failed(R::Platform::thread());
        }
        self.lock.leave();
    }

    /// Runs the drivers and sleeps until there is a completion for `waiter`
    /// ([`crate::wait::SCHEDULER`] or a thread's token), the time `until` (monotonic nanoseconds)
    /// has come, or a signal arrives; then runs `fetch`. Blocks; other threads' calls are served
    /// meanwhile, and OCaml runs during a sleep. `Busy` as for [`Cell::call`].
    pub fn wait(
        &self,
        waiter: u64,
        until: Option<u64>,
        fetch: impl FnOnce(&mut Runtime<R>) -> Answer,
    ) -> Answer {
        match self.enter() {
            true => self.wait_inside(waiter, until, fetch),
            false => Err(Error::Busy.into()),
        }
    }

    /// [`Cell::wait`] for threads of any domain, and of none. `fetch` must not use OCaml's memory.
    pub fn wait_from_anywhere(
        &self,
        waiter: u64,
        until: Option<u64>,
        fetch: impl FnOnce(&mut Runtime<R>) -> Answer,
    ) -> Answer {
        match self.enter_from_anywhere() {
            true => self.wait_inside(waiter, until, fetch),
            false => Err(Error::Busy.into()),
        }
    }

    /// Runs the drivers until all have finished, for at most `grace` nanoseconds. Blocks. From the
    /// thread that ends the program, of any domain.
    pub fn finish(&self, grace: u64) -> Answer {
        if !self.lock.enter() {
            return Err(Error::Busy.into());
        }
        let until = R::Platform::monotonic_ns().saturating_add(grace);
        self.wait_inside(FINISH, Some(until), |rt| match finished(rt) {
            true => Ok(0),
            false => Err(Error::TimedOut.into()),
        })
    }

    /// Waits, and runs `fetch`; the lock is held, and released afterwards.
    fn wait_inside(
        &self,
        waiter: u64,
        until: Option<u64>,
        fetch: impl FnOnce(&mut Runtime<R>) -> Answer,
    ) -> Answer {
        let (waited, blocking) = self.block(waiter, until);
        // SAFETY: the lock is ours until `release`.
        let rt = unsafe { &mut *self.runtime.get() };
        let answer = match waited {
            Ok(()) => fetch(rt),
            Err(stop) => Err(stop),
        };
        self.release(rt, &answer);
        if blocking {
            R::Platform::leave_blocking();
        }
        answer
    }

    /// Waits; the lock is held. The second result: whether OCaml was released, which has to be
    /// reacquired once the lock is released.
    fn block(&self, waiter: u64, until: Option<u64>) -> (Result<(), Stop>, bool) {
        let (mut from, mut blocking) = (From::Call, false);
        let shared = self.is_shared();
        let mut enter_blocking = || {
            if !core::mem::replace(&mut blocking, true) {
                R::Platform::enter_blocking();
            }
        };
        let waited = loop {
            // SAFETY: the lock is held here and at each iteration of the loop.
            let rt = unsafe { &mut *self.runtime.get() };
            rt.is_shared = shared;
            match continue_wait(rt, waiter, until, from) {
                Err(stop) => break Err(stop),
                Ok(Next::Return) => break Ok(()),
                Ok(Next::Sleep(mut sleep)) => {
                    self.lock.leave();
                    enter_blocking();
                    R::Platform::sleep(&mut sleep);
                    from = From::Sleep(sleep);
                }
                Ok(Next::Follow(word, standby)) => {
                    self.lock.leave();
                    enter_blocking();
                    let standby_until = standby.map(|standby| standby.until);
                    let until = standby_until.into_iter().chain(until).min();
                    match waiter {
                        FINISH => R::Platform::await_change(&word, FOLLOWS, until),
                        _ => R::Platform::await_change_or_signal(&word, FOLLOWS, until),
                    }
                    from = From::Following(word, standby);
                }
            }
            // No call of this thread is inside: it was asleep.
            self.lock.enter();
        };
        (waited, blocking)
    }

    /// Runs `f` on the runtime from a tick; does nothing while a call is inside, or a leader waits
    /// for the devices: these wake it, and the tick would take from it what it is woken for.
    pub fn tick(&self, f: impl FnOnce(&mut Runtime<R>)) {
        if self.lock.enter_tick() {
            // SAFETY: as in `call`.
            let rt = unsafe { &mut *self.runtime.get() };
            if !rt.is_watched() {
                f(rt);
            }
            self.lock.leave_tick();
        }
    }

    /// See [`Lock::waits`].
    pub fn lock_waits(&self) -> [usize; 2] {
        self.lock.waits()
    }

    /// Takes the lock for a fork; `false` within a call. [`Cell::unlock`] must follow.
    pub fn lock(&self) -> bool {
        self.lock.enter()
    }

    /// Releases the lock that [`Cell::lock`] took.
    pub fn unlock(&self) {
        self.lock.leave();
    }
}

/// The answer to a refused call.
#[inline(never)]
fn refuse<T>(form: impl Fn(Answer) -> T) -> T {
    form(Err(Error::Busy.into()))
}

#[cfg(test)]
mod tests {
    use super::Cell;
    use crate::completions::{Leader, SCHEDULER};
    use crate::runtime::tests::Fake;
    use core::sync::atomic::Ordering;
    use host::Host;
    use platform::Wait as _;
    use platform::error::{Answer, Error};
    use std::thread;

    const BUSY: Answer = Err(platform::error::Stop::Error(Error::Busy));

    #[test]
    fn one_call_at_a_time_is_served() {
        static CELL: Cell<Fake> = Cell::new();
        let elsewhere = |f: fn() -> Answer| thread::spawn(f).join().expect("no panic");
        assert!(CELL.join());
        assert_eq!(CELL.call(|_| Ok(7)), Ok(7));
        assert_eq!(elsewhere(|| CELL.call(|_| Ok(8))), Ok(8));
        // Neither a nested call, nor a tick that interrupts one.
        let mut within = std::vec::Vec::new();
        let mut ticked = false;
        let outer = CELL.call(|_| {
            within.push(CELL.call(|_| Ok(1)));
            within.push(CELL.wait(SCHEDULER, Some(0), |_| Ok(1)));
            within.push(CELL.finish(0));
            CELL.tick(|_| ticked = true);
            Ok(9)
        });
        assert_eq!((outer, ticked), (Ok(9), false));
        assert_eq!(within, [BUSY; 3]);
        CELL.tick(|_| ticked = true);
        assert!(ticked);
        assert!(CELL.lock() && !CELL.lock());
        assert_eq!(CELL.call(|_| Ok(1)), BUSY);
        CELL.unlock();
        assert_eq!(CELL.call(|_| Ok(1)), Ok(1));
    }

    #[test]
    fn a_tick_takes_nothing_from_a_leader_that_waits() {
        let (own, parents) = (Host::forks(), Host::forks().wrapping_sub(1));
        for (leader, led_in, runs) in [
            (Leader::Absent, own, true),
            (Leader::Awake, own, true),
            (Leader::Asleep, own, false),
            (Leader::Nudged, own, false),
            (Leader::Asleep, parents, true),
        ] {
            let cell = Cell::<Fake>::new();
            assert!(cell.join());
            // SAFETY: no other thread uses the cell.
            let rt = unsafe { &mut *cell.runtime.get() };
            (rt.leader, rt.led_in) = (leader, led_in);
            let mut ran = false;
            cell.tick(|_| ran = true);
            assert_eq!(ran, runs);
        }
    }

    /// The leader's sleep covers what the platform submits meanwhile.
    #[test]
    fn requests_alone_end_no_sleep() {
        let cell = Cell::<Fake>::new();
        assert!(cell.join());
        // SAFETY: no other thread uses the cell.
        let rt = unsafe { &mut *cell.runtime.get() };
        (rt.leader, rt.led_in) = (Leader::Asleep, Host::forks());
        let adds_requests = |rt: &mut crate::Runtime<Fake>| {
            rt.note_requests_only();
            Ok(0)
        };
        assert_eq!(cell.call(adds_requests), Ok(0));
        assert!(rt.leader == Leader::Asleep);
        assert_eq!(cell.call(|_| Ok(0)), Ok(0));
        assert!(rt.leader == Leader::Nudged);
    }

    #[test]
    fn other_domains_are_refused() {
        static CELL: Cell<Fake> = Cell::new();
        // This crate's platform for tests has one domain, with the number 0.
        CELL.served[0].store(2, Ordering::Relaxed);
        assert_eq!(CELL.call(|_| Ok(7)), BUSY);
        assert_eq!(CELL.wait(SCHEDULER, Some(0), |_| Ok(7)), BUSY);
        assert_eq!(CELL.finish(0), Ok(0), "the program's end is any domain's");
        let call = || CELL.call_from_anywhere(|_| Ok(7), |answer| answer);
        assert_eq!(call(), Ok(7));
        let waited = CELL.wait_from_anywhere(SCHEDULER, Some(0), |_| Ok(7));
        assert_eq!(waited, Ok(7));
        CELL.call_from_anywhere(
            |_| Ok(usize::from(call() == BUSY)),
            |answer| {
                assert_eq!(answer, Ok(1), "within a call");
            },
        );
        // Until it joins, and again when it has left.
        assert!(CELL.join());
        assert_eq!(CELL.call(|_| Ok(7)), Ok(7));
        CELL.leave_domain();
        assert_eq!(CELL.call(|_| Ok(7)), BUSY);
    }
}
