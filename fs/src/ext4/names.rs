//! Creation, removal, renaming and linking of names.

use super::directory::Lookup;
use super::filesystem::{Fs, Result};
use super::htree::Probe;
use super::inode::{DIRECTORY, Inode, LINK, REGULAR};
use super::records::{Found, MAX_NAME};
use super::superblock::read_only;
use crate::Error;
use crate::path::is_name;

/// Maximum number of names of a file.
const MAX_LINKS: u16 = 65_000;

/// State of a file after it lost a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinksLeft {
    /// The file has other names, is open, or was released.
    Settled,
    /// The file is to be released in further steps.
    ToReap(u32),
}

/// Name in a directory that was looked up, valid until the next change.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub directory: Inode,
    pub name: &'a [u8],
    pub there: There,
}

/// Result of the lookup of a name.
#[derive(Debug, Clone, Copy)]
pub enum There {
    /// The entry, and the inode that it names.
    Entry(Found, Inode),
    /// As [`Lookup::Nothing`].
    Nothing(Option<Probe>),
}

impl Place<'_> {
    /// Returns the entry and its inode.
    fn entry(&self) -> Result<(Found, Inode)> {
        match self.there {
            There::Entry(found, inode) => Ok((found, inode)),
            There::Nothing(_) => Err(Error::NotFound),
        }
    }

    /// Returns the inode.
    pub fn inode(&self) -> Result<Inode> {
        self.entry().map(|(_, inode)| inode)
    }

    pub fn is_taken(&self) -> bool {
        matches!(self.there, There::Entry(..))
    }
}

/// Checks `name` and returns its bytes for the disk.
pub fn check_name(name: &str) -> Result<&[u8]> {
    if name.len() > MAX_NAME {
        return Err(Error::NameTooLong);
    }
    let bytes = name.as_bytes();
    if !is_name(bytes) {
        return Err(Error::InvalidName);
    }
    Ok(bytes)
}

impl Fs {
    /// Looks a name up in a directory.
    pub fn there(&mut self, directory: &Inode, name: &[u8]) -> Result<There> {
        Ok(match self.lookup(directory, name)? {
            Lookup::Entry(found) => There::Entry(found, self.named_inode(found.inode)?),
            Lookup::Nothing(probe) => There::Nothing(probe),
        })
    }

    /// Adds a name for an inode, and writes the inode of the directory.
    fn add_name(&mut self, directory: &mut Inode, place: &Place<'_>, inode: &Inode) -> Result<()> {
        let There::Nothing(probe) = place.there else {
            return Err(Error::Exists);
        };
        self.add_entry(directory, (place.name, probe), inode)?;
        self.touch_directory(directory)
    }

    /// Increments the link count of a directory for the `..` of a new subdirectory.
    fn add_subdirectory(&self, parent: &mut Inode) -> Result<()> {
        if parent.links == 1 {
            return Ok(());
        }
        if parent.links >= MAX_LINKS - 1 {
            if self.geometry.to_write & read_only::DIR_NLINK == 0 {
                return Err(Error::TooManyLinks);
            }
            // The count has overflowed: 1 means unknown.
            parent.links = 1;
            return Ok(());
        }
        parent.links += 1;
        Ok(())
    }

    fn remove_subdirectory(parent: &mut Inode) {
        if parent.links > 2 {
            parent.links -= 1;
        }
    }

    /// Creates a file with type and permissions `mode`, or a symbolic link to `target`.
    pub fn create(&mut self, place: &Place<'_>, mode: u16, target: &[u8]) -> Result<Inode> {
        let mut directory = place.directory;
        let mut new = self.new_inode(&directory, mode)?;
        match mode & 0xf000 {
            DIRECTORY => {
                new.links = 2;
                self.add_subdirectory(&mut directory)?;
                self.begin_directory(&mut new, directory.number)?;
            }
            LINK => self.set_link_target(&mut new, target)?,
            _ => debug_assert_eq!(mode & 0xf000, REGULAR),
        }
        self.write_inode(&new)?;
        self.add_name(&mut directory, place, &new)?;
        Ok(new)
    }

    /// Adds a name to a file.
    pub fn add_link(&mut self, number: u32, place: &Place<'_>) -> Result<()> {
        let mut inode = self.named_inode(number)?;
        if inode.links >= MAX_LINKS {
            return Err(Error::TooManyLinks);
        }
        inode.links += 1;
        inode.changed = self.now();
        self.write_inode(&inode)?;
        let mut directory = place.directory;
        self.add_name(&mut directory, place, &inode)
    }

