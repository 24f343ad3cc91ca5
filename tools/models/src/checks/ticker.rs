//! The thread that polls the network of a process, and parks while the program sleeps.

use host::model::event;
use host::model::ticker::{resume, sleeps, start, take_turn};
use loom::thread;
use platform::Ticker;
use std::sync::Arc;
use sync::atomic::{AtomicBool, Ordering};
use sync::model::os::await_readable;

static TICKER: Ticker = Ticker {
    poll: || (),
    lock: || true,
    unlock: || (),
};

/// The program sleeps, longer than a tick where the thread is to end the sleep; it runs again in
/// between, or not. The thread ends each such sleep, and doesn't stay parked when the program runs.
pub fn ticker() {
    event::open();
    start(&TICKER);
    // Begins the numbers.
    resume();
    event::raise();
    event::clear();
    let ended = Arc::new(AtomicBool::new(false));
    ended.load(Ordering::Relaxed);
    let thread = thread::spawn({
        let ended = ended.clone();
        move || {
            while !ended.load(Ordering::Relaxed) {
                take_turn();
            }
        }
    });
    // Something else ends it.
    sleeps();
    event::clear();
    if sleeps() {
        await_readable();
    }
    event::clear();
    resume();
    if sleeps() {
        await_readable();
    }
    event::clear();
    resume();
    ended.store(true, Ordering::Relaxed);
    thread.join().expect("no panic");
}
