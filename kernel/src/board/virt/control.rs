//! The serial ports of `soil run`, on PCI at fixed places: its control channel, and the console's
//! output.

use super::registers::Registers;
use super::{bridge, pci, uart};
use crate::memory;
use drivers::pci::{Address, ConfigAccess};

/// Where `soil run` puts the control channel (`-device pci-serial,addr=1e`).
const CONTROL: u8 = 0x1e;
/// Where it puts the console's output.
const OUTPUT: u8 = 0x1d;
/// Device and vendor of QEMU's serial port on PCI.
const PCI_ID: u32 = 0x0002_1b36;

/// The port's registers, if it exists.
static PORT: Registers = Registers::none();

/// The device is known once [`super::set_up::late`] has run.
pub const IS_LATE: bool = true;

/// Whether the device exists.
pub fn probe() -> bool {
    PORT.exist()
}

/// Finds the ports. After [`pci::find`], before other devices on PCI are set up.
pub(super) fn set_up() {
    let Some(control) = find(CONTROL, 0) else {
        return;
    };
    // SAFETY: the device's registers, mapped for good.
    unsafe { PORT.set(control) };
    if let Some(output) = find(OUTPUT, 1) {
        // SAFETY: the same.
        unsafe { uart::set_output(output) };
    }
}

/// The registers of the port that is this device on the first bus, at the reserved ports of this
/// number; `None` if there is none.
fn find(device: u8, number: u32) -> Option<*mut u8> {
    const COMMAND: u16 = 4;
    const IO_SPACE: u32 = 1;
    let place = Address {
        bus: 0,
        device,
        function: 0,
    };
    if pci::Config.read(place, 0) != PCI_ID {
        return None;
    }
    let registers = pci::assign_ports(place, number)?;
    let command = pci::Config.read(place, COMMAND) & 0xffff;
    pci::Config.write(place, COMMAND, command | IO_SPACE);
    memory::map_device(registers, bridge::PORTS)
}

/// Sends a byte, which has left the machine when this returns. The device exists.
pub fn send(byte: u8) {
    const LINE_STATUS: usize = 5;
    const SENT: u8 = 0x40;
    super::registers::await_until(|| PORT.read::<u8>(LINE_STATUS) & SENT != 0);
    PORT.write(0, byte);
}
