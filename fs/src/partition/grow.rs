//! Growing the last partition of a GPT when its disk became larger (UEFI specification 2.10,
//! section 5.3).
//!
//! The second copy moves to the disk's new end first, while the first copy still refers to the old
//! one. Then the partition's entry in the first copy changes, and then its header. Flushes separate
//! the three steps, and each of the last two changes one sector. A power cut before the entry
//! leaves the old table. After the entry, the first copy's CRC doesn't match: readers use the old
//! second copy, and the next call completes the first copy from the new one.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use gpt_disk_types::{GptHeader, LbaLe, U32Le};

use super::gpt::{self, CRC, Copy, Header};
use super::{mbr, read_table};
use crate::bytes::{put, put_u32, u32_at};
use crate::{Block, BlockError, MountError};

/// Alignment of the partition's new end, and the least gain, in bytes.
const ALIGN: u64 = 1 << 20;

/// Offsets in a partition entry, and its length (`GptPartitionEntry`).
const ENDING_LBA: usize = 40;

/// Offsets in a record of the MBR, and its length.
const MBR_TYPE: usize = 4;
const MBR_FIRST: usize = 8;
const MBR_SECTORS: usize = 12;
const MBR_RECORD: usize = 16;

fn failed(error: BlockError) -> MountError {
    let detail = format!("the partition table can't be written: {error}; check the disk");
    MountError::new(error.into(), detail)
}

/// Grows partition `number` of a disk that became larger than its GPT says, and returns its new
/// number of sectors. The partition ends at the last multiple of 1 MiB that the disk can use. Its
/// data stays where it is; a power cut leaves the old or the new table in at least one copy.
///
/// Returns `None` and leaves the table alone if the device is read-only, the table isn't a GPT with
/// its protective MBR and two sound copies, another partition is the last one, or less than 1 MiB
/// would be gained.
pub fn grow(device: &mut dyn Block, number: u32) -> Result<Option<u64>, MountError> {
    if device.read_only() || device.sectors() < 2 {
        return Ok(None);
    }
    let last = device.sectors() - 1;
    let mut boot = vec![0; device.sector_size()];
    let read = device.read(0, &mut boot);
    let Ok(first) = gpt::header_at(device, 1) else {
        return Ok(None);
    };
    if read.is_err() || !matches!(mbr::classify(&boot), mbr::Content::Protective) {
        return Ok(None);
    }
    let Ok(old) = gpt::copy_at(device, 1) else {
        return complete(device, &first, number);
    };
    let Ok(second) = gpt::copy_at(device, first.alternate()) else {
        return Ok(None);
    };
    if first.alternate() >= last || !is_pair(&first, &second) || old.array != second.array {
        return Ok(None);
    }
    let Some((end, sectors)) = new_end(device, number, &old)? else {
        return Ok(None);
    };
    let entry = old.header.fields.size_of_partition_entry.to_u32() as usize;
    let at = (number as usize - 1) * entry;
    let mut array = old.array;
    put(&mut array, at + ENDING_LBA, &(end - 1).to_le_bytes());
    write(device, (first, array), at, boot).map_err(failed)?;
    log::info!("partition {number} grew to {} MiB", mib(device, sectors));
    Ok(Some(sectors))
}

fn mib(device: &dyn Block, sectors: u64) -> u64 {
    sectors.saturating_mul(device.sector_size() as u64) >> 20
}

/// Whether a second copy belongs to this first header.
fn is_pair(first: &Header, second: &Copy) -> bool {
    let (one, two) = (&first.fields, &second.header.fields);
    let (guid, other) = (one.disk_guid, two.disk_guid);
    guid == other
        && second.header.alternate() == 1
        && one.size_of_partition_entry == two.size_of_partition_entry
        && one.number_of_partition_entries == two.number_of_partition_entries
}

/// Number of sectors of an array.
fn array_sectors(device: &dyn Block, array: &[u8]) -> u64 {
    array.len().div_ceil(device.sector_size()) as u64
}

