//! The label and small files of a volume, without a cache: for programs that mount no volume.
//!
//! Labels are those of libblkid: `LABEL` is the entry of the root directory, which Windows alone
//! writes, and `LABEL_FATBOOT` the boot sector's.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::geometry::{BOOT, ENTRY_SIZE, FatKind, Geometry};
use super::names::shown;
use super::slots::{ATTR_DIRECTORY, ATTR_VOLUME_ID, Bytes, LongName, ShortEntry, Slot};
use crate::block::read_bytes;
use crate::bytes::u16_at;
use crate::{Block, BlockError, Error};

/// Maximum number of bytes of a directory (Microsoft's specification, "FAT Directory Structure").
const MAX_DIRECTORY: u32 = 2 << 20;

/// What tools write where a volume has no label.
const NO_LABEL: &[u8; 11] = b"NO NAME    ";

/// A read-only volume.
pub struct Reader {
    device: Box<dyn Block + Send>,
    /// The label in the boot sector.
    boot_label: Option<String>,
    /// `None`: not a volume that can be read.
    geometry: Option<Geometry>,
    /// Sector of the disk that `table` has.
    table_sector: u64,
    table: Vec<u8>,
}

/// A file that was found.
#[derive(Debug, Clone, Copy)]
pub struct Located {
    first: u32,
    /// Its length in bytes.
    pub size: u32,
}

/// Consecutive bytes of the disk.
#[derive(Clone, Copy)]
struct Extent {
    at: u64,
    len: u64,
}

impl Reader {
    /// Reads the boot sector of `device`; `None` without one that may be a FAT file system's.
    ///
    /// # Errors
    /// The device can't be read.
    pub fn open(mut device: Box<dyn Block + Send>) -> Result<Option<Self>, BlockError> {
        let sector = device.sector_size();
        if !(512..=4096).contains(&sector) || !sector.is_power_of_two() || device.sectors() == 0 {
            return Ok(None);
        }
        let mut boot = [0; BOOT];
        read_bytes(&mut *device, 0, &mut boot)?;
        if u16_at(&boot, 510) != 0xaa55 {
            return Ok(None);
        }
        let len = device.sectors() * sector as u64;
        Ok(Some(Self {
            device,
            boot_label: boot_label(&boot),
            geometry: Geometry::parse(&boot, len).ok(),
            table_sector: u64::MAX,
            table: vec![0; sector],
        }))
    }

    /// Returns the label without blanks at its end: that of the root directory, otherwise that of
    /// the boot sector. `None`: there is none.
    ///
    /// # Errors
    /// The device can't be read.
    pub fn label(&mut self) -> Result<Option<String>, BlockError> {
        let found = match self.root_label() {
            Err(Error::Io) => return Err(BlockError::Io),
            found => found.unwrap_or(None),
        };
        Ok(found.or_else(|| self.boot_label.clone()))
    }

    /// The label in the root directory.
    fn root_label(&mut self) -> Result<Option<String>, Error> {
        let root = self.root()?;
        let mut found = None;
        self.list(root, &mut |entry, _| {
            let attributes = entry.attributes() & (ATTR_VOLUME_ID | ATTR_DIRECTORY);
            let is_label = attributes == ATTR_VOLUME_ID && entry.first_cluster(FatKind::Fat32) == 0;
            if is_label {
                found = Some(trimmed(&entry.name()));
            }
            is_label
        })?;
        Ok(found)
    }

    /// Returns the file at `path`; `None` if there is none. The case of ASCII doesn't matter.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: this is no FAT file system, or it is damaged. [`Error::Io`]: the device
    /// can't be read.
    pub fn find(&mut self, path: &str) -> Result<Option<Located>, Error> {
        let mut directory = self.root()?;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let mut found = None;
            self.list(directory, &mut |entry, long| {
                let is_file = entry.attributes() & ATTR_VOLUME_ID == 0;
                let is_named = long.is_some_and(|units| {
                    let units = char::decode_utf16(units.iter().copied());
                    equal(units.map(|c| c.unwrap_or('\u{fffd}')), name)
                });
                let is_found = is_file && (is_named || equal(shown(&entry), name));
                if is_found {
                    found = Some(entry);
                }
                is_found
            })?;
            let (Some(entry), Some(geometry)) = (found, self.geometry) else {
                return Ok(None);
            };
            let (first, size) = (entry.first_cluster(geometry.kind), entry.size());
            match (names.peek(), entry.is_dir()) {
                (Some(_), true) => directory = self.chain(first, MAX_DIRECTORY)?,
                (None, false) => return Ok(Some(Located { first, size })),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Reads a file into memory.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub fn contents(&mut self, file: Located) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; file.size as usize];
        let mut rest = &mut bytes[..];
        if file.size > 0 {
            for extent in self.chain(file.first, file.size)? {
                let (piece, after) = rest.split_at_mut(rest.len().min(extent.len as usize));
                read_bytes(&mut *self.device, extent.at, piece)?;
                rest = after;
            }
        }
        match rest {
            [] => Ok(bytes),
            _ => Err(Error::Corrupt),
        }
    }

