//! Directories (kernel documentation, "Directory Entries"): the records in a block, and finding,
//! adding and removing one in a directory, indexed or not.

use super::bytes::{part, put, put_u16, put_u32, u16_at, u32_at};
use super::filesystem::{Fs, Result};
use super::htree::Probe;
use super::inode::{INDEXED, Inode};
use super::metadata_cache::BlockKind;
use super::superblock::compatible;
use crate::Error;

/// Bytes of a record before the name.
pub const HEADER: usize = 8;

/// Bytes at the end of a block that hold its checksum, dressed up as a record that is not in use.
pub const TAIL: usize = 12;

/// Bytes in a name at most.
pub const MAX_NAME: usize = 255;

/// Bytes in a directory at most: without `large_dir` Linux has no larger ones.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Bytes that a record of a name takes.
pub fn record_len(name: usize) -> usize {
    (HEADER + name).next_multiple_of(4)
}

/// A record in a block.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub at: usize,
    pub len: usize,
    /// 0 if it is not in use.
    pub inode: u32,
    /// The type of what it names, if the file system has them.
    pub kind: u8,
    pub name: &'a [u8],
}

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub inode: u32,
    /// As in [`Record`].
    pub kind: u8,
    /// The block on the disk, the record's place in it, and that of the record before.
    pub block: u64,
    pub at: usize,
    before: Option<usize>,
}

/// What a name leads to in a directory.
#[derive(Debug, Clone, Copy)]
pub enum Looked {
    Entry(Found),
    /// Nothing, and in an indexed directory the way to where it would be.
    Nothing(Option<Probe>),
}

/// Whether a block ends in a record for the checksum.
pub fn has_tail(data: &[u8]) -> bool {
    let at = data.len() - TAIL;
    u32_at(data, at) == 0 && u16_at(data, at + 4) == TAIL as u16 && u16_at(data, at + 6) == 0xde00
}

fn record(data: &[u8], at: usize) -> Record<'_> {
    let name = usize::from(data.get(at + 6).copied().unwrap_or(0));
    Record {
        at,
        len: u16_at(data, at + 4).into(),
        inode: u32_at(data, at),
        kind: data.get(at + 7).copied().unwrap_or(0),
        name: part(data, at + HEADER, at + HEADER + name),
    }
}

/// The records of a block that is sound.
pub fn records(data: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        if at + HEADER > data.len() {
            return None;
        }
        let found = record(data, at);
        at += found.len.max(HEADER);
        Some(found)
    })
}

/// Whether the records of a block fill it, and say nothing impossible.
pub fn is_sound(data: &[u8], inodes: u32) -> bool {
    let mut at = 0;
    while at < data.len() {
        let found = record(data, at);
        let name = usize::from(data.get(at + 6).copied().unwrap_or(0));
        let is_whole = found.len >= record_len(name) && found.len.is_multiple_of(4);
        let is_named = found.inode == 0 || name > 0;
        if !is_whole || found.len < TAIL || !is_named || found.inode > inodes {
            return false;
        }
        at += found.len;
    }
    at == data.len()
}

/// Makes a block without entries.
pub fn begin(data: &mut [u8], with_tail: bool) {
    let end = data.len() - if with_tail { TAIL } else { 0 };
    put_u16(data, 4, end as u16);
    if with_tail {
        put_u16(data, end + 4, TAIL as u16);
        put_u16(data, end + 6, 0xde00);
    }
}

/// Writes a record.
pub fn put_record(data: &mut [u8], at: usize, len: usize, name: &[u8], (inode, kind): (u32, u8)) {
    put_u32(data, at, inode);
    put_u16(data, at + 4, len as u16);
    put(data, at + 6, &[name.len() as u8, kind]);
    put(data, at + HEADER, name);
}

/// Room for an entry in a block: a record that is longer than what of it is in use.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    at: usize,
    len: usize,
    used: usize,
}

/// Where a block has room for a name.
pub fn room(data: &[u8], name: usize) -> Option<Room> {
    let needed = record_len(name);
    let end = data.len() - if has_tail(data) { TAIL } else { 0 };
    let mut rest = data.get(..end)?;
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let len = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let is_used = header[0] | header[1] | header[2] | header[3] != 0;
        let used = if is_used {
            record_len(header[6].into())
        } else {
            0
        };
        if len >= used + needed {
            let at = end - rest.len();
            return Some(Room { at, len, used });
        }
        rest = rest.get(len.max(HEADER)..)?;
    }
    None
}

/// Adds an entry where there is room; gives the room behind it.
pub fn insert(data: &mut [u8], room: Room, name: &[u8], entry: (u32, u8)) -> Result<Room> {
    let Room { at, len, used } = room;
    let new = record_len(name.len());
    if len < used + new {
        return Err(Error::NoSpace);
    }
    if used > 0 {
        put_u16(data, at + 4, used as u16);
    }
    put_record(data, at + used, len - used, name, entry);
    Ok(Room {
        at: at + used,
        len: len - used,
        used: new,
    })
}

