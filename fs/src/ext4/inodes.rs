//! Inode tables: reading, writing, allocation and release of inodes.

use super::allocation::pad;
use super::bitmap::{fill, next_clear};
use super::fields::inode as field;
use super::filesystem::{Fs, Result};
use super::groups::INODES_UNUSED;
use super::inode::{self, DIRECTORY, Inode};
use super::metadata_cache::BlockKind;
use super::superblock::incompatible;
use crate::Error;
use crate::bytes::{part, u16_at, u32_at};
use crate::memory_pressure::is_memory_short;

/// Inode of the root directory.
pub const ROOT: u32 = 2;

/// Location of an inode.
struct InodeLocation {
    block: u64,
    /// Index of the inode in the block, and its offset there in bytes.
    slot: u32,
    at: usize,
    kind: BlockKind,
}

/// State that an inode must have when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    Any,
    /// In use.
    Listed,
    /// In use, and of a kind whose contents this driver supports.
    Named,
}

impl Fs {
    fn place_of_inode(&mut self, number: u32) -> Result<InodeLocation> {
        let Some(index) = number
            .checked_sub(1)
            .filter(|_| number <= self.geometry.inodes)
        else {
            return Err(self.damage("an inode that there isn't", number.into()));
        };
        let per_group = self.geometry.inodes_per_group;
        let group = self.group(index / per_group)?;
        let size = self.geometry.inode_size;
        let per_block = (self.geometry.block / size) as u32;
        let inside = index % per_group;
        let slot = inside % per_block;
        Ok(InodeLocation {
            // Before the replay of the journal, nothing has checked the group.
            block: group
                .inode_table
                .saturating_add((inside / per_block).into()),
            slot,
            at: slot as usize * size,
            kind: BlockKind::Inodes(number - slot),
        })
    }

    /// Reads a block of a table together with its neighbours, which are often needed next. While
    /// memory is short, they would take the block's own place.
    pub fn load_inodes(&mut self, block: u64, first: u32) -> Result<()> {
        let (size, per_group) = (self.geometry.block, self.geometry.inodes_per_group);
        let per_block = (size / self.geometry.inode_size) as u32;
        let group = self.group(first.saturating_sub(1) / per_group)?;
        let table = u64::from(per_group.div_ceil(per_block));
        let at = block.saturating_sub(group.inode_table);
        let ahead = if is_memory_short() {
            1
        } else {
            self.run_blocks()
        };
        let start = at / ahead * ahead;
        let end = (start + ahead).min(table);
        let run = (group.inode_table + start, end.saturating_sub(start));
        self.load_run(run, &|place| {
            let before = (place.wrapping_sub(block) as u32).wrapping_mul(per_block);
            BlockKind::Inodes(first.wrapping_add(before))
        })
    }

    /// Returns the current state of an inode. Verifies its checksum when the inode is first read.
    pub fn inode(&mut self, number: u32) -> Result<Inode> {
        self.read_inode(number, Expected::Any)
    }

    fn read_inode(&mut self, number: u32, wanted: Expected) -> Result<Inode> {
        let place = self.place_of_inode(number)?;
        let size = self.geometry.inode_size;
        let block = self.geometry.block as u64;
        self.load(place.block, place.kind)?;
        let seed = self.geometry.has_checksums().then_some(self.geometry.seed);
        let entry = self.blocks.touch(place.block).ok_or(Error::Io)?;
        let record = part(&entry.data, place.at, place.at + size);
        let bit = 1 << place.slot;
        if entry.checked & bit == 0 {
            let extra = usize::from(u16_at(record, field::EXTRA_ISIZE));
            let is_sane = size <= inode::SHORT || extra % 4 == 0 && inode::SHORT + extra <= size;
            let is_right =
                seed.is_none_or(|seed| inode::is_sealed(&self.crc, seed, number, record));
            if !is_right || !is_sane {
                return Err(self.damage(
                    "the checksum or the size of an inode is wrong",
                    number.into(),
                ));
            }
            entry.checked |= bit;
        }
        let found = Inode::parse(number, block, record);
        if found.size > i64::MAX as u64 {
            return Err(self.damage("an inode with an impossible size", number.into()));
        }
        if wanted >= Expected::Listed {
            let is_special = number != ROOT && number < self.geometry.first_inode;
            if found.links == 0 || found.mode == 0 || is_special {
                return Err(self.damage("a name of an inode that is not in use", number.into()));
            }
        }
        if wanted == Expected::Named && found.flags & inode::UNSUPPORTED != 0 {
            return Err(Error::Unsupported);
        }
        Ok(found)
    }

