//! Lookup, insertion and removal of directory entries, with and without an index.

use super::filesystem::{Fs, Result};
use super::htree::Probe;
use super::inode::{INDEXED, Inode};
use super::metadata_cache::BlockKind;
use super::records::{self, Found, TAIL, put_record};
use super::superblock::compatible;
use crate::Error;
use crate::bytes::{part, put, put_u32, u16_at};

/// Maximum size of a directory in bytes: Linux allows no more without `large_dir`.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Result of a lookup in a directory.
#[derive(Debug, Clone, Copy)]
pub enum Lookup {
    Entry(Found),
    /// No entry; for an indexed directory, the path to its leaf.
    Nothing(Option<Probe>),
}

impl Fs {
    /// Number of blocks of a directory.
    pub fn directory_blocks(&self, directory: &Inode) -> u64 {
        let blocks = directory.size / self.geometry.block as u64;
        blocks
            .min(MAX_BYTES / self.geometry.block as u64)
            .min(self.geometry.blocks)
    }

    fn find_in(&mut self, directory: &Inode, physical: u64, name: &[u8]) -> Result<Option<Found>> {
        let data = self.block(physical, BlockKind::Leaf(directory.owner()))?;
        Ok(records::find(data, name, physical))
    }

    /// Looks a name up; not for `.` and `..`.
    pub fn lookup(&mut self, directory: &Inode, name: &[u8]) -> Result<Lookup> {
        if directory.flags & INDEXED != 0 {
            let Some(mut first) = self.probe(directory, name)? else {
                return Ok(Lookup::Nothing(None));
            };
            self.leaf_block(directory, &mut first)?;
            let mut at = first;
            loop {
                let block = self.leaf_block(directory, &mut at)?;
                if let Some(found) = self.find_in(directory, block, name)? {
                    return Ok(Lookup::Entry(found));
                }
                // Names with the same hash may continue in the next block.
                if !self.advance(directory, &mut at, Some(first.hash.0))? {
                    return Ok(Lookup::Nothing(Some(first)));
                }
            }
        }
        for block in 0..self.directory_blocks(directory) {
            let block = self.directory_block(directory, block)?;
            if let Some(found) = self.find_in(directory, block, name)? {
                return Ok(Lookup::Entry(found));
            }
        }
        Ok(Lookup::Nothing(None))
    }

    fn entry_of(&self, inode: &Inode) -> (u32, u8) {
        let kind = if self.has_types() {
            inode.entry_type()
        } else {
            0
        };
        (inode.number, kind)
    }

    /// Adds an entry for a missing name, whose place may be known. Changes the directory's inode,
    /// which the caller writes with [`touch_directory`](Self::touch_directory).
    pub fn add_entry(
        &mut self,
        directory: &mut Inode,
        (name, probe): (&[u8], Option<Probe>),
        inode: &Inode,
    ) -> Result<()> {
        let entry = self.entry_of(inode);
        let blocks = self.directory_blocks(directory);
        let can_index = self.geometry.compatible & compatible::DIR_INDEX != 0;
        if directory.flags & INDEXED != 0 {
            self.add_indexed(directory, (name, probe), entry)?;
        } else if !self.add_linear(directory, name, entry)? {
            if blocks == 1 && can_index && self.make_index(directory)? {
                self.add_indexed(directory, (name, None), entry)?;
            } else {
                let (physical, _) = self.add_leaf(directory)?;
                if !self.insert_in(directory, physical, name, entry)? {
                    return Err(Error::NoSpace);
                }
            }
        }
        Ok(())
    }

    /// Updates the directory's times and version, and writes its inode.
    pub fn touch_directory(&mut self, directory: &mut Inode) -> Result<()> {
        let now = self.now();
        (directory.modified, directory.changed) = (now, now);
        self.write_inode(directory)
    }

