//! The power button, and its stop requests.

use crate::board::vectors::{KEYBOARD, POWER};
use crate::board::{button, keyboard};
use crate::console;
use crate::interrupts::{self, Handler, Trigger};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

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
        request(None);
    }
}

fn keyed(_: u8) {
    for _ in 0..keyboard::requests() {
        request(None);
    }
}

/// What ends the machine after a stop that [`request`] requested, instead of switching it off; a
/// function of the type [`End`], or null.
static END: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Ends the machine.
type End = fn() -> !;

/// Requests a stop as the power button does. With `end`, that ends the machine when the program has
/// ended, and without one the power is switched off; the last request counts.
pub fn request(end: Option<End>) {
    let end = end.map_or(core::ptr::null_mut(), |end| end as *mut ());
    // Hidden from the compiler, which would otherwise link the functions into every program: see
    // `wait::start_ticks`.
    END.store(core::hint::black_box(end), Ordering::Relaxed);
    // Release: who sees the request sees how it wants to end.
    REQUESTS.fetch_add(1, Ordering::Release);
}

/// What [`request`] wants to end the machine.
pub fn requested_end() -> Option<End> {
    // Relaxed: the program ends after `requested`, which orders this. SAFETY: only functions of
    // this type are stored there; null is `None`.
    unsafe { core::mem::transmute::<*mut (), Option<End>>(END.load(Ordering::Relaxed)) }
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
