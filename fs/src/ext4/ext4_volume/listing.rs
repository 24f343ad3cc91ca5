//! Directory listings with cursors that survive changes.
//!
//! The listing of an indexed directory follows its hashes, that of an unindexed one with several
//! blocks its records; neither moves an entry past a cursor. A directory of one block gets an index
//! when it grows, which moves all entries, so a listing stores its names at the start.

use alloc::string::String;
use alloc::vec::Vec;

use super::Ext4Volume;
use crate::ext4::directory::Lookup;
use crate::ext4::filesystem::{Fs, Result};
use crate::ext4::hash::Hash;
use crate::ext4::inode::{INDEXED, Inode};
use crate::ext4::metadata_cache::BlockKind;
use crate::ext4::records;
use crate::memory_pressure::is_memory_short;
use crate::path::is_name;
use crate::{Cursor, DirEntry, Error, FileId, Kind as FileKind};

/// Approximate number of entries per call of `list`.
const STEP: usize = 256;

/// Approximate number of entries that one call holds in memory: those with the same hash may be in
/// any number of blocks, in no order.
const MAX_ENTRIES: usize = 1024;

/// Marks a cursor of an indexed directory: 31 bits of the hash, then 32 of its second half.
const HASHED: u64 = 1 << 63;

/// Marks a cursor into the stored names.
const NOTED: u64 = 1 << 62;

/// Cursor before a name, the name, and the inode and type of its record.
type Listed = (Cursor, Vec<u8>, (u32, u8));

/// Position of a listing: after this name, among the entries with this cursor.
type Position = (Cursor, Vec<u8>);

/// Progress of the listing of an open directory.
#[derive(Debug)]
pub(in crate::ext4) enum Listing {
    /// Names of a directory of one block.
    Noted(Vec<Vec<u8>>),
    /// Position in a directory; different names may share a hash, and so a cursor.
    At(Position),
}

fn encode((major, minor): Hash) -> Cursor {
    HASHED | u64::from(major >> 1) << 32 | u64::from(minor)
}

/// Whether an entry comes after a position.
fn is_after((cursor, last): &Position, at: Cursor, name: &[u8]) -> bool {
    at > *cursor || at == *cursor && name > &last[..]
}

fn decode(cursor: Cursor) -> Hash {
    let bits = cursor & !HASHED;
    (((bits >> 32) as u32) << 1, bits as u32)
}

impl Fs {
    /// Loads a block of a directory together with those of its neighbours in the directory that are
    /// contiguous on the disk: a listing visits all of them, if not in order.
    fn load_neighbours(&mut self, directory: &Inode, block: u64) -> Result<u64> {
        let physical = self.directory_block(directory, block)?;
        if self.blocks.get(physical).is_none() && !is_memory_short() {
            let first = block - block % self.run_blocks();
            let most = self.directory_blocks(directory).saturating_sub(first);
            let piece = self.piece(directory, first, self.run_blocks())?;
            let len = piece.len.min(most);
            let is_inside = first + len > block && piece.physical + (block - first) == physical;
            if is_inside && self.is_valid_data_range(piece.physical, len) {
                self.load_run((piece.physical, len), &|_| {
                    BlockKind::Leaf(directory.owner())
                })?;
            }
        }
        Ok(physical)
    }

    /// Returns the names in one block of a directory.
    fn names_in(&mut self, directory: &Inode, block: u64) -> Result<Vec<Listed>> {
        let physical = self.load_neighbours(directory, block)?;
        let start = block * self.geometry.block as u64 + 1;
        let data = self.block(physical, BlockKind::Leaf(directory.owner()))?;
        let used = records::all(data).filter(|record| record.inode != 0);
        let named = used.filter(|record| record.name != b"." && record.name != b"..");
        let listed = named.map(|record| {
            let at = start + record.at as u64;
            (at, record.name.to_vec(), (record.inode, record.kind))
        });
        let listed: Vec<Listed> = listed.collect();
        // Joined to a path, such a name would be a file elsewhere.
        if listed.iter().any(|(_, name, _)| !is_name(name)) {
            return Err(self.damage("a directory with a name that isn't one", physical));
        }
        Ok(listed)
    }

