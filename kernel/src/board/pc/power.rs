//! Power off, reset and exit status: by ACPI, QEMU's `isa-debug-exit`, and what every PC has.

use super::fw_cfg;
pub use super::pvpanic::report as report_crash;
pub use super::reset::reset as end_now;
use crate::acpi;
use crate::memory;
use drivers::register;
use firmware::acpi::Register;
use firmware::acpi::fadt::Power;
use x86_64::instructions::port::Port;

/// QEMU's `isa-debug-exit`, as `soil run` sets it.
const EXIT_PORT: u16 = 0xf4;

/// Reports the status to QEMU, which ends here if it has the device.
pub fn write_exit(status: u8) {
    // SAFETY: the port belongs to the device that ends QEMU, or to none.
    unsafe { Port::new(EXIT_PORT).write(u32::from(status)) };
}

/// Whether this is QEMU, with the device: there it reads as 0, and its absence as ones.
pub fn has_exit() -> bool {
    // SAFETY: reading the port changes nothing in memory.
    fw_cfg::is_qemu() && unsafe { Port::<u8>::new(EXIT_PORT).read() == 0 }
}

fn write_register(register: Register, value: u8) {
    match register {
        // SAFETY: ACPI says that this port takes this value.
        Register::Port(port) => unsafe { Port::new(port).write(value) },
        Register::Memory(address) => {
            if let Some(at) = memory::map_device(address, 1) {
                // SAFETY: mapped, and ACPI says that this register takes this value.
                unsafe { register::write(at, value) };
            }
        }
    }
}

/// Requests that the machine be switched off, by ACPI; false if it has no means for that. It may
/// take the VMM a while.
pub fn off() -> bool {
    let tables = acpi::tables();
    let (Some(power), Some(sleep_type)) = (&tables.power, tables.sleep_type) else {
        return false;
    };
    match power {
        Power::Fixed { control, .. } => {
            enable_acpi(power);
            // SAFETY: PM1 control: sleep type and SLP_EN.
            unsafe { Port::new(*control).write(u16::from(sleep_type & 7) << 10 | 1 << 13) };
            true
        }
        Power::Reduced {
            sleep_control: Some(register),
            ..
        } => {
            write_register(*register, (sleep_type & 7) << 2 | 1 << 5);
            true
        }
        Power::Reduced {
            sleep_control: None,
            ..
        } => false,
    }
}

/// Resets the machine, by ACPI's register or by what every PC has.
pub fn reset() -> ! {
    if let Some((register, value)) = acpi::tables().reset {
        write_register(register, value);
    }
    end_now()
}

/// Switches the machine from legacy to ACPI mode, if necessary.
pub(super) fn enable_acpi(power: &Power) {
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
