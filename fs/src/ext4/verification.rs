//! Verification of metadata blocks when they are read, and their checksums when they are written
//! (kernel documentation, "Checksums").

use super::extents;
use super::fields::superblock as sb;
use super::filesystem::{Fs, Result};
use super::htree;
use super::inode;
use super::metadata_cache::{BlockKind, Owner};
use super::records::{self, TAIL};
use super::superblock::{self, LENGTH};
use crate::bytes::{part, put_u32, u16_at, u32_at};

/// Magic numbers of a block of extended attributes, and of a block of the orphan file.
const ATTRIBUTES_MAGIC: u32 = 0xea02_0000;
const ORPHANS_MAGIC: u32 = 0x0b10_ca04;

/// Offset of the tail of an index block, after the last possible entry.
fn index_tail(data: &[u8]) -> Option<(usize, usize)> {
    let start = htree::entries_at(data);
    let limit = usize::from(u16_at(data, start));
    let count = usize::from(u16_at(data, start + 2));
    let tail = start + limit * 8;
    (count <= limit && tail + 8 <= data.len()).then_some((start + count * 8, tail))
}

impl Fs {
    fn owner_seed(&self, owner: Owner) -> u32 {
        let seed = self.crc.update_u32(self.geometry.seed, owner.inode);
        self.crc.update_u32(seed, owner.generation)
    }

    /// Returns the offset of a block's checksum, and its expected value.
    fn checksum(&self, block: u64, kind: BlockKind, data: &[u8]) -> Option<(usize, u32)> {
        let crc = &self.crc;
        let len = data.len();
        match kind {
            BlockKind::Super => {
                let (_, at) = self.geometry.superblock();
                let body = part(data, at, at + sb::CHECKSUM);
                Some((at + sb::CHECKSUM, crc.update(!0, body)))
            }
            BlockKind::Leaf(owner) => {
                let body = part(data, 0, len - TAIL);
                Some((len - 4, crc.update(self.owner_seed(owner), body)))
            }
            BlockKind::Index(owner) => {
                let (end, tail) = index_tail(data)?;
                let sum = crc.update(self.owner_seed(owner), part(data, 0, end));
                let sum = crc.update(sum, part(data, tail, tail + 4));
                Some((tail + 4, crc.update(sum, &[0; 4])))
            }
            BlockKind::Extents(owner) => {
                let at = extents::checksum_at(data);
                let sum = crc.update(self.owner_seed(owner), part(data, 0, at));
                (at + 4 <= len).then_some((at, sum))
            }
            BlockKind::Attributes => {
                let sum = crc.update(self.geometry.seed, &block.to_le_bytes());
                let sum = crc.update(sum, part(data, 0, 0x10));
                let sum = crc.update(sum, &[0; 4]);
                Some((0x10, crc.update(sum, part(data, 0x14, len))))
            }
            BlockKind::Orphans(owner) => {
                let sum = crc.update(self.owner_seed(owner), &block.to_le_bytes());
                Some((len - 4, crc.update(sum, part(data, 0, len - 8))))
            }
            _ => None,
        }
    }

    /// Returns the checksum of a bitmap, which the group descriptor stores.
    pub fn bitmap_checksum(&self, kind: BlockKind, data: &[u8]) -> u32 {
        let count = match kind {
            BlockKind::InodeBitmap(_) => self.geometry.inodes_per_group,
            _ => self.geometry.blocks_per_group,
        };
        let body = part(data, 0, count as usize / 8);
        let sum = self.crc.update(self.geometry.seed, body);
        if self.geometry.descriptor >= 64 {
            sum
        } else {
            sum & 0xffff
        }
    }

    /// Returns the defect of a block that was read, if there is one.
    pub fn check(
        &self,
        block: u64,
        kind: BlockKind,
        data: &[u8],
    ) -> core::result::Result<(), &'static str> {
        let checksums = self.geometry.has_checksums();
        let len = data.len();
        match kind {
            BlockKind::BlockBitmap(group) | BlockKind::InodeBitmap(group) => {
                let group = self.groups.get(group as usize);
                let group = group.ok_or("a block group that there isn't")?;
                let known = if matches!(kind, BlockKind::BlockBitmap(_)) {
                    group.block_bitmap_checksum
                } else {
                    group.inode_bitmap_checksum
                };
                if checksums && known != self.bitmap_checksum(kind, data) {
                    return Err("the checksum of a bitmap is wrong");
                }
                return Ok(());
            }
            BlockKind::Leaf(_) => {
                if checksums && !records::has_tail(data) {
                    return Err("a directory's block has no checksum");
                }
                if !records::is_valid(data, self.geometry.inodes) {
                    return Err("a directory's entries contradict each other");
                }
            }
            BlockKind::Index(_) if !htree::is_valid(data, checksums) => {
                return Err("a directory's index contradicts itself");
            }
            BlockKind::Extents(_) if !extents::is_valid(data) => {
                return Err("a tree of extents contradicts itself");
            }
            BlockKind::Attributes if u32_at(data, 0) != ATTRIBUTES_MAGIC => {
                return Err("extended attributes without their mark");
            }
            BlockKind::Orphans(_) if u32_at(data, len - 8) != ORPHANS_MAGIC => {
                return Err("an orphan file without its mark");
            }
            _ => {}
        }
        if !checksums {
            return Ok(());
        }
        match self.checksum(block, kind, data) {
            Some((at, sum)) if u32_at(data, at) != sum => Err("the checksum of a block is wrong"),
            _ => Ok(()),
        }
    }

    /// Stores the checksums of a block of the transaction. Bitmaps come before descriptors, which
    /// store their checksums.
    pub fn seal(&mut self, block: u64) -> Result<()> {
        let Some(entry) = self.blocks.get(block) else {
            return Ok(());
        };
        let kind = entry.kind;
        if !self.geometry.has_checksums() {
            return Ok(());
        }
        match kind {
            BlockKind::BlockBitmap(group) => {
                let sum = self.bitmap_checksum(kind, &entry.data);
                self.group_mut(group)?.block_bitmap_checksum = sum;
            }
            BlockKind::InodeBitmap(group) => {
                let sum = self.bitmap_checksum(kind, &entry.data);
                self.group_mut(group)?.inode_bitmap_checksum = sum;
            }
            BlockKind::Inodes(first) => {
                let (crc, geometry) = (&self.crc, &self.geometry);
                let Some(entry) = self.blocks.touch(block) else {
                    return Ok(());
                };
                let changed = core::mem::take(&mut entry.changed);
                let inodes = entry.data.chunks_exact_mut(geometry.inode_size);
                for (slot, record) in (0u32..).zip(inodes) {
                    if changed >> slot & 1 != 0 {
                        inode::seal(crc, geometry.seed, first.wrapping_add(slot), record);
                    }
                }
            }
            BlockKind::Super => {
                let (_, at) = self.geometry.superblock();
                if let Some(entry) = self.blocks.touch(block)
                    && let Some(superblock) = entry.data.get_mut(at..at + LENGTH)
                {
                    superblock::seal(superblock, &self.crc);
                }
            }
            _ => {
                if let Some((at, sum)) = self.checksum(block, kind, &entry.data)
                    && let Some(entry) = self.blocks.touch(block)
                {
                    put_u32(&mut entry.data, at, sum);
                }
            }
        }
        Ok(())
    }
}
