//! Inodes (kernel documentation, "Index Nodes"): the decoded form and the record on the disk.

use super::checksum::Crc32c;
use super::fields::inode as field;
use crate::bytes::{clear, put_u16, put_u32, u16_at, u32_at, u48_at};
use crate::{Kind as FileKind, Stat, Time};

/// File types of `i_mode`.
const FORMAT: u16 = 0xf000;
pub const DIRECTORY: u16 = 0x4000;
pub const REGULAR: u16 = 0x8000;
pub const LINK: u16 = 0xa000;

/// Flags.
pub const IMMUTABLE: u32 = 0x10;
pub const APPEND_ONLY: u32 = 0x20;
pub const INDEXED: u32 = 0x1000;
const HUGE: u32 = 0x4_0000;
pub const EXTENTS: u32 = 0x8_0000;
/// Flags of inodes whose contents this driver can't read or write.
pub const UNSUPPORTED: u32 = 0x800 | 0x10_0000 | 0x20_0000 | 0x1000_0000 | 0x4000_0000;

/// Offset and length of the block map.
pub const MAP_LENGTH: usize = 60;

/// Decoded inode. Fields that aren't here keep their values on the disk.
#[derive(Debug, Clone, Copy)]
pub struct Inode {
    pub number: u32,
    pub generation: u32,
    pub mode: u16,
    pub links: u16,
    pub flags: u32,
    pub size: u64,
    /// Units of 512 bytes in use, metadata included.
    pub blocks: u64,
    pub accessed: Time,
    pub changed: Time,
    pub modified: Time,
    /// Time of deletion, or the preceding inode in the list of orphans.
    pub deleted: u32,
    /// Block of the extended attributes.
    pub attributes: u64,
    pub map: [u8; MAP_LENGTH],
}

/// Bytes of an inode of the first version (`EXT4_GOOD_OLD_INODE_SIZE`).
pub const SHORT: usize = 128;

/// Whether the extra time fields lie within the part of an inode beyond [`SHORT`].
fn has_extra(record: &[u8], end: usize) -> bool {
    record.len() > SHORT && SHORT + usize::from(u16_at(record, field::EXTRA_ISIZE)) >= end
}

fn time(record: &[u8], at: usize, extra_at: usize) -> Time {
    let seconds = i64::from(u32_at(record, at) as i32);
    if !has_extra(record, extra_at + 4) {
        return Time::from_seconds(seconds);
    }
    let extra = u32_at(record, extra_at);
    Time {
        seconds: seconds + (i64::from(extra & 3) << 32),
        nanoseconds: (extra >> 2).min(999_999_999),
    }
}

fn put_time(record: &mut [u8], at: usize, extra_at: usize, time: Time) {
    // From 1901 to 2446; in short inodes to 2038, with whole seconds.
    let wide = has_extra(record, extra_at + 4);
    let end = if wide { (4 << 32) - (1 << 31) } else { 1 << 31 };
    let seconds = time.seconds.clamp(-(1 << 31), end - 1);
    put_u32(record, at, seconds as u32);
    if wide {
        let epoch = (seconds - i64::from(seconds as i32)) >> 32;
        // As Linux does, clamp a time out of range to the last or first second.
        let nanoseconds = if seconds == time.seconds {
            time.nanoseconds.min(999_999_999)
        } else {
            0
        };
        put_u32(record, extra_at, epoch as u32 & 3 | nanoseconds << 2);
    }
}

impl Inode {
    pub fn parse(number: u32, block: u64, record: &[u8]) -> Self {
        let flags = u32_at(record, field::FLAGS);
        let units = u48_at(record, field::BLOCKS_LO, field::BLOCKS_HIGH);
        let mut map = [0; MAP_LENGTH];
        if let Some(found) = record.get(field::BLOCK..field::BLOCK + MAP_LENGTH) {
            map.copy_from_slice(found);
        }
        let mode = u16_at(record, field::MODE);
        // Without `large_dir` only regular files use the upper half.
        let high = if mode & FORMAT == REGULAR {
            u64::from(u32_at(record, field::SIZE_HIGH))
        } else {
            0
        };
        Self {
            number,
            generation: u32_at(record, field::GENERATION),
            mode,
            links: u16_at(record, field::LINKS_COUNT),
            flags,
            size: u64::from(u32_at(record, field::SIZE_LO)) | high << 32,
            blocks: if flags & HUGE != 0 {
                units.saturating_mul(block / 512)
            } else {
                units
            },
            accessed: time(record, field::ATIME, field::ATIME_EXTRA),
            changed: time(record, field::CTIME, field::CTIME_EXTRA),
            modified: time(record, field::MTIME, field::MTIME_EXTRA),
            deleted: u32_at(record, field::DTIME),
            attributes: u48_at(record, field::FILE_ACL_LO, field::FILE_ACL_HIGH),
            map,
        }
    }

