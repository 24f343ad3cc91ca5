//! ACPI's tables: where they are, and the values that images and loaders need of them.
//!
//! Source: ACPI 6.5, chapter 5.2.

pub mod fadt;
#[cfg(feature = "alloc")]
mod machine;
pub mod madt;
pub mod mcfg;

use crate::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::memory::Physical;
#[cfg(feature = "alloc")]
pub use machine::{Acpi, VirtioMmio};

/// Bytes of the header that every table begins with.
pub const HEADER: usize = 36;
/// No table of interest is longer; a longer one counts as damaged.
const MAX_TABLE: usize = 4 << 20;
/// Maximum number of tables; the rest isn't read.
const MAX_TABLES: usize = 256;
/// The signature of an RSDP.
const SIGNATURE: &[u8] = b"RSD PTR ";
/// Bytes of an RSDP of revision 0, and of a later one.
const ROOT: usize = 20;
const EXTENDED_ROOT: usize = 36;

/// A register, ACPI's "generic address structure".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// At a physical address.
    Memory(u64),
    /// At an I/O port.
    Port(u16),
}

impl Register {
    /// The register at offset `at` of a table; `None` if it has no address.
    fn at(table: &[u8], at: usize) -> Option<Self> {
        let address = u64_at(table, at + 4)?;
        match (u8_at(table, at)?, address) {
            (_, 0) => None,
            (0, address) => Some(Self::Memory(address)),
            (1, address) => Some(Self::Port(address.try_into().ok()?)),
            _ => None,
        }
    }
}

/// Whether the checksum of these bytes is right: their sum is 0.
fn is_intact(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// Whether `bytes` begin with an RSDP, by its signature and its checksums.
fn is_root(bytes: &[u8]) -> bool {
    let intact = |len| bytes.get(..len).is_some_and(is_intact);
    bytes.starts_with(SIGNATURE)
        && intact(ROOT)
        && u8_at(bytes, 15).is_some_and(|revision| revision < 2 || intact(EXTENDED_ROOT))
}

/// Searches for the RSDP where a PC's firmware leaves it: in the first KiB of the extended BIOS
/// data area, and in the BIOS's own 128 KiB (ACPI 6.5, 5.2.5.1). Returns its physical address.
pub fn find_root(memory: &impl Physical) -> Option<u64> {
    /// Holds the segment of the extended BIOS data area.
    const EXTENDED_AREA: u64 = 0x40e;
    let segment = memory.read(EXTENDED_AREA, 2);
    let extended = segment.and_then(|word| u16_at(word, 0)).unwrap_or(0);
    let areas = [(u64::from(extended) << 4, 1 << 10), (0xe_0000, 128 << 10)];
    for (mut at, len) in areas {
        let mut rest = memory.read(at, len).unwrap_or_default();
        while !rest.is_empty() {
            if is_root(rest) {
                return Some(at);
            }
            rest = rest.get(16..).unwrap_or_default();
            at += 16;
        }
    }
    None
}

/// The whole table at `address`, if it begins with `signature` and its length and checksum are
/// valid.
fn table<'a>(memory: &'a impl Physical, address: u64, signature: &[u8]) -> Option<&'a [u8]> {
    let header = memory.read(address, HEADER)?;
    let len = u32_at(header, 4)? as usize;
    if !header.starts_with(signature) || !(HEADER..=MAX_TABLE).contains(&len) {
        return None;
    }
    memory.read(address, len).filter(|bytes| is_intact(bytes))
}

/// The tables of a machine.
#[derive(Debug)]
pub struct Tables<'a, M> {
    memory: &'a M,
    /// The addresses of the tables, `width` bytes each.
    addresses: &'a [u8],
    width: usize,
}

impl<'a, M: Physical> Tables<'a, M> {
    /// The tables to which the RSDP at the physical address `rsdp` leads: by the XSDT, or else by
    /// the RSDT.
    pub fn find(memory: &'a M, rsdp: u64) -> Option<Self> {
        let root = memory.read(rsdp, EXTENDED_ROOT);
        let root = root.or_else(|| memory.read(rsdp, ROOT))?;
        if !is_root(root) {
            return None;
        }
        let extended = match u8_at(root, 15)? {
            2.. => u64_at(root, 24).filter(|address| *address != 0),
            _ => None,
        };
        let (list, width) = match extended.and_then(|at| table(memory, at, b"XSDT")) {
            Some(list) => (list, 8),
            None => (table(memory, u32_at(root, 16)?.into(), b"RSDT")?, 4),
        };
        Some(Self {
            memory,
            addresses: list.get(HEADER..)?,
            width,
        })
    }

    /// The intact tables with this signature.
    pub fn all(&self, signature: &'static [u8; 4]) -> impl Iterator<Item = &'a [u8]> + use<'a, M> {
        let memory = self.memory;
        let addresses = self
            .addresses
            .chunks_exact(self.width.max(1))
            .take(MAX_TABLES);
        addresses.filter_map(move |entry| {
            let address = u64_at(entry, 0).or(u32_at(entry, 0).map(u64::from))?;
            table(memory, address, signature)
        })
    }

    /// The first intact table with this signature.
    pub fn get(&self, signature: &'static [u8; 4]) -> Option<&'a [u8]> {
        self.all(signature).next()
    }

    /// The DSDT to which a FADT points, without its header; empty if it is missing.
    pub fn dsdt(&self, fadt: &[u8]) -> &'a [u8] {
        let long = u64_at(fadt, 140).filter(|address| *address != 0);
        let address = long.or(u32_at(fadt, 40).map(u64::from));
        let dsdt = address.and_then(|address| table(self.memory, address, b"DSDT"));
        dsdt.and_then(|dsdt| dsdt.get(HEADER..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
