//! Addresses of PCI functions: the windows of the bridge, and their assignment where no firmware
//! has done that.
//!
//! Source: PCI Local Bus 3.0, 6.2.5; PCI-to-PCI Bridge Architecture 1.2, chapter 3.

use alloc::vec::Vec;
use drivers::pci::{Address, ConfigAccess};

/// The first base address register.
pub const BAR0: u16 = 0x10;

const COMMAND: u16 = 4;
const HEADER_TYPE: u16 = 0x0c;
const BUS_NUMBERS: u16 = 0x18;
/// Of a bridge: base and limit of memory, of prefetchable memory and its upper halves, of ports.
const BRIDGE_MEMORY: u16 = 0x20;
const BRIDGE_PREFETCHABLE: u16 = 0x24;
const BRIDGE_UPPER_BASE: u16 = 0x28;
const BRIDGE_UPPER_LIMIT: u16 = 0x2c;
const BRIDGE_PORTS: u16 = 0x1c;
/// Memory space, bus master.
const FORWARD: u32 = 6;
/// The unit of a bridge's windows.
const BRIDGE_UNIT: u64 = 1 << 20;
/// Bridges behind bridges that are searched.
const MAX_DEPTH: u32 = 8;

/// A range of addresses of the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    /// The next free one.
    next: u64,
    end: u64,
}

impl Window {
    /// The next `len` addresses, a power of two, aligned to that.
    fn allocate(&mut self, len: u64) -> Option<u64> {
        let start = self.next.checked_next_multiple_of(len)?;
        let end = start.checked_add(len)?;
        if end > self.end {
            return None;
        }
        self.next = end;
        Some(start)
    }

    /// Makes the next address a multiple of a bridge's unit.
    fn align(&mut self) {
        self.next = self
            .next
            .checked_next_multiple_of(BRIDGE_UNIT)
            .unwrap_or(self.end);
    }
}

/// The space of a window's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// I/O ports.
    Ports,
    /// Memory below 4 GiB.
    Memory,
    /// Memory of 64-bit addresses.
    Large,
}

/// The windows through which the processor reaches functions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows {
    ports: Window,
    memory: Window,
    large: Window,
}

impl Windows {
    /// Ports from here on are assigned to any function: those before are reserved.
    const RESERVED_PORTS: u64 = 0x1000;

    /// The windows of a bridge: space, first address on the bus, length.
    /// `None` if there is none of memory.
    pub fn new(ranges: impl Iterator<Item = (Space, u64, u64)>) -> Option<Self> {
        let mut windows = Self::default();
        for (space, bus, len) in ranges {
            let window = match space {
                Space::Ports => &mut windows.ports,
                Space::Memory => &mut windows.memory,
                Space::Large => &mut windows.large,
            };
            // An address of 0 would be none.
            let first = match space {
                Space::Ports => bus.checked_add(Self::RESERVED_PORTS)?,
                Space::Memory | Space::Large => bus.max(1),
            };
            *window = Window {
                next: first,
                end: bus.checked_add(len)?,
            };
        }
        windows.memory.end = windows.memory.end.min(1 << 32);
        windows.ports.end = windows.ports.end.min(1 << 16);
        (windows.memory.end != 0).then_some(windows)
    }
}

/// Assigns addresses to all functions, and numbers to the buses behind bridges up to `last_bus`;
/// nothing if firmware has assigned memory to any on the first bus.
pub fn assign(access: &dyn ConfigAccess, windows: &mut Windows, last_bus: u8) {
    let first = functions(access, 0);
    let is_assigned = |address: &Address| {
        (0..bars(access, *address)).any(|index| {
            let bar = access.read(*address, BAR0 + 4 * index);
            bar & 1 == 0 && bar & !0xf != 0
        })
    };
    if !first.iter().any(is_assigned) {
        assign_bus(access, windows, 0, &first, &mut 0, last_bus, 0);
    }
}

/// The functions on `bus`.
fn functions(access: &dyn ConfigAccess, bus: u8) -> Vec<Address> {
    let exists = |address: &Address| access.read(*address, 0) as u16 != 0xffff;
    let mut found = Vec::new();
    for device in 0..32 {
        let at = |function| Address {
            bus,
            device,
            function,
        };
        if exists(&at(0)) {
            found.push(at(0));
            if access.read(at(0), HEADER_TYPE) >> 23 & 1 != 0 {
                found.extend((1..8).map(at).filter(exists));
            }
        }
    }
    found
}