    fn add_linear(&mut self, directory: &Inode, name: &[u8], entry: (u32, u8)) -> Result<bool> {
        for block in 0..self.directory_blocks(directory) {
            let physical = self.directory_block(directory, block)?;
            if self.insert_in(directory, physical, name, entry)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds an entry to a block of a directory; leaves the block unchanged if it has no room.
    pub fn insert_in(
        &mut self,
        directory: &Inode,
        block: u64,
        name: &[u8],
        entry: (u32, u8),
    ) -> Result<bool> {
        let kind = BlockKind::Leaf(directory.owner());
        let Some(room) = records::room(self.block(block, kind)?, name.len()) else {
            return Ok(false);
        };
        records::insert(self.block_mut(block, kind)?, room, name, entry)?;
        Ok(true)
    }

    /// Appends a block without entries to a directory; returns its number on the disk and in the
    /// directory.
    pub fn add_leaf(&mut self, directory: &mut Inode) -> Result<(u64, u64)> {
        let (physical, number) = self.add_directory_block(directory)?;
        let with_tail = self.geometry.has_checksums();
        let data = self.block_new(physical, BlockKind::Leaf(directory.owner()))?;
        records::begin(data, with_tail);
        Ok((physical, number))
    }

    /// Appends a block to a directory; the caller fills it.
    pub fn add_directory_block(&mut self, directory: &mut Inode) -> Result<(u64, u64)> {
        let number = self.directory_blocks(directory);
        let block = self.geometry.block as u64;
        if (number + 1) * block > MAX_BYTES {
            return Err(Error::NoSpace);
        }
        let goal = match number.checked_sub(1) {
            Some(last) => self.directory_block(directory, last)? + 1,
            None => self.goal_of(directory),
        };
        let (physical, _) = self.take_blocks(directory.number, goal, 1)?;
        self.attach(directory, number, (physical, 1), false)?;
        directory.size += block;
        Ok((physical, number))
    }

    /// Removes an entry; no other entry of the directory moves.
    pub fn remove_entry(&mut self, directory: &Inode, found: &Found) -> Result<()> {
        let data = self.block_mut(found.block, BlockKind::Leaf(directory.owner()))?;
        records::remove(data, found.at, found.before);
        Ok(())
    }

    /// Changes the inode of an existing entry.
    pub fn set_entry(&mut self, directory: &Inode, found: &Found, inode: &Inode) -> Result<()> {
        let (number, kind) = self.entry_of(inode);
        let data = self.block_mut(found.block, BlockKind::Leaf(directory.owner()))?;
        put_u32(data, found.at, number);
        put(data, found.at + 7, &[kind]);
        Ok(())
    }

    /// Returns the block that holds `.` and `..`: the first, which is also the root of an index.
    fn first_block(&mut self, directory: &Inode) -> Result<(u64, BlockKind)> {
        let physical = self.directory_block(directory, 0)?;
        let kind = if directory.flags & INDEXED != 0 {
            BlockKind::Index(directory.owner())
        } else {
            BlockKind::Leaf(directory.owner())
        };
        self.load(physical, kind)?;
        Ok((physical, kind))
    }

    /// Sets the inode of `..`.
    pub fn set_parent(&mut self, directory: &Inode, parent: u32) -> Result<()> {
        let (physical, kind) = self.first_block(directory)?;
        let data = self.block_mut(physical, kind)?;
        let second = usize::from(u16_at(data, 4));
        if part(data, second + 6, second + 7) != [2] || part(data, second + 8, second + 10) != b".."
        {
            return Err(self.damage(
                "a directory without an entry for the one above it",
                physical,
            ));
        }
        put_u32(data, second, parent);
        Ok(())
    }

    /// Creates the first block of a new directory.
    pub fn begin_directory(&mut self, directory: &mut Inode, parent: u32) -> Result<()> {
        let kind = if self.has_types() { 2 } else { 0 };
        let (physical, _) = self.add_leaf(directory)?;
        let number = directory.number;
        let data = self.block_mut(physical, BlockKind::Leaf(directory.owner()))?;
        let rest = usize::from(u16_at(data, 4)) - TAIL;
        put_record(data, 0, TAIL, b".", (number, kind));
        put_record(data, TAIL, rest, b"..", (parent, kind));
        Ok(())
    }

    /// Whether a directory has no entries but `.` and `..`.
    pub fn is_empty(&mut self, directory: &Inode) -> Result<bool> {
        let kind = BlockKind::Leaf(directory.owner());
        let has_entries = |data: &[u8]| {
            let mut used = records::all(data).filter(|record| record.inode != 0);
            used.any(|record| record.name != b"." && record.name != b"..")
        };
        if directory.flags & INDEXED == 0 {
            for block in 0..self.directory_blocks(directory) {
                let physical = self.directory_block(directory, block)?;
                if has_entries(self.block(physical, kind)?) {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let mut at = self.probe_hash(directory, (0, 0))?;
        for _ in 0..self.directory_blocks(directory) {
            let physical = self.leaf_block(directory, &mut at)?;
            if has_entries(self.block(physical, kind)?) {
                return Ok(false);
            }
            if !self.advance(directory, &mut at, None)? {
                return Ok(true);
            }
        }
        Err(self.damage(
            "a directory's index that leads in circles",
            directory.number.into(),
        ))
    }
}
