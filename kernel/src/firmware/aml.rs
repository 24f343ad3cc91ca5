//! The values that are read from AML, the language of the DSDT.
//!
//! AML isn't interpreted. In the tables of QEMU, Firecracker and Cloud Hypervisor these values are
//! constants: they are found by their byte patterns, each checked for its form. Source: ACPI 6.5,
//! chapters 5.6.9 (generic event device), 6.4 (resource descriptors), 20.2 (AML).

use super::bytes::{u32_at, u64_at};
use alloc::vec::Vec;

/// Global system interrupt: an input of the I/O APICs, counted over all of them.
pub type Gsi = u32;

/// A virtio-mmio device that the DSDT names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioMmio {
    /// Physical address of the registers.
    pub address: u64,
    /// Their length in bytes.
    pub len: u64,
    /// The interrupt.
    pub gsi: Gsi,
    /// It is the line's rising edge; else its level.
    pub is_edge: bool,
}

/// The position of the first `pattern`.
fn position(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    behind(bytes, pattern)
        .next()
        .map(|rest| bytes.len() - rest.len() - pattern.len())
}

/// The bytes after each occurrence of `pattern`.
fn behind<'a>(bytes: &'a [u8], pattern: &'a [u8]) -> Behind<'a> {
    Behind { bytes, pattern }
}

/// The iterator of [`behind`].
struct Behind<'a> {
    bytes: &'a [u8],
    pattern: &'a [u8],
}

impl<'a> Iterator for Behind<'a> {
    type Item = &'a [u8];

    /// Not inlined: there are many searches.
    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let found = self.bytes.strip_prefix(self.pattern);
            self.bytes = self.bytes.get(1..)?;
            if found.is_some() {
                return found;
            }
        }
    }
}

/// AML's opcodes (ACPI 6.5, 20.2.3 and 20.2.5.4).
const BYTE: u8 = 0x0a;
const WORD: u8 = 0x0b;
const DWORD: u8 = 0x0c;
const QWORD: u8 = 0x0e;
const PACKAGE: u8 = 0x12;

/// `Name (_S5, Package () { type, … })`.
pub fn sleep_type(dsdt: &[u8]) -> Option<u8> {
    behind(dsdt, b"_S5_").find_map(|rest| match *rest {
        // The package's length takes one byte, or as many more as its two top bits say.
        [PACKAGE, len, ..] => match rest.get(3 + usize::from(len >> 6)..)? {
            [BYTE, value, ..] => Some(*value),
            [value @ (0 | 1), ..] => Some(*value),
            _ => None,
        },
        _ => None,
    })
}

/// The resource descriptors in the part of the DSDT that belongs to one device.
const MAX_DEVICE: usize = 256;

/// "32-bit Fixed Memory Range Descriptor": address and length.
fn fixed_memory(device: &[u8]) -> Option<(u64, u64)> {
    behind(device, &[0x86, 0x09, 0x00]).find_map(|rest| {
        u32_at(rest, 1)
            .map(u64::from)
            .zip(u32_at(rest, 5).map(u64::from))
    })
}

/// "Extended Interrupt Descriptor" (6.4.3.6) with one interrupt, and whether that is an edge.
fn extended_interrupt(device: &[u8]) -> Option<(Gsi, bool)> {
    const EDGE: u8 = 1 << 1;
    behind(device, &[0x89, 0x06, 0x00]).find_map(|rest| match rest {
        [flags, 1, ..] => Some((u32_at(rest, 2)?, flags & EDGE != 0)),
        _ => None,
    })
}

/// The virtio-mmio devices, by their identifier.
pub fn virtio_mmio(dsdt: &[u8]) -> Vec<VirtioMmio> {
    const ID: &[u8] = b"LNRO0005";
    let mut devices = Vec::new();
    for rest in behind(dsdt, ID) {
        let end = position(rest, ID).unwrap_or(rest.len());
        let device = &rest[..end.min(MAX_DEVICE)];
        if let (Some((address, len)), Some((gsi, is_edge))) =
            (fixed_memory(device), extended_interrupt(device))
        {
            devices.push(VirtioMmio {
                address,
                len,
                gsi,
                is_edge,
            });
        }
    }
    devices
}

