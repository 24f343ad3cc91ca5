//! The lock by a word, for which threads wait as for a futex.

use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use sync::lock::Lock;
use sync::model::os::{await_change, wake};

/// Calls of the thread that takes the lock again and again.
const CALLS: usize = 4;

struct Shared {
    lock: Lock,
    data: UnsafeCell<usize>,
}

impl Shared {
    /// A call; returns how often it has waited.
    fn call(&self) -> usize {
        let mut waits = 0;
        if !self.lock.take() {
            self.lock.await_release(|word, value| {
                waits += 1;
                await_change(word, value);
            });
        }
        // SAFETY: loom reports another access at the same time.
        self.data.with_mut(|at| unsafe { *at += 1 });
        self.lock.release(wake);
        waits
    }
}

/// A thread makes one call after another. Another one waits for it at most twice: what was taken
/// from it again is handed over.
pub fn hand_over() {
    let shared = Arc::new(Shared {
        lock: Lock::new(),
        data: UnsafeCell::new(0),
    });
    // Begins the word.
    assert!(shared.lock.is_free());
    let other = thread::spawn({
        let shared = shared.clone();
        move || shared.call()
    });
    for _ in 0..CALLS {
        shared.call();
    }
    assert!(other.join().expect("no panic") <= 2);
    // SAFETY: as above.
    assert_eq!(shared.data.with(|at| unsafe { *at }), CALLS + 1);
}
