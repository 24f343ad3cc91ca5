//! Names: making, removing, moving and linking what they lead to.

use super::directory::{Found, MAX_NAME};
use super::filesystem::{Fs, Result};
use super::inode::{DIRECTORY, Inode, LINK, REGULAR};
use super::superblock::read_only;
use crate::Error;

/// Names of one file at most.
const MAX_LINKS: u16 = 65_000;

/// What became of a file that lost a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has other names, or it is open, or it is given back.
    Settled,
    /// It is to be given back in further steps.
    ToReap(u32),
}

/// A directory and a name in it.
pub type Place<'a> = (u32, &'a [u8]);

/// `name` as it is on the disk.
pub fn check_name(name: &str) -> Result<&[u8]> {
    if name.len() > MAX_NAME {
        return Err(Error::NameTooLong);
    }
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::InvalidName);
    }
    Ok(name.as_bytes())
}

impl Fs {
    /// The directory `number`.
    fn directory(&mut self, number: u32) -> Result<Inode> {
        let found = self.named_inode(number)?;
        if found.is_directory() {
            Ok(found)
        } else {
            Err(Error::NotDirectory)
        }
    }

    fn found(&mut self, directory: &Inode, name: &[u8]) -> Result<(Found, Inode)> {
        let found = self.lookup(directory, name)?.ok_or(Error::NotFound)?;
        Ok((found, self.named_inode(found.inode)?))
    }

