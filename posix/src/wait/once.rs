//! Initialisations that one of several threads runs. `tools/models` checks them under loom.

use super::signals::within_call;
use core::sync::atomic::{AtomicU32, Ordering};
use platform::Wait;
use resources::current::Current;

/// An initialisation that the first system call to need it runs, while others wait for its end.
pub struct Once(AtomicU32);

impl Once {
    const NEW: u32 = 0;
    const RUNNING: u32 = 1;
    const DONE: u32 = 2;

    /// Not done yet.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Once {
        Once(AtomicU32::new(Once::NEW))
    }

    /// Runs `f`, the first time. Returns when it has completed.
    pub fn run(&self, f: impl FnOnce()) {
        let word = &self.0;
        // Relaxed: a new one has nothing to see, and another state is loaded again below.
        let order = Ordering::Relaxed;
        match word.compare_exchange(Once::NEW, Once::RUNNING, order, order) {
            Ok(_) => {
                f();
                // Release: who finds it done sees what `f` did.
                word.store(Once::DONE, Ordering::Release);
                Current::wake(word);
            }
            Err(_) => {
                // Acquire: pairs with the store.
                while word.load(Ordering::Acquire) == Once::RUNNING {
                    within_call(false, || Current::await_change(word, Once::RUNNING, None));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Once;
    use core::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_second_call_waits_for_the_end_of_the_first() {
        static ONCE: Once = Once::new();
        static DONE: AtomicU32 = AtomicU32::new(0);
        let run = || {
            ONCE.run(|| {
                thread::sleep(Duration::from_millis(50));
                DONE.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(DONE.load(Ordering::Relaxed), 1);
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(run);
            }
        });
        run();
    }
}
