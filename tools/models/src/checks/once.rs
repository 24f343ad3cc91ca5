//! An initialisation that the first system call to need it runs.

#[rustfmt::skip]
#[path = "../../../../posix/src/wait/once.rs"]
pub mod word;

/// As in `posix`.
mod signals {
    pub fn within_call<T>(_: bool, wait: impl FnOnce() -> T) -> T {
        wait()
    }
}

use core::sync::atomic::{AtomicU32, Ordering};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use word::Once;

/// Two threads need it: one runs it, and both find it done.
pub fn once() {
    let place = Arc::new((Once::new(), UnsafeCell::new(0)));
    // SAFETY: begins the word, all that it consists of.
    unsafe { &*(&raw const place.0).cast::<AtomicU32>() }.load(Ordering::Relaxed);
    let need = {
        let place = place.clone();
        move || {
            // SAFETY: loom reports another access at the same time.
            place.0.run(|| place.1.with_mut(|at| unsafe { *at += 1 }));
            // SAFETY: as above.
            assert_eq!(place.1.with(|at| unsafe { *at }), 1);
        }
    };
    let other = thread::spawn(need.clone());
    need();
    other.join().expect("no panic");
}