fn is_bridge(access: &dyn ConfigAccess, address: Address) -> bool {
    access.read(address, HEADER_TYPE) >> 16 & 0x7f == 1
}

/// Number of base address registers.
fn bars(access: &dyn ConfigAccess, address: Address) -> u16 {
    match access.read(address, HEADER_TYPE) >> 16 & 0x7f {
        0 => 6,
        1 => 2,
        _ => 0,
    }
}

fn assign_bus(
    access: &dyn ConfigAccess,
    windows: &mut Windows,
    bus: u8,
    found: &[Address],
    last: &mut u8,
    last_bus: u8,
    depth: u32,
) {
    for address in found {
        assign_function(access, windows, *address);
    }
    for address in found.iter().copied() {
        if !is_bridge(access, address) || *last >= last_bus || depth >= MAX_DEPTH {
            continue;
        }
        *last += 1;
        let secondary = *last;
        let numbers = |end: u8| u32::from(bus) | u32::from(secondary) << 8 | u32::from(end) << 16;
        access.write(address, BUS_NUMBERS, numbers(last_bus));
        windows.memory.align();
        windows.large.align();
        let (memory, large) = (windows.memory.next, windows.large.next);
        // Nothing behind bridges gets ports.
        let ports = core::mem::take(&mut windows.ports);
        let behind = functions(access, secondary);
        assign_bus(
            access,
            windows,
            secondary,
            &behind,
            last,
            last_bus,
            depth + 1,
        );
        windows.ports = ports;
        windows.memory.align();
        windows.large.align();
        access.write(address, BUS_NUMBERS, numbers(*last));
        access.write(address, BRIDGE_PORTS, 0x00f0);
        access.write(address, BRIDGE_MEMORY, bounds(memory, windows.memory.next));
        access.write(
            address,
            BRIDGE_PREFETCHABLE,
            bounds(large, windows.large.next),
        );
        access.write(address, BRIDGE_UPPER_BASE, (large >> 32) as u32);
        let limit = windows.large.next.saturating_sub(1);
        access.write(address, BRIDGE_UPPER_LIMIT, (limit >> 32) as u32);
        access.write(address, COMMAND, FORWARD);
    }
}

/// The base and limit of a bridge's window; one that ends before it begins if it is empty.
fn bounds(start: u64, end: u64) -> u32 {
    if start >= end {
        return 0x0000_fff0;
    }
    (start >> 16) as u32 & 0xfff0 | (end - 1) as u32 & 0xfff0_0000
}

/// Assigns the addresses of one function. One that doesn't fit stays without, and its driver
/// reports that.
fn assign_function(access: &dyn ConfigAccess, windows: &mut Windows, address: Address) {
    let mut index = 0;
    let bars = bars(access, address);
    while index < bars {
        let register = BAR0 + 4 * index;
        let old = access.read(address, register);
        access.write(address, register, u32::MAX);
        let low = access.read(address, register);
        access.write(address, register, old);
        index += 1;
        if low & 1 != 0 {
            let len = u64::from(!(low & !3) & 0xffff) + 1;
            if old & !3 == 0
                && low & !3 != 0
                && let Some(at) = windows.ports.allocate(len.next_power_of_two())
            {
                access.write(address, register, at as u32);
            }
            continue;
        }
        // The upper half of the last register would be another register.
        let is_64_bit = low >> 1 & 3 == 2 && index < bars;
        let mut mask = u64::from(low & !0xf) | u64::from(u32::MAX) << 32;
        if is_64_bit {
            access.write(address, register + 4, u32::MAX);
            let high = access.read(address, register + 4);
            access.write(address, register + 4, 0);
            mask = mask & u64::from(u32::MAX) | u64::from(high) << 32;
            index += 1;
        }
        let len = (!mask).wrapping_add(1);
        if low == 0 || !len.is_power_of_two() {
            continue;
        }
        // A page of their own: registers are mapped by the page.
        let len = len.max(0x1000);
        let is_prefetchable = low & 8 != 0;
        let large = (is_64_bit && is_prefetchable).then(|| windows.large.allocate(len));
        if let Some(at) = large.flatten().or_else(|| windows.memory.allocate(len)) {
            access.write(address, register, at as u32);
            if is_64_bit {
                access.write(address, register + 4, (at >> 32) as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests;
