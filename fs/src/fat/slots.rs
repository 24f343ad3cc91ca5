//! Slots of a directory: short entries and parts of long names ("FAT Directory Structure" and "FAT
//! Long Directory Entries").

use alloc::vec::Vec;

use super::geometry::{ENTRY_SIZE, FatKind};
use crate::bytes::{put, put_u16, put_u32, u16_at, u32_at};

/// First byte of a freed slot.
pub(super) const ENTRY_FREE: u8 = 0xe5;

pub(super) const ATTR_READ_ONLY: u8 = 0x01;
pub(super) const ATTR_VOLUME_ID: u8 = 0x08;
pub(super) const ATTR_DIRECTORY: u8 = 0x10;
pub(super) const ATTR_ARCHIVE: u8 = 0x20;
const ATTR_LONG_NAME: u8 = 0x0f;
const ATTR_LONG_NAME_MASK: u8 = 0x3f;

/// Mark and sequence number in the first byte of a part of a long name. The last part comes first.
pub(super) const LFN_LAST_ENTRY: u8 = 0x40;
pub(super) const LFN_SEQUENCE_MASK: u8 = 0x3f;

/// UTF-16 units in a part of a long name, and parts of the longest name.
const UNITS: usize = 13;
const MAX_PARTS: usize = 20;

/// Maximum number of UTF-16 units of a long name.
pub(super) const MAX_UNITS: usize = 255;

/// Slot in its on-disk form.
pub(super) type Bytes = [u8; ENTRY_SIZE];

/// Contents of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Free, like all slots after it.
    End,
    Free,
    Long(Bytes),
    Short(ShortEntry),
}

impl Slot {
    pub fn parse(bytes: &Bytes) -> Self {
        match (bytes[0], bytes[11] & ATTR_LONG_NAME_MASK) {
            (0, _) => Self::End,
            (ENTRY_FREE, _) => Self::Free,
            (_, ATTR_LONG_NAME) => Self::Long(*bytes),
            _ => Self::Short(ShortEntry(*bytes)),
        }
    }
}

/// Entry of a file, a directory or a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShortEntry(pub Bytes);

impl ShortEntry {
    pub fn new(name: [u8; 11], attributes: u8) -> Self {
        let mut entry = Self([0; ENTRY_SIZE]);
        entry.set_name(name);
        entry.set_attributes(attributes);
        entry
    }

    /// `DIR_Name`.
    pub fn name(&self) -> [u8; 11] {
        *self.0.first_chunk().unwrap_or(&[0; 11])
    }

    pub fn set_name(&mut self, name: [u8; 11]) {
        put(&mut self.0, 0, &name);
    }

    /// Checksum of the short name, which each part of the long name repeats ("ChkSum()").
    pub fn lfn_checksum(&self) -> u8 {
        let sum = |sum: u8, byte: &u8| sum.rotate_right(1).wrapping_add(*byte);
        self.name().iter().fold(0, sum)
    }

    /// `DIR_Attr`.
    pub fn attributes(&self) -> u8 {
        self.0[11]
    }

    pub fn set_attributes(&mut self, attributes: u8) {
        self.0[11] = attributes;
    }

    pub fn is_dir(&self) -> bool {
        self.attributes() & ATTR_DIRECTORY != 0
    }

    /// `DIR_NTRes`: the parts of the name in lower case.
    pub fn nt_case(&self) -> u8 {
        self.0[12]
    }

    pub fn set_nt_case(&mut self, case: u8) {
        self.0[12] = case;
    }

    /// Sets the time of creation: hundredths of a second, time, date.
    pub fn set_created(&mut self, (date, time, hundredths): (u16, u16, u8)) {
        self.0[13] = hundredths;
        put_u16(&mut self.0, 14, time);
        put_u16(&mut self.0, 16, date);
    }

    pub fn set_accessed(&mut self, date: u16) {
        put_u16(&mut self.0, 18, date);
    }

    /// Date and time of the last write.
    pub fn modified(&self) -> (u16, u16) {
        (u16_at(&self.0, 24), u16_at(&self.0, 22))
    }

    pub fn set_modified(&mut self, date: u16, time: u16) {
        put_u16(&mut self.0, 22, time);
        put_u16(&mut self.0, 24, date);
    }

