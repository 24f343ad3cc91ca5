//! Ending: exit status, power off, reset; and the button that asks for it.
//!
//! The status goes to `soil run` as a line on the control channel, whole; `isa-debug-exit` carries
//! seven bits of it for who looks at QEMU's own status. Where neither is there, ACPI or a reset
//! ends the machine.

use crate::acpi::{Power, Register};
use crate::interrupts::{self, POWER};
use crate::io_apic::{self, Trigger};
use crate::{console, firmware, memory, signals};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use x86_64::instructions::port::Port;

/// QEMU's `isa-debug-exit`, as `soil run` sets it.
const EXIT_PORT: u16 = 0xf4;
/// What a shell reports for a program that ended by SIGTERM.
const STATUS_TERMINATED: u8 = 128 + 15;

/// How often the button was pressed.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// How many of them [`obey`] has seen to.
static OBEYED: AtomicUsize = AtomicUsize::new(0);
/// Whether the program looks at [`requested`] itself.
static HANDLED: AtomicBool = AtomicBool::new(false);
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The selector of generic events, where the machine has one.
static EVENTS: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());

/// Ends the machine with `status`, as a process would end.
pub fn exit(status: u8) -> ! {
    x86_64::instructions::interrupts::disable();
    console::drain_now();
    announce(status);
    off()
}

/// As [`exit`], after a second fault in the report of a first: without locks or tables, which may
/// be what is broken.
pub fn end_now(status: u8) -> ! {
    announce(status);
    reset()
}

/// Says the status to `soil run` and to QEMU, which ends there if it has a device for that.
fn announce(status: u8) {
    let mut text = Line {
        bytes: [0; 24],
        len: 0,
    };
    // The buffer is long enough for every status.
    let _ = writeln!(text, "SOIL-EXIT {status}");
    console::write_control(&text.bytes[..text.len]);
    // SAFETY: the port belongs to the device that ends QEMU, or to none.
    unsafe { Port::new(EXIT_PORT).write(u32::from(status)) };
}

struct Line {
    bytes: [u8; 24],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for (slot, byte) in self.bytes[self.len..].iter_mut().zip(text.bytes()) {
            *slot = byte;
            self.len += 1;
        }
        Ok(())
    }
}

fn write_register(register: Register, value: u8) {
    match register {
        // SAFETY: ACPI says that this port takes this value.
        Register::Port(port) => unsafe { Port::new(port).write(value) },
        Register::Memory(address) => {
            if let Some(register) = memory::map_device(address, 1) {
                // SAFETY: mapped, and ACPI says that this register takes this value.
                unsafe { register.write_volatile(value) };
            }
        }
    }
}

/// Switches the machine off, by ACPI; where that doesn't work, resets it.
pub fn off() -> ! {
    let tables = firmware::acpi();
    if let (Some(power), Some(sleep_type)) = (&tables.power, tables.sleep_type) {
        match power {
            Power::Fixed { control, .. } => {
                enable_acpi(power);
                // SAFETY: PM1 control: sleep type and SLP_EN.
                unsafe { Port::new(*control).write(u16::from(sleep_type & 7) << 10 | 1 << 13) };
            }
            Power::Reduced {
                sleep_control: Some(register),
                ..
            } => {
                write_register(*register, (sleep_type & 7) << 2 | 1 << 5);
            }
            Power::Reduced {
                sleep_control: None,
                ..
            } => {}
        }
    }
    reboot()
}

/// Resets the machine. Under QEMU with `-no-reboot` that ends it.
pub fn reboot() -> ! {
    if let Some((register, value)) = firmware::acpi().reset {
        write_register(register, value);
    }
    reset()
}

/// Resets by what every machine has.
fn reset() -> ! {
    // SAFETY: the keyboard controller's reset line, where there is such a controller.
    unsafe { Port::new(0x64).write(0xfe_u8) };
    // Without it: a fault that can't be delivered resets the processor (a triple fault).
    let nothing = x86_64::structures::DescriptorTablePointer {
        limit: 0,
        base: x86_64::VirtAddr::zero(),
    };
    loop {
        // SAFETY: this is the end in any case.
        unsafe {
            x86_64::instructions::tables::lidt(&nothing);
            core::arch::asm!("int3");
        }
    }
}

/// Takes the machine out of legacy mode, if it is in it.
fn enable_acpi(power: &Power) {
    const SCI_ENABLED: u16 = 1;
    let Power::Fixed {
        control,
        enable: Some((port, value)),
        ..
    } = power
    else {
        return;
    };
    // SAFETY: PM1 control, and the SMI command port with the value that ACPI gives for this.
    unsafe {
        let mut control = Port::<u16>::new(*control);
        if control.read() & SCI_ENABLED == 0 {
            Port::new(*port).write(*value);
            // Firmware answers in a moment or not at all.
            (0..100_000).find(|_| control.read() & SCI_ENABLED != 0);
        }
    }
}

/// Lets the power button interrupt. A press is then counted by [`requested`], and ends the program
/// as SIGTERM would unless [`handle_requests`] was called. The first halt does this by itself.
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
            io_apic::route(tables.legacy_gsi(*irq), POWER, Trigger::Level);
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
            io_apic::route(*gsi, POWER, Trigger::Edge);
            // An earlier press was an edge at a masked pin, which the I/O APIC drops; the selector
            // keeps it.
            generic_event();
        }
        _ => {}
    }
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
    // SAFETY: the device's selector, mapped for good and aligned; `listen` stored it before it let
    // interrupts in.
    if unsafe { EVENTS.load(Ordering::Acquire).read_volatile() } & POWER_DOWN != 0 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often the machine was asked to stop, by its power button.
pub fn requested() -> usize {
    REQUESTS.load(Ordering::Relaxed)
}

/// From now on the program looks at [`requested`] itself; a request doesn't end it.
pub fn handle_requests() {
    HANDLED.store(true, Ordering::Relaxed);
    listen();
}

/// From now on a request is SIGTERM, for which the program has an action of its own.
pub fn leave_requests() {
    HANDLED.store(false, Ordering::Relaxed);
}

/// Sends the program a signal, or ends it, if it was asked to stop and doesn't look itself.
pub fn obey() {
    let requested = requested();
    if OBEYED.swap(requested, Ordering::Relaxed) != requested
        && !HANDLED.load(Ordering::Relaxed)
        && !signals::request_stop()
    {
        exit(STATUS_TERMINATED);
    }
}
