//! The lock of the runtime: a call of the program is inside, or a tick.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};
use platform::Wait;

const FREE: u32 = 0;
/// A call of the program's.
const PROGRAM: u32 = 1;
/// A tick, for a short while.
const TICK: u32 = 2;
/// The same, and the program waits for its end.
const AWAITED: u32 = 3;

/// A lock for which a call waits while a tick is inside, and a tick never waits. From any thread.
pub struct Lock<W: Wait>(AtomicU32, PhantomData<fn() -> W>);

impl<W: Wait> Lock<W> {
    /// Nothing inside.
    pub(crate) const fn new() -> Lock<W> {
        Lock(AtomicU32::new(FREE), PhantomData)
    }

    /// Lets a call in, once no tick is inside; `false`: a call is inside.
    pub fn enter(&self) -> bool {
        loop {
            match self
                .0
                .compare_exchange(FREE, PROGRAM, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(PROGRAM) => return false,
                Err(_) => self.await_end(),
            }
        }
    }

    /// The call leaves.
    pub fn leave(&self) {
        self.0.store(FREE, Ordering::Release);
    }

    /// Lets a tick in; `false`: a call or tick is inside.
    pub fn enter_tick(&self) -> bool {
        self.0
            .compare_exchange(FREE, TICK, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// The tick leaves.
    pub fn leave_tick(&self) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            W::wake(&self.0);
        }
    }

    #[cold]
    fn await_end(&self) {
        let _ = self
            .0
            .compare_exchange(TICK, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
        W::await_change(&self.0, AWAITED);
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use host::Host;

    #[test]
    fn refuses_a_second_call_and_a_tick() {
        let lock = Lock::<Host>::new();
        assert!(lock.enter());
        assert!(!lock.enter());
        assert!(!lock.enter_tick());
        lock.leave();
        assert!(lock.enter_tick());
        assert!(!lock.enter_tick());
        lock.leave_tick();
        assert!(lock.enter());
    }

    /// The call sleeps while the tick is inside, and is woken when it leaves.
    #[test]
    fn a_waiting_call_is_woken() {
        static LOCK: Lock<Host> = Lock::new();
        assert!(LOCK.enter_tick());
        let (entered, news) = std::sync::mpsc::channel();
        std::thread::spawn(move || entered.send(LOCK.enter()));
        while LOCK.0.load(Ordering::Relaxed) != super::AWAITED {
            std::thread::yield_now();
        }
        // It is asleep then, or about to see that it needn't be.
        std::thread::sleep(std::time::Duration::from_millis(50));
        LOCK.leave_tick();
        let entered = news.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(entered, Ok(true), "never woken");
    }

    /// The call waits for the tick, and is woken: 20,000 times each, never both inside.
    #[test]
    fn one_at_a_time() {
        let lock = Lock::<Host>::new();
        let inside = AtomicBool::new(false);
        let alone = || {
            assert!(!inside.swap(true, Ordering::Relaxed));
            core::hint::spin_loop();
            inside.store(false, Ordering::Relaxed);
        };
        let (done, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if lock.enter_tick() {
                        alone();
                        looks.fetch_add(1, Ordering::Relaxed);
                        lock.leave_tick();
                    }
                    std::thread::yield_now();
                }
            });
            let mut calls = 0;
            while calls < 20_000 || looks.load(Ordering::Relaxed) < 20_000 {
                assert!(lock.enter());
                alone();
                lock.leave();
                calls += 1;
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