    /// Returns an inode that a directory entry names.
    pub fn named_inode(&mut self, number: u32) -> Result<Inode> {
        self.read_inode(number, Expected::Named)
    }

    /// As [`named_inode`](Self::named_inode), but accepts unsupported contents.
    pub fn listed_inode(&mut self, number: u32) -> Result<Inode> {
        self.read_inode(number, Expected::Listed)
    }

    /// Writes an inode in the running operation.
    pub fn write_inode(&mut self, inode: &Inode) -> Result<()> {
        let place = self.place_of_inode(inode.number)?;
        let size = self.geometry.inode_size;
        let block = self.geometry.block as u64;
        self.load(place.block, place.kind)?;
        let entry = self.blocks.change(place.block)?.ok_or(Error::Io)?;
        entry.changed |= 1 << place.slot;
        if let Some(record) = entry.data.get_mut(place.at..place.at + size) {
            inode.write(block, record);
        }
        Ok(())
    }

    /// Allocates an inode near the directory `parent`, or for a directory in another group. Its
    /// record has only the fields that every inode has.
    pub fn new_inode(&mut self, parent: &Inode, mode: u16) -> Result<Inode> {
        if self.free_inodes == 0 {
            return Err(Error::NoSpace);
        }
        let is_directory = mode & 0xf000 == DIRECTORY;
        let near = parent.number.saturating_sub(1) / self.geometry.inodes_per_group;
        let first = if is_directory && parent.number == ROOT {
            self.emptiest_group(near)
        } else {
            near
        };
        for n in 0..self.geometry.groups {
            let number = (first + n) % self.geometry.groups;
            let group = self.group(number)?;
            if group.avoided || group.free_inodes == 0 {
                continue;
            }
            match self.take_inode(number, is_directory) {
                Ok(Some(bit)) => {
                    let number = number * self.geometry.inodes_per_group + bit + 1;
                    return self.begin_inode(number, mode);
                }
                Ok(None) => {}
                Err(Error::Corrupt) => {
                    self.avoid(number);
                    return Err(Error::Corrupt);
                }
                Err(error) => return Err(error),
            }
        }
        if self.groups.iter().any(|group| group.avoided) {
            return Err(Error::NoSpace);
        }
        Err(self.damage(
            "fewer inodes are free than the superblock says",
            self.free_inodes.into(),
        ))
    }

    /// Returns the group for a directory in the root: the one with the fewest directories among
    /// those with the most room, so that their files have room next to them.
    fn emptiest_group(&self, near: u32) -> u32 {
        let groups = (0u32..).zip(&self.groups);
        let best = groups
            .filter(|(_, group)| !group.avoided && group.free_inodes > 0 && group.free_blocks > 0)
            .min_by_key(|(_, group)| (group.directories, u32::MAX - group.free_blocks));
        best.map_or(near, |(number, _)| number)
    }

