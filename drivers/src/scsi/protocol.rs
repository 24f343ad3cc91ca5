//! Commands of SCSI disks and what they answer (SPC-4, SBC-3; sections are given as in these).

use crate::disk::{DiskError, MAX_BLOCK, SECTOR, serial};
use alloc::format;
use alloc::string::String;

/// Length of a command descriptor block (virtio 1.2, 5.6.4: `cdb_size` after a reset).
pub const CDB: usize = 32;
/// A command descriptor block.
pub type Cdb = [u8; CDB];

/// Operation codes of [`read`] and [`write`].
const READ: u8 = 0x88;
const WRITE: u8 = 0x8a;

/// Vital product data (SPC-4, 7.8).
pub const PAGE_SERIAL: u8 = 0x80;
pub const PAGE_IDENTIFICATION: u8 = 0x83;
pub const PAGE_LIMITS: u8 = 0xb0;
pub const PAGE_PROVISIONING: u8 = 0xb2;

/// Length of the standard INQUIRY data that is asked for.
pub const INQUIRY: usize = 36;
/// Length of READ CAPACITY (16) data.
pub const CAPACITY: usize = 32;
/// Length of the header of MODE SENSE (6) data.
pub const MODE_HEADER: usize = 4;
/// Length of the parameter list of UNMAP with one descriptor.
pub const UNMAP_LIST: usize = 24;

/// The length that a command has by its operation code (SPC-4, 4.3.4).
pub fn cdb_len(cdb: &Cdb) -> u8 {
    match cdb[0] >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    }
}

/// Whether it is a command of [`read`] or [`write`].
pub fn is_transfer(cdb: &Cdb) -> bool {
    matches!(cdb[0], READ | WRITE)
}

fn cdb(bytes: &[u8]) -> Cdb {
    let mut cdb = [0; CDB];
    for (to, from) in cdb.iter_mut().zip(bytes) {
        *to = *from;
    }
    cdb
}

/// A command of 16 bytes with a block address and a number of blocks.
fn blocks(operation: u8, flags: u8, block: u64, count: u32) -> Cdb {
    let mut cdb = cdb(&[operation, flags]);
    cdb[2..10].copy_from_slice(&block.to_be_bytes());
    cdb[10..14].copy_from_slice(&count.to_be_bytes());
    cdb
}

/// READ (16) (SBC-3, 5.13).
pub fn read(block: u64, count: u32) -> Cdb {
    blocks(READ, 0, block, count)
}

/// WRITE (16) (SBC-3, 5.34).
pub fn write(block: u64, count: u32) -> Cdb {
    blocks(WRITE, 0, block, count)
}

/// SYNCHRONIZE CACHE (10) of all blocks (SBC-3, 5.26). QEMU's disks don't know the command of 16
/// bytes, and Linux uses this one.
pub fn synchronize_cache() -> Cdb {
    cdb(&[0x35])
}

/// WRITE SAME (16) of a block of zeros (SBC-3, 5.43), which may unmap.
pub fn write_same(block: u64, count: u32, unmap: bool) -> Cdb {
    blocks(0x93, if unmap { 0x08 } else { 0 }, block, count)
}

/// UNMAP of one range (SBC-3, 5.28), and its parameter list.
pub fn unmap(block: u64, count: u32) -> (Cdb, [u8; UNMAP_LIST]) {
    let mut list = [0; UNMAP_LIST];
    list[1] = UNMAP_LIST as u8 - 2;
    list[3] = UNMAP_LIST as u8 - 8;
    list[8..16].copy_from_slice(&block.to_be_bytes());
    list[16..20].copy_from_slice(&count.to_be_bytes());
    (cdb(&[0x42, 0, 0, 0, 0, 0, 0, 0, UNMAP_LIST as u8]), list)
}

/// TEST UNIT READY (SPC-4, 6.47).
pub fn test_unit_ready() -> Cdb {
    cdb(&[])
}

/// INQUIRY (SPC-4, 6.6), of a page of vital product data if one is given.
pub fn inquiry(page: Option<u8>, len: u16) -> Cdb {
    let [high, low] = len.to_be_bytes();
    let vital = u8::from(page.is_some());
    cdb(&[0x12, vital, page.unwrap_or(0), high, low])
}

/// REPORT LUNS (SPC-4, 6.33).
pub fn report_luns(len: u32) -> Cdb {
    let [a, b, c, d] = len.to_be_bytes();
    cdb(&[0xa0, 0, 0, 0, 0, 0, a, b, c, d])
}