/// QEMU's `Name (VGIA, 0x…)`: a page, with the identifier at offset 40 (docs/specs/vmgenid).
pub fn qemu_machine_id(ssdt: &[u8]) -> Option<u64> {
    const OFFSET: u64 = 40;
    behind(ssdt, b"\x08VGIA")
        .find_map(|rest| match *rest {
            [DWORD, ref page @ ..] => u32_at(page, 0).filter(|page| *page != 0),
            _ => None,
        })
        .map(|page| u64::from(page) + OFFSET)
}

/// Firecracker's `Name (ADDR, Package () { low, high })` in the device with this identifier.
pub fn machine_id(dsdt: &[u8]) -> Option<u64> {
    behind(dsdt, b"VM_Gen_Counter").find_map(|rest| {
        let device = &rest[..rest.len().min(MAX_DEVICE)];
        behind(device, b"ADDR").find_map(|rest| match *rest {
            [PACKAGE, _, 2, ref rest @ ..] => {
                let (low, rest) = integer(rest)?;
                let (high, _) = integer(rest)?;
                Some(low | high << 32).filter(|address| *address != 0)
            }
            _ => None,
        })
    })
}

/// The page of a VMClock: its "QWord Address Space Descriptor" (6.4.3.5.1), at least 112 bytes.
pub fn vmclock(aml: &[u8]) -> Option<u64> {
    const MEMORY: &[u8] = &[0x8a, 0x2b, 0x00, 0x00];
    behind(aml, b"_CID\x0dVMCLOCK\0").find_map(|rest| {
        let device = &rest[..rest.len().min(MAX_DEVICE)];
        // Behind the flags and the granularity.
        behind(device, MEMORY).find_map(|rest| u64_at(rest, 10).filter(|page| *page != 0))
    })
}

/// AML's integers, and what follows.
fn integer(aml: &[u8]) -> Option<(u64, &[u8])> {
    match *aml {
        [value @ (0 | 1), ref rest @ ..] => Some((value.into(), rest)),
        [BYTE, value, ref rest @ ..] => Some((value.into(), rest)),
        [WORD, a, b, ref rest @ ..] => Some((u16::from_le_bytes([a, b]).into(), rest)),
        [DWORD, ref rest @ ..] => Some((u32_at(rest, 0)?.into(), rest.get(4..)?)),
        [QWORD, ref rest @ ..] => Some((u64_at(rest, 0)?, rest.get(8..)?)),
        _ => None,
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

/// The generic event device, from the statement that a press leads to (5.6.9.3): `If (… == mask) {
/// Notify (PWRB, 0x80) }`, with a path before the name or none. The selector is the operation
/// region before it, which is QEMU's device's own, and another device's in Cloud Hypervisor's
/// tables.
pub fn event_device(dsdt: &[u8]) -> Option<EventDevice> {
    const REGION: &[u8] = &[0x5b, 0x80];
    const SYSTEM_MEMORY: u8 = 0;
    const NOTIFY: u8 = 0x86;
    const PRESSED: &[u8] = &[b'P', b'W', b'R', b'B', BYTE, 0x80];
    let device = &dsdt[position(dsdt, b"ACPI0013")?..];
    let (gsi, _) = extended_interrupt(&device[..device.len().min(MAX_DEVICE)])?;
    let before = &dsdt[..position(dsdt, PRESSED)?];
    let [.., BYTE, mask, NOTIFY] = *before.strip_suffix(b"\\._SB_").unwrap_or(before) else {
        return None;
    };
    let mut region = before;
    while let Some(at) = position(region, REGION) {
        region = &region[at + REGION.len()..];
    }
    let [_, _, _, _, SYSTEM_MEMORY, ref region @ ..] = *region else {
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
