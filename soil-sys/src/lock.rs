//! Who is inside the runtime: the program, or what looks after the network beside it.

use crate::current::Current;

use core::sync::atomic::{AtomicU32, Ordering};
use platform::Wait;

const FREE: u32 = 0;
/// A call of the program's.
const PROGRAM: u32 = 1;
/// What runs beside the program, for a short while.
const BESIDE: u32 = 2;
/// The same, and the program waits for its end.
const AWAITED: u32 = 3;

/// A lock that the program never finds taken by itself, and that nothing beside it waits for.
pub struct Lock(AtomicU32);

impl Lock {
    /// Nobody inside.
    pub const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    /// Lets the program in, when what runs beside it has left; false: a call of the program's is
    /// inside.
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

    /// The program leaves.
    pub fn leave(&self) {
        self.0.store(FREE, Ordering::Release);
    }

    /// Lets what runs beside the program in; false: somebody is inside.
    pub fn enter_beside(&self) -> bool {
        self.0
            .compare_exchange(FREE, BESIDE, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// What runs beside the program leaves.
    pub fn leave_beside(&self) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            Current::wake(&self.0);
        }
    }

    #[cold]
    fn await_end(&self) {
        let _ = self
            .0
            .compare_exchange(BESIDE, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
        Current::await_change(&self.0, AWAITED);
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    #[test]
    fn refuses_a_second_call_and_whoever_comes_beside() {
        let lock = Lock::new();
        assert!(lock.enter());
        assert!(!lock.enter());
        assert!(!lock.enter_beside());
        lock.leave();
        assert!(lock.enter_beside());
        assert!(!lock.enter_beside());
        lock.leave_beside();
        assert!(lock.enter());
    }

    /// The program sleeps while the other is inside, and is woken when that leaves.
    #[test]
    fn whoever_waits_is_woken() {
        static LOCK: Lock = Lock::new();
        assert!(LOCK.enter_beside());
        let (entered, news) = std::sync::mpsc::channel();
        std::thread::spawn(move || entered.send(LOCK.enter()));
        while LOCK.0.load(Ordering::Relaxed) != super::AWAITED {
            std::thread::yield_now();
        }
        // It is asleep then, or about to see that it needn't be.
        std::thread::sleep(std::time::Duration::from_millis(50));
        LOCK.leave_beside();
        let entered = news.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(entered, Ok(true), "never woken");
    }

    /// The program waits for the other, and is woken: 20,000 times each, never both inside.
    #[test]
    fn one_at_a_time() {
        let lock = Lock::new();
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
                    if lock.enter_beside() {
                        alone();
                        looks.fetch_add(1, Ordering::Relaxed);
                        lock.leave_beside();
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
