//! The power button, and its stop requests.

use super::{enable_acpi, keyboard};
use crate::arch::ports::Port;
use crate::arch::vectors::POWER;
use crate::firmware::Power;
use crate::interrupts::{self, Trigger};
use crate::{console, firmware, memory};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Number of times that a stop was requested. Counted by interrupts.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// The requests that [`take_unseen`] has returned.
static SEEN: AtomicUsize = AtomicUsize::new(0);
/// Whether the program checks [`requested`] itself.
static HANDLED: AtomicBool = AtomicBool::new(false);
/// Whether requests interrupt. Set once.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The selector of generic events, if the machine has one. Written once, by [`listen`].
static EVENTS: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

/// Enables the interrupts of the power button and of the keyboard, and reports that to `soil run`
/// by the line `SOIL-BUTTON` on the debug port, since QEMU's q35 discards earlier presses.
/// [`requested`] counts the requests, each of which ends the program as SIGTERM would unless
/// [`handle_requests`] was called. The first halt calls this. Not for interrupts: it may map
/// memory.
pub fn listen() {
    if LISTENING.swap(true, Ordering::Relaxed) {
        return;
    }
    let tables = firmware::acpi();
    match &tables.power {
        Some(
            power @ Power::Fixed {
                event,
                enable_offset,
                irq,
                ..
            },
        ) => {
            enable_acpi(power);
            interrupts::set_handler(POWER, fixed_event);
            // SAFETY: PM1 enable: the power button's bit.
            unsafe { Port::new(event + enable_offset).write(BUTTON) };
            interrupts::route(tables.legacy_gsi(*irq), POWER, Trigger::Level);
        }
        Some(Power::Reduced {
            events: Some(device),
            ..
        }) => {
            if let Some(events) = memory::map_device(device.address, 4) {
                EVENTS.store(events, Ordering::Release);
                interrupts::set_handler(POWER, generic_event);
                interrupts::route(device.gsi, POWER, Trigger::Edge);
                // An earlier press was an edge at a masked pin, which the I/O APIC drops; the
                // selector retains it.
                generic_event();
            }
        }
        _ => {}
    }
    keyboard::listen();
    console::write_control(b"SOIL-BUTTON\n");
}

/// PM1 status and enable: the power button.
const BUTTON: u16 = 1 << 8;

fn fixed_event() {
    if let Some(Power::Fixed { event, .. }) = &firmware::acpi().power {
        // SAFETY: PM1 status; writing ones clears them.
        unsafe {
            let mut status = Port::<u16>::new(*event);
            let events = status.read();
            status.write(events);
            if events & BUTTON != 0 {
                request(None);
            }
        }
    }
}

fn generic_event() {
    let Some(Power::Reduced {
        events: Some(device),
        ..
    }) = &firmware::acpi().power
    else {
        return;
    };
    let selector = EVENTS.load(Ordering::Acquire);
    // SAFETY: the device's selector, mapped for good and aligned; `listen` stored it before it
    // enabled interrupts.
    let events = unsafe {
        match device.is_byte {
            true => selector.read_volatile(),
            false => selector.cast::<u32>().read_volatile() as u8,
        }
    };
    if events & device.mask != 0 {
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
    REQUESTS.fetch_add(1, Ordering::Relaxed);
}

/// What [`request`] wants to end the machine.
pub fn requested_end() -> Option<End> {
    // SAFETY: only functions of this type are stored there; null is `None`.
    unsafe { core::mem::transmute::<*mut (), Option<End>>(END.load(Ordering::Relaxed)) }
}

/// Number of times that the power button, or [`request`], requested a stop.
pub fn requested() -> usize {
    REQUESTS.load(Ordering::Relaxed)
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
