//! GUID partition tables: two copies, each a header and an array of entries with their CRCs.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::size_of;

use crc::{CRC_32_ISO_HDLC, Crc, Table as Bytes};
use gpt_disk_types::{GptHeader, GptPartitionEntry, GptPartitionName};

use super::{Partition, Scheme, Table, refused};
use crate::{Block, Error, MountError};

pub(super) const CRC: Crc<u32, Bytes<1>> = Crc::<u32, Bytes<1>>::new(&CRC_32_ISO_HDLC);

/// Maximum size of an array; tools write arrays of 16 KiB.
const ARRAY: u64 = 256 << 10;

/// Maximum number of partitions.
const PARTITIONS: usize = 1024;

/// Header of a copy, which is valid by itself.
pub(super) struct Header {
    pub fields: GptHeader,
    /// Its sector: the header may have more fields than the known ones.
    pub sector: Vec<u8>,
}

impl Header {
    pub fn alternate(&self) -> u64 {
        self.fields.alternate_lba.to_u64()
    }
}

/// Valid copy of the table.
pub(super) struct Copy {
    pub header: Header,
    /// Its entries.
    pub array: Vec<u8>,
    partitions: Vec<Partition>,
}

/// Defect of a copy, and the location of the other copy if only the array is damaged.
pub(super) struct Damage {
    text: String,
    alternate: Option<u64>,
}

impl From<&str> for Damage {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            alternate: None,
        }
    }
}

/// Reads the table of a disk that has a protective MBR.
pub(super) fn read(device: &mut dyn Block, table: &mut Table) -> Result<(), MountError> {
    let last = device.sectors() - 1;
    match copy_at(device, 1) {
        Ok(first) => {
            let alternate = first.header.alternate();
            if let Err(damage) = copy_at(device, alternate) {
                table.warnings.push(format!(
                    "the second copy of the GPT at sector {alternate} is damaged: {}; \
                    restore it with gdisk",
                    damage.text
                ));
            } else if alternate != last {
                table.is_disk_larger = alternate < last;
                table.warnings.push(format!(
                    "the second copy of the GPT is at sector {alternate}, but the disk ends at \
                    {last}; move it with sfdisk --relocate gpt-bak-std"
                ));
            }
            accept(table, first);
        }
        Err(damage) => {
            let at = damage.alternate.unwrap_or(last);
            let second = copy_at(device, at).or_else(|other| {
                if at == last {
                    Err(other)
                } else {
                    copy_at(device, last)
                }
            });
            match second {
                Ok(second) => {
                    table.warnings.push(format!(
                        "the first copy of the GPT is damaged: {}; \
                        using the second copy: restore the first with gdisk",
                        damage.text
                    ));
                    accept(table, second);
                }
                Err(other) => {
                    return refused(Error::Corrupt, both_damaged(device, &damage, &other));
                }
            }
        }
    }
    Ok(())
}

/// Reads the table of a disk without a boot sector: only a valid first copy counts.
pub(super) fn read_unprotected(
    device: &mut dyn Block,
    table: &mut Table,
) -> Result<(), MountError> {
    if let Ok(first) = copy_at(device, 1) {
        table
            .warnings
            .push("the disk has a GPT without its protective MBR; restore that with gdisk".into());
        accept(table, first);
    }
    Ok(())
}

fn accept(table: &mut Table, copy: Copy) {
    table.scheme = Scheme::Gpt;
    table.partitions = copy.partitions;
}

/// Message for a disk whose copies are both damaged, or use another sector size.
fn both_damaged(device: &mut dyn Block, first: &Damage, second: &Damage) -> String {
    let sector = device.sector_size();
    for other in [512, 4096].into_iter().filter(|other| *other != sector) {
        let from = (other / sector) as u64;
        let mut bytes = vec![0; sector];
        let read = device.read(from, &mut bytes).is_ok();
        if read
            && bytes
                .get(other % sector..)
                .is_some_and(|b| b.starts_with(b"EFI PART"))
        {
            return format!(
                "the disk's GPT is for sectors of {other} bytes, but the disk has sectors of \
                {sector}; attach it with {other}"
            );
        }
    }
    format!(
        "both copies of the GPT are damaged (first: {}; second: {}); restore the disk",
        first.text, second.text
    )
}

