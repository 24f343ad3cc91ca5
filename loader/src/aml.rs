//! Devices that the DSDT names.
//!
//! AML, its language, isn't interpreted: devices are found by their byte patterns, and of them what
//! is constant: `_HID`, `_SEG`, `_CRS`. Source: ACPI 6.5, chapters 6.4 (resources), 20.2 (AML).

use crate::bytes::{long, short, word};

/// AML's opcodes.
const NAME: u8 = 0x08;
const BYTE: u8 = 0x0a;
const WORD: u8 = 0x0b;
const DWORD: u8 = 0x0c;
const STRING: u8 = 0x0d;
const BUFFER: u8 = 0x11;
const DEVICE: [u8; 2] = [0x5b, 0x82];

/// Bytes at the beginning of a device in which its `_HID` is searched for.
const HEAD: usize = 1 << 10;
/// The most devices of a kind: the search in a damaged table ends.
const MAX_DEVICES: usize = 256;

/// Kinds of devices, by their `_HID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PCI Express host bridge (`PNP0A08`).
    HostBridge,
    /// A virtio-mmio device (`LNRO0005`).
    VirtioMmio,
    /// QEMU's configuration device (`QEMU0002`).
    FwCfg,
}

impl Kind {
    /// Whether the value of a `_HID` is the kind's.
    fn is(self, value: &[u8]) -> bool {
        let text: &[u8] = match self {
            Self::HostBridge => b"PNP0A08\0",
            Self::VirtioMmio => b"LNRO0005\0",
            Self::FwCfg => b"QEMU0002\0",
        };
        // `EisaId ("PNP0A08")`.
        let is_number =
            self == Self::HostBridge && value.starts_with(&[DWORD, 0x41, 0xd0, 0x0a, 0x08]);
        is_number
            || value
                .strip_prefix(&[STRING])
                .is_some_and(|value| value.starts_with(text))
    }
}

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

/// A device.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    body: &'a [u8],
}

/// The devices of a kind in a table.
pub fn devices(table: &[u8], kind: Kind) -> impl Iterator<Item = Device<'_>> {
    let starts = table
        .windows(2)
        .enumerate()
        .filter(|(_, word)| *word == DEVICE);
    let bodies = starts.filter_map(|(at, _)| package(table.get(at + 2..)?));
    bodies
        .filter(move |body| {
            let head = Device {
                body: body.get(..HEAD).unwrap_or(body),
            };
            head.value(b"_HID").is_some_and(|value| kind.is(value))
        })
        .map(|body| Device { body })
        .take(MAX_DEVICES)
}

impl<'a> Device<'a> {
    /// What follows `Name (name,` of the device itself, not of one in it.
    fn value(&self, name: &[u8; 4]) -> Option<&'a [u8]> {
        let mut at = 0;
        loop {
            let rest = self.body.get(at..).filter(|rest| !rest.is_empty())?;
            if let Some(value) = rest
                .strip_prefix(&[NAME])
                .and_then(|rest| rest.strip_prefix(name))
            {
                return Some(value);
            }
            let inner = rest.strip_prefix(&DEVICE).and_then(package);
            // The contents end where the package does.
            at = inner.map_or(at + 1, |inner| {
                inner.as_ptr_range().end as usize - self.body.as_ptr() as usize
            });
        }
    }

    /// The number of a constant, if the device has it.
    pub fn number(&self, name: &[u8; 4]) -> Option<u32> {
        match *self.value(name)? {
            [value @ (0 | 1), ..] => Some(u32::from(value)),
            [BYTE, value, ..] => Some(u32::from(value)),
            [WORD, ref rest @ ..] => short(rest, 0).map(u32::from),
            [DWORD, ref rest @ ..] => word(rest, 0),
            _ => None,
        }
    }

    /// The resources, if they are constant.
    pub fn resources(&self) -> Resources<'a> {
        let buffer = self
            .value(b"_CRS")
            .and_then(|value| value.strip_prefix(&[BUFFER]));
        let template = buffer.and_then(package).and_then(|contents| {
            let size = match contents.first()? {
                0 | 1 => 1,
                &BYTE => 2,
                &WORD => 3,
                &DWORD => 5,
                _ => return None,
            };
            contents.get(size..)
        });
        Resources(template.unwrap_or_default())
    }
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
        /// Its number in the GIC.
        number: u32,
        /// By an edge; else by a level.
        edge: bool,
        /// Falling or low.
        low: bool,
    },
}

/// The resources of a template; kinds that no device here needs are left out.
#[derive(Clone, Copy, Debug)]
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
                _ => (3, usize::from(short(self.0, 1)?)),
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
    let small = |at| word(contents, at).map(u64::from);
    match tag {
        0x86 => Some(Resource::Memory(small(1)?, small(5)?)),
        0x87 => window(contents, [small(7)?, small(15)?, small(19)?]),
        0x8a => {
            let large = |at| long(contents, at);
            window(contents, [large(11)?, large(27)?, large(35)?])
        }
        0x89 => {
            let flags = *contents.first()?;
            Some(Resource::Interrupt {
                number: word(contents, 2)?,
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
pub(crate) mod tests;
