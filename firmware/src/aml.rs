//! The values that are read from AML, the language of the DSDT and of SSDTs.
//!
//! AML isn't interpreted. Devices are found by their byte patterns, with their constants: `_HID`,
//! `_CID`, `_SEG`, `_CRS`, `_CBA`. The tables of QEMU, Firecracker and Cloud Hypervisor have all
//! values here as constants. Source: ACPI 6.5, chapters 5.6.9 (generic event device), 6.4 (resource
//! descriptors), 20.2 (AML).

use crate::bytes::{u16_at, u32_at, u64_at};

/// Global system interrupt: an input of the I/O APICs, counted over all of them.
pub type Gsi = u32;

/// AML's opcodes (ACPI 6.5, 20.2.3 and 20.2.5).
pub(crate) const NAME: u8 = 0x08;
pub(crate) const BYTE: u8 = 0x0a;
const WORD: u8 = 0x0b;
const DWORD: u8 = 0x0c;
pub(crate) const STRING: u8 = 0x0d;
const QWORD: u8 = 0x0e;
pub(crate) const BUFFER: u8 = 0x11;
const PACKAGE: u8 = 0x12;
pub(crate) const DEVICE: [u8; 2] = [0x5b, 0x82];

/// Maximum number of positions in a device at which one of its constants is searched.
const MAX_STEPS: usize = 64 << 10;
/// The same for its `_HID` and `_CID`, which are at its beginning.
const HEAD: usize = 1 << 10;
/// Maximum number of devices in a table; the rest isn't read.
const MAX_DEVICES: usize = 4096;

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PCI Express host bridge.
    HostBridge,
    /// A virtio-mmio device.
    VirtioMmio,
    /// QEMU's configuration device.
    FwCfg,
    /// The generic event device.
    Events,
    /// The holder of the machine's identifier (VMGENID).
    MachineId,
    /// A VMClock.
    VmClock,
}

/// The kinds by their constant, and its string.
const KINDS: [(&[u8; 4], &[u8], Kind); 6] = [
    (b"_HID", b"PNP0A08\0", Kind::HostBridge),
    (b"_HID", b"LNRO0005\0", Kind::VirtioMmio),
    (b"_HID", b"QEMU0002\0", Kind::FwCfg),
    (b"_HID", b"ACPI0013\0", Kind::Events),
    (b"_CID", b"VM_Gen_Counter\0", Kind::MachineId),
    (b"_CID", b"VMCLOCK\0", Kind::VmClock),
];
/// `EisaId ("PNP0A08")`.
const HOST_BRIDGE: [u8; 5] = [DWORD, 0x41, 0xd0, 0x0a, 0x08];

/// The contents of a package whose length begins `bytes`.
fn package(bytes: &[u8]) -> Option<&[u8]> {
    let first = *bytes.first()?;
    let more = usize::from(first >> 6);
    let len = match more {
        0 => usize::from(first & 0x3f),
        _ => {
            bytes
                .get(1..=more)?
                .iter()
                .rev()
                .fold(0, |len, byte| len << 8 | usize::from(*byte))
                << 4
                | usize::from(first & 0x0f)
        }
    };
    bytes.get(1 + more..len)
}

/// An integer, and what follows it.
fn integer(aml: &[u8]) -> Option<(u64, &[u8])> {
    match *aml {
        [value @ (0 | 1), ref rest @ ..] => Some((value.into(), rest)),
        [BYTE, value, ref rest @ ..] => Some((value.into(), rest)),
        [WORD, ref rest @ ..] => Some((u16_at(rest, 0)?.into(), rest.get(2..)?)),
        [DWORD, ref rest @ ..] => Some((u32_at(rest, 0)?.into(), rest.get(4..)?)),
        [QWORD, ref rest @ ..] => Some((u64_at(rest, 0)?, rest.get(8..)?)),
        _ => None,
    }
}

/// The bytes after each `Name (name,` of a table, in a device or not.
fn values<'a>(table: &'a [u8], name: &[u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    let starts = table.windows(5).enumerate();
    starts.filter_map(move |(at, bytes)| match bytes {
        [NAME, found @ ..] if found == name => table.get(at + 5..),
        _ => None,
    })
}

/// The number in `Name (_S5, Package () { number, … })`.
pub fn sleep_type(dsdt: &[u8]) -> Option<u8> {
    values(dsdt, b"_S5_").find_map(|value| match *value {
        [PACKAGE, ref rest @ ..] => match *package(rest)? {
            [_, BYTE, number, ..] | [_, number @ (0 | 1), ..] => Some(number),
            _ => None,
        },
        _ => None,
    })
}

