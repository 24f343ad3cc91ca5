//! PCI configuration: in memory where ACPI says so, else by ports 0xcf8 and 0xcfc ("configuration
//! mechanism 1", PCI Local Bus 3.0, 3.2.2.3.2), each access of which is two of a virtual machine's
//! exits.

use super::irq::legacy_line;
use super::ports::Pair;
use crate::acpi;
use crate::board::resources::{self, Space, Windows};
use crate::ecam::Ecam;
use core::sync::atomic::{AtomicU8, Ordering};
use drivers::pci::{Address, ConfigAccess, Ports, PortsRef};
use firmware::aml::Resource;
use x86_64::instructions::port::Port;

/// The means to access configuration space: none before [`set_up`], and on a machine without PCI.
static ACCESS: AtomicU8 = AtomicU8::new(NONE);
const NONE: u8 = 0;
const BY_PORTS: u8 = 1;
const BY_MEMORY: u8 = 2;
static ECAM: Ecam = Ecam::new();

/// Configuration space by the machine's means. An access may take two instructions, or map memory:
/// not for interrupts.
pub struct Config;

impl ConfigAccess for Config {
    fn read(&self, address: Address, offset: u16) -> u32 {
        match ACCESS.load(Ordering::Relaxed) {
            BY_MEMORY => ECAM.read(address, offset),
            BY_PORTS => ConfigPorts.read(address, offset),
            _ => u32::MAX,
        }
    }

    fn write(&self, address: Address, offset: u16, value: u32) {
        match ACCESS.load(Ordering::Relaxed) {
            BY_MEMORY => ECAM.write(address, offset, value),
            BY_PORTS => ConfigPorts.write(address, offset, value),
            _ => {}
        }
    }
}

/// The two ports.
pub(super) struct ConfigPorts;

/// The first port's bit that connects the second with configuration space.
const ENABLE: u32 = 1 << 31;

impl ConfigPorts {
    fn select(address: Address, offset: u16) {
        let value = ENABLE
            | u32::from(address.bus) << 16
            | u32::from(address.device & 31) << 11
            | u32::from(address.function & 7) << 8
            | u32::from(offset & 0xfc);
        // SAFETY: selects a register of configuration space, which has no effect by itself.
        unsafe { Port::new(0xcf8).write(value) };
    }

    /// Whether the machine has them: the first keeps its value.
    fn exist() -> bool {
        let _pair = Pair::begin();
        let mut port = Port::new(0xcf8);
        // SAFETY: as in `select`.
        unsafe {
            port.write(ENABLE);
            port.read() == ENABLE
        }
    }
}

impl ConfigAccess for ConfigPorts {
    fn read(&self, address: Address, offset: u16) -> u32 {
        let _pair = Pair::begin();
        Self::select(address, offset);
        // SAFETY: reading configuration space has no side effect; without PCI the port reads as
        // ones, or as zeros (Firecracker), and no function has either as its vendor.
        unsafe { Port::new(0xcfc).read() }
    }

    fn write(&self, address: Address, offset: u16, value: u32) {
        let _pair = Pair::begin();
        Self::select(address, offset);
        // SAFETY: the caller owns the function at this address.
        unsafe { Port::new(0xcfc).write(value) };
    }
}

/// I/O ports, for the functions that have nothing else.
pub const PORTS: Option<PortsRef> = Some(&IoPorts);

#[derive(Debug)]
struct IoPorts;

impl Ports for IoPorts {
    unsafe fn read(&self, port: u16, size: usize) -> u32 {
        // SAFETY: the caller's promise.
        unsafe {
            match size {
                1 => Port::<u8>::new(port).read().into(),
                2 => Port::<u16>::new(port).read().into(),
                _ => Port::new(port).read(),
            }
        }
    }

    unsafe fn write(&self, port: u16, size: usize, value: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            match size {
                1 => Port::new(port).write(value as u8),
                2 => Port::new(port).write(value as u16),
                _ => Port::new(port).write(value),
            }
        }
    }
}

/// Finds the means to access configuration space, and assigns addresses to the functions where no
/// firmware has done that (QEMU's microvm). Allocates.
pub fn set_up() {
    if ACCESS.load(Ordering::Relaxed) != NONE {
        return;
    }
    let first = Address {
        bus: 0,
        device: 0,
        function: 0,
    };
    if let Some(pci) = acpi::pci() {
        ECAM.set(pci.base, pci.last_bus);
        // The bridge.
        if ECAM.read(first, 0) != u32::MAX {
            ACCESS.store(BY_MEMORY, Ordering::Relaxed);
            if let Some(mut windows) = Windows::new(pci.windows.filter_map(range)) {
                resources::assign(&Config, &mut windows, pci.last_bus);
            }
            return;
        }
    }
    if ConfigPorts::exist() {
        ACCESS.store(BY_PORTS, Ordering::Relaxed);
    }
}

/// A window of the bridge, if its addresses on the bus are the physical ones and not VGA's.
fn range(resource: Resource) -> Option<(Space, u64, u64)> {
    const MIB: u64 = 1 << 20;
    const BELOW_4_GIB: u64 = (1 << 32) - 1;
    let Resource::Window {
        io,
        start,
        len,
        physical,
    } = resource
    else {
        return None;
    };
    let space = match start {
        _ if physical != start => return None,
        _ if io => Space::Ports,
        0..MIB => return None,
        MIB..=BELOW_4_GIB => Space::Memory,
        _ => Space::Large,
    };
    Some((space, start, len))
}

/// The line of a function whose interrupt line register has this value, as firmware has written it;
/// `None` if it has none. The timer's is no function's.
pub fn line(_: Address, register: Option<u8>) -> Option<u32> {
    register.filter(|irq| *irq != 0).map(legacy_line)
}
