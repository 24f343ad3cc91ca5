//! The control channel of `soil run`: a serial port on PCI at a fixed place, or the second port of
//! the tree.

use super::registers::Registers;
use super::{pci, resources};
use crate::memory;
use drivers::pci::{Address, ConfigAccess};

/// Where `soil run` puts the port (`-device pci-serial,addr=1e`).
const PLACE: Address = Address {
    bus: 0,
    device: 0x1e,
    function: 0,
};
/// Device and vendor of QEMU's serial port on PCI.
const PCI_ID: u32 = 0x0002_1b36;

/// The port's registers, if it exists.
static PORT: Registers = Registers::none();

/// The device is known once [`super::handover::set_up`] has run.
pub const IS_LATE: bool = true;

/// Whether the device exists.
pub fn probe() -> bool {
    PORT.exist()
}

/// Finds the port. After memory is set up, before other devices on PCI are.
pub(super) fn set_up() {
    const COMMAND: u16 = 4;
    const IO_SPACE: u32 = 1;
    if pci::Config.read(PLACE, 0) != PCI_ID {
        return;
    }
    let Some(place) = pci::assign_ports(PLACE) else {
        return;
    };
    let command = pci::Config.read(PLACE, COMMAND) & 0xffff;
    pci::Config.write(PLACE, COMMAND, command | IO_SPACE);
    if let Some(base) = memory::map_device(place, resources::PORTS) {
        // SAFETY: the device's registers, mapped for good.
        unsafe { PORT.set(base) };
    }
}

/// Sends a byte, which has left the machine when this returns. The device exists.
pub fn send(byte: u8) {
    const LINE_STATUS: usize = 5;
    const SENT: u8 = 0x40;
    super::registers::await_until(|| PORT.read::<u8>(LINE_STATUS) & SENT != 0);
    PORT.write(0, byte);
}