/// The address of the machine's identifier in QEMU's SSDT: `Name (VGIA, 0x…)`, a page with the
/// identifier at offset 40 (docs/specs/vmgenid).
pub fn qemu_machine_id(ssdt: &[u8]) -> Option<u64> {
    const OFFSET: u64 = 40;
    let mut pages = values(ssdt, b"VGIA").filter_map(|value| Some(integer(value)?.0));
    pages.find(|page| *page != 0).map(|page| page + OFFSET)
}

/// A device.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    body: &'a [u8],
}

/// The devices in a table, those in other devices as well.
pub fn devices(table: &[u8]) -> impl Iterator<Item = Device<'_>> {
    let starts = table
        .windows(2)
        .enumerate()
        .filter(|(_, word)| *word == DEVICE);
    let bodies = starts.filter_map(|(at, _)| package(table.get(at + 2..)?));
    bodies.map(|body| Device { body }).take(MAX_DEVICES)
}

impl<'a> Device<'a> {
    /// The bytes after `Name (name,` of the device itself, not of a device in it, if that is at one
    /// of the first `steps` positions.
    fn value(&self, name: &[u8; 4], steps: usize) -> Option<&'a [u8]> {
        let mut at = 0;
        for _ in 0..steps {
            let rest = self.body.get(at..)?;
            match rest {
                [NAME, value @ ..] if value.starts_with(name) => return value.get(4..),
                [] => return None,
                _ => {}
            }
            let inner = rest.strip_prefix(&DEVICE).and_then(package);
            // The contents end where the package does.
            at = inner.map_or(at + 1, |inner| {
                inner.as_ptr_range().end as usize - self.body.as_ptr() as usize
            });
        }
        None
    }

    /// Its kind, if it is a known one.
    pub fn kind(&self) -> Option<Kind> {
        [b"_HID", b"_CID"].into_iter().find_map(|name| {
            let value = self.value(name, HEAD)?;
            if value.starts_with(&HOST_BRIDGE) {
                return Some(Kind::HostBridge);
            }
            let text = value.strip_prefix(&[STRING])?;
            let mut kinds = KINDS.iter();
            kinds.find_map(|(of, known, kind)| {
                (*of == name && text.starts_with(known)).then_some(*kind)
            })
        })
    }

    /// The number of a constant, if the device has it.
    pub fn number(&self, name: &[u8; 4]) -> Option<u64> {
        Some(integer(self.value(name, MAX_STEPS)?)?.0)
    }

    /// The resources, if they are constant.
    pub fn resources(&self) -> Resources<'a> {
        let template = self.value(b"_CRS", MAX_STEPS).and_then(|value| {
            let buffer = package(value.strip_prefix(&[BUFFER])?)?;
            Some(integer(buffer)?.1)
        });
        Resources(template.unwrap_or_default())
    }

    /// The address and the length of its registers.
    pub fn registers(&self) -> Option<(u64, u64)> {
        self.resources().find_map(|resource| match resource {
            Resource::Memory(address, len) => Some((address, len)),
            _ => None,
        })
    }

    /// Where the configuration space of a host bridge is in memory, for bus 0, if its method `_CBA`
    /// returns a constant (PCI Firmware Specification 3.3, 4.1.3).
    pub fn configuration_base(&self) -> Option<u64> {
        const RETURN: u8 = 0xa4;
        let mut names = self.body.windows(4).enumerate();
        let base = names.find_map(|(at, name)| match self.body.get(at + 4..)? {
            // Behind the method's flags.
            [_, RETURN, value @ ..] if name == b"_CBA" => Some(integer(value)?.0),
            _ => None,
        });
        base.filter(|base| *base != 0)
    }

    /// Its first interrupt: number, whether it is an edge, whether it is falling or low.
    pub fn interrupt(&self) -> Option<(u32, bool, bool)> {
        self.resources().find_map(|resource| match resource {
            Resource::Interrupt { number, edge, low } => Some((number, edge, low)),
            _ => None,
        })
    }

    /// The page of a VMClock, at least 112 bytes.
    pub fn page(&self) -> Option<u64> {
        self.resources().find_map(|resource| match resource {
            Resource::Window { physical, .. } => Some(physical).filter(|page| *page != 0),
            _ => None,
        })
    }

    /// The address of the machine's identifier, as Firecracker has it: `Name (ADDR, Package () {
    /// low, high })`.
    pub fn machine_id(&self) -> Option<u64> {
        let list = package(self.value(b"ADDR", MAX_STEPS)?.strip_prefix(&[PACKAGE])?)?;
        let (low, rest) = integer(list.strip_prefix(&[2])?)?;
        let (high, _) = integer(rest)?;
        Some(low | high << 32).filter(|address| *address != 0)
    }
}

