//! Listing directories, with cursors that outlast changes.
//!
//! An indexed directory is listed in the order of its hashes, and a plain one of several blocks in
//! the order of its records; neither moves an entry past a cursor. A directory of one block becomes
//! an indexed one when it grows, which moves everything, so its names are noted when a listing
//! begins.

use alloc::string::String;
use alloc::vec::Vec;

use super::blocks::Kind;
use super::directory::records;
use super::filesystem::{Fs, Result};
use super::hash::Hash;
use super::inode::{INDEXED, Inode};
use super::volume::Ext4Volume;
use crate::{Cursor, DirEntry, Error, FileId};

/// Entries given by one call of `list`, about.
const STEP: usize = 256;

/// Blocks in which entries with the same hash may be.
const MAX_CHAIN: usize = 256;

/// Marks a cursor of an indexed directory: 31 bits of the hash, then 32 of its second half.
const HASHED: u64 = 1 << 63;

/// Marks a cursor into the names noted.
const NOTED: u64 = 1 << 62;

/// A name, and where the listing is before it.
type Listed = (Cursor, Vec<u8>, u32);

/// How far the listing of an open directory has come.
#[derive(Debug)]
pub(super) enum Listing {
    /// All names in a directory of one block.
    Noted(Vec<Vec<u8>>),
    /// How many of those that have the same cursor were given.
    At(Cursor, usize),
}

fn encode((major, minor): Hash) -> Cursor {
    HASHED | u64::from(major >> 1) << 32 | u64::from(minor)
}

fn decode(cursor: Cursor) -> Hash {
    let bits = cursor & !HASHED;
    (((bits >> 32) as u32) << 1, bits as u32)
}

impl Fs {
    /// The names in one block of a directory.
    fn names_in(&mut self, directory: &Inode, block: u64) -> Result<Vec<Listed>> {
        let physical = self.leaf(directory, block)?;
        let start = block * self.geometry.block as u64 + 1;
        let data = self.block(physical, Kind::Leaf(directory.owner()))?;
        let used = records(data).filter(|record| record.inode != 0);
        let named = used.filter(|record| record.name != b"." && record.name != b"..");
        let listed = named.map(|record| {
            let at = start + record.at as u64;
            (at, record.name.to_vec(), record.inode)
        });
        Ok(listed.collect())
    }

    /// Some entries of an indexed directory from a cursor on, and where it goes on.
    fn list_indexed(
        &mut self,
        directory: &Inode,
        from: Cursor,
    ) -> Result<(Vec<Listed>, Option<Cursor>)> {
        let (mut hash, mut listed) = (decode(from), Vec::new());
        let blocks = self.directory_blocks(directory);
        for _ in 0..blocks.max(1) {
            let Some(mut at) = self.probe_hash(directory, hash)? else {
                return Ok((listed, None));
            };
            let mut chain = 0;
            loop {
                for (_, name, inode) in self.names_in(directory, at.leaf().into())? {
                    let known = at.hasher.hash(&name).ok_or(Error::InvalidName)?;
                    if known >= hash {
                        listed.push((encode(known), name, inode));
                    }
                }
                chain += 1;
                let next = self.next_hash(directory, &at)?;
                if next.is_none_or(|next| next & 1 == 0) {
                    break;
                }
                // The last ones go on in the next block.
                if chain > MAX_CHAIN || !self.advance(directory, &mut at, None)? {
                    return Err(
                        self.damage("a directory's index that leads in circles", chain as u64)
                    );
                }
            }
            match self.next_hash(directory, &at)? {
                None => {
                    listed.sort();
                    return Ok((listed, None));
                }
                Some(next) if next <= hash.0 => {
                    return Err(self.damage("a directory's index out of order", next.into()));
                }
                Some(next) => hash = (next, 0),
            }
            if listed.len() >= STEP {
                break;
            }
        }
        listed.sort();
        Ok((listed, Some(encode(hash))))
    }

    /// The same for a directory without an index.
    fn list_linear(
        &mut self,
        directory: &Inode,
        from: Cursor,
    ) -> Result<(Vec<Listed>, Option<Cursor>)> {
        let block = self.geometry.block as u64;
        let mut number = from.saturating_sub(1) / block;
        let mut listed = Vec::new();
        while number < self.directory_blocks(directory) && listed.len() < STEP {
            let names = self.names_in(directory, number)?;
            listed.extend(names.into_iter().filter(|(at, ..)| *at >= from));
            number += 1;
        }
        let is_end = number >= self.directory_blocks(directory);
        Ok((listed, (!is_end).then_some(number * block + 1)))
    }
}

impl Ext4Volume {
    /// Gives one entry to `visit`.
    fn visit(
        &mut self,
        name: &[u8],
        inode: u32,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<bool> {
        let known = self.look(|fs| fs.listed_inode(inode))?;
        Ok(visit(&DirEntry {
            name: &String::from_utf8_lossy(name),
            stat: known.stat(),
        }))
    }

    /// As [`crate::Volume::list`].
    pub(super) fn list_directory(
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
                let names = self.look(|fs| fs.names_in(&directory, 0))?;
                let names = names.into_iter().map(|(_, name, _)| name).collect();
                self.handles.get_mut(file)?.listing = Some(Listing::Noted(names));
            }
        }
        let listing = self.handles.get(file)?.listing.as_ref();
        if from & (HASHED | NOTED) == NOTED || matches!((from, listing), (0, Some(_))) {
            return self.list_noted(file, &directory, from & !NOTED, visit);
        }
        let skip = match listing {
            Some(Listing::At(cursor, skip)) if *cursor == from => *skip,
            _ => 0,
        };
        let is_indexed = directory.flags & INDEXED != 0;
        let (listed, next) = self.look(|fs| {
            if is_indexed {
                fs.list_indexed(&directory, from)
            } else {
                fs.list_linear(&directory, from & !(HASHED | NOTED))
            }
        })?;
        let mut same = (from, 0);
        for (at, name, inode) in listed {
            if at != same.0 {
                same = (at, 0);
            }
            if at == from && same.1 < skip {
                same.1 += 1;
                continue;
            }
            if !self.visit(&name, inode, visit)? {
                self.handles.get_mut(file)?.listing = Some(Listing::At(same.0, same.1));
                return Ok(Some(same.0));
            }
            same.1 += 1;
        }
        self.handles.get_mut(file)?.listing = None;
        Ok(next)
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
            // It may be gone since it was noted.
            let Some(found) = self.look(|fs| fs.lookup(directory, name))? else {
                continue;
            };
            if !self.visit(name, found.inode, visit)? {
                return Ok(Some(NOTED | (from + index as u64)));
            }
        }
        Ok(None)
    }
}
