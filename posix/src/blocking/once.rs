//! Initialisations that one of several threads runs.

use super::signals::within_call;
use platform::Wait;
use resources::current::Current;

/// An initialisation that the first system call to need it runs, while others wait for its end.
pub struct Once(sync::once::Once);

impl Once {
    /// Not done yet.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Once {
        Once(sync::once::Once::new())
    }

    /// Runs `f`, the first time. Returns when it has completed.
    pub fn run(&self, f: impl FnOnce()) {
        let wait =
            |word: &_, value| within_call(false, || Current::await_change(word, value, None));
        self.0.run(f, wait, Current::wake);
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
