//! Paths on a volume: where they lead, and what was found on the way last.
//!
//! A call resolves its path to see whether a symbolic link is on the way, and then looks its names
//! up again to do its work. What was looked up last is remembered for that, and so is the last
//! directory, in which the next call often works.

use alloc::string::String;
use alloc::vec::Vec;

use super::Ext4Volume;
use crate::ext4::filesystem::Result;
use crate::ext4::inode::{Inode, STRANGE};
use crate::ext4::inodes::ROOT;
use crate::ext4::names::{Place, There, check_name};
use crate::path;
use crate::{Error, Walk};

/// See the module's text.
#[derive(Debug, Default)]
pub struct Remembered {
    /// The directory's inode, the name, and what is there, until something changes.
    entry: Option<(u32, Vec<u8>, There)>,
    /// A directory's path, which leads over no link, and its inode; until a directory moves or
    /// goes.
    directory: Option<(String, u32)>,
}

impl Remembered {
    /// To be called before anything is changed.
    pub fn forget_entry(&mut self) {
        self.entry = None;
    }

    /// To be called before a directory loses its name.
    pub fn forget_directory(&mut self) {
        self.directory = None;
    }
}

impl Ext4Volume {
    /// What is at `name` in `directory`.
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
        if directory.flags & STRANGE != 0 {
            return Err(Error::Unsupported);
        }
        let name = check_name(name)?;
        self.look(|fs| fs.there(directory, name))
    }

    /// The inode to begin at on the way to `path`: of a directory on it that is remembered, or of
    /// the root; and how many bytes of `path` lead there.
    fn beginning(&self, path: &str) -> (u32, usize) {
        if let Some((directory, number)) = &self.remembered.directory
            && let Some(rest) = path.strip_prefix(directory.as_str())
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return (*number, directory.len());
        }
        (ROOT, 0)
    }

    /// What `path` names; a symbolic link is not followed.
    pub fn find(&mut self, path: &str) -> Result<Inode> {
        let (number, len) = self.beginning(path);
        let mut found = self.look(|fs| fs.named_inode(number))?;
        for name in path::names(path.get(len..).unwrap_or_default()) {
            found = match self.there(&found, name)? {
                There::Entry(_, inode) => inode,
                There::Nothing(_) => return Err(Error::NotFound),
            };
        }
        Ok(found)
    }

    /// The directory that `path` is in, its last name, and what is there; [`Error::Invalid`] for
    /// the root, which is in none.
    pub fn place<'a>(&mut self, path: &'a str) -> Result<Place<'a>> {
        let (parent, name) = path::split_last(path).ok_or(Error::Invalid)?;
        let directory = self.find(parent)?;
        self.place_in(directory, name)
    }

    /// The same, where the directory is known.
    fn place_in<'a>(&mut self, directory: Inode, name: &'a str) -> Result<Place<'a>> {
        let there = self.there(&directory, name)?;
        Ok(Place {
            directory,
            name: name.as_bytes(),
            there,
        })
    }

    /// The place of `path`, after that of `other`: both are often in one directory.
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

    /// Where `path` meets a symbolic link; if one that is its last name counts, `last`.
    pub fn walk(&mut self, path: &str, last: bool) -> Result<Walk> {
        let (number, len) = self.beginning(path);
        let rest = path.get(len..).unwrap_or_default();
        if !last && path::names(rest).nth(1).is_none() {
            return Ok(Walk::Plain);
        }
        let mut found = self.look(|fs| fs.named_inode(number))?;
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
                let target = self.look(|fs| fs.link_target(&found))?;
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
