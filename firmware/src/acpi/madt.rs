//! The MADT: interrupt controllers and processors.
//!
//! Source: ACPI 6.5, chapter 5.2.12.

use crate::aml::Gsi;
use crate::bytes::{u8_at, u16_at, u32_at};

/// Bytes of the table before its entries.
const HEAD: usize = 44;
/// Entries for processors beyond so many are left out.
const MAX_PROCESSORS: usize = 1024;

/// A legacy interrupt whose input or signal is another than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The number on the ISA bus.
    pub irq: u8,
    /// The input.
    pub gsi: Gsi,
    /// Whether the input is active low; `None`: as usual for the interrupt.
    pub is_low: Option<bool>,
}

/// The entries of a MADT: type and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// The entries of a MADT.
    pub fn new(madt: &'a [u8]) -> Self {
        Self(madt.get(HEAD..).unwrap_or_default())
    }

    /// The entries of a type.
    pub fn of(self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        self.filter_map(move |(found, entry)| (found == kind).then_some(entry))
    }

    /// The I/O APICs: address and first input.
    pub fn io_apics(self) -> impl Iterator<Item = (u64, Gsi)> {
        const IO_APIC: u8 = 1;
        self.of(IO_APIC)
            .filter_map(|entry| Some((u32_at(entry, 4)?.into(), u32_at(entry, 8)?)))
    }

    /// Legacy interrupts whose inputs or signals are others than usual.
    pub fn overrides(self) -> impl Iterator<Item = Override> {
        const OVERRIDE: u8 = 2;
        const POLARITY: u16 = 3;
        const HIGH: u16 = 1;
        const LOW: u16 = 3;
        self.of(OVERRIDE).filter_map(|entry| {
            Some(Override {
                irq: u8_at(entry, 3)?,
                gsi: u32_at(entry, 4)?,
                is_low: match u16_at(entry, 8).unwrap_or(0) & POLARITY {
                    HIGH => Some(false),
                    LOW => Some(true),
                    _ => None,
                },
            })
        })
    }

    /// The IDs of the enabled local APICs, in the table's order. The ID of a processor that is
    /// listed twice comes twice.
    pub fn local_apics(self) -> impl Iterator<Item = u32> {
        const LOCAL_APIC: u8 = 0;
        const LOCAL_X2APIC: u8 = 9;
        const ENABLED: u32 = 1;
        let ids = self.filter_map(|(kind, entry)| {
            let (id, flags) = match kind {
                LOCAL_APIC => (u8_at(entry, 3)?.into(), u32_at(entry, 4)?),
                LOCAL_X2APIC => (u32_at(entry, 4)?, u32_at(entry, 8)?),
                _ => return None,
            };
            (flags & ENABLED != 0).then_some(id)
        });
        ids.take(MAX_PROCESSORS)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [kind, len, ..] = *self.0 else {
            return None;
        };
        // At least its type and its length.
        let (entry, rest) = self.0.split_at_checked(len.max(2).into())?;
        self.0 = rest;
        Some((kind, entry))
    }
}
