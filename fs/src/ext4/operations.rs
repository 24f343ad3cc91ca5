//! The operations of [`Volume`] on ext4.

use alloc::vec::Vec;

use super::ext4_volume::Ext4Volume;
use super::filesystem::Result;
use super::inode::{DIRECTORY, LINK};
use crate::path;
use crate::volume::lend_copy;
use crate::{
    Cursor, DirEntry, Error, Fallocate, FileId, Health, Lease, OpenFlags, Renaming, Seek, Space,
    Stat, Time, Volume, Walk,
};

impl Volume for Ext4Volume {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        flags.check()?;
        self.handles.check_room()?;
        let (found, is_new) = if path::split_last(path).is_none() {
            (self.find(path)?, false)
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

    fn fallocate(&mut self, file: FileId, how: Fallocate, offset: u64, len: u64) -> Result<()> {
        let (inode, _) = self.file(file, OpenFlags::WRITE)?;
        self.reshape(inode, how, offset, len)
    }

    fn seek(&mut self, file: FileId, to: Seek, offset: u64) -> Result<Option<u64>> {
        let (inode, _) = self.file(file, OpenFlags::empty())?;
        self.next(inode, to, offset)
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        let inode = self.handles.get(file)?.inode;
        Ok(self.inode(inode)?.stat())
    }

    fn stat(&mut self, path: &str) -> Result<Stat> {
        Ok(self.find(path)?.stat())
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
        self.make(path, DIRECTORY | 0o755, &[])
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Busy);
        }
        let place = self.place(path)?;
        if !place.inode()?.is_directory() {
            return Err(Error::NotDirectory);
        }
        self.remembered.forget_directory();
        self.drop_name(&|fs, is_open| fs.remove(&place, true, is_open))
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::IsDirectory);
        }
        let place = self.place(path)?;
        if place.inode()?.is_directory() {
            return Err(Error::IsDirectory);
        }
        self.drop_name(&|fs, is_open| fs.remove(&place, false, is_open))
    }

    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<()> {
        if path::split_last(from).is_none() || path::split_last(to).is_none() {
            return Err(Error::Busy);
        }
        let old = self.place(from)?;
        let source = old.inode()?;
        if path::is_below(to, from) {
            return Err(if source.is_directory() {
                Error::Invalid
            } else {
                Error::NotDirectory
            });
        }
        let new = self.place_beside(to, (from, &old))?;
        if source.is_directory() || new.inode().is_ok_and(|inode| inode.is_directory()) {
            self.remembered.forget_directory();
        }
        match how {
            Renaming::NoReplace if new.is_taken() => return Err(Error::Exists),
            Renaming::Replace | Renaming::NoReplace => {}
            Renaming::Exchange => {
                new.inode()?;
                if path::is_below(from, to) {
                    return Err(Error::Invalid);
                }
                return self.change(&mut |fs| fs.exchange(&old, &new));
            }
        }
        self.drop_name(&|fs, is_open| fs.rename(&old, &new, is_open))
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
        let place = self.place(new)?;
        if place.is_taken() {
            return Err(Error::Exists);
        }
        self.link_file(found.number, &place)
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        if target.is_empty() || target.contains('\0') {
            return Err(Error::Invalid);
        }
        if target.len() >= self.fs.geometry.block.min(path::MAX_PATH + 1) {
            return Err(Error::NameTooLong);
        }
        self.make(path, LINK | 0o777, target.as_bytes())
    }

    fn set_times(
        &mut self,
        path: &str,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<()> {
        let number = self.find(path)?.number;
        self.change(&mut |fs| {
            let mut inode = fs.inode(number)?;
            inode.accessed = accessed.unwrap_or(inode.accessed);
            inode.modified = modified.unwrap_or(inode.modified);
            inode.changed = fs.now();
            fs.write_inode(&inode)
        })
    }

    fn resolve(&mut self, path: &str, last: bool) -> Result<Walk> {
        self.walk(path, last)
    }

    fn lend(&mut self, file: FileId, offset: u64, len: usize, out: &mut Vec<Lease>) -> Result<()> {
        let (inode, _) = self.file(file, OpenFlags::READ)?;
        self.lend_file(inode, offset, len, out)?;
        lend_copy(self, file, offset, len, out)
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_all()
    }

    fn sync_file(&mut self, file: FileId) -> Result<()> {
        self.handles.get(file)?;
        // The journal belongs to the whole volume: its commit covers all files.
        self.sync_all()
    }

    fn freeze(&mut self) -> Result<()> {
        self.suspend_writes()
    }

    fn thaw(&mut self) -> Result<()> {
        self.resume_writes()
    }

    fn space(&mut self) -> Result<Space> {
        let (geometry, free) = (&self.fs.geometry, self.fs.free_blocks);
        let unit = geometry.block as u64;
        Ok(Space {
            total: geometry.blocks.saturating_mul(unit),
            free: free.saturating_mul(unit),
            available: free.saturating_sub(geometry.reserved).saturating_mul(unit),
            unit: unit as u32,
        })
    }

    fn health(&self) -> Health {
        self.state()
    }
}