    /// Notes one more directory in another, whose `..` leads to it.
    fn add_subdirectory(&self, parent: &mut Inode) -> Result<()> {
        if parent.links == 1 {
            return Ok(());
        }
        if parent.links >= MAX_LINKS - 1 {
            if self.geometry.to_write & read_only::DIR_NLINK == 0 {
                return Err(Error::TooManyLinks);
            }
            // Their number is not known any more.
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

    /// Makes a file of type and permissions `mode`, or a symbolic link that says `target`.
    pub fn create(&mut self, (parent, name): Place<'_>, mode: u16, target: &[u8]) -> Result<Inode> {
        let mut directory = self.directory(parent)?;
        let mut new = self.new_inode(&directory, mode)?;
        match mode & 0xf000 {
            DIRECTORY => {
                new.links = 2;
                self.add_subdirectory(&mut directory)?;
                self.begin_directory(&mut new, parent)?;
            }
            LINK => self.set_link_target(&mut new, target)?,
            _ => debug_assert_eq!(mode & 0xf000, REGULAR),
        }
        self.write_inode(&new)?;
        self.add_entry(&mut directory, name, &new)?;
        Ok(new)
    }

    /// Gives a file one more name.
    pub fn add_link(&mut self, number: u32, (parent, name): Place<'_>) -> Result<()> {
        let mut inode = self.named_inode(number)?;
        if inode.links >= MAX_LINKS {
            return Err(Error::TooManyLinks);
        }
        let mut directory = self.directory(parent)?;
        inode.links += 1;
        inode.changed = self.now();
        self.write_inode(&inode)?;
        self.add_entry(&mut directory, name, &inode)
    }

    /// Deals with what lost a name.
    fn lose_name(&mut self, inode: &mut Inode, is_open: bool) -> Result<Fate> {
        inode.links = if inode.is_directory() {
            0
        } else {
            inode.links.saturating_sub(1)
        };
        inode.changed = self.now();
        if inode.links > 0 {
            self.write_inode(inode)?;
            return Ok(Fate::Settled);
        }
        if is_open {
            self.add_orphan(inode)?;
            return Ok(Fate::Settled);
        }
        self.write_inode(inode)?;
        Ok(if self.reap_step(inode.number)? {
            Fate::Settled
        } else {
            Fate::ToReap(inode.number)
        })
    }

    /// Removes a name, that of an empty directory if `directory` is set.
    pub fn remove(
        &mut self,
        (parent, name): Place<'_>,
        is_directory: bool,
        is_open: &dyn Fn(u32) -> bool,
    ) -> Result<Fate> {
        let mut directory = self.directory(parent)?;
        let (found, mut inode) = self.found(&directory, name)?;
        match (inode.is_directory(), is_directory) {
            (true, false) => return Err(Error::IsDirectory),
            (false, true) => return Err(Error::NotDirectory),
            _ => {}
        }
        if is_directory {
            if !self.is_empty(&inode)? {
                return Err(Error::NotEmpty);
            }
            if is_open(inode.number) {
                return Err(Error::Busy);
            }
            Self::remove_subdirectory(&mut directory);
        }
        self.remove_entry(&mut directory, &found)?;
        let is_open = is_open(inode.number);
        self.lose_name(&mut inode, is_open)
    }

    /// Gives what is at `one` the name `other`, and what is there the name `one`. Neither is in the
    /// other.
    pub fn exchange(&mut self, one: Place<'_>, other: Place<'_>) -> Result<()> {
        let mut directory = self.directory(one.0)?;
        let (there, mut first) = self.found(&directory, one.1)?;
        let mut other_directory = self.directory(other.0)?;
        let (other_there, mut second) = self.found(&other_directory, other.1)?;
        if first.number == second.number {
            return Ok(());
        }
        self.set_entry(&mut directory, &there, &second)?;
        if other.0 == one.0 {
            other_directory = directory;
        }
        self.set_entry(&mut other_directory, &other_there, &first)?;
        let now = self.now();
        for inode in [&mut first, &mut second] {
            inode.changed = now;
            self.write_inode(inode)?;
        }
        if other.0 == one.0 {
            return Ok(());
        }
        let (loses, gains) = match (first.is_directory(), second.is_directory()) {
            (true, false) => (Some(one.0), Some(other.0)),
            (false, true) => (Some(other.0), Some(one.0)),
            _ => (None, None),
        };
        if let Some(number) = gains {
            let mut directory = self.directory(number)?;
            self.add_subdirectory(&mut directory)?;
            self.write_inode(&directory)?;
        }
        if let Some(number) = loses {
            let mut directory = self.directory(number)?;
            Self::remove_subdirectory(&mut directory);
            self.write_inode(&directory)?;
        }
        for (inode, parent) in [(first, other.0), (second, one.0)] {
            if inode.is_directory() {
                self.set_parent(&inode, parent)?;
            }
        }
        Ok(())
    }

    /// Gives what is at `from` the name `to`, in place of what is there.
    pub fn rename(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        is_open: &dyn Fn(u32) -> bool,
    ) -> Result<Fate> {
        let source_directory = self.directory(from.0)?;
        let (_, mut inode) = self.found(&source_directory, from.1)?;
        let moves_directory = inode.is_directory() && from.0 != to.0;
        let mut target_directory = self.directory(to.0)?;
        let mut fate = Fate::Settled;
        let mut replaced_directory = false;
        if let Some(there) = self.lookup(&target_directory, to.1)? {
            let mut replaced = self.named_inode(there.inode)?;
            if replaced.number == inode.number {
                return Ok(Fate::Settled);
            }
            match (inode.is_directory(), replaced.is_directory()) {
                (true, false) => return Err(Error::NotDirectory),
                (false, true) => return Err(Error::IsDirectory),
                (true, true) => {
                    if !self.is_empty(&replaced)? {
                        return Err(Error::NotEmpty);
                    }
                    if is_open(replaced.number) {
                        return Err(Error::Busy);
                    }
                    replaced_directory = true;
                }
                (false, false) => {}
            }
            self.set_entry(&mut target_directory, &there, &inode)?;
            let is_open = is_open(replaced.number);
            fate = self.lose_name(&mut replaced, is_open)?;
        } else {
            self.add_entry(&mut target_directory, to.1, &inode)?;
        }
        // What was replaced had a `..`, and so has what comes, unless it was here before.
        let (loses, gains) = (
            replaced_directory && !moves_directory,
            moves_directory && !replaced_directory,
        );
        if loses || gains {
            let mut target_directory = self.directory(to.0)?;
            if gains {
                self.add_subdirectory(&mut target_directory)?;
            } else {
                Self::remove_subdirectory(&mut target_directory);
            }
            self.write_inode(&target_directory)?;
        }
        // The entry may have moved when the other was added.
        let mut source_directory = self.directory(from.0)?;
        let (found, _) = self.found(&source_directory, from.1)?;
        if moves_directory {
            Self::remove_subdirectory(&mut source_directory);
        }
        self.remove_entry(&mut source_directory, &found)?;
        inode.changed = self.now();
        self.write_inode(&inode)?;
        if moves_directory {
            self.set_parent(&inode, to.0)?;
        }
        Ok(fate)
    }
}
