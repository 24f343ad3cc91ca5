//! Listing directories, with cursors that outlast changes.
//!
//! An indexed directory is listed in the order of its hashes, and a plain one of several blocks in
//! the order of its records; neither moves an entry past a cursor. A directory of one block becomes
//! an indexed one when it grows, which moves everything, so its entries are noted when a listing
//! begins.

use alloc::string::String;
use alloc::vec::Vec;

use rsext4::{DirectoryCursor, DirectoryEntry, InodeNumber};

use super::names;
use super::volume::{Ext4Volume, Result};
use crate::{Cursor, DirEntry, Error, FileId};

/// Entries given by one call of `list`.
const STEP: usize = 256;

/// Marks a cursor of an indexed directory: 31 bits of the hash, then 32 of its second half.
const HASHED: u64 = 1 << 63;

/// Marks a cursor into the entries noted.
const NOTED: u64 = 1 << 62;

/// How far the listing of an open directory has come.
#[derive(Debug)]
pub(super) enum Listing {
    /// All entries of a directory of one block.
    Noted(Vec<DirectoryEntry>),
    /// Where it goes on, in full: a [`Cursor`] has no room for the number of an entry among those
    /// with the same hash.
    At(Cursor, DirectoryCursor),
}

fn encode(cursor: DirectoryCursor) -> Option<Cursor> {
    match cursor {
        DirectoryCursor::Start => Some(0),
        DirectoryCursor::Linear { offset } => Some(offset + 1),
        DirectoryCursor::HTree { major, minor, .. } => {
            Some(HASHED | u64::from(major >> 1) << 32 | u64::from(minor))
        }
        DirectoryCursor::End => None,
    }
}

fn decode(cursor: Cursor) -> DirectoryCursor {
    if cursor & HASHED != 0 {
        let bits = cursor & !HASHED;
        return DirectoryCursor::HTree {
            major: ((bits >> 32) as u32) << 1,
            minor: bits as u32,
            collision: 0,
        };
    }
    match cursor.checked_sub(1) {
        Some(offset) => DirectoryCursor::Linear { offset },
        None => DirectoryCursor::Start,
    }
}

impl Ext4Volume {
    fn read_entries(
        &mut self,
        directory: InodeNumber,
        from: DirectoryCursor,
        count: usize,
    ) -> Result<Vec<DirectoryEntry>> {
        self.call("listing a directory", |ext4| {
            ext4.read_directory(directory, from, count)
        })
    }

    /// Gives one entry to `visit`; `None` when it is not to be listed.
    fn visit_entry(
        &mut self,
        entry: &DirectoryEntry,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<bool>> {
        if entry.name == b"." || entry.name == b".." {
            return Ok(None);
        }
        let known = match self.inode(entry.inode) {
            Ok(known) => known,
            // Noted, and removed since.
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        if known.links == 0 {
            return Ok(None);
        }
        let name = String::from_utf8_lossy(&entry.name);
        Ok(Some(visit(&DirEntry {
            name: &name,
            stat: names::stat(&known),
        })))
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
        let directory = handle.inode;
        if from == 0 {
            self.begin_listing(file, directory)?;
        }
        if from & (HASHED | NOTED) == NOTED || self.is_noted(file, from) {
            return self.list_noted(file, from & !NOTED, visit);
        }
        let mut at = match &self.handles.get(file)?.listing {
            Some(Listing::At(cursor, exact)) if *cursor == from => *exact,
            _ => decode(from),
        };
        let entries = self.read_entries(directory, at, STEP)?;
        let full = entries.len() == STEP;
        for entry in &entries {
            if self.visit_entry(entry, visit)? == Some(false) {
                return self.go_on(file, at);
            }
            at = entry.next_cursor;
        }
        if full { self.go_on(file, at) } else { Ok(None) }
    }

    fn go_on(&mut self, file: FileId, at: DirectoryCursor) -> Result<Option<Cursor>> {
        let Some(cursor) = encode(at) else {
            return Ok(None);
        };
        self.handles.get_mut(file)?.listing = Some(Listing::At(cursor, at));
        Ok(Some(cursor))
    }

    /// Notes the entries of a directory of one block.
    fn begin_listing(&mut self, file: FileId, directory: InodeNumber) -> Result<()> {
        let known = self.inode(directory)?;
        let listing = if known.size <= self.block as u64 {
            // A record takes 12 bytes at least.
            let all = self.block / 12 + 1;
            Some(Listing::Noted(self.read_entries(
                directory,
                DirectoryCursor::Start,
                all,
            )?))
        } else {
            None
        };
        self.handles.get_mut(file)?.listing = listing;
        Ok(())
    }

    fn is_noted(&self, file: FileId, from: Cursor) -> bool {
        let listing = self.handles.get(file).map(|handle| &handle.listing);
        from == 0 && matches!(listing, Ok(Some(Listing::Noted(_))))
    }

    fn list_noted(
        &mut self,
        file: FileId,
        from: u64,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        let Some(Listing::Noted(entries)) = &self.handles.get(file)?.listing else {
            return Err(Error::Invalid);
        };
        let rest: Vec<DirectoryEntry> = entries.iter().skip(from as usize).cloned().collect();
        for (index, entry) in rest.iter().enumerate() {
            if self.visit_entry(entry, visit)? == Some(false) {
                return Ok(Some(NOTED | (from + index as u64)));
            }
        }
        Ok(None)
    }
}
