//! The lock of the runtime: it admits one thread's call, or a tick.

use core::marker::PhantomData;
use platform::{Clock, System, Wait};
use sync::atomic::{AtomicUsize, Ordering};
use sync::lock;

/// A lock that calls of other threads wait for, and a tick never does. From any thread.
pub struct Lock<P> {
    lock: lock::Lock,
    /// The thread whose call is inside; 0: none, or a tick.
    holder: AtomicUsize,
    /// What waits for it took, by those that wait: who finds it free pays nothing.
    waits: Waits,
    platform: PhantomData<fn() -> P>,
}

/// Counts of the waits for a lock.
struct Waits {
    count: AtomicUsize,
    /// The longest, in nanoseconds.
    longest: AtomicUsize,
}

impl<P: Clock + System + Wait> Lock<P> {
    /// Nothing inside.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Lock<P> {
        Lock {
            lock: lock::Lock::new(),
            holder: AtomicUsize::new(0),
            waits: Waits {
                count: AtomicUsize::new(0),
                longest: AtomicUsize::new(0),
            },
            platform: PhantomData,
        }
    }

    /// Admits a call of the current thread, once no other's and no tick is inside; `false`: a call
    /// of this thread already is.
    #[inline]
    pub fn enter(&self) -> bool {
        let thread = P::thread();
        if !self.lock.take() && !self.await_end(thread) {
            return false;
        }
        self.holder.store(thread, Ordering::Relaxed);
        true
    }

    /// Releases the lock at the end of a call.
    pub fn leave(&self) {
        // Before the lock is free: a thread that finds its own number here is inside.
        self.holder.store(0, Ordering::Relaxed);
        self.release();
    }

    /// Admits a tick; `false`: a call or tick is inside.
    pub fn enter_tick(&self) -> bool {
        self.lock.take()
    }

    /// Releases the lock at the end of a tick.
    pub fn leave_tick(&self) {
        self.release();
    }

    /// How many calls have waited for the lock, and how long at most, in nanoseconds: as long as
    /// others held it.
    pub fn waits(&self) -> [usize; 2] {
        [&self.waits.count, &self.waits.longest].map(|each| each.load(Ordering::Relaxed))
    }

    fn release(&self) {
        self.lock.release(P::wake);
    }

    /// Takes the lock once it is free; `false` if `thread` itself holds it.
    #[cold]
    fn await_end(&self, thread: usize) -> bool {
        // Relaxed: only this thread stores its own number, and it sees its own stores in order.
        if self.holder.load(Ordering::Relaxed) == thread {
            return false;
        }
        for _ in 0..P::lock_tries() {
            core::hint::spin_loop();
            if self.lock.take() {
                return true;
            }
        }
        let mut since = None;
        self.lock.await_release(|word, value| {
            since.get_or_insert_with(P::monotonic_ns);
            P::await_release(word, value);
        });
        if let Some(since) = since {
            self.count(since);
        }
        true
    }

    /// Counts a wait since this time; the lock is held, so nothing else counts.
    fn count(&self, since: u64) {
        let Waits { count, longest } = &self.waits;
        let took = P::monotonic_ns().saturating_sub(since) as usize;
        count.store(
            count.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
        if longest.load(Ordering::Relaxed) < took {
            longest.store(took, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use host::Host;
    use std::thread;
    use std::time::Duration;

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

    /// A call sleeps while a tick or another thread's call is inside, and is woken at its end.
    #[test]
    fn a_waiting_call_is_woken() {
        static LOCK: Lock<Host> = Lock::new();
        let call: [fn(&Lock<Host>) -> bool; 2] = [Lock::enter, Lock::enter_tick];
        let end: [fn(&Lock<Host>); 2] = [Lock::leave, Lock::leave_tick];
        for (enter, leave) in call.into_iter().zip(end) {
            assert!(enter(&LOCK));
            let (entered, receiver) = std::sync::mpsc::channel();
            let waiter = thread::spawn(move || {
                entered.send(LOCK.enter()).expect("it is awaited");
                LOCK.leave();
            });
            while !LOCK.lock.is_awaited() {
                thread::yield_now();
            }
            // By now it is asleep, or about to see that it needn't sleep.
            thread::sleep(Duration::from_millis(50));
            leave(&LOCK);
            let entered = receiver.recv_timeout(Duration::from_secs(60));
            assert_eq!(entered, Ok(true), "never woken");
            waiter.join().expect("no panic");
        }
        let [count, longest] = LOCK.waits();
        assert_eq!(count, 2);
        assert!(longest > 0);
    }

    /// Calls of three threads and ticks of one: never two inside.
    #[test]
    fn one_at_a_time() {
        let lock = Lock::<Host>::new();
        let inside = AtomicBool::new(false);
        let alone = || {
            assert!(!inside.swap(true, Ordering::Relaxed));
            core::hint::spin_loop();
            inside.store(false, Ordering::Relaxed);
        };
        let (calling, ticks) = (AtomicUsize::new(3), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while calling.load(Ordering::Relaxed) > 0 {
                    if lock.enter_tick() {
                        alone();
                        ticks.fetch_add(1, Ordering::Relaxed);
                        lock.leave_tick();
                    }
                    thread::yield_now();
                }
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut calls = 0;
                    while calls < 20_000 || ticks.load(Ordering::Relaxed) < 1000 {
                        assert!(lock.enter());
                        alone();
                        lock.leave();
                        calls += 1;
                    }
                    calling.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
    }
}