/// Removes the entry at a place: the record before it in the block, if there is one, gets its room.
fn remove(data: &mut [u8], at: usize, before: Option<usize>) {
    if let Some(before) = before {
        let len = u16_at(data, before + 4) + u16_at(data, at + 4);
        put_u16(data, before + 4, len);
    }
    put_u32(data, at, 0);
}

/// The entry of that name in a block that is sound, which is `block` of the disk.
fn find(data: &[u8], name: &[u8], block: u64) -> Option<Found> {
    let (mut rest, mut before) = (data, None);
    // The lengths and the last letters tell most names apart, for less than a comparison.
    let (len, last) = (name.len(), name.last()?);
    while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
        let inode = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let at = data.len() - rest.len();
        if usize::from(header[6]) == len
            && inode != 0
            && after.get(len - 1) == Some(last)
            && after.get(..len) == Some(name)
        {
            return Some(Found {
                inode,
                kind: header[7],
                block,
                at,
                before,
            });
        }
        let record = usize::from(u16::from_le_bytes([header[4], header[5]]));
        rest = rest.get(record.max(HEADER)..)?;
        before = Some(at);
    }
    None
}

impl Fs {
    /// Blocks of a directory.
    pub fn directory_blocks(&self, directory: &Inode) -> u64 {
        let blocks = directory.size / self.geometry.block as u64;
        blocks
            .min(MAX_BYTES / self.geometry.block as u64)
            .min(self.geometry.blocks)
    }

    fn find_in(&mut self, directory: &Inode, block: u64, name: &[u8]) -> Result<Option<Found>> {
        let physical = self.directory_block(directory, block)?;
        let data = self.block(physical, BlockKind::Leaf(directory.owner()))?;
        Ok(find(data, name, physical))
    }

    /// What a name leads to; not for `.` and `..`.
    pub fn lookup(&mut self, directory: &Inode, name: &[u8]) -> Result<Looked> {
        if directory.flags & INDEXED != 0 {
            let Some(first) = self.probe(directory, name)? else {
                return Ok(Looked::Nothing(None));
            };
            let mut at = first;
            loop {
                if let Some(found) = self.find_in(directory, at.leaf().into(), name)? {
                    return Ok(Looked::Entry(found));
                }
                // Names with the same hash may go on in the next block.
                if !self.advance(directory, &mut at, Some(first.hash.0))? {
                    return Ok(Looked::Nothing(Some(first)));
                }
            }
        }
        for block in 0..self.directory_blocks(directory) {
            if let Some(found) = self.find_in(directory, block, name)? {
                return Ok(Looked::Entry(found));
            }
        }
        Ok(Looked::Nothing(None))
    }

    fn entry_of(&self, inode: &Inode) -> (u32, u8) {
        let kind = if self.has_types() {
            inode.entry_type()
        } else {
            0
        };
        (inode.number, kind)
    }

    /// Adds an entry, which isn't there yet: where it would be may be known. The directory's inode
    /// changes, and is to be written by [`touch_directory`](Self::touch_directory).
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

    /// Notes that a directory has changed, and writes its inode.
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

    /// Adds an entry to a block of a directory, if that has room: otherwise it isn't changed.
    pub fn insert_in(
        &mut self,
        directory: &Inode,
        block: u64,
        name: &[u8],
        entry: (u32, u8),
    ) -> Result<bool> {
        let kind = BlockKind::Leaf(directory.owner());
        let Some(room) = room(self.block(block, kind)?, name.len()) else {
            return Ok(false);
        };
        insert(self.block_mut(block, kind)?, room, name, entry)?;
        Ok(true)
    }

    /// Adds a block without entries at the end of a directory: where it is on the disk, and its
    /// number in the directory.
    pub fn add_leaf(&mut self, directory: &mut Inode) -> Result<(u64, u64)> {
        let (physical, number) = self.add_directory_block(directory)?;
        let with_tail = self.geometry.has_checksums();
        let data = self.block_new(physical, BlockKind::Leaf(directory.owner()))?;
        begin(data, with_tail);
        Ok((physical, number))
    }

    /// Adds a block at the end of a directory, whose contents are to come.
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

    /// Removes an entry that was found: no other one in the directory moves.
    pub fn remove_entry(&mut self, directory: &Inode, found: &Found) -> Result<()> {
        let data = self.block_mut(found.block, BlockKind::Leaf(directory.owner()))?;
        remove(data, found.at, found.before);
        Ok(())
    }

    /// Has an entry that was found lead to another inode.
    pub fn set_entry(&mut self, directory: &Inode, found: &Found, inode: &Inode) -> Result<()> {
        let (number, kind) = self.entry_of(inode);
        let data = self.block_mut(found.block, BlockKind::Leaf(directory.owner()))?;
        put_u32(data, found.at, number);
        put(data, found.at + 7, &[kind]);
        Ok(())
    }

    /// The block that `.` and `..` are in: the first, which is the root of an index if there is
    /// one.
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

    /// Has `..` lead to another directory.
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

    /// Makes the first block of a new directory.
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
            let mut used = records(data).filter(|record| record.inode != 0);
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
            let physical = self.directory_block(directory, at.leaf().into())?;
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