    fn root(&mut self) -> Result<Vec<Extent>, Error> {
        let geometry = self.geometry.ok_or(Error::Corrupt)?;
        match geometry.root {
            0 => Ok(vec![Extent {
                at: geometry.tables_end,
                len: geometry.root_len,
            }]),
            first => self.chain(first, MAX_DIRECTORY),
        }
    }

    /// Returns the clusters of a chain, of as many as `most` bytes need. A chain without an end is
    /// cut there.
    fn chain(&mut self, first: u32, most: u32) -> Result<Vec<Extent>, Error> {
        let geometry = self.geometry.ok_or(Error::Corrupt)?;
        let unit = u64::from(geometry.unit);
        let mut extents: Vec<Extent> = Vec::new();
        let (mut cluster, mut len) = (first, 0);
        while len < u64::from(most) {
            let at = geometry.cluster_offset(cluster).ok_or(Error::Corrupt)?;
            match extents.last_mut() {
                Some(last) if last.at + last.len == at => last.len += unit,
                _ => extents.push(Extent { at, len: unit }),
            }
            len += unit;
            cluster = self.next(&geometry, cluster)?;
            if cluster >= geometry.kind.mask() - 7 {
                break;
            }
        }
        Ok(extents)
    }

    /// The entry of a cluster in the table.
    fn next(&mut self, geometry: &Geometry, cluster: u32) -> Result<u32, BlockError> {
        let at = geometry.table + geometry.kind.entry_offset(cluster);
        Ok(match geometry.kind {
            FatKind::Fat32 => u32::from_le_bytes(self.of_table(at)?),
            FatKind::Fat16 => u16::from_le_bytes(self.of_table(at)?).into(),
            // The second byte may be in the next sector.
            FatKind::Fat12 => {
                let ([low], [high]) = (self.of_table(at)?, self.of_table(at + 1)?);
                u32::from(u16::from_le_bytes([low, high])) >> (cluster % 2 * 4)
            }
        } & geometry.kind.mask())
    }

    /// Bytes of the table, within one sector.
    fn of_table<const N: usize>(&mut self, at: u64) -> Result<[u8; N], BlockError> {
        let size = self.table.len() as u64;
        if self.table_sector != at / size {
            self.table_sector = u64::MAX;
            self.device.read(at / size, &mut self.table)?;
            self.table_sector = at / size;
        }
        let bytes = self.table.get((at % size) as usize..);
        let bytes = bytes.and_then(|bytes| bytes.first_chunk());
        bytes.copied().ok_or(BlockError::OutOfRange)
    }

    /// Calls `visit` with each short entry and its long name, until it returns true.
    fn list(
        &mut self,
        directory: Vec<Extent>,
        visit: &mut dyn FnMut(ShortEntry, Option<&[u16]>) -> bool,
    ) -> Result<(), Error> {
        let mut long = LongName::new();
        let mut piece = [0; 4096];
        for Extent { mut at, mut len } in directory {
            while len > 0 {
                let count = len.min(piece.len() as u64);
                let bytes = piece.get_mut(..count as usize).unwrap_or_default();
                read_bytes(&mut *self.device, at, bytes)?;
                (at, len) = (at + count, len - count);
                for slot in bytes.chunks_exact(ENTRY_SIZE) {
                    let slot: &Bytes = slot.first_chunk().ok_or(Error::Corrupt)?;
                    match Slot::parse(slot) {
                        Slot::End => return Ok(()),
                        Slot::Free => long.reset(),
                        Slot::Long(part) => long.push(&part),
                        Slot::Short(entry) => {
                            if visit(entry, long.finish(entry.lfn_checksum())) {
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// `BS_VolLab`, which is valid if `BS_BootSig` is 0x29.
fn boot_label(boot: &[u8; BOOT]) -> Option<String> {
    // `BPB_FATSz16` is zero for FAT32, whose fields are further on.
    let at = if u16_at(boot, 22) == 0 { 66 } else { 38 };
    let label = boot.get(at + 5..at + 16)?;
    (boot.get(at) == Some(&0x29) && label != NO_LABEL).then(|| trimmed(label))
}

/// A label without blanks at its end.
fn trimmed(label: &[u8]) -> String {
    String::from(String::from_utf8_lossy(label).trim_ascii_end())
}

/// Whether the names are equal, ignoring the case of ASCII.
fn equal(stored: impl Iterator<Item = char>, name: &str) -> bool {
    let lower = |c: char| c.to_ascii_lowercase();
    stored.map(lower).eq(name.chars().map(lower))
}

#[cfg(test)]
mod tests;
