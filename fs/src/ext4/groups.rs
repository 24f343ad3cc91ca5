//! Block group descriptors (kernel documentation, "Block Group Descriptors"). All of them are in
//! memory; a commit writes the changed ones to their blocks.

use alloc::vec;
use alloc::vec::Vec;

use super::checksum::{Crc32c, crc16};
use super::fields::group as gd;
use super::superblock::Geometry;
use super::zones::table_blocks;
use crate::Error;
use crate::bytes::{part, put_u16, put_u32, u16_at, u32_at};
use crate::cache::Cache;

/// Bits of `bg_flags`.
pub const INODES_UNUSED: u16 = 0x1;
pub const BLOCKS_UNUSED: u16 = 0x2;

/// Bytes of descriptors per read.
const READ: usize = 256 << 10;

/// Block group.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub block_bitmap: u64,
    pub inode_bitmap: u64,
    pub inode_table: u64,
    pub free_blocks: u32,
    pub free_inodes: u32,
    pub directories: u32,
    /// Never used inodes at the end of the table.
    pub unused_inodes: u32,
    pub block_bitmap_checksum: u32,
    pub inode_bitmap_checksum: u32,
    pub flags: u16,
    /// Upper bound for the length of free runs.
    pub longest: u32,
    /// All blocks before it are in use.
    pub first_free: u32,
    /// All inodes before it are in use.
    pub first_free_inode: u32,
    /// The bitmaps are damaged: no allocation from this group.
    pub avoided: bool,
    /// The running transaction has changed the descriptor.
    pub dirty: bool,
    /// Operation that last saved the descriptor for rollback.
    pub operation: u64,
}

fn join_halves(data: &[u8], low: usize, high: usize) -> u64 {
    u64::from(u32_at(data, low)) | u64::from(u32_at(data, high)) << 32
}

fn halves(data: &[u8], low: usize, high: usize) -> u32 {
    u32::from(u16_at(data, low)) | u32::from(u16_at(data, high)) << 16
}

fn put_halves(data: &mut [u8], low: usize, high: usize, value: u32) {
    put_u16(data, low, value as u16);
    put_u16(data, high, (value >> 16) as u16);
}

impl Default for Group {
    /// An empty group without a place.
    fn default() -> Self {
        Self::parse(&[])
    }
}

impl Group {
    /// Parses a descriptor, which is 32 bytes long or at least 64.
    fn parse(data: &[u8]) -> Self {
        Self {
            block_bitmap: join_halves(data, gd::BLOCK_BITMAP_LO, gd::BLOCK_BITMAP_HI),
            inode_bitmap: join_halves(data, gd::INODE_BITMAP_LO, gd::INODE_BITMAP_HI),
            inode_table: join_halves(data, gd::INODE_TABLE_LO, gd::INODE_TABLE_HI),
            free_blocks: halves(data, gd::FREE_BLOCKS_COUNT_LO, gd::FREE_BLOCKS_COUNT_HI),
            free_inodes: halves(data, gd::FREE_INODES_COUNT_LO, gd::FREE_INODES_COUNT_HI),
            directories: halves(data, gd::USED_DIRS_COUNT_LO, gd::USED_DIRS_COUNT_HI),
            unused_inodes: halves(data, gd::ITABLE_UNUSED_LO, gd::ITABLE_UNUSED_HI),
            block_bitmap_checksum: halves(data, gd::BLOCK_BITMAP_CSUM_LO, gd::BLOCK_BITMAP_CSUM_HI),
            inode_bitmap_checksum: halves(data, gd::INODE_BITMAP_CSUM_LO, gd::INODE_BITMAP_CSUM_HI),
            flags: u16_at(data, gd::FLAGS),
            longest: u32::MAX,
            first_free: 0,
            first_free_inode: 0,
            avoided: false,
            dirty: false,
            operation: 0,
        }
    }

    /// Writes the locations of bitmaps and inode table, which never change.
    pub fn place(&self, data: &mut [u8]) {
        for (block, low, high) in [
            (self.block_bitmap, gd::BLOCK_BITMAP_LO, gd::BLOCK_BITMAP_HI),
            (self.inode_bitmap, gd::INODE_BITMAP_LO, gd::INODE_BITMAP_HI),
            (self.inode_table, gd::INODE_TABLE_LO, gd::INODE_TABLE_HI),
        ] {
            put_u32(data, low, block as u32);
            put_u32(data, high, (block >> 32) as u32);
        }
    }

