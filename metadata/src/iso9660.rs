//! ISO 9660 file systems, read-only: a file by its path.
//!
//! Names are those of Joliet if the disk has it, otherwise those of ISO 9660:1999's descriptor,
//! otherwise those of Rock Ridge, otherwise the short ones. `genisoimage` and `xorriso`, by which
//! `cloud-localds` and nova make their disks, write Joliet's, Rock Ridge's and the short ones.
//!
//! Sources: ECMA-119 (4th edition), sections 8.4, 8.5, 9.1 and 9.3; Joliet Specification 1.0; IEEE
//! P1282 (Rock Ridge), section 4.1.4.

use crate::{Error, too_large};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use fs::{Block, BlockError};

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
    /// `None`: the descriptor has none.
    root: Option<Extent>,
    label: String,
}

impl Iso {
    /// Opens the file system on `device`; `None` if there is none.
    ///
    /// # Errors
    /// The device can't be read.
    pub fn open(mut device: Box<dyn Block + Send>) -> Result<Option<Self>, Error> {
        let (mut primary, mut enhanced, mut joliet) = (None, None, None);
        for number in 0..MAX_DESCRIPTORS {
            let Some(bytes) = read(&mut *device, FIRST_DESCRIPTOR + number, SECTOR)? else {
                break;
            };
            if bytes.get(1..6) != Some(b"CD001") {
                break;
            }
            let label = bytes.get(40..72).unwrap_or_default().to_vec();
            let record = bytes.get(156..190).and_then(Record::new);
            let found = Some((record.map(|record| record.extent), label));
            match (bytes.first(), bytes.get(6), bytes.get(88..91)) {
                (Some(1), ..) => primary = primary.or(found),
                // The escape sequences of UCS-2, levels 1 to 3.
                (Some(2), _, Some([b'%', b'/', b'@' | b'C' | b'E'])) => joliet = joliet.or(found),
                // An enhanced descriptor (8.5): its names have no form of their own.
                (Some(2), Some(2), _) => enhanced = enhanced.or(found),
                (Some(255), ..) => break,
                _ => {}
            }
        }
        let Some((root, label)) = primary else {
            return Ok(None);
        };
        let label = ascii_label(&label);
        let (names, root, label) = match (joliet, enhanced) {
            (Some((root, full)), _) => (Names::Joliet, root, merged(label, &full)),
            (None, Some((root, _))) => (Names::Short, root, label),
            (None, None) => (Names::Short, root, label),
        };
        Ok(Some(Self {
            device,
            names,
            root,
            label,
        }))
    }

    /// The label (8.4.7), without blanks at its end: what libblkid calls `LABEL`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Reads the file at `path`, of at most `most` bytes; `None` if there is none. The case of
    /// names doesn't matter.
    ///
    /// # Errors
    /// The file is longer, the device can't be read, or the file system is damaged.
    pub fn read(&mut self, path: &str, most: usize) -> Result<Option<Vec<u8>>, Error> {
        let root = self.root;
        let mut found = root.ok_or_else(|| Error::new("the file system is damaged: no root"))?;
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

/// The label of a primary descriptor, which some tools pad with NUL.
fn ascii_label(label: &[u8]) -> String {
    let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from(String::from_utf8_lossy(label).trim_ascii_end())
}

/// The label of the primary descriptor and that of Joliet's: 16 characters of any script. The
/// first is longer, and has `_` for what it can't store.
fn merged(primary: String, joliet: &[u8]) -> String {
    let units = joliet.chunks_exact(2).map(u16_of);
    let units = units.take_while(|unit| *unit != 0);
    let full: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or('\u{fffd}'))
        .collect();
    let full = full.trim_ascii_end();
    let same = |(stored, c): (char, char)| stored == '_' || stored == c;
    if full.chars().count() <= primary.chars().count()
        && primary.chars().zip(full.chars()).all(same)
    {
        let rest = primary.chars().skip(full.chars().count());
        return full.chars().chain(rest).collect();
    }
    String::from(full)
}

/// A big-endian unit of UCS-2.
fn u16_of(unit: &[u8]) -> u16 {
    let unit = [unit.first().copied(), unit.get(1).copied()];
    u16::from_be_bytes(unit.map(Option::unwrap_or_default))
}

/// Reads `len` bytes from sector `sector` of the format on; `None` past the end of the device.
fn read(device: &mut dyn Block, sector: u64, len: usize) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = vec![0; len];
    match fs::read_bytes(device, sector * SECTOR as u64, &mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(BlockError::OutOfRange) => Ok(None),
        Err(error) => Err(Error::new(format!("the disk can't be read: {error}"))),
    }
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
            let stored = char::decode_utf16(stored.chunks_exact(2).map(u16_of));
            let stored = stored.map(|c| c.unwrap_or('\u{fffd}'));
            return equal(stored, name);
        }
        let alternate = self.rock_ridge_name();
        if !alternate.is_empty() {
            let stored = alternate.iter().map(|byte| char::from(*byte));
            return equal(stored, name);
        }
        // NAME.EXTENSION;VERSION in capitals, with `_` for what the format doesn't allow (7.5).
        // ISO 9660:1999 allows everything (its section 7.5), and leaves out the version.
        let stored = self
            .name
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        let stored = stored.strip_suffix(b".").unwrap_or(stored);
        let stored = stored.iter().map(|byte| char::from(*byte));
        equal(stored.clone(), name) || equal(stored, &name.replace('-', "_"))
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
