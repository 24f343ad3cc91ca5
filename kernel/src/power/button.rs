//! The power button, and its stop requests.

use crate::board::vectors::{KEYBOARD, POWER};
use crate::board::{button, keyboard};
use crate::console;
use crate::interrupts::{self, Handler, Trigger};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// Number of times that a stop was requested. Counted by interrupts.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// The requests that [`take_unseen`] has returned.
static SEEN: AtomicUsize = AtomicUsize::new(0);
/// Whether the program checks [`requested`] itself.
static HANDLED: AtomicBool = AtomicBool::new(false);
/// Whether requests interrupt. Set once.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// Enables the interrupts of the power button and of the keyboard, and reports that to `soil run`
/// by the line `SOIL-BUTTON` on the debug port, since QEMU's q35 discards earlier presses.
/// [`requested`] counts the requests, each of which ends the program as SIGTERM would unless
/// [`handle_requests`] was called. The first halt calls this. Not for interrupts: it may map
/// memory.
pub fn listen() {
    if LISTENING.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Some((line, trigger)) = button::enable() {
        start(line, POWER, trigger, pressed);
    }
    if let Some((line, trigger)) = keyboard::enable() {
        start(line, KEYBOARD, trigger, keyed);
    }
    console::write_control(b"SOIL-BUTTON\n");
}

fn start(line: u32, vector: u8, trigger: Trigger, handler: Handler) {
    interrupts::set_handler(vector, handler);
    interrupts::route(line, vector, trigger);
    if trigger == Trigger::Edge {
        // An earlier press was an edge at a masked pin, which an I/O APIC drops; the device retains
        // it, and no other follows before it is read.
        handler(vector);
    }
}

fn pressed(_: u8) {
    if button::pressed() {
        request(End::PowerOff);
    }
}

fn keyed(_: u8) {
    for _ in 0..keyboard::requests() {
        request(End::PowerOff);
    }
}

/// The end of the machine after a stop that [`request`] requested.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// The power is switched off.
    PowerOff,
    /// The power stays on.
    Halt,
    /// The machine starts again.
    Restart,
}

/// The [`End`] of the last request.
static END: AtomicU8 = AtomicU8::new(End::PowerOff as u8);

/// Requests a stop as the power button does. `end` ends the machine when the program has ended; the
/// last request counts.
pub fn request(end: End) {
    END.store(end as u8, Ordering::Relaxed);
    // Release: who sees the request sees its end.
    REQUESTS.fetch_add(1, Ordering::Release);
}

/// The end that the last [`request`] wants.
pub fn requested_end() -> End {
    // Relaxed: the program ends after `requested`, which orders this.
    match END.load(Ordering::Relaxed) {
        end if end == End::Halt as u8 => End::Halt,
        end if end == End::Restart as u8 => End::Restart,
        _ => End::PowerOff,
    }
}

/// Number of times that the power button, or [`request`], requested a stop.
pub fn requested() -> usize {
    // Acquire: pairs with `request`.
    REQUESTS.load(Ordering::Acquire)
}

/// From now on the program checks [`requested`] itself; a request doesn't end it.
pub fn handle_requests() {
    HANDLED.store(true, Ordering::Relaxed);
    listen();
}

/// From now on a request is SIGTERM, for which the program has its own action.
pub fn leave_requests() {
    HANDLED.store(false, Ordering::Relaxed);
}

/// Whether the program checks [`requested`] itself.
pub fn is_handled() -> bool {
    HANDLED.load(Ordering::Relaxed)
}

/// Whether a stop was requested since the last call.
pub fn take_unseen() -> bool {
    let requested = requested();
    SEEN.swap(requested, Ordering::Relaxed) != requested
}
