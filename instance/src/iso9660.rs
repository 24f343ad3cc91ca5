//! ISO 9660 file systems, read-only: a file by its path.
//!
//! Names are those of Joliet if the disk has it, otherwise those of Rock Ridge, otherwise the short
//! ones. `genisoimage` and `xorriso`, by which `cloud-localds` and nova make their disks, write all
//! three.
//!
//! Sources: ECMA-119 (4th edition), sections 8.4, 9.1 and 9.3; Joliet Specification 1.0; IEEE P1282
//! (Rock Ridge), section 4.1.4.

use crate::Error;
use crate::folder::too_large;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use fs::Block;

/// Bytes of a sector of the format, whatever the disk's sectors are (6.1.2).
const SECTOR: usize = 2048;
/// The first descriptor's sector (6.2.1).
const FIRST_DESCRIPTOR: u64 = 16;
/// Maximum number of descriptors that are read.
const MAX_DESCRIPTORS: u64 = 16;
/// Maximum number of bytes of a directory: some 400 entries.
const MAX_DIRECTORY: usize = 64 << 10;

/// Flags of a directory record (9.1.6).
const DIRECTORY: u8 = 2;
const MULTI_EXTENT: u8 = 0x80;

/// How names are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Big-endian UCS-2.
    Joliet,
    /// Rock Ridge's alternate names where an entry has one, otherwise ECMA-119's.
    Short,
}

/// The location of a file or directory.
#[derive(Clone, Copy)]
struct Extent {
    sector: u32,
    len: u32,
    flags: u8,
}

/// A file system of this format.
pub struct Iso {
    device: Box<dyn Block + Send>,
    names: Names,
    root: Extent,
}

/// The label of the file system on `device` (8.4.7), without blanks at its end; `None` if there is
/// no such file system.
///
/// # Errors
/// The device can't be read.
pub fn label(device: &mut dyn Block) -> Result<Option<String>, Error> {
    let descriptor = read(device, FIRST_DESCRIPTOR, SECTOR)?;
    let label = descriptor
        .as_deref()
        .filter(|bytes| is_descriptor(bytes, 1));
    let label = label.and_then(|bytes| bytes.get(40..72));
    Ok(label.map(|label| String::from(String::from_utf8_lossy(label).trim_end())))
}

impl Iso {
    /// Opens the file system on `device`.
    ///
    /// # Errors
    /// There is none, or the device can't be read.
    pub fn open(mut device: Box<dyn Block + Send>) -> Result<Self, Error> {
        let (mut primary, mut joliet) = (None, None);
        for number in 0..MAX_DESCRIPTORS {
            let Some(bytes) = read(&mut *device, FIRST_DESCRIPTOR + number, SECTOR)? else {
                break;
            };
            let root = bytes
                .get(156..190)
                .and_then(Record::new)
                .map(|record| record.extent);
            if is_descriptor(&bytes, 1) {
                primary = primary.or(root);
            } else if is_descriptor(&bytes, 2)
                // The escape sequences of UCS-2, levels 1 to 3.
                && matches!(bytes.get(88..91), Some([b'%', b'/', b'@' | b'C' | b'E']))
            {
                joliet = joliet.or(root);
            } else if is_descriptor(&bytes, 255) || bytes.get(1..6) != Some(b"CD001") {
                break;
            }
        }
        let (names, root) = match (joliet, primary) {
            (Some(root), _) => (Names::Joliet, root),
            (None, Some(root)) => (Names::Short, root),
            (None, None) => return Err(Error::new("no ISO 9660 file system")),
        };
        Ok(Self {
            device,
            names,
            root,
        })
    }

    /// Reads the file at `path`, of at most `most` bytes; `None` if there is none. The case of
    /// names doesn't matter.
    ///
    /// # Errors
    /// The file is longer, the device can't be read, or the file system is damaged.
    pub fn read(&mut self, path: &str, most: usize) -> Result<Option<Vec<u8>>, Error> {
        let mut found = self.root;
        for name in path.split('/') {
            if found.flags & DIRECTORY == 0 {
                return Ok(None);
            }
            match self.find(found, name)? {
                Some(next) => found = next,
                None => return Ok(None),
            }
        }
        if found.flags & DIRECTORY != 0 {
            return Ok(None);
        }
        if found.len as usize > most || found.flags & MULTI_EXTENT != 0 {
            return Err(too_large(found.len.into()));
        }
        self.contents(found).map(Some)
    }