    /// Returns the first cluster, 0 if there is none. Only FAT32 uses the upper half.
    pub fn first_cluster(&self, kind: FatKind) -> u32 {
        let high = match kind {
            FatKind::Fat32 => u32::from(u16_at(&self.0, 20)) << 16 & kind.mask(),
            _ => 0,
        };
        high | u32::from(u16_at(&self.0, 26))
    }

    pub fn set_first_cluster(&mut self, kind: FatKind, cluster: u32) {
        if kind == FatKind::Fat32 {
            put_u16(&mut self.0, 20, (cluster >> 16) as u16);
        }
        put_u16(&mut self.0, 26, cluster as u16);
    }

    /// `DIR_FileSize`.
    pub fn size(&self) -> u32 {
        u32_at(&self.0, 28)
    }

    pub fn set_size(&mut self, size: u32) {
        put_u32(&mut self.0, 28, size);
    }

    /// Whether this is the entry `..` of a directory.
    pub fn is_dot_dot(&self) -> bool {
        self.name() == *b"..         "
    }

    /// Whether a listing shows the entry: not a label, `.` or `..`, which alone begin with a dot.
    pub fn is_visible(&self) -> bool {
        self.attributes() & ATTR_VOLUME_ID == 0 && self.0[0] != b'.'
    }
}

/// Offsets of the units in a part of a long name.
fn places() -> impl Iterator<Item = usize> {
    (1..11).chain(14..26).chain(28..32).step_by(2)
}

/// Returns the parts of a long name in the order of their slots, for a short name with this
/// checksum.
pub(super) fn long_name(name: &str, checksum: u8) -> Vec<Bytes> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(UNITS);
    let part = |number: usize| {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[0] = number as u8 | if number == parts { LFN_LAST_ENTRY } else { 0 };
        bytes[11] = ATTR_LONG_NAME;
        bytes[13] = checksum;
        for (at, place) in ((number - 1) * UNITS..).zip(places()) {
            // A zero ends the name, followed by padding.
            let filler = if at == units.len() { 0 } else { 0xffff };
            put_u16(&mut bytes, place, units.get(at).copied().unwrap_or(filler));
        }
        bytes
    };
    (1..=parts).rev().map(part).collect()
}

/// Long name, collected from its parts in the order of their slots.
pub(super) struct LongName {
    units: [u16; MAX_PARTS * UNITS],
    len: usize,
    checksum: u8,
    /// Number of the next part; `None` without a name.
    next: Option<u8>,
}

impl LongName {
    pub fn new() -> Self {
        Self {
            units: [0; MAX_PARTS * UNITS],
            len: 0,
            checksum: 0,
            next: None,
        }
    }

    pub fn reset(&mut self) {
        self.next = None;
    }

    /// Adds a part. If it is out of sequence, it starts another name, or discards the name.
    pub fn push(&mut self, part: &Bytes) {
        let (number, checksum) = (part[0] & LFN_SEQUENCE_MASK, part[13]);
        if part[0] & LFN_LAST_ENTRY != 0 {
            self.next = Some(number).filter(|number| usize::from(*number) <= MAX_PARTS);
            self.checksum = checksum;
            self.len = usize::from(number) * UNITS;
        }
        if number == 0 || self.next != Some(number) || checksum != self.checksum {
            self.reset();
            return;
        }
        self.next = Some(number - 1);
        let units = self.units.get_mut((usize::from(number) - 1) * UNITS..);
        for (unit, place) in units.unwrap_or_default().iter_mut().zip(places()) {
            *unit = u16_at(part, place);
        }
    }

    /// Ends the name at a short entry with this checksum. Returns it if it is complete.
    pub fn finish(&mut self, checksum: u8) -> Option<&[u16]> {
        let is_whole = self.next.take() == Some(0) && self.checksum == checksum;
        let units = self.units.get(..self.len).filter(|_| is_whole)?;
        let ends = |unit: &u16| matches!(unit, 0 | 0xffff);
        let len = units.iter().position(ends).unwrap_or(units.len());
        units.get(..len).filter(|units| units.len() <= MAX_UNITS)
    }
}