/// Reads the copy whose header is at sector `at`.
pub(super) fn copy_at(device: &mut dyn Block, at: u64) -> Result<Copy, Damage> {
    let header = header_at(device, at)?;
    let damage = |text: &str| Damage {
        text: text.into(),
        alternate: Some(header.alternate()),
    };
    let array = array_at(device, &header.fields).map_err(|text| damage(&text))?;
    if CRC.checksum(&array) != header.fields.partition_entry_array_crc32.0.to_u32() {
        return Err(damage("the CRC of its entries is wrong"));
    }
    let entry = header.fields.size_of_partition_entry.to_u32() as usize;
    let partitions = partitions(&array, entry).map_err(|text| damage(&text))?;
    Ok(Copy {
        header,
        array,
        partitions,
    })
}

/// Reads the header at sector `at`.
pub(super) fn header_at(device: &mut dyn Block, at: u64) -> Result<Header, Damage> {
    if at == 0 || at >= device.sectors() {
        return Err("outside the disk".into());
    }
    let mut sector = vec![0; device.sector_size()];
    device
        .read(at, &mut sector)
        .map_err(|error| Damage::from(&*format!("sector {at} can't be read: {error}")))?;
    let fields: GptHeader = sector
        .get(..size_of::<GptHeader>())
        .and_then(|start| bytemuck::try_pod_read_unaligned(start).ok())
        .ok_or("too short")?;
    if !fields.is_signature_valid() {
        return Err("no signature".into());
    }
    let size = fields.header_size.to_u32() as usize;
    let Some(whole) = sector
        .get(..size)
        .filter(|_| size >= size_of::<GptHeader>())
    else {
        return Err("the header's size is wrong".into());
    };
    if header_crc(whole) != fields.header_crc32.0.to_u32() {
        return Err("the header's CRC is wrong".into());
    }
    if fields.my_lba.to_u64() != at {
        return Err("the header is that of another sector".into());
    }
    Ok(Header { fields, sector })
}

/// Returns the CRC of a header, with the CRC field (bytes 16 to 19) taken as zero.
pub(super) fn header_crc(header: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(header.get(..16).unwrap_or_default());
    digest.update(&[0; 4]);
    digest.update(header.get(20..).unwrap_or_default());
    digest.finalize()
}

/// Reads the entries that a header describes, without a check of their CRC.
pub(super) fn array_at(device: &mut dyn Block, header: &GptHeader) -> Result<Vec<u8>, String> {
    let sector = device.sector_size() as u64;
    let entry = u64::from(header.size_of_partition_entry.to_u32());
    let bytes = entry.saturating_mul(u64::from(header.number_of_partition_entries.to_u32()));
    let fits = entry >= size_of::<GptPartitionEntry>() as u64 && entry.is_power_of_two();
    if !fits || bytes > ARRAY {
        return Err("the size of its entries is wrong".into());
    }
    let start = header.partition_entry_lba.to_u64();
    let sectors = bytes.div_ceil(sector);
    if start
        .checked_add(sectors)
        .is_none_or(|end| end > device.sectors())
    {
        return Err("its entries are outside the disk".into());
    }
    let mut array = vec![0; (sectors * sector) as usize];
    device
        .read(start, &mut array)
        .map_err(|error| format!("its entries can't be read: {error}"))?;
    array.truncate(bytes as usize);
    Ok(array)
}

/// Returns the partitions of an array with entries of `entry` bytes.
fn partitions(array: &[u8], entry: usize) -> Result<Vec<Partition>, String> {
    let mut partitions = Vec::new();
    for (number, bytes) in (1..).zip(array.chunks_exact(entry)) {
        let known = bytes
            .get(..size_of::<GptPartitionEntry>())
            .and_then(|entry| bytemuck::try_pod_read_unaligned(entry).ok());
        if let Some(partition) = known.and_then(|entry| partition(number, &entry)) {
            if partitions.len() == PARTITIONS {
                return Err(format!("more than {PARTITIONS} partitions"));
            }
            partitions.push(partition);
        }
    }
    Ok(partitions)
}

/// Returns the partition of an entry that is used and not empty.
fn partition(number: u32, entry: &GptPartitionEntry) -> Option<Partition> {
    let (first, last) = (entry.starting_lba.to_u64(), entry.ending_lba.to_u64());
    let sectors = last.checked_sub(first)?.checked_add(1)?;
    entry.is_used().then(|| Partition {
        number,
        first,
        sectors,
        label: label(&entry.name),
        guid: Some(entry.unique_partition_guid),
    })
}

/// Decodes a name in UTF-16, up to its first zero.
fn label(name: &GptPartitionName) -> String {
    let units = name.0.chunks_exact(2).map_while(|unit| match unit {
        [0, 0] => None,
        [low, high] => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    });
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
