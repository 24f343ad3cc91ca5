//! The power button of ACPI: PM1's registers, or a generic event device.

use super::irq::{Trigger, legacy_line};
use super::power::enable_acpi;
use crate::acpi;
use crate::memory;
use core::sync::atomic::{AtomicPtr, Ordering};
use drivers::register;
use firmware::acpi::fadt::Power;
use x86_64::instructions::port::Port;

/// The selector of generic events, if the machine has one. Written once, by [`enable`].
static EVENTS: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

/// PM1 status and enable: the power button.
const BUTTON: u16 = 1 << 8;

/// Enables the button's interrupt; returns its line and trigger, or `None` if the machine has no
/// button.
pub fn enable() -> Option<(u32, Trigger)> {
    match &acpi::tables().power {
        Some(
            power @ Power::Fixed {
                event,
                enable_offset,
                irq,
                ..
            },
        ) => {
            enable_acpi(power);
            // SAFETY: PM1 enable: the power button's bit.
            unsafe { Port::new(event + enable_offset).write(BUTTON) };
            Some((legacy_line(*irq), Trigger::Level))
        }
        Some(Power::Reduced {
            events: Some(device),
            ..
        }) => {
            let events = memory::map_device(device.address, 4)?;
            // Release: the mapping exists for the interrupt.
            EVENTS.store(events, Ordering::Release);
            Some((device.gsi, Trigger::Edge))
        }
        _ => None,
    }
}

/// Whether the button was pressed since the last call. After [`enable`].
pub fn pressed() -> bool {
    match &acpi::tables().power {
        // SAFETY: PM1 status; writing ones clears them.
        Some(Power::Fixed { event, .. }) => unsafe {
            let mut status = Port::<u16>::new(*event);
            let events = status.read();
            status.write(events);
            events & BUTTON != 0
        },
        Some(Power::Reduced {
            events: Some(device),
            ..
        }) => {
            // Acquire: pairs with the store in `enable`, after which the selector is mapped.
            let selector = EVENTS.load(Ordering::Acquire);
            #[allow(clippy::cast_ptr_alignment, reason = "an aligned register")]
            // SAFETY: the device's selector, mapped for good and aligned; `enable` stored it before
            // the interrupt was routed.
            let events = unsafe {
                match device.is_byte {
                    true => register::read(selector),
                    false => register::read(selector.cast::<u32>()) as u8,
                }
            };
            events & device.mask != 0
        }
        _ => false,
    }
}
