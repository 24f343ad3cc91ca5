//! PCI configuration by ports 0xcf8 and 0xcfc ("configuration mechanism 1", PCI Local Bus 3.0,
//! 3.2.2.3.2).

use super::irq::legacy_line;
use super::ports::Pair;
use drivers::pci::{Address, ConfigAccess, Ports, PortsRef};
use x86_64::instructions::port::Port;

/// The two ports. An access takes two instructions: not for interrupts.
pub struct Config;

impl Config {
    fn select(address: Address, offset: u16) {
        let value = 1 << 31
            | u32::from(address.bus) << 16
            | u32::from(address.device & 31) << 11
            | u32::from(address.function & 7) << 8
            | u32::from(offset & 0xfc);
        // SAFETY: selects a register of configuration space, which has no effect by itself.
        unsafe { Port::new(0xcf8).write(value) };
    }
}

impl ConfigAccess for Config {
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

/// Prepares the functions, which firmware has done.
pub fn set_up() {}

/// The line of a function whose interrupt line register has this value, as firmware has written it;
/// `None` if it has none.
pub fn line(_: Address, register: Option<u8>) -> Option<u32> {
    register.map(legacy_line)
}
