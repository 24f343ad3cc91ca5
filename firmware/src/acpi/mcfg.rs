//! The MCFG: where PCI configuration space is in memory ("ECAM").
//!
//! Source: PCI Firmware Specification 3.3, chapter 4.1.2.

use super::HEADER;
use crate::bytes::{u8_at, u16_at, u64_at};

/// Bytes of the table before its entries: the header, and eight reserved ones.
const HEAD: usize = HEADER + 8;
/// Bytes of an entry.
const ENTRY: usize = 16;
/// Bytes of the configuration space of a bus, as a power of two.
const BUS_BITS: u32 = 20;

/// A PCI segment group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u16,
    /// Physical address of the configuration space of bus 0, whether the segment has that or not.
    pub base: u64,
    /// Its first bus.
    pub first: u8,
    /// Its last bus, which isn't less than the first.
    pub last: u8,
}

impl Segment {
    /// Physical address of the configuration space of the first bus.
    pub fn start(&self) -> u64 {
        self.base + (u64::from(self.first) << BUS_BITS)
    }

    /// Bytes of the configuration space of all buses.
    pub fn size(&self) -> u64 {
        (u64::from(self.last - self.first) + 1) << BUS_BITS
    }
}

/// The segments of an MCFG, in the table's order, without those at an invalid address.
pub fn segments(mcfg: &[u8]) -> impl Iterator<Item = Segment> {
    let entries = mcfg.get(HEAD..).unwrap_or_default().chunks_exact(ENTRY);
    entries.filter_map(|entry| {
        let segment = Segment {
            base: u64_at(entry, 0).filter(|base| *base != 0)?,
            number: u16_at(entry, 8)?,
            first: u8_at(entry, 10)?,
            last: u8_at(entry, 11)?,
        };
        let ends = segment.base.checked_add(256 << BUS_BITS).is_some();
        (ends && segment.first <= segment.last).then_some(segment)
    })
}

#[cfg(test)]
mod tests {
    use super::{Segment, segments};

    /// An MCFG with entries of (base, segment, first bus, last bus).
    fn mcfg(entries: &[(u64, u16, u8, u8)]) -> Vec<u8> {
        let mut table = vec![0; 44];
        for (base, number, first, last) in entries {
            table.extend(base.to_le_bytes());
            table.extend(number.to_le_bytes());
            table.extend([*first, *last, 0, 0, 0, 0]);
        }
        table
    }

    #[test]
    fn the_base_is_of_bus_0_whatever_the_first_is() {
        let mut table = mcfg(&[(0xb000_0000, 0, 0, 255), (0x40_0000_0000, 1, 16, 31)]);
        table.extend([0; 15]);
        let found: Vec<_> = segments(&table).collect();
        let second = Segment {
            number: 1,
            base: 0x40_0000_0000,
            first: 16,
            last: 31,
        };
        assert_eq!(found[1], second);
        assert_eq!((second.start(), second.size()), (0x40_0100_0000, 16 << 20));
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].start(), found[0].size()),
            (0xb000_0000, 256 << 20)
        );
    }

    #[test]
    fn impossible_segments_are_left_out() {
        let table = mcfg(&[(0, 0, 0, 255), (1 << 32, 0, 9, 8), (u64::MAX - 9, 0, 0, 0)]);
        assert_eq!(segments(&table).next(), None);
        assert_eq!(segments(&table[..40]).next(), None);
    }
}
