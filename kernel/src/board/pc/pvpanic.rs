//! The pvpanic device, which reports a crash to the VMM: libvirt's `on_crash`. Source: QEMU
//! docs/specs/pvpanic.
//!
//! Only a crash uses it, and only then is it searched for, without tables or allocations. On ISA it
//! is recognised by its feature byte: firmware's tables may not be read yet, and at worst one byte
//! goes to an unknown port of a machine that is about to end. (Linux finds it by ACPI's QEMU0001.)

use super::pci::ConfigPorts;
use crate::memory;
use drivers::pci::{Address, ConfigAccess};
use drivers::register;
use x86_64::instructions::port::Port;

const PORT: u16 = 0x505;
/// Device and vendor on PCI, as configuration space has them.
const PCI_ID: u32 = 0x0011_1b36;
/// `PVPANIC_PANICKED`: the event, and the feature that it can be reported.
const PANICKED: u8 = 1;

/// Reports the crash, if the machine has the device. QEMU ends or pauses the machine here, unless
/// configured otherwise (`-action panic=none`).
pub fn report() {
    // SAFETY: reading the port changes nothing in memory. Without a device it reads as ones,
    // or as zeros (Firecracker).
    let features: u8 = unsafe { Port::new(PORT).read() };
    if features & 0xf1 == PANICKED {
        // SAFETY: the device's port.
        unsafe { Port::new(PORT).write(PANICKED) };
    } else if let Some(at) = pci_register() {
        // SAFETY: the device's register, mapped for good.
        unsafe { register::write(at, PANICKED) };
    }
}

/// The register of the device on the first PCI bus, which firmware has enabled.
fn pci_register() -> Option<*mut u8> {
    const BAR0: u16 = 0x10;
    for slot in 0..=255u8 {
        let address = Address {
            bus: 0,
            device: slot >> 3,
            function: slot & 7,
        };
        if ConfigPorts.read(address, 0) == PCI_ID {
            let register = ConfigPorts.read(address, BAR0) & !0xf;
            return memory::map_device(register.into(), 1);
        }
    }
    None
}
