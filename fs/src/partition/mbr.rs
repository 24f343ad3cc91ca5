//! Master boot records: four primary partitions, and a chain of records for logical ones.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::size_of;

use gpt_disk_types::MbrPartitionRecord;

use super::{Partition, Scheme, Table, unreadable};
use crate::{Block, MountError};

/// Offset of the four entries in the sector, and of the signature.
pub(super) const ENTRIES: usize = 446;
const SIGNATURE: usize = 510;

/// Maximum number of logical partitions; Linux reads 60 of a disk.
const LOGICAL: u32 = 128;

/// Partition types: the one that covers a GPT disk, and those of extended partitions.
pub(super) const PROTECTIVE: u8 = 0xee;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// Contents of the first sector of a disk.
pub(super) enum Content {
    /// Protective MBR of a GPT.
    Protective,
    /// A partition table.
    Entries(Vec<MbrPartitionRecord>),
    /// No boot signature.
    Unsigned,
    /// Boot signature, but no partition table: the boot sector of a file system.
    Other,
}

pub(super) fn classify(boot: &[u8]) -> Content {
    let Some(entries) = entries(boot) else {
        return Content::Unsigned;
    };
    if looks_like_fat(boot) || entries.iter().any(|entry| entry.boot_indicator & 0x7f != 0) {
        return Content::Other;
    }
    if entries.iter().any(|entry| entry.os_indicator == PROTECTIVE) {
        return Content::Protective;
    }
    if entries.iter().any(is_used) {
        Content::Entries(entries)
    } else {
        Content::Other
    }
}

/// Returns the four entries of a sector with the signature.
fn entries(sector: &[u8]) -> Option<Vec<MbrPartitionRecord>> {
    if sector.get(SIGNATURE..SIGNATURE + 2)? != [0x55, 0xaa] {
        return None;
    }
    let entries = sector.get(ENTRIES..SIGNATURE)?;
    entries
        .chunks_exact(size_of::<MbrPartitionRecord>())
        .map(|entry| bytemuck::try_pod_read_unaligned(entry).ok())
        .collect()
}

/// Whether a sector begins as FAT boot sectors do: a jump, sector and cluster sizes that FAT
/// allows, and tables.
fn looks_like_fat(boot: &[u8]) -> bool {
    let (Some(0xeb | 0xe9), Some(&[low, high, per_cluster, _, _, fats])) =
        (boot.first(), boot.get(11..17))
    else {
        return false;
    };
    let sector = u16::from_le_bytes([low, high]);
    matches!(sector, 512 | 1024 | 2048 | 4096) && per_cluster.is_power_of_two() && fats != 0
}

fn is_used(entry: &MbrPartitionRecord) -> bool {
    entry.os_indicator != 0 && entry.size_in_lba.to_u32() != 0
}

fn is_extended(entry: &MbrPartitionRecord) -> bool {
    is_used(entry) && EXTENDED.contains(&entry.os_indicator)
}

pub(super) fn read(
    device: &mut dyn Block,
    entries: &[MbrPartitionRecord],
    table: &mut Table,
) -> Result<(), MountError> {
    table.scheme = Scheme::Mbr;
    let mut extended = None;
    for (number, entry) in (1..).zip(entries) {
        let first = u64::from(entry.starting_lba.to_u32());
        if is_extended(entry) {
            extended.get_or_insert((first, u64::from(entry.size_in_lba.to_u32())));
        } else if is_used(entry) {
            table.partitions.push(Partition {
                number,
                first,
                sectors: u64::from(entry.size_in_lba.to_u32()),
                label: String::new(),
                guid: None,
            });
        }
    }
    match extended {
        Some((first, sectors)) => read_logical(device, first, sectors, table),
        None => Ok(()),
    }
}

/// Follows the chain of an extended partition. A damaged chain yields the partitions before the
/// damage and a warning.
fn read_logical(
    device: &mut dyn Block,
    base: u64,
    sectors: u64,
    table: &mut Table,
) -> Result<(), MountError> {
    let end = base.saturating_add(sectors).min(device.sectors());
    let mut seen: Vec<u64> = Vec::new();
    let mut sector = vec![0; device.sector_size()];
    let mut at = base;
    let mut number = 5;
    let reason = loop {
        if at >= end || at < base {
            break format!("leads to sector {at}, outside of it");
        }
        if seen.contains(&at) {
            break format!("leads back to sector {at}");
        }
        if seen.len() as u32 == LOGICAL {
            break format!("has more than {LOGICAL} records");
        }
        seen.push(at);
        device
            .read(at, &mut sector)
            .map_err(|error| unreadable(at, error))?;
        let Some(entries) = entries(&sector) else {
            break format!("leads to sector {at}, which is no record of it");
        };
        // The first entry is relative to this record, the second to the extended partition.
        for entry in entries.iter().filter(|e| is_used(e) && !is_extended(e)) {
            table.partitions.push(Partition {
                number,
                first: at.saturating_add(u64::from(entry.starting_lba.to_u32())),
                sectors: u64::from(entry.size_in_lba.to_u32()),
                label: String::new(),
                guid: None,
            });
            number += 1;
        }
        match entries.iter().find(|entry| is_extended(entry)) {
            Some(next) => at = base.saturating_add(u64::from(next.starting_lba.to_u32())),
            None => return Ok(()),
        }
    };
    let text = format!(
        "the extended partition's chain {reason}; partitions from {number} on \
        are lost: correct the table with sfdisk"
    );
    table.warnings.push(text);
    Ok(())
}
