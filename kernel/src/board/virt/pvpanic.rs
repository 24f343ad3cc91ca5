//! The pvpanic device on PCI, which reports a crash to the VMM. Source: QEMU docs/specs/pvpanic.

use super::pci;
use crate::board::resources::BAR0;
use crate::memory;
use drivers::pci::{Address, ConfigAccess};
use drivers::register;

/// Device and vendor on PCI, as configuration space has them.
const PCI_ID: u32 = 0x0011_1b36;
/// `PVPANIC_PANICKED`: the event.
const PANICKED: u8 = 1;

/// Reports the crash, if the machine has the device on its first bus. QEMU ends or pauses the
/// machine here, unless configured otherwise (`-action panic=none`).
pub fn report() {
    const COMMAND: u16 = 4;
    const MEMORY_SPACE: u32 = 1 << 1;
    for device in 0..32 {
        let address = Address {
            bus: 0,
            device,
            function: 0,
        };
        if pci::Config.read(address, 0) != PCI_ID {
            continue;
        }
        pci::set_up();
        let register = pci::Config.read(address, BAR0) & !0xf;
        let command = pci::Config.read(address, COMMAND) & 0xffff;
        pci::Config.write(address, COMMAND, command | MEMORY_SPACE);
        if register != 0
            && let Some(at) = memory::map_device(register.into(), 1)
        {
            // SAFETY: the device's register, mapped for good.
            unsafe { register::write(at, PANICKED) };
        }
        return;
    }
}