    /// Lists some entries of an indexed directory from a position on; returns the next position.
    fn list_indexed(
        &mut self,
        directory: &Inode,
        from: &Position,
    ) -> Result<(Vec<Listed>, Option<Position>)> {
        let (mut hash, mut listed) = (decode(from.0), Vec::new());
        let blocks = self.directory_blocks(directory).max(1);
        for _ in 0..blocks {
            let mut at = self.probe_hash(directory, hash)?;
            let (mut chain, mut is_cut) = (0, false);
            let next = loop {
                for (_, name, entry) in self.names_in(directory, at.leaf().into())? {
                    let known = at.hasher.hash(&name).ok_or(Error::InvalidName)?;
                    if is_after(from, encode(known), &name) {
                        listed.push((encode(known), name, entry));
                    }
                }
                if listed.len() > 2 * MAX_ENTRIES {
                    listed.sort_unstable();
                    listed.truncate(MAX_ENTRIES);
                    is_cut = true;
                }
                chain += 1;
                let next = self.next_hash(directory, &at)?;
                if next.is_none_or(|next| next & 1 == 0) {
                    break next;
                }
                // The last entries continue in the next block.
                if chain > blocks || !self.advance(directory, &mut at, None)? {
                    return Err(self.damage("a directory's index that leads in circles", chain));
                }
            };
            listed.sort_unstable();
            if is_cut {
                // Entries that were left out come after the last of these.
                listed.truncate(MAX_ENTRIES);
                let last = listed.last().map(|(at, name, _)| (*at, name.clone()));
                return Ok((listed, last));
            }
            match next {
                None => return Ok((listed, None)),
                Some(next) if next <= hash.0 => {
                    return Err(self.damage("a directory's index out of order", next.into()));
                }
                Some(next) => hash = (next, 0),
            }
            if listed.len() >= STEP {
                break;
            }
        }
        Ok((listed, Some((encode(hash), Vec::new()))))
    }

    /// As `list_indexed`, for a directory without an index.
    fn list_linear(
        &mut self,
        directory: &Inode,
        from: &Position,
    ) -> Result<(Vec<Listed>, Option<Position>)> {
        let block = self.geometry.block as u64;
        let mut number = from.0.saturating_sub(1) / block;
        let mut listed = Vec::new();
        while number < self.directory_blocks(directory) && listed.len() < STEP {
            let names = self.names_in(directory, number)?;
            let names = names.into_iter();
            listed.extend(names.filter(|(at, name, _)| is_after(from, *at, name)));
            number += 1;
        }
        let is_end = number >= self.directory_blocks(directory);
        let next = (number * block + 1, Vec::new());
        Ok((listed, (!is_end).then_some(next)))
    }
}

impl Ext4Volume {
    /// Passes one entry to `visit`. Takes its kind from the record where the file system stores
    /// types there, so that no inode is read.
    fn visit(
        &mut self,
        name: &[u8],
        (inode, kind): (u32, u8),
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<bool> {
        let kind = match kind {
            2 if self.fs.has_types() => FileKind::Directory,
            7 if self.fs.has_types() => FileKind::Symlink,
            1..7 if self.fs.has_types() => FileKind::File,
            _ => self.inspect(|fs| fs.listed_inode(inode))?.kind(),
        };
        let name = &String::from_utf8_lossy(name);
        Ok(visit(&DirEntry { name, kind }))
    }

    /// Lists a directory; see [`crate::Volume::list`].
    pub(in crate::ext4) fn list_directory(
        &mut self,
        file: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        let handle = self.handles.get(file)?;
        if !handle.is_directory() {
            return Err(Error::NotDirectory);
        }
        let number = handle.inode;
        let directory = self.inode(number)?;
        if from == 0 {
            self.handles.get_mut(file)?.listing = None;
            if self.fs.directory_blocks(&directory) == 1 {
                let names = self.inspect(|fs| fs.names_in(&directory, 0))?;
                let names = names.into_iter().map(|(_, name, _)| name).collect();
                self.handles.get_mut(file)?.listing = Some(Listing::Noted(names));
            }
        }
        let listing = self.handles.get(file)?.listing.as_ref();
        if from & (HASHED | NOTED) == NOTED || matches!((from, listing), (0, Some(_))) {
            return self.list_noted(file, &directory, from & !NOTED, visit);
        }
        let mut last = match listing {
            Some(Listing::At(position)) if position.0 == from => position.clone(),
            _ => (from, Vec::new()),
        };
        let is_indexed = directory.flags & INDEXED != 0;
        let (listed, next) = self.inspect(|fs| {
            if is_indexed {
                fs.list_indexed(&directory, &last)
            } else {
                last.0 &= !(HASHED | NOTED);
                fs.list_linear(&directory, &last)
            }
        })?;
        for (at, name, known) in listed {
            if !self.visit(&name, known, visit)? {
                if last.0 != at {
                    last = (at, Vec::new());
                }
                self.handles.get_mut(file)?.listing = Some(Listing::At(last));
                return Ok(Some(at));
            }
            last = (at, name);
        }
        let cursor = next.as_ref().map(|(cursor, _)| *cursor);
        self.handles.get_mut(file)?.listing = next.map(Listing::At);
        Ok(cursor)
    }

    fn list_noted(
        &mut self,
        file: FileId,
        directory: &Inode,
        from: u64,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        let Some(Listing::Noted(names)) = &self.handles.get(file)?.listing else {
            return Err(Error::Invalid);
        };
        let rest: Vec<Vec<u8>> = names.iter().skip(from as usize).cloned().collect();
        for (index, name) in rest.iter().enumerate() {
            // The entry may have been removed since its name was stored.
            let Lookup::Entry(found) = self.inspect(|fs| fs.lookup(directory, name))? else {
                continue;
            };
            if !self.visit(name, (found.inode, found.kind), visit)? {
                return Ok(Some(NOTED | (from + index as u64)));
            }
        }
        Ok(None)
    }
}