    /// Updates an inode that lost a name.
    fn drop_link(&mut self, inode: &mut Inode, is_open: bool) -> Result<LinksLeft> {
        inode.links = if inode.is_directory() {
            0
        } else {
            inode.links.saturating_sub(1)
        };
        inode.changed = self.now();
        if inode.links > 0 {
            self.write_inode(inode)?;
            return Ok(LinksLeft::Settled);
        }
        if is_open {
            self.add_orphan(inode)?;
            return Ok(LinksLeft::Settled);
        }
        self.write_inode(inode)?;
        Ok(if self.reap_step(inode.number)? {
            LinksLeft::Settled
        } else {
            LinksLeft::ToReap(inode.number)
        })
    }

    /// Removes a name; that of an empty directory if `is_directory` is set.
    pub fn remove(
        &mut self,
        place: &Place<'_>,
        is_directory: bool,
        is_open: &dyn Fn(u32) -> bool,
    ) -> Result<LinksLeft> {
        let mut directory = place.directory;
        let (found, mut inode) = place.entry()?;
        match (inode.is_directory(), is_directory) {
            (true, false) => return Err(Error::IsDirectory),
            (false, true) => return Err(Error::NotDirectory),
            _ => {}
        }
        if is_directory {
            self.check_empty(&inode)?;
            Self::remove_subdirectory(&mut directory);
        }
        self.remove_entry(&directory, &found)?;
        self.touch_directory(&mut directory)?;
        let is_open = is_open(inode.number);
        self.drop_link(&mut inode, is_open)
    }

    /// Fails for a directory that isn't empty.
    fn check_empty(&mut self, inode: &Inode) -> Result<()> {
        match self.is_empty(inode)? {
            true => Ok(()),
            false => Err(Error::NotEmpty),
        }
    }

    /// Exchanges the names `one` and `other`. Neither is below the other.
    pub fn exchange(&mut self, one: &Place<'_>, other: &Place<'_>) -> Result<()> {
        let (there, mut first) = one.entry()?;
        let (other_there, mut second) = other.entry()?;
        if first.number == second.number {
            return Ok(());
        }
        let (mut directory, mut other_directory) = (one.directory, other.directory);
        let moves = directory.number != other_directory.number;
        self.set_entry(&directory, &there, &second)?;
        self.set_entry(&other_directory, &other_there, &first)?;
        if moves {
            match (first.is_directory(), second.is_directory()) {
                (true, false) => {
                    Self::remove_subdirectory(&mut directory);
                    self.add_subdirectory(&mut other_directory)?;
                }
                (false, true) => {
                    self.add_subdirectory(&mut directory)?;
                    Self::remove_subdirectory(&mut other_directory);
                }
                _ => {}
            }
            self.touch_directory(&mut other_directory)?;
        }
        self.touch_directory(&mut directory)?;
        let now = self.now();
        for inode in [&mut first, &mut second] {
            inode.changed = now;
            self.write_inode(inode)?;
        }
        for (inode, parent) in [(first, other_directory.number), (second, directory.number)] {
            if moves && inode.is_directory() {
                self.set_parent(&inode, parent)?;
            }
        }
        Ok(())
    }

    /// Renames `from` to `to`, and replaces an existing entry.
    pub fn rename(
        &mut self,
        from: &Place<'_>,
        to: &Place<'_>,
        is_open: &dyn Fn(u32) -> bool,
    ) -> Result<LinksLeft> {
        let (found, mut inode) = from.entry()?;
        let (mut source, mut target) = (from.directory, to.directory);
        let moves_directory = inode.is_directory() && source.number != target.number;
        if let There::Entry(_, replaced) = to.there {
            if replaced.number == inode.number {
                return Ok(LinksLeft::Settled);
            }
            match (inode.is_directory(), replaced.is_directory()) {
                (true, false) => return Err(Error::NotDirectory),
                (false, true) => return Err(Error::IsDirectory),
                (true, true) => self.check_empty(&replaced)?,
                (false, false) => {}
            }
        }
        // Remove the old entry first: adding the new one may move it, but not the other way round.
        self.remove_entry(&source, &found)?;
        if source.number != target.number {
            if moves_directory {
                Self::remove_subdirectory(&mut source);
            }
            self.touch_directory(&mut source)?;
        }
        inode.changed = self.now();
        self.write_inode(&inode)?;
        if moves_directory {
            self.set_parent(&inode, target.number)?;
        }
        let There::Entry(there, mut replaced) = to.there else {
            if moves_directory {
                self.add_subdirectory(&mut target)?;
            }
            self.add_name(&mut target, to, &inode)?;
            return Ok(LinksLeft::Settled);
        };
        self.set_entry(&target, &there, &inode)?;
        // The replaced directory had a `..`, and so has the new one unless it was already here.
        if replaced.is_directory() && !moves_directory {
            Self::remove_subdirectory(&mut target);
        }
        self.touch_directory(&mut target)?;
        let is_open = is_open(replaced.number);
        self.drop_link(&mut replaced, is_open)
    }
}