    /// Writes the inode into its record. The checksum comes later.
    pub fn write(&self, block: u64, record: &mut [u8]) {
        put_u16(record, field::MODE, self.mode);
        put_u16(record, field::LINKS_COUNT, self.links);
        put_u32(record, field::SIZE_LO, self.size as u32);
        put_u32(record, field::SIZE_HIGH, (self.size >> 32) as u32);
        put_u32(record, field::GENERATION, self.generation);
        let mut flags = self.flags & !HUGE;
        let mut units = self.blocks;
        if units >= 1 << 48 {
            flags |= HUGE;
            units /= block / 512;
        }
        put_u32(record, field::FLAGS, flags);
        put_u32(record, field::BLOCKS_LO, units as u32);
        put_u16(record, field::BLOCKS_HIGH, (units >> 32) as u16);
        put_time(record, field::ATIME, field::ATIME_EXTRA, self.accessed);
        put_time(record, field::CTIME, field::CTIME_EXTRA, self.changed);
        put_time(record, field::MTIME, field::MTIME_EXTRA, self.modified);
        put_u32(record, field::DTIME, self.deleted);
        put_u32(record, field::FILE_ACL_LO, self.attributes as u32);
        put_u16(record, field::FILE_ACL_HIGH, (self.attributes >> 32) as u16);
        if let Some(map) = record.get_mut(field::BLOCK..field::BLOCK + MAP_LENGTH) {
            map.copy_from_slice(&self.map);
        }
    }

    pub fn is_directory(&self) -> bool {
        self.mode & FORMAT == DIRECTORY
    }

    pub fn is_regular(&self) -> bool {
        self.mode & FORMAT == REGULAR
    }

    pub fn is_link(&self) -> bool {
        self.mode & FORMAT == LINK
    }

    /// Whether the target of a symbolic link is in the map itself.
    pub fn is_fast_link(&self, block: u64) -> bool {
        let attributes = if self.attributes == 0 { 0 } else { block / 512 };
        self.is_link() && self.blocks <= attributes && self.size < MAP_LENGTH as u64
    }

    /// Whether the inode has a block map: devices, pipes and fast links use the field otherwise.
    pub fn has_map(&self, block: u64) -> bool {
        self.is_regular() || self.is_directory() || self.is_link() && !self.is_fast_link(block)
    }

    /// Returns the file type for a directory entry.
    pub fn entry_type(&self) -> u8 {
        match self.mode & FORMAT {
            REGULAR => 1,
            DIRECTORY => 2,
            0x2000 => 3,
            0x6000 => 4,
            0x1000 => 5,
            0xc000 => 6,
            LINK => 7,
            _ => 0,
        }
    }

    /// Lists everything other than a file, directory or link as a file.
    pub fn kind(&self) -> FileKind {
        match self.mode & FORMAT {
            DIRECTORY => FileKind::Directory,
            LINK => FileKind::Symlink,
            _ => FileKind::File,
        }
    }

    pub fn is_read_only(&self) -> bool {
        !self.is_link() && (self.mode & 0o222 == 0 || self.flags & IMMUTABLE != 0)
    }

    pub fn stat(&self) -> Stat {
        let kind = self.kind();
        Stat {
            kind,
            size: if kind == FileKind::Directory {
                0
            } else {
                self.size
            },
            modified: self.modified,
            accessed: self.accessed,
            changed: self.changed,
            links: self.links.into(),
            inode: self.number.into(),
            read_only: self.is_read_only(),
        }
    }
}

/// Returns the checksum of a record, and whether the record has room for the upper half.
fn checksum(crc: &Crc32c, seed: u32, number: u32, record: &[u8]) -> (u32, bool) {
    let part = |from: usize, to: usize| record.get(from..to.min(record.len())).unwrap_or_default();
    let sum = crc.update_u32(seed, number);
    let sum = crc.update_u32(sum, u32_at(record, field::GENERATION));
    let sum = crc.update(sum, part(0, field::CHECKSUM_LO));
    let sum = crc.update(sum, &[0; 2]);
    let sum = crc.update(sum, part(field::CHECKSUM_LO + 2, SHORT));
    let high = has_extra(record, field::CHECKSUM_HI + 2);
    if record.len() <= SHORT {
        return (sum, false);
    }
    let sum = crc.update(sum, part(SHORT, field::CHECKSUM_HI));
    let sum = if high {
        crc.update(sum, &[0; 2])
    } else {
        crc.update(sum, part(field::CHECKSUM_HI, field::CHECKSUM_HI + 2))
    };
    (
        crc.update(sum, part(field::CHECKSUM_HI + 2, record.len())),
        high,
    )
}

/// Stores the checksum in a record; an all-zero record has none.
pub fn seal(crc: &Crc32c, seed: u32, number: u32, record: &mut [u8]) {
    if record.iter().all(|byte| *byte == 0) {
        return;
    }
    let (sum, high) = checksum(crc, seed, number, record);
    put_u16(record, field::CHECKSUM_LO, sum as u16);
    if high {
        put_u16(record, field::CHECKSUM_HI, (sum >> 16) as u16);
    }
}

/// Whether the checksum of a record is correct.
pub fn is_sealed(crc: &Crc32c, seed: u32, number: u32, record: &[u8]) -> bool {
    let (sum, high) = checksum(crc, seed, number, record);
    u16_at(record, field::CHECKSUM_LO) == sum as u16
        && (!high || u16_at(record, field::CHECKSUM_HI) == (sum >> 16) as u16)
}

/// Initialises an all-zero record for a new inode.
pub fn initialise(record: &mut [u8], extra: u16, now: Time) {
    let len = record.len();
    clear(record, 0..len);
    if len > SHORT {
        put_u16(record, field::EXTRA_ISIZE, extra);
        if has_extra(record, field::CRTIME_EXTRA + 4) {
            put_time(record, field::CRTIME, field::CRTIME_EXTRA, now);
        }
    }
}
