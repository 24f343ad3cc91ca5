//! Checksums of metadata (kernel documentation, "Checksums"): crc32c as a running value, without
//! the final inversion that other uses of it have, and crc16 for the older descriptors.

use alloc::boxed::Box;

/// The polynomial of crc32c (Castagnoli), reflected.
const CASTAGNOLI: u32 = 0x82f6_3b78;

/// Tables for sixteen bytes at a time, half again as fast as eight. The mount computes them, so
/// that no image contains them.
pub struct Crc32c {
    tables: Box<[[u32; 256]; 16]>,
    /// Index of the entry of the first table with a given upper byte, which is unique.
    entries: [u8; 256],
}

impl Crc32c {
    pub fn new() -> Self {
        let mut tables = Box::new([[0u32; 256]; 16]);
        let mut entries = [0; 256];
        let [first, rest @ ..] = &mut *tables;
        for (byte, entry) in (0u32..).zip(first.iter_mut()) {
            *entry = (0..8).fold(byte, |crc, _| {
                crc >> 1 ^ if crc & 1 != 0 { CASTAGNOLI } else { 0 }
            });
        }
        let mut last = *first;
        for table in rest {
            for (entry, before) in table.iter_mut().zip(last) {
                *entry = before >> 8 ^ lookup(first, before as u8);
            }
            last = *table;
        }
        for (byte, entry) in (0..=255).zip(first.iter()) {
            if let Some(place) = entries.get_mut((entry >> 24) as usize) {
                *place = byte;
            }
        }
        Self { tables, entries }
    }

    /// Continues from `crc` over `data`.
    pub fn update(&self, crc: u32, data: &[u8]) -> u32 {
        let [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            t8,
            t9,
            ta,
            tb,
            tc,
            td,
            te,
            tf,
        ] = &*self.tables;
        let (words, rest) = data.as_chunks::<16>();
        let mut crc = crc;
        for [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] in words {
            let [w, x, y, z] = crc.to_le_bytes();
            let later = lookup(tb, *e)
                ^ lookup(ta, *f)
                ^ lookup(t9, *g)
                ^ lookup(t8, *h)
                ^ lookup(t7, *i)
                ^ lookup(t6, *j)
                ^ lookup(t5, *k)
                ^ lookup(t4, *l)
                ^ lookup(t3, *m)
                ^ lookup(t2, *n)
                ^ lookup(t1, *o)
                ^ lookup(t0, *p);
            crc = later
                ^ lookup(tf, a ^ w)
                ^ lookup(te, b ^ x)
                ^ lookup(td, c ^ y)
                ^ lookup(tc, d ^ z);
        }
        rest.iter()
            .fold(crc, |crc, byte| crc >> 8 ^ lookup(t0, crc as u8 ^ byte))
    }

    /// Returns the value that, applied `bytes` before the end, changes the checksum by `crc`.
    pub fn back(&self, crc: u32, bytes: usize) -> u32 {
        let [first, ..] = &*self.tables;
        (0..bytes).fold(crc, |crc, _| {
            let entry = self.entries.get((crc >> 24) as usize);
            let byte = entry.copied().unwrap_or(0);
            (crc ^ lookup(first, byte)) << 8 | u32::from(byte)
        })
    }

    /// Continues over a number in its form on the disk.
    pub fn update_u32(&self, crc: u32, number: u32) -> u32 {
        self.update(crc, &number.to_le_bytes())
    }
}

fn lookup(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or(0)
}

/// crc16 (the ANSI polynomial, reflected), for descriptors with `uninit_bg` alone.
pub fn crc16(crc: u16, data: &[u8]) -> u16 {
    data.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 != 0 { 0xa001 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Check values of CRC-32/ISCSI and CRC-16/MODBUS.
        let crc = Crc32c::new();
        assert_eq!(!crc.update(!0, b"123456789"), 0xe306_9283);
        assert_eq!(!crc.update(crc.update(!0, b"1234"), b"56789"), 0xe306_9283);
        assert_eq!(crc16(!0, b"123456789"), 0x4b37);
        let mut data = *b"some bytes, of which four change";
        let before = crc.update(!0, &data);
        data[3] = b'X';
        data[12..16].fill(0);
        let word = crc.back(crc.update(!0, &data) ^ before, data.len() - 12);
        data[12..16].copy_from_slice(&word.to_le_bytes());
        assert_eq!(crc.update(!0, &data), before);
    }
}
