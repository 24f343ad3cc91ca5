//! The event that ends a process's sleep.

use host::model::event;
use loom::thread;
use sync::atomic::{AtomicUsize, Ordering};
use sync::model::os::{await_readable, is_readable};

/// Requests to stop.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// A nudge, and a signal that another thread handles: the sleep ends for each, and the event ends
/// no further one.
pub fn event() {
    event::open();
    // Begins the numbers.
    event::raise();
    event::clear();
    REQUESTS.load(Ordering::Relaxed);
    let nudge = thread::spawn(event::raise);
    let signal = thread::spawn(|| {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        event::raise();
    });
    while REQUESTS.load(Ordering::Relaxed) == 0 {
        await_readable();
        event::clear();
    }
    nudge.join().expect("no panic");
    signal.join().expect("no panic");
    // One that the last sleep didn't see.
    event::clear();
    assert!(!is_readable(), "the program never sleeps again");
}
