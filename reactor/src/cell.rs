//! The program's one runtime, behind its lock.

use crate::lock::Lock;
use crate::{Resources, Runtime};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use platform::System;
use platform::error::{Answer, Error, Stop};

/// The program's one runtime behind its lock. Any thread and a tick may use it; one at a time gets
/// the runtime.
pub struct Cell<R: Resources> {
    lock: Lock<R::Platform>,
    /// The thread to which the runtime belongs; 0: none yet.
    owner: AtomicUsize,
    runtime: UnsafeCell<Runtime<R>>,
}

// SAFETY: the runtime is only reached while the lock is held. What it owns that isn't `Send`
// doesn't depend on the thread, only on there being one at a time.
unsafe impl<R: Resources> Sync for Cell<R> {}

impl<R: Resources> Cell<R> {
    /// A runtime in which nothing has happened, without an owner.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Cell<R> {
        Cell {
            lock: Lock::new(),
            owner: AtomicUsize::new(0),
            runtime: UnsafeCell::new(Runtime::new()),
        }
    }

    /// Makes the current thread the owner, which alone [`Cell::call`] serves from now on.
    pub fn own(&self) {
        self.owner.store(R::Platform::thread(), Ordering::Relaxed);
    }

    /// Takes the lock for a call of the owner's.
    #[inline(never)]
    fn enter(&self) -> bool {
        let owner = self.owner.load(Ordering::Relaxed);
        (owner == 0 || owner == R::Platform::thread()) && self.lock.enter()
    }

    /// Runs `f` on the runtime. `Busy`: this is a call within a call (an OCaml finalizer), or
    /// another thread than the owner; the owner's call isn't disturbed.
    #[inline(always)]
    pub fn call(&self, f: impl FnOnce(&mut Runtime<R>) -> Answer) -> Answer {
        if self.enter() {
            self.inside(f)
        } else {
            Err(Error::Busy.into())
        }
    }

    /// [`Cell::call`] from whichever thread ends the program.
    pub fn call_at_exit(&self, f: impl FnOnce(&mut Runtime<R>) -> Answer) -> Answer {
        if self.lock.enter() {
            self.inside(f)
        } else {
            Err(Error::Busy.into())
        }
    }

    /// Runs `f`; the lock is held, and released afterwards.
    #[inline(always)]
    fn inside(&self, f: impl FnOnce(&mut Runtime<R>) -> Answer) -> Answer {
        // SAFETY: the lock is ours until this borrow has ended; with panic=abort there is no other
        // way out.
        let rt = unsafe { &mut *self.runtime.get() };
        let answer = f(rt);
        if matches!(answer, Err(Stop::Error(_))) {
            rt.messages.failed();
        }
        self.lock.leave();
        answer
    }

    /// Runs `f` on the runtime from a tick; does nothing while a call is inside.
    pub fn tick(&self, f: impl FnOnce(&mut Runtime<R>)) {
        if self.lock.enter_tick() {
            // SAFETY: as in `inside`.
            f(unsafe { &mut *self.runtime.get() });
            self.lock.leave_tick();
        }
    }

    /// Takes the lock for a fork on the owner's thread; `false` within a call. To be followed by
    /// [`Cell::unlock`].
    pub fn lock(&self) -> bool {
        self.lock.enter()
    }

    /// Releases the lock that [`Cell::lock`] took.
    pub fn unlock(&self) {
        self.lock.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::Cell;
    use crate::runtime::tests::Fake;
    use platform::error::{Answer, Error};
    use std::thread;

    #[test]
    fn the_owner_is_served_and_one_call_at_a_time() {
        static CELL: Cell<Fake> = Cell::new();
        const BUSY: Answer = Err(platform::error::Stop::Error(Error::Busy));
        let elsewhere = |f: fn() -> Answer| thread::spawn(f).join().expect("no panic");
        assert_eq!(elsewhere(|| CELL.call(|_| Ok(7))), Ok(7), "no owner yet");
        CELL.own();
        assert_eq!(CELL.call(|_| Ok(7)), Ok(7));
        assert_eq!(elsewhere(|| CELL.call(|_| Ok(7))), BUSY);
        assert_eq!(elsewhere(|| CELL.call_at_exit(|_| Ok(8))), Ok(8));
        // Neither a call within a call, nor a tick that interrupts one.
        let mut within = std::vec::Vec::new();
        let mut ticked = false;
        let outer = CELL.call(|_| {
            within.push(CELL.call(|_| Ok(1)));
            within.push(CELL.call_at_exit(|_| Ok(1)));
            CELL.tick(|_| ticked = true);
            Ok(9)
        });
        assert_eq!((outer, ticked), (Ok(9), false));
        assert_eq!(within, [BUSY, BUSY]);
        CELL.tick(|_| ticked = true);
        assert!(ticked);
        assert!(CELL.lock() && !CELL.lock());
        assert_eq!(CELL.call(|_| Ok(1)), BUSY);
        CELL.unlock();
        assert_eq!(CELL.call(|_| Ok(1)), Ok(1));
    }
}
