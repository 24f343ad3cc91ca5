//! The thread that polls the network of a process, and parks while the program sleeps.

use crate::event;
use crate::ticker::{resume, sleeps, start, take_turn};
use core::sync::atomic::{AtomicBool, Ordering};
use libc::{await_readable, c_void};
use loom::thread;
use platform::Ticker;
use std::sync::Arc;

static TICKER: Ticker = Ticker {
    poll: || (),
    lock: || true,
    unlock: || (),
};

/// `thread::make`: the model makes its threads itself.
pub fn make(_: extern "C" fn(*mut c_void) -> *mut c_void, _: *mut c_void, _: usize) -> i32 {
    0
}

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
