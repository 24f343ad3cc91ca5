//! The answer to IDENTIFY DEVICE (ATA/ATAPI Command Set 3, 7.12).

use alloc::string::String;
use alloc::vec::Vec;

use crate::disk::{MAX_BLOCK, SECTOR, serial};

/// Bytes of the answer.
pub(super) const BYTES: usize = 512;

/// Maximum blocks: addresses have 48 bits.
const MAX_BLOCKS: u64 = 1 << 48;
/// Sectors of 512 bytes beyond which bytes have no number of 64 bits.
const MAX_SECTORS: u64 = 1 << 54;

/// What a disk says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its serial number, if that is usable as a name.
    pub name: Option<String>,
    /// Size in sectors of 512 bytes.
    pub sectors: u64,
    /// Bytes of a logical sector.
    pub block_size: usize,
    /// Bytes of a physical sector, a multiple of it.
    pub physical_size: usize,
    /// It has a volatile write cache, which FLUSH CACHE EXT writes back.
    pub can_flush: bool,
    /// DATA SET MANAGEMENT with the bit TRIM.
    pub can_trim: bool,
    /// Number of queued commands that it takes; `None` if it takes none.
    pub queue_depth: Option<u8>,
}

/// Reasons why a disk isn't usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The answer isn't that of an ATA disk, or is damaged.
    NotDisk,
    /// No addresses of 48 bits, or no DMA.
    TooOld,
    /// An impossible size of a sector, or of the disk.
    Size,
}

impl Unusable {
    pub fn reason(self) -> &'static str {
        match self {
            Unusable::NotDisk => "its answer to IDENTIFY DEVICE is not that of a disk",
            Unusable::TooOld => "it has no 48-bit addresses or no DMA",
            Unusable::Size => "it reports an impossible size",
        }
    }
}

impl Identity {
    pub fn parse(answer: &[u8]) -> Result<Identity, Unusable> {
        let word = |at: usize| {
            let bytes = answer.get(2 * at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
        };
        let long = |at: usize| u64::from(word(at + 1)) << 16 | u64::from(word(at));
        let has = |at: usize, bit: u16| word(at) & 1 << bit != 0;
        // Words whose bits 15 and 14 are 0 and 1 hold values.
        let is_valid = |at: usize| word(at) >> 14 == 1;
        // The last word's low byte marks a checksum of all bytes.
        let is_marked = word(255) & 0xff == 0xa5;
        let sum = answer.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        if has(0, 15) || !is_valid(83) || is_marked && sum != 0 {
            return Err(Unusable::NotDisk);
        }
        if !has(83, 10) || !has(49, 8) {
            return Err(Unusable::TooOld);
        }
        let has_sizes = is_valid(106);
        let block_size = match has_sizes && has(106, 12) {
            true => usize::try_from(long(117)).map_or(0, |words| words.saturating_mul(2)),
            false => SECTOR,
        };
        let is_block = block_size.is_power_of_two() && (SECTOR..=MAX_BLOCK).contains(&block_size);
        let blocks = long(102) << 32 | long(100);
        let sectors = blocks.saturating_mul((block_size / SECTOR) as u64);
        let is_size = blocks <= MAX_BLOCKS && (1..MAX_SECTORS).contains(&sectors);
        if !is_block || !is_size {
            return Err(Unusable::Size);
        }
        let per_physical = match has_sizes && has(106, 13) {
            true => 1 << (word(106) & 0xf),
            false => 1,
        };
        // Words 85 to 87 say what is enabled.
        let has_cache = !is_valid(87) || has(85, 5);
        let depth = (word(75) & 0x1f) as u8 + 1;
        // Each word has two characters, the first in its upper byte.
        let text: Vec<u8> = (10..20).flat_map(|at| word(at).to_be_bytes()).collect();
        Ok(Identity {
            name: serial(&text),
            sectors,
            block_size,
            physical_size: block_size * per_physical,
            can_flush: has_cache && has(83, 13),
            can_trim: has(169, 0),
            // All ones and zeros mean no Serial ATA capabilities.
            queue_depth: (word(76) != u16::MAX && has(76, 8)).then_some(depth),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn answer(words: &[(usize, u16)]) -> Vec<u8> {
        let usual = [(49, 1 << 8), (83, 1 << 14 | 1 << 10), (100, 64)];
        let mut bytes = vec![0; BYTES];
        for (at, word) in usual.iter().chain(words) {
            bytes[2 * at..2 * at + 2].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn sizes_and_features_are_read() {
        let plain = Identity::parse(&answer(&[])).unwrap();
        let expected = Identity {
            name: None,
            sectors: 64,
            block_size: 512,
            physical_size: 512,
            can_flush: false,
            can_trim: false,
            queue_depth: None,
        };
        assert_eq!(plain, expected);
        let words = [
            (10, u16::from_be_bytes(*b"ab")),
            (11, u16::from_be_bytes(*b"c ")),
            (75, 31),
            (76, 1 << 8),
            (83, 1 << 14 | 1 << 10 | 1 << 13),
            (102, 1),
            (106, 1 << 14 | 1 << 13 | 1 << 12 | 3),
            (117, 2048),
            (169, 1),
        ];
        let expected = Identity {
            name: Some("abc".into()),
            sectors: ((1 << 32) + 64) * 8,
            block_size: 4096,
            physical_size: 32768,
            can_flush: true,
            can_trim: true,
            queue_depth: Some(32),
        };
        assert_eq!(Identity::parse(&answer(&words)), Ok(expected));
    }

    #[test]
    fn a_disabled_cache_needs_no_flush() {
        let flush = (83, 1 << 14 | 1 << 10 | 1 << 13);
        for (enabled, expected) in [(0, false), (1 << 5, true)] {
            let bytes = answer(&[flush, (85, enabled), (87, 1 << 14)]);
            assert_eq!(Identity::parse(&bytes).unwrap().can_flush, expected);
        }
    }

    #[test]
    fn an_unusable_disk_says_why() {
        let cases = [
            ((0, 1 << 15), Unusable::NotDisk),
            ((83, 1 << 10), Unusable::NotDisk),
            ((255, 0x00a5), Unusable::NotDisk),
            ((83, 1 << 14), Unusable::TooOld),
            ((49, 0), Unusable::TooOld),
            ((100, 0), Unusable::Size),
            ((103, 0x4000), Unusable::Size),
        ];
        for (word, expected) in cases {
            assert_eq!(Identity::parse(&answer(&[word])), Err(expected), "{word:?}");
        }
        for words in [0, 255, 300, 1 << 17] {
            let (low, high) = (words as u16, (words >> 16) as u16);
            let bytes = answer(&[(106, 1 << 14 | 1 << 12), (117, low), (118, high)]);
            assert_eq!(
                Identity::parse(&bytes),
                Err(Unusable::Size),
                "{words} words"
            );
        }
        let mut bytes = answer(&[(255, 0xa5)]);
        bytes[511] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        assert!(Identity::parse(&bytes).is_ok(), "the checksum is right");
    }
}
