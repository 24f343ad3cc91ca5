//! An initialisation that the first system call to need it runs.

use super::reactor::Model;
use loom::cell::UnsafeCell;
use loom::thread;
use platform::Wait;
use std::sync::Arc;
use sync::atomic::{AtomicU32, Ordering};
use sync::once::Once;

/// Two threads need it: one runs it, and both find it done.
pub fn once() {
    let place = Arc::new((Once::new(), UnsafeCell::new(0)));
    // SAFETY: begins the word, all that it consists of.
    unsafe { &*(&raw const place.0).cast::<AtomicU32>() }.load(Ordering::Relaxed);
    let need = {
        let place = place.clone();
        move || {
            // SAFETY: loom reports another access at the same time.
            let f = || place.1.with_mut(|at| unsafe { *at += 1 });
            let wait = |word: &_, value| Model::await_change(word, value, None);
            place.0.run(f, wait, Model::wake);
            // SAFETY: as above.
            assert_eq!(place.1.with(|at| unsafe { *at }), 1);
        }
    };
    let other = thread::spawn(need.clone());
    need();
    other.join().expect("no panic");
}