    /// Allocates the first free inode of a group.
    fn take_inode(&mut self, number: u32, is_directory: bool) -> Result<Option<u32>> {
        let per_group = self.geometry.inodes_per_group;
        let tracked = self.geometry.has_descriptor_checksums();
        let group = self.group(number)?;
        let kind = BlockKind::InodeBitmap(number);
        if tracked && group.flags & INODES_UNUSED != 0 {
            pad(
                self.block_new(group.inode_bitmap, kind)?,
                per_group as usize,
            );
            self.group_mut(number)?.flags &= !INODES_UNUSED;
            self.initialise_blocks(number)?;
        }
        // The reserved inodes of the first group are either in use or not for files.
        let reserved = if number == 0 {
            self.geometry.first_inode - 1
        } else {
            0
        };
        let from = group.first_free_inode.max(reserved);
        let bitmap = self.block(group.inode_bitmap, kind)?;
        let bit = next_clear(bitmap, from as usize, per_group as usize) as u32;
        if bit >= per_group {
            return Ok(None);
        }
        fill(
            self.block_mut(group.inode_bitmap, kind)?,
            bit as usize,
            1,
            true,
        );
        let group = self.group_mut(number)?;
        group.first_free_inode = bit + 1;
        group.free_inodes -= 1;
        group.directories += u32::from(is_directory);
        let (table, unused) = (group.inode_table, group.unused_inodes);
        if tracked && bit >= per_group.saturating_sub(unused) {
            group.unused_inodes = per_group - bit - 1;
            // The table there was never written.
            let per_block = (self.geometry.block / self.geometry.inode_size) as u32;
            if bit.is_multiple_of(per_block) {
                let first = number * per_group + bit + 1;
                let block = table + u64::from(bit / per_block);
                self.block_new(block, BlockKind::Inodes(first))?;
            }
        }
        self.free_inodes = self.free_inodes.saturating_sub(1);
        Ok(Some(bit))
    }

    fn begin_inode(&mut self, number: u32, mode: u16) -> Result<Inode> {
        let place = self.place_of_inode(number)?;
        let (size, extra) = (self.geometry.inode_size, self.geometry.extra_size);
        let now = self.now();
        self.load(place.block, place.kind)?;
        let block = self.geometry.block as u64;
        let entry = self.blocks.change(place.block)?.ok_or(Error::Io)?;
        entry.changed |= 1 << place.slot;
        entry.checked |= 1 << place.slot;
        let Some(record) = entry.data.get_mut(place.at..place.at + size) else {
            return Err(Error::Io);
        };
        inode::initialise(record, extra, now);
        let mut new = Inode::parse(number, block, record);
        // xorshift64*: no two uses of an inode have the same generation.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        new.generation = (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32;
        new.mode = mode;
        new.links = 1;
        (new.accessed, new.changed, new.modified) = (now, now, now);
        if self.geometry.has_extents() {
            new.flags = inode::EXTENTS;
            new.begin_extents();
        }
        Ok(new)
    }

    /// Frees an inode that has no blocks any more.
    pub fn release_inode(&mut self, inode: &Inode) -> Result<()> {
        self.last_root = None;
        if inode.attributes != 0 {
            self.release_attributes(inode.attributes)?;
        }
        let index = inode.number.saturating_sub(1);
        let per_group = self.geometry.inodes_per_group;
        let (number, bit) = (index / per_group, index % per_group);
        let group = self.group(number)?;
        let bitmap = self.block_mut(group.inode_bitmap, BlockKind::InodeBitmap(number))?;
        if next_clear(bitmap, bit as usize, bit as usize + 1) == bit as usize {
            return Err(self.damage("an inode given back that is free", inode.number.into()));
        }
        fill(bitmap, bit as usize, 1, false);
        let is_directory = inode.is_directory();
        let group = self.group_mut(number)?;
        group.free_inodes += 1;
        group.first_free_inode = group.first_free_inode.min(bit);
        group.directories = group.directories.saturating_sub(is_directory.into());
        self.free_inodes = self.free_inodes.saturating_add(1);
        let place = self.place_of_inode(inode.number)?;
        let size = self.geometry.inode_size;
        self.load(place.block, place.kind)?;
        let entry = self.blocks.change(place.block)?.ok_or(Error::Io)?;
        entry.changed |= 1 << place.slot;
        if let Some(record) = entry.data.get_mut(place.at..place.at + size) {
            record.fill(0);
        }
        Ok(())
    }

    /// Drops a reference to a block of extended attributes, and frees the block after the last
    /// (kernel documentation, "Extended Attributes").
    fn release_attributes(&mut self, block: u64) -> Result<()> {
        let data = self.block_mut(block, BlockKind::Attributes)?;
        let users = u32_at(data, 4);
        if users > 1 {
            crate::bytes::put_u32(data, 4, users - 1);
            return Ok(());
        }
        self.forget(block);
        self.release_blocks(block, 1)
    }

    /// Whether directory entries store file types.
    pub fn has_types(&self) -> bool {
        self.geometry.incompatible & incompatible::FILETYPE != 0
    }
}