    /// Writes the fields that change.
    pub fn write(&self, data: &mut [u8]) {
        put_halves(
            data,
            gd::FREE_BLOCKS_COUNT_LO,
            gd::FREE_BLOCKS_COUNT_HI,
            self.free_blocks,
        );
        put_halves(
            data,
            gd::FREE_INODES_COUNT_LO,
            gd::FREE_INODES_COUNT_HI,
            self.free_inodes,
        );
        put_halves(
            data,
            gd::USED_DIRS_COUNT_LO,
            gd::USED_DIRS_COUNT_HI,
            self.directories,
        );
        put_halves(
            data,
            gd::ITABLE_UNUSED_LO,
            gd::ITABLE_UNUSED_HI,
            self.unused_inodes,
        );
        put_halves(
            data,
            gd::BLOCK_BITMAP_CSUM_LO,
            gd::BLOCK_BITMAP_CSUM_HI,
            self.block_bitmap_checksum,
        );
        put_halves(
            data,
            gd::INODE_BITMAP_CSUM_LO,
            gd::INODE_BITMAP_CSUM_HI,
            self.inode_bitmap_checksum,
        );
        put_u16(data, gd::FLAGS, self.flags);
    }

    /// Returns the reason for which the descriptor is invalid in this file system.
    fn check(&self, geometry: &Geometry) -> Option<&'static str> {
        if !geometry.contains(self.block_bitmap, 1)
            || !geometry.contains(self.inode_bitmap, 1)
            || !geometry.contains(self.inode_table, table_blocks(geometry))
        {
            return Some("a block group's metadata is outside of the file system");
        }
        if self.free_blocks > geometry.blocks_per_group
            || self.free_inodes > geometry.inodes_per_group
            || self.unused_inodes > geometry.inodes_per_group
        {
            return Some("a block group has more free than it has in all");
        }
        None
    }
}

/// Returns the checksum of a descriptor in its form on the disk.
pub fn checksum(geometry: &Geometry, crc: &Crc32c, group: u32, data: &[u8]) -> Option<u16> {
    if geometry.has_checksums() {
        let sum = crc.update_u32(geometry.seed, group);
        let sum = crc.update(sum, part(data, 0, gd::CHECKSUM));
        let sum = crc.update(sum, &[0; 2]);
        return Some(crc.update(sum, data.get(gd::CHECKSUM + 2..).unwrap_or_default()) as u16);
    }
    geometry.has_descriptor_checksums().then(|| {
        let sum = crc16(crc16(!0, &geometry.uuid), &group.to_le_bytes());
        let sum = crc16(sum, part(data, 0, gd::CHECKSUM));
        crc16(sum, data.get(gd::CHECKSUM + 2..).unwrap_or_default())
    })
}

/// Reason for which descriptors can't be used.
pub enum Wrong {
    Disk(Error),
    Contents(&'static str),
}

/// Reads all descriptors; verifies them if `is_strict`.
pub fn read_all(
    cache: &mut Cache,
    geometry: &Geometry,
    crc: &Crc32c,
    is_strict: bool,
) -> core::result::Result<Vec<Group>, Wrong> {
    let mut groups = Vec::new();
    if groups.try_reserve_exact(geometry.groups as usize).is_err() {
        return Err(Wrong::Disk(Error::OutOfMemory));
    }
    let (superblock, _) = geometry.superblock();
    let mut at = (superblock + 1) * geometry.block as u64;
    let mut left = geometry.groups as usize * geometry.descriptor;
    let mut buf = vec![0; READ.min(left.next_multiple_of(geometry.block))];
    while left > 0 {
        let count = left.min(buf.len());
        let whole = count.next_multiple_of(geometry.block);
        let place = buf
            .get_mut(..whole)
            .ok_or(Wrong::Disk(Error::OutOfMemory))?;
        let sector = cache.sector_size() as u64;
        let read = cache.read_raw(at / sector, place);
        read.map_err(|error| Wrong::Disk(error.into()))?;
        for data in part(place, 0, count).chunks_exact(geometry.descriptor) {
            let number = groups.len() as u32;
            let found = Group::parse(data);
            let sum = checksum(geometry, crc, number, data);
            if is_strict && sum.is_some_and(|sum| sum != u16_at(data, gd::CHECKSUM)) {
                return Err(Wrong::Contents(
                    "the checksum of a block group's descriptor is wrong",
                ));
            }
            if let Some(wrong) = found.check(geometry).filter(|_| is_strict) {
                return Err(Wrong::Contents(wrong));
            }
            groups.push(found);
        }
        left -= count;
        at += count as u64;
    }
    Ok(groups)
}
