//! The pvpanic device, which reports a crash to the VMM: libvirt's `on_crash`. Source: QEMU
//! docs/specs/pvpanic.
//!
//! Only a crash uses it, and only then is it searched for, without tables or allocations. On ISA it
//! is recognised by its feature byte: firmware's tables may not be read yet, and at worst one byte
//! goes to an unknown port of a machine that is about to end. (Linux finds it by ACPI's QEMU0001.)

use crate::arch::pci::PortAccess;
use crate::memory;
use drivers::pci::{Address, ConfigAccess};
use x86_64::instructions::port::Port;

const PORT: u16 = 0x505;
/// Device and vendor on PCI, as configuration space has them.
const PCI_ID: u32 = 0x0011_1b36;
/// `PVPANIC_PANICKED`: the event, and the feature that it can be reported.
const PANICKED: u8 = 1;

/// The device's only register.
pub enum Pvpanic {
    Isa,
    /// Mapped for good.
    Pci(*mut u8),
}

/// The device, if the machine has one that reports crashes.
pub fn find() -> Option<Pvpanic> {
    // SAFETY: reading the port changes nothing in memory. Without a device it reads as ones.
    let features: u8 = unsafe { Port::new(PORT).read() };
    if features & 0xf1 == PANICKED {
        return Some(Pvpanic::Isa);
    }
    let register = pci_register()?;
    // SAFETY: mapped for good.
    (unsafe { register.read_volatile() } & PANICKED != 0).then_some(Pvpanic::Pci(register))
}

/// The register of the device on the first PCI bus.
fn pci_register() -> Option<*mut u8> {
    const COMMAND: u16 = 4;
    const MEMORY_SPACE: u32 = 2;
    const BAR0: u16 = 0x10;
    let address = (0..=255)
        .map(|slot: u8| Address {
            bus: 0,
            device: slot >> 3,
            function: slot & 7,
        })
        .find(|address| PortAccess.read(*address, 0) == PCI_ID)?;
    let command = PortAccess.read(address, COMMAND);
    PortAccess.write(address, COMMAND, command & 0xffff | MEMORY_SPACE);
    let register = PortAccess.read(address, BAR0) & !0xf;
    (register != 0).then(|| memory::map_device(register.into(), 1))?
}

impl Pvpanic {
    /// Reports the crash. QEMU ends or pauses the machine here, unless told otherwise (`-action
    /// panic=none`).
    pub fn report(&self) {
        match self {
            // SAFETY: the device's port.
            Pvpanic::Isa => unsafe { Port::new(PORT).write(PANICKED) },
            // SAFETY: the device's register, mapped for good.
            Pvpanic::Pci(register) => unsafe { register.write_volatile(PANICKED) },
        }
    }
}
