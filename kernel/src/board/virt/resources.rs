//! Addresses of PCI functions: the windows of the bridge by the device tree, and their assignment.
//!
//! Source: PCI Local Bus 3.0, 6.2.5; PCI-to-PCI Bridge Architecture 1.2, chapter 3; "PCI Bus
//! Binding to Open Firmware" 2.1.

use drivers::pci::{Address, ConfigAccess};
use firmware::fdt::{Line, line as line_of_words, number};

/// The first base address register.
pub const BAR0: u16 = 0x10;
/// Bytes of a 16550's ports.
pub const PORTS: usize = 8;

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
    /// What is added to a bus address to get a physical one.
    distance: u64,
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

/// The windows through which the processor reaches functions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows {
    ports: Window,
    /// Below 4 GiB.
    memory: Window,
    /// Of 64-bit addresses.
    large: Window,
}

impl Windows {
    /// Ports from here on are assigned to any function: those before are reserved.
    const RESERVED_PORTS: u64 = 0x1000;

    /// The windows in `ranges` of the bridge: addresses of three words on the bus, of two for the
    /// processor, lengths of two. `None` if there is none of memory.
    pub fn parse(ranges: &[u8]) -> Option<Self> {
        let mut windows = Self::default();
        for entry in ranges.chunks_exact(28) {
            let space = number(entry, 0, 1)? >> 24 & 3;
            let (bus, physical) = (number(entry, 4, 2)?, number(entry, 12, 2)?);
            let len = number(entry, 20, 2)?;
            let window = match space {
                1 => &mut windows.ports,
                2 => &mut windows.memory,
                3 => &mut windows.large,
                _ => continue,
            };
            // An address of 0 would be none.
            let first = match space {
                1 => bus.checked_add(Self::RESERVED_PORTS)?,
                _ => bus.max(1),
            };
            *window = Window {
                next: first,
                end: bus.checked_add(len)?,
                distance: physical.wrapping_sub(bus),
            };
        }
        windows.memory.end = windows.memory.end.min(1 << 32);
        windows.ports.end = windows.ports.end.min(1 << 16);
        (windows.memory.end != 0).then_some(windows)
    }

    /// The `number`th [`PORTS`] ports that are never assigned to others, of a few: (bus address,
    /// physical address).
    pub fn reserved_ports(&self, number: u32) -> Option<(u32, u64)> {
        const FIRST: u64 = 0x100;
        let bus = self.ports.next.checked_sub(Self::RESERVED_PORTS - FIRST)?;
        let bus = bus + u64::from(number) * PORTS as u64;
        let is_there = bus + PORTS as u64 <= self.ports.end;
        is_there.then_some((bus as u32, bus.wrapping_add(self.ports.distance)))
    }
}

/// Assigns addresses to all functions, and numbers to the buses behind bridges up to `last_bus`;
/// nothing if firmware has assigned memory to any on the first bus.
pub fn assign(access: &dyn ConfigAccess, windows: &mut Windows, last_bus: u8) {
    let assigned = functions(access, 0).any(|address| {
        (0..bars(access, address)).any(|index| {
            let bar = access.read(address, BAR0 + 4 * index);
            bar & 1 == 0 && bar & !0xf != 0
        })
    });
    if !assigned {
        assign_bus(access, windows, 0, &mut 0, last_bus, 0);
    }
}

/// The functions on `bus`.
fn functions(access: &dyn ConfigAccess, bus: u8) -> impl Iterator<Item = Address> {
    (0..32u8).flat_map(move |device| {
        let at = move |function| Address {
            bus,
            device,
            function,
        };
        let exists = move |address: &Address| access.read(*address, 0) as u16 != 0xffff;
        let several = exists(&at(0)) && access.read(at(0), HEADER_TYPE) >> 23 & 1 != 0;
        (0..if several { 8 } else { 1 }).map(at).filter(exists)
    })
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
    last: &mut u8,
    last_bus: u8,
    depth: u32,
) {
    for address in functions(access, bus) {
        assign_function(access, windows, address);
    }
    for address in functions(access, bus) {
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
        assign_bus(access, windows, secondary, last, last_bus, depth + 1);
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
    while index < bars(access, address) {
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
        let is_64_bit = low >> 1 & 3 == 2;
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

/// The line of pin `pin` (1 to 4) of a function on the first bus, by `interrupt-map` and its mask.
/// `parent_cells` returns the number of words of an address of the controller with this phandle.
pub fn line(
    map: &[u8],
    mask: &[u8],
    address: Address,
    pin: u32,
    parent_cells: &dyn Fn(u32) -> Option<u32>,
) -> Option<Line> {
    let word = |bytes, at| number(bytes, at, 1).map(|word| word as u32);
    let function = u32::from(address.device) << 11 | u32::from(address.function) << 8;
    let wanted = (function & word(mask, 0)?, pin & word(mask, 12)?);
    let mut rest = map;
    while !rest.is_empty() {
        let found = (word(rest, 0)?, word(rest, 12)?);
        let cells = parent_cells(word(rest, 16)?)?;
        let interrupt = 20 + 4 * cells.min(4) as usize;
        if found == wanted {
            return line_of_words(rest.get(interrupt..)?);
        }
        rest = rest.get(interrupt + 12..)?;
    }
    None
}

#[cfg(test)]
mod tests;
