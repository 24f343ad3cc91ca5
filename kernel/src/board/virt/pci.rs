//! PCI: configuration space in memory ("ECAM"), and the addresses of functions, which no firmware
//! has assigned where the kernel was loaded directly.

use super::irq::line_of;
use super::{bridge, handover};
use crate::board::resources::{self, BAR0};
use crate::ecam::Ecam;
use core::sync::atomic::{AtomicBool, Ordering};
use drivers::pci::{Address, ConfigAccess, PortsRef};
use firmware::fdt::{Fdt, Node};

/// Configuration space.
static ECAM: Ecam = Ecam::new();
/// The tree says that firmware has assigned all addresses. Written once, by [`find`].
static PROBE_ONLY: AtomicBool = AtomicBool::new(false);
/// Whether [`set_up`] has run.
static READY: AtomicBool = AtomicBool::new(false);

/// The bridge to PCI.
fn bridge<'a>(tree: &Fdt<'a>) -> Option<Node<'a>> {
    tree.compatible(&["pci-host-ecam-generic"])
}

/// Sets the place of configuration space. `probe_only`: firmware has assigned all addresses.
pub(super) fn find(bridge: &Node<'_>, probe_only: bool) {
    /// Bytes of configuration space of a bus.
    const BUS: u64 = 1 << 20;
    let Some((address, len @ BUS..)) = bridge.registers().next() else {
        return;
    };
    let last = (len / BUS - 1).min(255) as u8;
    PROBE_ONLY.store(probe_only, Ordering::Relaxed);
    ECAM.set(address, last);
}

/// Configuration space. Each access maps its page: not for interrupts.
pub struct Config;

impl ConfigAccess for Config {
    fn read(&self, address: Address, offset: u16) -> u32 {
        ECAM.read(address, offset)
    }

    fn write(&self, address: Address, offset: u16, value: u32) {
        ECAM.write(address, offset, value);
    }
}

/// None: no arm64 machine has functions with nothing but I/O ports.
pub const PORTS: Option<PortsRef> = None;

/// The bridge's `ranges`.
fn ranges() -> Option<&'static [u8]> {
    bridge(&handover::tree()?)?.property("ranges")
}

/// Assigns addresses to the functions, unless firmware has done so. Once, however often it is
/// called.
pub fn set_up() {
    if READY.swap(true, Ordering::Relaxed) || PROBE_ONLY.load(Ordering::Relaxed) {
        return;
    }
    if let Some(mut windows) = ranges().and_then(bridge::windows) {
        resources::assign(&Config, &mut windows, ECAM.last_bus());
    }
}

/// Assigns the first register of ports of a function, which nothing else uses, to the reserved
/// ports of this number; returns their physical address.
pub(super) fn assign_ports(address: Address, number: u32) -> Option<u64> {
    let (bus, physical) = bridge::reserved_ports(ranges()?, number)?;
    const PORTS: u32 = 1;
    let register = Config.read(address, BAR0);
    if register & PORTS == 0 {
        return None;
    }
    // Firmware's.
    if register & !3 != 0 {
        return Some(physical - u64::from(bus) + u64::from(register & !3));
    }
    Config.write(address, BAR0, bus);
    Some(physical)
}

/// The line of a function whose interrupt line register has this value: that of its pin, by the
/// tree; `None` if it has none, or is behind another bridge.
pub fn line(address: Address, register: Option<u8>) -> Option<u32> {
    const INTERRUPT: u16 = 0x3c;
    register?;
    if address.bus != 0 {
        return None;
    }
    let pin = Config.read(address, INTERRUPT) >> 8 & 0xff;
    let tree = handover::tree()?;
    let node = bridge(&tree)?;
    let parent_cells = |phandle| tree.phandle(phandle)?.u32("#address-cells").or(Some(0));
    let mask = node.property("interrupt-map-mask")?;
    let map = node.property("interrupt-map")?;
    bridge::line(map, mask, address, pin, &parent_cells).map(line_of)
}