/// READ CAPACITY (16) (SBC-3, 5.16).
pub fn read_capacity() -> Cdb {
    cdb(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, CAPACITY as u8])
}

/// MODE SENSE (6) of all pages (SPC-4, 6.13), of which only the header fits.
pub fn mode_sense() -> Cdb {
    cdb(&[0x1a, 0, 0x3f, 0, MODE_HEADER as u8])
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// The logical unit numbers below 16384 in REPORT LUNS data, whose addresses are of the peripheral
/// or the flat space (SAM-5, 4.7.7).
pub fn luns(data: &[u8]) -> impl Iterator<Item = u16> {
    let len = u32_at(data, 0).unwrap_or(0) as usize;
    let list = data.get(8..).unwrap_or_default();
    let list = list.get(..len).unwrap_or(list);
    list.chunks_exact(8).filter_map(|entry| {
        let first = u16_at(entry, 0)?;
        let is_first_level = entry.iter().skip(2).all(|byte| *byte == 0);
        match first >> 14 {
            // Peripheral device addressing, of bus 0.
            0 if first >> 8 == 0 => Some(first),
            1 => Some(first & 0x3fff),
            _ => None,
        }
        .filter(|_| is_first_level)
    })
}

/// Kinds of logical units that are disks (SPC-4, table 138).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A direct access block device.
    Disk,
    /// A CD-ROM or DVD-ROM drive.
    Optical,
}

/// The kind of a connected logical unit, from its standard INQUIRY data.
pub fn kind(data: &[u8]) -> Option<Kind> {
    match data.first()? {
        0x00 => Some(Kind::Disk),
        0x05 => Some(Kind::Optical),
        _ => None,
    }
}

/// The contents of a page of vital product data, as far as they are there.
fn page(data: &[u8], code: u8) -> Option<&[u8]> {
    let len = usize::from(u16_at(data, 2)?);
    let contents = data.get(4..)?;
    (data.get(1) == Some(&code)).then(|| contents.get(..len).unwrap_or(contents))
}

/// The unit serial number (SPC-4, 7.8.15).
pub fn unit_serial(data: &[u8]) -> Option<String> {
    serial(page(data, PAGE_SERIAL)?)
}

/// A name for the logical unit from its designators (SPC-4, 7.8.6): text that the vendor gave it,
/// else a world-wide name in hexadecimal digits.
pub fn identification(data: &[u8]) -> Option<String> {
    let mut rest = page(data, PAGE_IDENTIFICATION)?;
    let mut name = None;
    while let [code, kind, _, len, after @ ..] = rest {
        let (designator, next) = after.split_at_checked(usize::from(*len))?;
        rest = next;
        // Those of ports and targets aren't the unit's.
        if kind & 0x30 != 0 {
            continue;
        }
        match (kind & 0xf, code & 0xf) {
            // Vendor specific, in ASCII or UTF-8.
            (0, 2 | 3) => {
                if let Some(text) = serial(designator) {
                    return Some(text);
                }
            }
            // T10 vendor identification of 8 bytes, then the vendor's: mostly the product in 16
            // bytes, and a serial number.
            (1, 2 | 3) => {
                let text = serial(designator.get(8..).unwrap_or_default());
                let last = text.as_deref().and_then(|text| text.split(' ').next_back());
                if let Some(last) = last {
                    return Some(String::from(last));
                }
            }
            // EUI-64 or NAA, in binary.
            (2 | 3, 1) if name.is_none() && !designator.is_empty() => {
                let digits = designator.iter().map(|byte| format!("{byte:02x}"));
                name = Some(digits.collect());
            }
            _ => {}
        }
    }
    name
}

/// Limits of a logical unit (block limits page, SBC-3, 6.6.3), in blocks; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockLimits {
    /// Maximum length of a transfer.
    pub transfer: u32,
    /// Maximum length of an UNMAP.
    pub unmap: u32,
    /// Granularity of UNMAP.
    pub granularity: u32,
    /// Maximum length of a WRITE SAME.
    pub write_same: u64,
}

/// The limits in the block limits page.
pub fn block_limits(data: &[u8]) -> Option<BlockLimits> {
    let contents = page(data, PAGE_LIMITS)?;
    let field = |at: usize| u32_at(contents, at - 4).unwrap_or(0);
    let descriptors = field(24);
    Some(BlockLimits {
        transfer: field(8),
        unmap: if descriptors == 0 { 0 } else { field(20) },
        granularity: field(28),
        write_same: u64::from(field(36)) << 32 | u64::from(field(40)),
    })
}

