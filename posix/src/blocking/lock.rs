//! A lock that a call keeps while it waits. Other calls wait for its end.

use super::signals::within_call;
use core::sync::atomic::{AtomicU32, Ordering};
use platform::Wait;
use resources::current::Current;
use sync::mutex::{Mutex, MutexGuard, level};

/// Data under the lock.
pub struct Lock<T> {
    data: Mutex<T, level::Listing>,
    /// Counts the ends of uses. Changes wake the threads that wait.
    ends: AtomicU32,
    /// Number of threads that wait.
    waiting: AtomicU32,
}

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Lock<T> {
        Lock {
            data: Mutex::new(data),
            ends: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
        }
    }

    /// Runs `f` on the data. Waits while another thread uses it; a signal doesn't end the wait, as
    /// on Linux.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut data = self.data.try_lock().unwrap_or_else(|| self.wait());
        let result = f(&mut data);
        drop(data);
        // SeqCst, here and in `wait`: either this thread sees the one that waits, or that one sees
        // the free lock or the new count.
        self.ends.fetch_add(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) != 0 {
            Current::wake(&self.ends);
        }
        result
    }

    #[cold]
    fn wait(&self) -> MutexGuard<'_, T, level::Listing> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let data = loop {
            let ends = self.ends.load(Ordering::SeqCst);
            if let Some(data) = self.data.try_lock() {
                break data;
            }
            within_call(false, || Current::await_release(&self.ends, ends));
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        data
    }

    /// The data of a lock that nothing else uses.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_thread_waits_for_the_end_of_another_ones_use() {
        let (lock, is_done) = (Lock::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let waiter = lock.with(|data| {
                let waiter =
                    scope.spawn(|| lock.with(|seen| (*seen, is_done.load(Ordering::SeqCst))));
                thread::sleep(Duration::from_millis(20));
                *data = 1;
                is_done.store(true, Ordering::SeqCst);
                waiter
            });
            assert_eq!(waiter.join().expect("no panic"), (1, true));
        });
    }

    #[test]
    fn no_wake_up_is_lost() {
        let lock = Lock::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        lock.with(|count| {
                            *count += 1;
                            thread::yield_now();
                        });
                    }
                });
            }
        });
        assert_eq!(lock.with(|count| *count), 8000);
    }
}