/// The power button of a generic event device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDevice {
    /// Physical address of the selector of events, which reading clears.
    pub address: u64,
    /// The selector has one byte; else four. Devices ignore accesses of another size.
    pub is_byte: bool,
    /// The selector's bits that a press sets.
    pub mask: u8,
    /// The interrupt.
    pub gsi: Gsi,
}

/// The power button of the generic event device with this interrupt, from the statement that a press
/// leads to (5.6.9.3): `If (… == mask) { Notify (PWRB, 0x80) }`, with a path before the name or
/// none. The selector is the operation region before it: QEMU has it in the event device, Cloud
/// Hypervisor in another device.
pub fn event_device(dsdt: &[u8], gsi: Gsi) -> Option<EventDevice> {
    const REGION: &[u8] = &[0x5b, 0x80];
    const SYSTEM_MEMORY: u8 = 0;
    const NOTIFY: u8 = 0x86;
    const PRESSED: &[u8] = &[b'P', b'W', b'R', b'B', BYTE, 0x80];
    let mut statements = dsdt.windows(PRESSED.len());
    let before = dsdt.get(..statements.position(|bytes| bytes == PRESSED)?)?;
    let [.., BYTE, mask, NOTIFY] = *before.strip_suffix(b"\\._SB_").unwrap_or(before) else {
        return None;
    };
    let mut regions = before.windows(REGION.len());
    let last = regions.rposition(|bytes| bytes == REGION)?;
    // Behind the region's name.
    let [SYSTEM_MEMORY, ref region @ ..] = *before.get(last + 6..)? else {
        return None;
    };
    let (address, len) = integer(region)?;
    let is_byte = integer(len)?.0 == 1;
    (is_byte || address % 4 == 0).then_some(EventDevice {
        address,
        is_byte,
        mask,
        gsi,
    })
}

/// A resource of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Registers: physical address and length.
    Memory(u64, u64),
    /// Addresses that a bridge passes on to its bus.
    Window {
        /// I/O ports instead of memory.
        io: bool,
        /// The first address on the bus.
        start: u64,
        /// Their number.
        len: u64,
        /// The first physical address.
        physical: u64,
    },
    /// An interrupt.
    Interrupt {
        /// Its number in the GIC (arm64); else its global system interrupt.
        number: u32,
        /// By an edge; else by a level.
        edge: bool,
        /// Falling or low.
        low: bool,
    },
}

/// The resources of a template; kinds that no device here needs are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resources<'a>(&'a [u8]);

impl Iterator for Resources<'_> {
    type Item = Resource;

    fn next(&mut self) -> Option<Resource> {
        /// Bit 7: the tag of a descriptor with a length of 16 bits.
        const LARGE: u8 = 0x80;
        /// The small descriptor that ends a template.
        const END: u8 = 0x0f;
        loop {
            let tag = *self.0.first()?;
            let (head, len) = match tag & LARGE {
                0 if tag >> 3 == END => return None,
                0 => (1, usize::from(tag & 7)),
                _ => (3, usize::from(u16_at(self.0, 1)?)),
            };
            let contents = self.0.get(head..)?.get(..len)?;
            self.0 = self.0.get(head + len..)?;
            if let Some(resource) = resource(tag, contents) {
                return Some(resource);
            }
        }
    }
}

/// The resource of a large descriptor.
fn resource(tag: u8, contents: &[u8]) -> Option<Resource> {
    let small = |at| u32_at(contents, at).map(u64::from);
    match tag {
        0x86 => Some(Resource::Memory(small(1)?, small(5)?)),
        0x87 => window(contents, [small(7)?, small(15)?, small(19)?]),
        0x8a => {
            let large = |at| u64_at(contents, at);
            window(contents, [large(11)?, large(27)?, large(35)?])
        }
        0x89 => {
            let flags = *contents.first()?;
            Some(Resource::Interrupt {
                number: u32_at(contents, 2)?,
                edge: flags & 2 != 0,
                low: flags & 4 != 0,
            })
        }
        _ => None,
    }
}

/// A window with these first address on the bus, offset of physical addresses and length.
fn window(contents: &[u8], [start, offset, len]: [u64; 3]) -> Option<Resource> {
    let io = match contents.first()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    start.checked_add(len)?;
    let physical = start.wrapping_add(offset);
    physical.checked_add(len)?;
    (len > 0).then_some(Resource::Window {
        io,
        start,
        len,
        physical,
    })
}

#[cfg(test)]
mod tests;
