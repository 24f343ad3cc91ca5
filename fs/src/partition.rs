//! Partitions of a disk: GPT (UEFI specification 2.10, chapter 5) and MBR with its extended
//! partitions.
//!
//! [`table`] reads the partition table, [`Table::find`] picks a partition by number, label or GUID,
//! and [`Slice`] is that part of the disk as a device. [`grow`] is the only function that writes to
//! a table.

mod gpt;
mod grow;
mod mbr;
mod slice;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::{Block, BlockError, Error, MountError};

pub use gpt_disk_types::Guid;
pub use grow::grow;
pub use slice::Slice;

/// Start of a partition's name that is its GUID, as Linux's `root=` takes it.
const PARTUUID: &str = "PARTUUID=";

/// Partitioning scheme of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// No partition table found: a file system may take the whole disk.
    Whole,
    /// Master boot record.
    Mbr,
    /// GUID partition table.
    Gpt,
}

/// Partition as its table describes it; [`Table::find`] checks it against the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number from 1. MBR: 1 to 4 for primary partitions, from 5 for logical ones. GPT: index of
    /// the entry, plus one.
    pub number: u32,
    /// First sector.
    pub first: u64,
    /// Number of sectors, at least one.
    pub sectors: u64,
    /// GPT partition name; empty without a name and for MBR. Invalid UTF-16 becomes U+FFFD.
    pub label: String,
    /// Unique GUID of a GPT partition. Its text is what Linux shows as PARTUUID.
    pub guid: Option<Guid>,
}

impl Partition {
    fn end(&self) -> u64 {
        self.first.saturating_add(self.sectors)
    }
}

/// Partition table of a disk, as [`table`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Partitioning scheme.
    pub scheme: Scheme,
    /// Partitions in order of number.
    pub partitions: Vec<Partition>,
    /// Defects of a table that is usable all the same, each in one line with the remedy. [`table`]
    /// logs them, too.
    pub warnings: Vec<String>,
    /// A GPT was made when the disk was smaller; see [`grow`].
    pub is_disk_larger: bool,
    /// Number of sectors of the disk.
    disk: u64,
}

fn refused<T>(error: Error, detail: String) -> Result<T, MountError> {
    Err(MountError::new(error, detail))
}

fn unreadable(sector: u64, error: BlockError) -> MountError {
    MountError::unreadable(format_args!("sector {sector}"), error)
}

/// Reads the partition table of `device`: some 40 KiB of a usual table, never more than 600 KiB.
///
/// Uses the second copy of a GPT, with a warning, when the first is damaged. Fails if the device
/// can't be read, or if no copy of a GPT is valid.
pub fn table(device: &mut dyn Block) -> Result<Table, MountError> {
    let table = read_table(device)?;
    table.log_warnings();
    Ok(table)
}

/// As [`table`], but doesn't log the warnings.
pub fn read_table(device: &mut dyn Block) -> Result<Table, MountError> {
    let sector = device.sector_size();
    let mut table = Table {
        scheme: Scheme::Whole,
        partitions: Vec::new(),
        warnings: Vec::new(),
        is_disk_larger: false,
        disk: device.sectors(),
    };
    if !(512..=4096).contains(&sector) || device.sectors() == 0 {
        return Ok(table);
    }
    let mut boot = vec![0; sector];
    device
        .read(0, &mut boot)
        .map_err(|error| unreadable(0, error))?;
    match mbr::classify(&boot) {
        mbr::Content::Protective => gpt::read(device, &mut table)?,
        mbr::Content::Entries(entries) => mbr::read(device, &entries, &mut table)?,
        mbr::Content::Unsigned => gpt::read_unprotected(device, &mut table)?,
        mbr::Content::Other => {}
    }
    Ok(table)
}

impl Table {
    /// Logs the warnings.
    pub fn log_warnings(&self) {
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
    }

    /// Returns the partition that `name` identifies: a number, `PARTUUID=` and a GUID, or else the
    /// label of a GPT partition, case-sensitive. Fails with one line that lists the partitions when
    /// none matches, when two have that label, or when the partition exceeds the disk or overlaps
    /// another.
    pub fn find(&self, name: &str) -> Result<&Partition, MountError> {
        let found = match name.parse::<u32>() {
            _ if name.starts_with(PARTUUID) => {
                let guid = name.strip_prefix(PARTUUID).map(Guid::try_parse);
                let guid = guid.and_then(Result::ok);
                let mut partitions = self.partitions.iter();
                partitions.find(|partition| guid.is_some() && partition.guid == guid)
            }
            Ok(number) => self
                .partitions
                .iter()
                .find(|partition| partition.number == number),
            Err(_) => {
                let mut labelled = self.partitions.iter().filter(|p| p.label == name);
                let found = labelled.next().filter(|p| !p.label.is_empty());
                if let (Some(first), Some(second)) = (found, labelled.next()) {
                    let (one, two) = (first.number, second.number);
                    return refused(
                        Error::Invalid,
                        format!(
                            "partitions {one} and {two} are both labelled \"{name}\"; \
                             name one by its number"
                        ),
                    );
                }
                found
            }
        };
        match found {
            Some(partition) => self.fits(partition),
            None => refused(
                Error::NotFound,
                format!("no partition \"{name}\": {}", self.contents()),
            ),
        }
    }

    fn fits<'a>(&self, partition: &'a Partition) -> Result<&'a Partition, MountError> {
        let (number, end) = (partition.number, partition.end());
        if end > self.disk {
            let detail = format!(
                "partition {number} ends at sector {end}, but the disk has {} sectors: \
                the image is cut short; restore it",
                self.disk
            );
            return refused(Error::Corrupt, detail);
        }
        let other = self.partitions.iter().find(|other| {
            other.number != number && other.first < end && partition.first < other.end()
        });
        match other {
            Some(other) => refused(
                Error::Corrupt,
                format!(
                    "partitions {number} and {} overlap; correct the table with sfdisk",
                    other.number
                ),
            ),
            None => Ok(partition),
        }
    }

    /// Short list of the partitions, for messages.
    fn contents(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Whole => return "the disk has no partition table; use the whole disk".into(),
            Scheme::Mbr => "MBR",
            Scheme::Gpt => "GPT",
        };
        let mut text = format!("the disk's {scheme} has ");
        for (n, partition) in self.partitions.iter().take(16).enumerate() {
            text.push_str(if n > 0 { ", " } else { "" });
            text.push_str(&format!("{}", partition.number));
            if !partition.label.is_empty() {
                text.push_str(&format!(" (\"{}\")", partition.label));
            }
        }
        match self.partitions.len() {
            0 => text.push_str("no partitions"),
            17.. => text.push_str(" and more"),
            _ => {}
        }
        text
    }
}

/// Opens the partition `name` of `device` as a disk; see [`Table::find`] for names.
pub fn open(
    mut device: Box<dyn Block + Send>,
    name: &str,
) -> Result<Slice<Box<dyn Block + Send>>, MountError> {
    let table = table(&mut *device)?;
    let partition = table.find(name)?;
    Ok(Slice::new(device, partition.first, partition.sectors))
}

#[cfg(test)]
mod growing;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod tests;