/// Returns the sector after the new end of a partition, and its new number of sectors.
fn new_end(
    device: &mut dyn Block,
    number: u32,
    old: &Copy,
) -> Result<Option<(u64, u64)>, MountError> {
    let table = read_table(device)?;
    let Ok(partition) = table.find(&number.to_string()) else {
        return Ok(None);
    };
    let is_last =
        |other: &super::Partition| other.number == number || other.end() <= partition.first;
    // The second copy's entries and header follow the last usable sector.
    let count = array_sectors(device, &old.array);
    let usable = (device.sectors() - 1).saturating_sub(count);
    let step = ALIGN / device.sector_size() as u64;
    let end = usable / step * step;
    let is_larger = end >= partition.end().saturating_add(step);
    let entries = old.header.fields.partition_entry_lba.to_u64();
    let is_after = entries.saturating_add(count) <= partition.first
        && old.array.len().is_multiple_of(device.sector_size());
    let grows = is_larger && is_after && table.partitions.iter().all(is_last);
    Ok(grows.then(|| (end, end - partition.first)))
}

/// Returns the sector of a header with these fields, and with its CRC.
fn sealed(header: &Header, fields: GptHeader) -> Vec<u8> {
    let mut sector = header.sector.clone();
    put(&mut sector, 0, bytemuck::bytes_of(&fields));
    let size = fields.header_size.to_u32() as usize;
    let sum = gpt::header_crc(sector.get(..size).unwrap_or_default());
    put_u32(&mut sector, 16, sum);
    sector
}

/// Writes a new array with the entry at offset `at` changed, and the headers for it.
fn write(
    device: &mut dyn Block,
    (first, array): (Header, Vec<u8>),
    at: usize,
    mut boot: Vec<u8>,
) -> Result<(), BlockError> {
    let size = device.sector_size();
    let last = device.sectors() - 1;
    let count = array_sectors(device, &array);
    let mut fields = first.fields;
    fields.partition_entry_array_crc32.0 = U32Le::from_u32(CRC.checksum(&array));
    fields.last_usable_lba = LbaLe::from_u64(last - count - 1);
    fields.alternate_lba = LbaLe::from_u64(last);
    let second = GptHeader {
        my_lba: LbaLe::from_u64(last),
        alternate_lba: LbaLe::from_u64(1),
        partition_entry_lba: LbaLe::from_u64(last - count),
        ..fields
    };
    let mut end = array;
    end.resize(count as usize * size, 0);
    // Entries are a power of two of bytes long and don't cross sectors.
    let changed = at / size;
    let entry = end.get(changed * size..(changed + 1) * size);
    let entry = entry.ok_or(BlockError::OutOfRange)?.to_vec();
    end.extend_from_slice(&sealed(&first, second));
    device.write(last - count, &end)?;
    if protect(&mut boot, first.alternate(), last) {
        device.write(0, &boot)?;
    }
    device.flush()?;
    let entries = fields.partition_entry_lba.to_u64();
    device.write(entries + changed as u64, &entry)?;
    device.flush()?;
    device.write(1, &sealed(&first, fields))?;
    device.flush()
}

/// Extends the record of the protective MBR that covered the smaller disk (section 5.2.3). Returns
/// whether it did.
fn protect(boot: &mut [u8], before: u64, last: u64) -> bool {
    let records = (0..4).map(|n| mbr::ENTRIES + n * MBR_RECORD);
    let mut covering = records.filter(|at| {
        boot.get(at + MBR_TYPE) == Some(&mbr::PROTECTIVE)
            && u32_at(boot, at + MBR_FIRST) == 1
            && u64::from(u32_at(boot, at + MBR_SECTORS)) == before
    });
    let Some(at) = covering.next() else {
        return false;
    };
    put_u32(boot, at + MBR_SECTORS, last.try_into().unwrap_or(u32::MAX));
    true
}

/// Completes a growth that ended before the first header was written: the copy at the disk's end is
/// sound, and the first copy's entries are the same already.
fn complete(
    device: &mut dyn Block,
    first: &Header,
    number: u32,
) -> Result<Option<u64>, MountError> {
    let last = device.sectors() - 1;
    let Ok(second) = gpt::copy_at(device, last) else {
        return Ok(None);
    };
    let array = gpt::array_at(device, &first.fields);
    if first.alternate() >= last || !is_pair(first, &second) || array.as_ref() != Ok(&second.array)
    {
        return Ok(None);
    }
    let fields = GptHeader {
        my_lba: LbaLe::from_u64(1),
        alternate_lba: LbaLe::from_u64(last),
        partition_entry_lba: first.fields.partition_entry_lba,
        ..second.header.fields
    };
    let written = device.write(1, &sealed(first, fields));
    written.and_then(|()| device.flush()).map_err(failed)?;
    let table = read_table(device)?;
    let found = table.find(&number.to_string()).ok();
    Ok(found.map(|partition| partition.sectors))
}
