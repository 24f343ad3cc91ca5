//! The power button, and its stop requests.

use super::enable_acpi;
use crate::arch::vectors::POWER;
use crate::firmware::Power;
use crate::interrupts::{self, Trigger};
use crate::{console, firmware, memory};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use x86_64::instructions::port::Port;

/// Number of times that the button was pressed. Counted by interrupts.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// The requests that [`take_unseen`] has returned.
static SEEN: AtomicUsize = AtomicUsize::new(0);
/// Whether the program checks [`requested`] itself.
static HANDLED: AtomicBool = AtomicBool::new(false);
/// Whether the button interrupts. Set once.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The selector of generic events, if the machine has one. Written once, by [`listen`].
static EVENTS: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());

/// Enables the power button's interrupt, and reports that to `soil run` by the line `SOIL-BUTTON`
/// on the debug port, since QEMU's q35 discards earlier presses. [`requested`] counts the presses,
/// each of which ends the program as SIGTERM would unless [`handle_requests`] was called. The first
/// halt calls this. Not for interrupts: it may map memory.
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
            events: Some((address, gsi)),
            ..
        }) => {
            let Some(events) = memory::map_device(*address, 4) else {
                return;
            };
            EVENTS.store(events.cast(), Ordering::Release);
            interrupts::set_handler(POWER, generic_event);
            interrupts::route(*gsi, POWER, Trigger::Edge);
            // An earlier press was an edge at a masked pin, which the I/O APIC drops; the selector
            // retains it.
            generic_event();
        }
        _ => {}
    }
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
                REQUESTS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn generic_event() {
    /// QEMU's docs/specs/acpi_hw_reduced_hotplug: "power down" in the selector, which reading
    /// clears.
    const POWER_DOWN: u32 = 2;
    // SAFETY: the device's selector, mapped for good and aligned; `listen` stored it before it
    // enabled interrupts.
    if unsafe { EVENTS.load(Ordering::Acquire).read_volatile() } & POWER_DOWN != 0 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
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

/// Whether the button was pressed since the last call.
pub fn take_unseen() -> bool {
    let requested = requested();
    SEEN.swap(requested, Ordering::Relaxed) != requested
}
