//! The lock of system calls, for which the threads of two processors wait in the scheduler.

use crate::arch::local;
use crate::image::threads::{self, Fault};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use sync::lock::Lock;

struct Calls {
    lock: Lock,
    data: UnsafeCell<u32>,
}

impl Calls {
    /// A system call, which takes and releases the lock as `kernel`'s do.
    fn call(&self) {
        if !self.lock.take() {
            self.lock.await_release(threads::pause_while);
        }
        // SAFETY: loom reports another access at the same time.
        self.data.with_mut(|at| unsafe { *at += 1 });
        self.lock
            .release(|word| threads::wake_one(word.as_ptr() as u64));
    }
}

/// Two processors make a system call each.
pub fn calls() {
    let calls = Arc::new(Calls {
        lock: Lock::new(),
        data: UnsafeCell::new(0),
    });
    // Begins the word.
    assert!(calls.lock.is_free());
    threads::begin(Fault::None, false);
    let other = thread::spawn({
        let calls = calls.clone();
        move || {
            local::begin(1);
            calls.call();
        }
    });
    calls.call();
    other.join().expect("no panic");
    // SAFETY: as above.
    assert_eq!(calls.data.with(|at| unsafe { *at }), 2);
}
