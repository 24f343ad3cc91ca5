//! Implementation of [`Volume`] for FAT.

use alloc::vec::Vec;

use super::fat_volume::{Change, FatVolume, Result};
use super::geometry::Geometry;
use super::times::encode;
use super::writing::MAX_FILE;
use crate::path;
use crate::{
    Cursor, DirEntry, Error, FileId, Health, Lease, OpenFlags, Renaming, Space, Stat, Time, Volume,
};

impl Volume for FatVolume {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        flags.check()?;
        self.handles.check_room()?;
        self.open_path(path, flags)
    }

    fn close(&mut self, file: FileId) -> Result<()> {
        self.handles.remove(file).map(|_| ())
    }

    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.read_file(file, offset, buf)
    }

    fn lend(&mut self, file: FileId, offset: u64, len: usize, out: &mut Vec<Lease>) -> Result<()> {
        self.lend_file(file, offset, len, out)
    }

    fn set_times(
        &mut self,
        path: &str,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<()> {
        let mut node = self.resolve(path)?;
        if node.place == 0 {
            // The root has no entry, and so no times.
            return Err(Error::Unsupported);
        }
        self.begin(Change::Taking)?;
        if let Some(time) = accessed {
            node.entry.set_accessed(encode(time).0);
        }
        if let Some(time) = modified {
            let (date, time, _) = encode(time);
            node.entry.set_modified(date, time);
        }
        let set = self.put_entry(&node);
        self.end();
        set
    }

    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        let handle = self.file(file, OpenFlags::WRITE)?;
        let offset = match handle.flags.contains(OpenFlags::APPEND) {
            true => self.size_of(file)?,
            false => offset,
        };
        if buf.is_empty() {
            return Ok(0);
        }
        if offset >= MAX_FILE {
            return Err(Error::TooLarge);
        }
        self.write_file(file, offset, buf)
    }

    fn size(&mut self, file: FileId) -> Result<u64> {
        self.size_of(file)
    }

    fn truncate(&mut self, file: FileId, size: u64) -> Result<()> {
        self.file(file, OpenFlags::WRITE)?;
        self.resize(file, size)
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        let place = self.handles.get(file)?.place;
        let node = self.node(place)?;
        Ok(self.stat_node(&node))
    }

    fn stat(&mut self, path: &str) -> Result<Stat> {
        let node = self.resolve(path)?;
        Ok(self.stat_node(&node))
    }

    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        let handle = self.handles.get(directory)?;
        if !handle.is_directory() {
            return Err(Error::NotDirectory);
        }
        let node = self.node(handle.place)?;
        let directory = self.directory(&node)?;
        self.list_directory(directory, from, visit)
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        let (parent, name) = self.parent_of(path)?;
        self.create(parent, name, true).map(|_| ())
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Busy);
        }
        let (parent, name) = self.parent_of(path)?;
        let node = self.lookup(parent, name)?;
        if node.entry.is_dir() && self.is_open(node.place) {
            return Err(Error::Busy);
        }
        self.remove(parent, name, true)
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::IsDirectory);
        }
        let (parent, name) = self.parent_of(path)?;
        self.remove(parent, name, false)
    }

    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<()> {
        if how == Renaming::Exchange {
            // FAT can't write two entries atomically.
            return Err(Error::Unsupported);
        }
        if path::split_last(from).is_none() || path::split_last(to).is_none() {
            return Err(Error::Busy);
        }
        let (from, to) = (self.parent_of(from)?, self.parent_of(to)?);
        self.rename_entry(from, to, how == Renaming::Replace)
    }

    fn sync(&mut self) -> Result<()> {
        if let Some(found) = &self.corrupt {
            log::debug!("not synced: {found}");
            return Err(Error::Corrupt);
        }
        if !self.writable {
            return Ok(());
        }
        if self.change != Change::None || self.cache.is_dirty() {
            self.commit()?;
        }
        Ok(self.cache.flush()?)
    }

    fn sync_file(&mut self, file: FileId) -> Result<()> {
        self.handles.get(file)?;
        // The tables are shared by all files, so one commit covers all of them at the same cost.
        self.sync()
    }

    fn space(&mut self) -> Result<Space> {
        let counted = self.clusters.free(&mut self.cache);
        let free = self.done(counted.map_err(Error::from), "counting free clusters")?;
        let Geometry { unit, max, .. } = self.geometry();
        let [total, free] = [max - 1, free].map(|count| u64::from(count) * u64::from(unit));
        Ok(Space {
            total,
            free,
            available: free,
            unit,
        })
    }

    fn health(&self) -> Health {
        match &self.corrupt {
            Some(found) => Health::Corrupt(found.clone()),
            None if self.writable => Health::Writable,
            None => Health::ReadOnly,
        }
    }
}
