//! Path resolution on a volume, with a cache of the last lookup.
//!
//! A call resolves its path to detect symbolic links, and then looks the names up again for its
//! operation. The last lookup is cached for that purpose, and so is the last directory, which the
//! next call often uses again.

use alloc::string::String;
use alloc::vec::Vec;

use super::Ext4Volume;
use crate::ext4::filesystem::Result;
use crate::ext4::inode::{Inode, UNSUPPORTED};
use crate::ext4::inodes::ROOT;
use crate::ext4::names::{Place, There, check_name};
use crate::path;
use crate::{Error, Walk};

/// Cache of the last lookup; see the module documentation.
#[derive(Debug, Default)]
pub struct LastLookup {
    /// Inode of the directory, name, and the entry there, until something changes.
    entry: Option<(u32, Vec<u8>, There)>,
    /// Path of a directory without links on the way, and its inode; until a directory moves or is
    /// removed.
    directory: Option<(String, u32)>,
}

impl LastLookup {
    /// Drops the cached entry; to be called before any change.
    pub fn forget_entry(&mut self) {
        self.entry = None;
    }

    /// Drops the cached directory; to be called before a directory loses its name.
    pub fn forget_directory(&mut self) {
        self.directory = None;
    }
}

impl Ext4Volume {
    /// Looks `name` up in `directory`.
    fn there(&mut self, directory: &Inode, name: &str) -> Result<There> {
        if let Some((number, known, there)) = &self.remembered.entry
            && *number == directory.number
            && known == name.as_bytes()
        {
            return Ok(*there);
        }
        if !directory.is_directory() {
            return Err(Error::NotDirectory);
        }
        if directory.flags & UNSUPPORTED != 0 {
            return Err(Error::Unsupported);
        }
        let name = check_name(name)?;
        self.inspect(|fs| fs.there(directory, name))
    }

    /// Returns the inode where the walk to `path` begins, that of the cached directory or the root,
    /// and the length of its path in bytes of `path`.
    fn beginning(&self, path: &str) -> (u32, usize) {
        if let Some((directory, number)) = &self.remembered.directory
            && let Some(rest) = path.strip_prefix(directory.as_str())
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return (*number, directory.len());
        }
        (ROOT, 0)
    }

    /// Returns the inode that `path` names; doesn't follow a symbolic link.
    pub fn find(&mut self, path: &str) -> Result<Inode> {
        let (number, len) = self.beginning(path);
        let mut found = self.inspect(|fs| fs.named_inode(number))?;
        for name in path::names(path.get(len..).unwrap_or_default()) {
            found = match self.there(&found, name)? {
                There::Entry(_, inode) => inode,
                There::Nothing(_) => return Err(Error::NotFound),
            };
        }
        Ok(found)
    }

    /// Returns the directory of `path`, the last name, and its entry; [`Error::Invalid`] for the
    /// root, which has no parent.
    pub fn place<'a>(&mut self, path: &'a str) -> Result<Place<'a>> {
        let (parent, name) = path::split_last(path).ok_or(Error::Invalid)?;
        let directory = self.find(parent)?;
        self.place_in(directory, name)
    }

    /// As [`place`](Self::place), for a known directory.
    fn place_in<'a>(&mut self, directory: Inode, name: &'a str) -> Result<Place<'a>> {
        let there = self.there(&directory, name)?;
        Ok(Place {
            directory,
            name: name.as_bytes(),
            there,
        })
    }

    /// As [`place`](Self::place), after that of `other`: both are often in one directory.
    pub fn place_beside<'a>(
        &mut self,
        path: &'a str,
        (other, place): (&str, &Place<'_>),
    ) -> Result<Place<'a>> {
        match (path::split_last(path), path::split_last(other)) {
            (Some((parent, name)), Some((directory, _))) if parent == directory => {
                self.place_in(place.directory, name)
            }
            _ => self.place(path),
        }
    }

    /// Returns where `path` meets a symbolic link; `last` decides whether its last name counts.
    pub fn walk(&mut self, path: &str, last: bool) -> Result<Walk> {
        let (number, len) = self.beginning(path);
        let rest = path.get(len..).unwrap_or_default();
        if !last && path::names(rest).nth(1).is_none() {
            return Ok(Walk::Plain);
        }
        let mut found = self.inspect(|fs| fs.named_inode(number))?;
        let mut names = path::names_with_ends(rest).peekable();
        while let Some((end, name)) = names.next() {
            let is_last = names.peek().is_none();
            if is_last && !last {
                break;
            }
            let there = match self.there(&found, name) {
                Err(Error::NotDirectory) => return Ok(Walk::Plain),
                there => there?,
            };
            if is_last {
                self.remembered.entry = Some((found.number, name.as_bytes().to_vec(), there));
            }
            found = match there {
                There::Entry(_, inode) => inode,
                There::Nothing(_) => return Ok(Walk::Plain),
            };
            let end = len + end;
            if found.is_link() {
                let target = self.inspect(|fs| fs.link_target(&found))?;
                let target = String::from_utf8(target).map_err(|_| Error::InvalidName)?;
                return Ok(Walk::Link { end, target });
            }
            if !is_last && found.is_directory() {
                let directory = path.get(..end).unwrap_or_default();
                self.remembered.directory = Some((String::from(directory), found.number));
            }
        }
        Ok(Walk::Plain)
    }
}
