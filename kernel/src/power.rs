//! The end of the machine: exit status, power off, reset; and what requests it, the power button
//! and Ctrl-Alt-Del.
//!
//! The status goes to `soil run` as a line on the control channel, whole; `isa-debug-exit` carries
//! seven bits of it in QEMU's own status. Without either, the last line of the console has it
//! (`soil: status N`), and ACPI or a reset ends the machine. A crash is also reported to a pvpanic
//! device.

mod button;
mod keyboard;
mod pvpanic;

pub use button::{
    handle_requests, is_handled, leave_requests, listen, request, requested, take_unseen,
};

use crate::arch::ports::Port;
use crate::arch::reset::reset;
use crate::arch::{interrupts, pvclock, tsc};
use crate::firmware::{Power, Register};
use crate::{console, firmware, memory};

/// QEMU's `isa-debug-exit`, as `soil run` sets it.
const EXIT_PORT: u16 = 0xf4;
/// How long a VMM that was told to end the machine has for it, in nanoseconds. QEMU does it in
/// another thread, while the processor goes on.
const END_NS: u64 = 5_000_000_000;

/// Ends the machine with `status`, as a process would end. From any context; interrupts stay
/// disabled.
pub fn exit(status: u8) -> ! {
    prepare(status);
    if let Some(end) = button::requested_end() {
        console::status_line(status);
        end();
    }
    write_exit_port(status);
    if has_exit_port() {
        await_end();
    }
    console::status_line(status);
    off()
}

/// As [`exit`], after a crash, which a pvpanic device reports to the VMM: the VMM may end the
/// machine there, so the last line comes before it.
pub fn exit_crashed(status: u8) -> ! {
    prepare(status);
    console::status_line(status);
    pvpanic::report();
    write_exit_port(status);
    off()
}

/// Completes the output, and reports the status to `soil run`.
fn prepare(status: u8) {
    interrupts::disable();
    console::drain_now();
    console::mirror(None);
    write_control(status);
}

/// As [`exit`], after a second fault during the report of a first: without cells or tables, which
/// may be broken.
pub fn end_now(status: u8) -> ! {
    write_control(status);
    write_exit_port(status);
    reset()
}

/// Reports the status to `soil run`, with three digits. Without allocation or formatting, which may
/// be broken.
fn write_control(status: u8) {
    let mut text = *b"SOIL-EXIT 000\n";
    let mut rest = status;
    for digit in text[10..13].iter_mut().rev() {
        *digit += rest % 10;
        rest /= 10;
    }
    console::write_control(&text);
}

/// Reports the status to QEMU, which ends here if it has the device.
fn write_exit_port(status: u8) {
    // SAFETY: the port belongs to the device that ends QEMU, or to none.
    unsafe { Port::new(EXIT_PORT).write(u32::from(status)) };
}

/// Whether QEMU has the device, which reads as 0, and its absence as ones.
fn has_exit_port() -> bool {
    /// The port of firmware's progress codes.
    const PROGRESS: u16 = 0x80;
    // SAFETY: the ports change nothing in memory. Some VMMs (Firecracker) leave the previous
    // access's byte in place of one that no device gives: the first makes that ones, too.
    unsafe {
        Port::new(PROGRESS).write(0xff_u8);
        Port::<u8>::new(EXIT_PORT).read() == 0
    }
}

/// Waits for the VMM to end the machine.
fn await_end() {
    let end = tsc::counter().saturating_add(pvclock::ticks(END_NS));
    while tsc::counter() < end {
        core::hint::spin_loop();
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

/// Switches the machine off by ACPI; if that fails, resets it.
pub fn off() -> ! {
    let tables = firmware::acpi();
    if let (Some(power), Some(sleep_type)) = (&tables.power, tables.sleep_type) {
        match power {
            Power::Fixed { control, .. } => {
                enable_acpi(power);
                // SAFETY: PM1 control: sleep type and SLP_EN.
                unsafe { Port::new(*control).write(u16::from(sleep_type & 7) << 10 | 1 << 13) };
                await_end();
            }
            Power::Reduced {
                sleep_control: Some(register),
                ..
            } => {
                write_register(*register, (sleep_type & 7) << 2 | 1 << 5);
                await_end();
            }
            Power::Reduced {
                sleep_control: None,
                ..
            } => {}
        }
    }
    reboot()
}

/// Stops the processor for good; the power stays on. Interrupts are disabled.
pub fn halt() -> ! {
    loop {
        interrupts::disable();
        interrupts::halt();
    }
}

/// Resets the machine. Under QEMU with `-no-reboot` that ends it.
pub fn reboot() -> ! {
    if let Some((register, value)) = firmware::acpi().reset {
        write_register(register, value);
    }
    reset()
}

/// Switches the machine from legacy to ACPI mode, if necessary.
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
            // Firmware responds within moments or not at all.
            (0..100_000).find(|_| control.read() & SCI_ENABLED != 0);
        }
    }
}
