//! Initialisations that one of several threads runs. `tools/models` checks them under loom.

use crate::atomic::{AtomicU32, Ordering};

/// An initialisation that the first thread to need it runs, while others wait for its end.
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

    /// Runs `f`, the first time. Returns when it has completed: `wait` waits for a change of the
    /// word while it has this value, or returns early, and `wake` wakes all that wait for the word.
    pub fn run(
        &self,
        f: impl FnOnce(),
        mut wait: impl FnMut(&AtomicU32, u32),
        wake: impl FnOnce(&AtomicU32),
    ) {
        let word = &self.0;
        // Relaxed: a new one has nothing to see, and another state is loaded again below.
        let order = Ordering::Relaxed;
        match word.compare_exchange(Once::NEW, Once::RUNNING, order, order) {
            Ok(_) => {
                f();
                // Release: who finds it done sees what `f` did.
                word.store(Once::DONE, Ordering::Release);
                wake(word);
            }
            Err(_) => {
                // Acquire: pairs with the store.
                while word.load(Ordering::Acquire) == Once::RUNNING {
                    wait(word, Once::RUNNING);
                }
            }
        }
    }
}