/// Supported ways to deallocate blocks (logical block provisioning page, SBC-3, 6.6.4): UNMAP, and
/// WRITE SAME (16) with the unmap bit.
pub fn provisioning(data: &[u8]) -> Option<(bool, bool)> {
    let flags = *page(data, PAGE_PROVISIONING)?.get(1)?;
    Some((flags & 0x80 != 0, flags & 0x40 != 0))
}

/// Block size in bytes and number of sectors of 512 bytes.
pub fn capacity(data: &[u8]) -> Option<(usize, u64)> {
    let high = u64::from(u32_at(data, 0)?);
    let last = high << 32 | u64::from(u32_at(data, 4)?);
    let block = u32_at(data, 8)? as usize;
    let is_block = block.is_power_of_two() && (SECTOR..=MAX_BLOCK).contains(&block);
    let sectors = last
        .checked_add(1)?
        .checked_mul((block / SECTOR) as u64)
        // In bytes, too.
        .filter(|sectors| *sectors < 1 << 54)?;
    is_block.then_some((block, sectors))
}

/// Whether MODE SENSE (6) data says that the medium is write-protected (SBC-3, 6.4.1).
pub fn is_write_protected(data: &[u8]) -> bool {
    data.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

/// How a command ended, by its status and sense data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The result, unless it is repeated.
    pub result: Result<(), DiskError>,
    /// The command wasn't executed for a reason that may be gone now.
    pub repeat: bool,
    /// The unit's capacity has changed.
    pub resized: bool,
}

impl Outcome {
    /// An outcome that no repetition changes.
    pub const fn end(result: Result<(), DiskError>) -> Outcome {
        Outcome {
            result,
            repeat: false,
            resized: false,
        }
    }

    /// An outcome that may be another next time.
    pub const fn temporary(error: DiskError) -> Outcome {
        Outcome {
            result: Err(error),
            repeat: true,
            resized: false,
        }
    }
}

/// The outcome of a command that the logical unit ended with `status` (SAM-5, 5.3.1).
pub fn outcome(status: u8, sense: &[u8]) -> Outcome {
    match status {
        // GOOD, CONDITION MET.
        0x00 | 0x04 => Outcome::end(Ok(())),
        // CHECK CONDITION.
        0x02 => checked(sense),
        // BUSY, TASK SET FULL.
        0x08 | 0x28 => Outcome::temporary(DiskError::NotReady),
        _ => Outcome::end(Err(DiskError::Io)),
    }
}

/// The outcome that sense data describes (SPC-4, 4.5).
fn checked(sense: &[u8]) -> Outcome {
    let at = |at: usize| sense.get(at).copied().unwrap_or(0);
    // Of an earlier command: this one wasn't executed.
    let is_deferred = matches!(at(0) & 0x7f, 0x71 | 0x73);
    let (key, code) = match at(0) & 0x7f {
        // Fixed format.
        0x70 | 0x71 => (at(2), [at(12), at(13)]),
        // Descriptor format.
        0x72 | 0x73 => (at(1), [at(2), at(3)]),
        _ => return Outcome::end(Err(DiskError::Io)),
    };
    let error = match (key & 0xf, code) {
        // No sense, recovered error.
        (0 | 1, _) if is_deferred => return Outcome::temporary(DiskError::Io),
        (0 | 1, _) => return Outcome::end(Ok(())),
        (2, _) => DiskError::NotReady,
        (3, _) => DiskError::Medium,
        // Illegal request: invalid operation or field, address, unit.
        (5, [0x20 | 0x24 | 0x26, _]) => DiskError::Unsupported,
        (5, [0x21, _]) => DiskError::OutOfRange,
        (5, [0x25, _]) => DiskError::Removed,
        // Unit attention: repeated, like an aborted command.
        (6, code) => {
            let resized = code == [0x2a, 0x09];
            return Outcome {
                resized,
                ..Outcome::temporary(DiskError::NotReady)
            };
        }
        // Data protect: space allocation failed, of a thin disk (SBC-3, 4.7.3.6), as in Linux's sd.
        (7, [0x27, 0x07]) => DiskError::NoSpace,
        (7, _) => DiskError::ReadOnly,
        (0xb, _) => return Outcome::temporary(DiskError::Io),
        _ => DiskError::Io,
    };
    Outcome::end(Err(error))
}