    fn contents(&mut self, extent: Extent) -> Result<Vec<u8>, Error> {
        let len = extent.len as usize;
        let mut bytes = read(
            &mut *self.device,
            extent.sector.into(),
            len.next_multiple_of(SECTOR),
        )?
        .ok_or_else(|| Error::new("the file system is damaged: a file past its end"))?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// The entry `name` of a directory.
    fn find(&mut self, directory: Extent, name: &str) -> Result<Option<Extent>, Error> {
        if directory.len as usize > MAX_DIRECTORY {
            let detail = format!("a directory of {} bytes; at most 64 KiB", directory.len);
            return Err(Error::new(detail));
        }
        let bytes = self.contents(directory)?;
        // A record never crosses a sector (6.8.1.1); the rest of one is zero.
        for sector in bytes.chunks(SECTOR) {
            let mut rest = sector;
            while let Some(record) = Record::new(rest) {
                if record.has_name(name, self.names) {
                    return Ok(Some(record.extent));
                }
                rest = rest.get(record.len..).unwrap_or_default();
            }
        }
        Ok(None)
    }
}

/// Whether `bytes` is a descriptor of this type (8.1).
fn is_descriptor(bytes: &[u8], kind: u8) -> bool {
    bytes.first() == Some(&kind) && bytes.get(1..6) == Some(b"CD001")
}

/// Reads `len` bytes, a multiple of [`SECTOR`], from sector `sector` of the format on; `None` past
/// the end of the device.
fn read(device: &mut dyn Block, sector: u64, len: usize) -> Result<Option<Vec<u8>>, Error> {
    // A device of larger sectors is read at whole ones; all sizes are powers of two.
    let size = device.sector_size() as u64;
    if !(512..=4096).contains(&size) || !size.is_power_of_two() {
        return Ok(None);
    }
    let start = sector * SECTOR as u64;
    let end = start + len as u64;
    let (first, last) = (start / size, end.div_ceil(size));
    if last > device.sectors() {
        return Ok(None);
    }
    let mut bytes = vec![0; ((last - first) * size) as usize];
    device
        .read(first, &mut bytes)
        .map_err(|error| Error::new(format!("the disk can't be read: {error}")))?;
    bytes.drain(..(start - first * size) as usize);
    bytes.truncate(len);
    Ok(Some(bytes))
}

/// A directory record (9.1).
struct Record<'a> {
    /// Bytes of the record.
    len: usize,
    extent: Extent,
    name: &'a [u8],
    /// What follows the name: Rock Ridge's entries.
    system_use: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes`; `None` at the end of a sector's records.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let len = usize::from(*bytes.first()?);
        let record = bytes.get(..len)?;
        let number = |at: usize| {
            let bytes = record.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let name_len = usize::from(*record.get(32)?);
        let name = record.get(33..33 + name_len)?;
        // A pad byte makes the length of a name of even length odd.
        let system_use = record.get(33 + (name_len | 1)..).unwrap_or_default();
        Some(Self {
            len,
            extent: Extent {
                sector: number(2)?,
                len: number(10)?,
                flags: *record.get(25)?,
            },
            name,
            system_use,
        })
    }

    fn has_name(&self, name: &str, names: Names) -> bool {
        if names == Names::Joliet {
            // Windows writes the version of a file, as ECMA-119 has it.
            let stored = self.name.strip_suffix(b"\0;\x001").unwrap_or(self.name);
            let stored = stored.chunks_exact(2).map(|unit| {
                let unit = [unit.first().copied(), unit.get(1).copied()];
                u16::from_be_bytes(unit.map(Option::unwrap_or_default))
            });
            let stored = char::decode_utf16(stored).map(|c| c.unwrap_or('\u{fffd}'));
            return equal(stored, name);
        }
        let alternate = self.rock_ridge_name();
        if !alternate.is_empty() {
            let stored = alternate.iter().map(|byte| char::from(*byte));
            return equal(stored, name);
        }
        // NAME.EXTENSION;VERSION in capitals, with `_` for what the format doesn't allow (7.5).
        let stored = self
            .name
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        let stored = stored.strip_suffix(b".").unwrap_or(stored);
        let wanted = name.replace('-', "_");
        equal(stored.iter().map(|byte| char::from(*byte)), &wanted)
    }

    /// The name of the NM entries; empty if there is none.
    fn rock_ridge_name(&self) -> Vec<u8> {
        let mut name = Vec::new();
        let mut rest = self.system_use;
        // An entry: signature, length, version, data.
        while let Some(&[first, second, len, _]) = rest.get(..4) {
            let Some(data) = rest.get(4..usize::from(len)) else {
                break;
            };
            if [first, second] == *b"NM" {
                name.extend_from_slice(data.get(1..).unwrap_or_default());
            }
            rest = rest.get(usize::from(len)..).unwrap_or_default();
        }
        name
    }
}

/// Whether the names are equal, ignoring the case of ASCII.
fn equal(stored: impl Iterator<Item = char>, name: &str) -> bool {
    stored
        .map(|c| c.to_ascii_lowercase())
        .eq(name.chars().map(|c| c.to_ascii_lowercase()))
}

#[cfg(test)]
pub(crate) mod tests;
