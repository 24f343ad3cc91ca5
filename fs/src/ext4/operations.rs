//! The operations of [`Volume`] on ext4.

use alloc::vec::Vec;

use rsext4::RenameOptions;

use super::names;
use super::volume::{Ext4Volume, OWNER, Result, permissions};
use crate::lend;
use crate::path;
use crate::{Cursor, DirEntry, Error, FileId, Health, Lent, OpenFlags, Space, Stat, Volume, Walk};

impl Volume for Ext4Volume {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        flags.check()?;
        self.handles.check_room()?;
        let (found, is_new) = if path::split_last(path).is_none() {
            (self.root()?, false)
        } else {
            self.find_or_create(path, flags)?
        };
        self.open_inode(&found, flags, is_new)
    }

    fn close(&mut self, file: FileId) -> Result<()> {
        self.close_handle(file)
    }

    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let (inode, _) = self.file(file, OpenFlags::READ)?;
        self.read_file(inode, offset, buf)
    }

    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        let (inode, flags) = self.file(file, OpenFlags::WRITE)?;
        let append = flags.contains(OpenFlags::APPEND);
        let offset = if append {
            self.node(inode)?.size
        } else {
            offset
        };
        if buf.is_empty() {
            return Ok(0);
        }
        self.write_file(inode, offset, buf)
    }

    fn size(&mut self, file: FileId) -> Result<u64> {
        let (inode, _) = self.file(file, OpenFlags::empty())?;
        Ok(self.node(inode)?.size)
    }

    fn truncate(&mut self, file: FileId, size: u64) -> Result<()> {
        let (inode, _) = self.file(file, OpenFlags::WRITE)?;
        self.resize(inode, size)
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        let inode = self.handles.get(file)?.inode;
        Ok(names::stat(&self.inode(inode)?))
    }

    fn stat(&mut self, path: &str) -> Result<Stat> {
        Ok(names::stat(&self.find(path)?))
    }

    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        self.list_directory(directory, from, visit)
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        let (parent, name) = self.parent(path)?;
        if self.child_if_any(&parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        self.begin_change()?;
        self.reserve_for_entry()?;
        let (name, mode) = (names::file_name(name)?, permissions(0o777)?);
        self.call("making a directory", |ext4| {
            ext4.create_directory(OWNER, parent.number, name, mode)
        })?;
        Ok(())
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Busy);
        }
        let (parent, name) = self.parent(path)?;
        let found = self.child(&parent, name)?;
        if !found.is_directory() {
            return Err(Error::NotDirectory);
        }
        self.begin_change()?;
        if self.nodes.contains_key(&found.number) {
            return Err(Error::Busy);
        }
        let name = names::file_name(name)?;
        let outcome = self.call("removing a directory", |ext4| {
            ext4.remove_empty_directory(parent.number, name)
        })?;
        self.removed(outcome, found.size);
        Ok(())
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::IsDirectory);
        }
        let (parent, name) = self.parent(path)?;
        let found = self.child(&parent, name)?;
        if found.is_directory() {
            return Err(Error::IsDirectory);
        }
        self.begin_change()?;
        let name = names::file_name(name)?;
        let outcome = self.call("removing a file", |ext4| ext4.unlink(parent.number, name))?;
        self.removed(outcome, found.size);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        if path::split_last(from).is_none() || path::split_last(to).is_none() {
            return Err(Error::Busy);
        }
        let (from_parent, from_name) = self.parent(from)?;
        let source = self.child(&from_parent, from_name)?;
        let inside = path::names(to).zip(path::names(from)).all(|(a, b)| a == b)
            && path::names(to).count() > path::names(from).count();
        if inside {
            return Err(if source.is_directory() {
                Error::Invalid
            } else {
                Error::NotDirectory
            });
        }
        let (to_parent, to_name) = self.parent(to)?;
        let mut replaced_size = 0;
        if let Some(target) = self.child_if_any(&to_parent, to_name)? {
            if target.number == source.number {
                return Ok(());
            }
            replaced_size = target.size;
            match (source.is_directory(), target.is_directory()) {
                (true, false) => return Err(Error::NotDirectory),
                (false, true) => return Err(Error::IsDirectory),
                (true, true) if self.nodes.contains_key(&target.number) => {
                    return Err(Error::Busy);
                }
                _ => {}
            }
        }
        self.begin_change()?;
        let (from_name, to_name) = (names::file_name(from_name)?, names::file_name(to_name)?);
        let outcome = self.call("renaming", |ext4| {
            ext4.rename(
                from_parent.number,
                from_name,
                to_parent.number,
                to_name,
                RenameOptions::REPLACE,
            )
        })?;
        if let Some(replaced) = outcome.replaced {
            self.removed(replaced, replaced_size);
        }
        Ok(())
    }

    fn link(&mut self, path: &str, new: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::IsDirectory);
        }
        let found = self.find(path)?;
        if found.is_directory() {
            return Err(Error::IsDirectory);
        }
        if path::split_last(new).is_none() {
            return Err(Error::Exists);
        }
        let (parent, name) = self.parent(new)?;
        if self.child_if_any(&parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        self.begin_change()?;
        self.reserve_for_entry()?;
        let name = names::file_name(name)?;
        self.call("linking a file", |ext4| {
            ext4.hard_link(found.number, parent.number, name)
        })?;
        Ok(())
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        if target.is_empty() || target.contains('\0') {
            return Err(Error::Invalid);
        }
        if target.len() >= self.block.min(path::MAX_PATH + 1) {
            return Err(Error::NameTooLong);
        }
        let (parent, name) = self.parent(path)?;
        if self.child_if_any(&parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        self.begin_change()?;
        self.reserve_for_entry()?;
        let name = names::file_name(name)?;
        self.call("making a symbolic link", |ext4| {
            ext4.create_symlink(OWNER, parent.number, name, target.as_bytes())
        })?;
        Ok(())
    }

    fn resolve(&mut self, path: &str, last: bool) -> Result<Walk> {
        self.walk(path, last)
    }

    fn lend(&mut self, file: FileId, offset: u64, len: usize, out: &mut Vec<Lent>) -> Result<()> {
        let (inode, _) = self.file(file, OpenFlags::READ)?;
        self.lend_file(inode, offset, len, out)?;
        lend::or_copy(self, file, offset, len, out)
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_all()
    }

    fn sync_file(&mut self, file: FileId) -> Result<()> {
        self.handles.get(file)?;
        // The journal is the volume's: its commit brings everything.
        self.sync_all()
    }

    fn space(&mut self) -> Result<Space> {
        let known = self.known_space()?;
        let total = known.total_blocks.saturating_mul(known.block_size);
        let free = known.free_blocks.saturating_mul(known.block_size);
        Ok(Space {
            total,
            free: free.saturating_add(self.leftover_bytes()).min(total),
            unit: known.block_size as u32,
        })
    }

    fn health(&self) -> Health {
        self.state()
    }
}
