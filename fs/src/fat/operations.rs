//! Implementation of [`Volume`] for FAT.

use alloc::string::String;
use alloc::vec::Vec;

use hadris_fs::DirCursor;

use super::volume::{Change, FatVolume, MAX_FILE, Result, stat};
use crate::cache::Cache;
use crate::path;
use crate::{
    Cursor, DirEntry, Error, FileId, Health, Lease, OpenFlags, Renaming, Space, Stat, Time, Volume,
};

/// Entries per call of `list`.
const LIST_STEP: usize = 256;

impl Volume for FatVolume {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        flags.check()?;
        self.handles.check_room()?;
        self.open_path(path, flags)
    }

    fn close(&mut self, file: FileId) -> Result<()> {
        let handle = self.handles.remove(file)?;
        let closed = if handle.is_directory() {
            Ok(())
        } else {
            if handle.flags.contains(OpenFlags::WRITE) && self.change == Change::None {
                self.change = Change::Taking;
            }
            let closed = self.fat.close(handle.node);
            self.done(closed, "closing a file")
        };
        self.fat.forget(handle.node, 1);
        closed
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
        self.set_times_of(path, accessed, modified)
    }

    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        let handle = self.file(file, OpenFlags::WRITE)?;
        let (node, append) = (handle.node, handle.flags.contains(OpenFlags::APPEND));
        let size = self.size_of(file)?;
        let offset = if append { size } else { offset };
        if buf.is_empty() {
            return Ok(0);
        }
        if offset >= MAX_FILE {
            return Err(Error::TooLarge);
        }
        if offset > size {
            self.resize(node, offset)?;
        }
        let written = self.write_steps(node, size.max(offset), offset, buf);
        if written.is_err() && offset > size {
            // Without the data after it, the gap is useless.
            let _ = self.resize(node, size);
        }
        written
    }

    fn size(&mut self, file: FileId) -> Result<u64> {
        self.size_of(file)
    }

    fn truncate(&mut self, file: FileId, size: u64) -> Result<()> {
        let node = self.file(file, OpenFlags::WRITE)?.node;
        self.resize(node, size)
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        let node = self.handles.get(file)?.node;
        self.metadata(node)
    }

    fn stat(&mut self, path: &str) -> Result<Stat> {
        let node = self.resolve(path)?;
        let known = self.metadata(node);
        self.fat.forget(node, 1);
        known
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
        let node = handle.node;
        let mut cursor = from;
        for _ in 0..LIST_STEP {
            let entry = self.fat.readdir(node, DirCursor::from_raw(cursor));
            let Some(entry) = self.done(entry, "reading a directory")? else {
                return Ok(None);
            };
            let name = String::from_utf8_lossy(entry.name().as_bytes());
            if !visit(&DirEntry {
                name: &name,
                kind: stat(entry.metadata()).kind,
            }) {
                return Ok(Some(cursor));
            }
            cursor = entry.next_cursor().into_raw();
        }
        Ok(Some(cursor))
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        self.in_parent(path, |volume, parent, name| {
            let node = volume.create(parent, name, true)?;
            volume.fat.forget(node, 1);
            Ok(())
        })
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Busy);
        }
        self.in_parent(path, |volume, parent, name| {
            let node = volume.lookup(parent, name)?;
            let open = volume.is_open_directory(node);
            volume.fat.forget(node, 1);
            if open {
                return Err(Error::Busy);
            }
            volume.remove(parent, name, true)
        })
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::IsDirectory);
        }
        self.in_parent(path, |volume, parent, name| {
            volume.remove(parent, name, false)
        })
    }

    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<()> {
        if how == Renaming::Exchange {
            // FAT can't write two entries atomically.
            return Err(Error::Unsupported);
        }
        if path::split_last(from).is_none() || path::split_last(to).is_none() {
            return Err(Error::Busy);
        }
        self.in_parent(from, |volume, from_parent, from_name| {
            volume.in_parent(to, |volume, to_parent, to_name| {
                let replaces = how == Renaming::Replace;
                volume.rename_entry((from_parent, from_name), (to_parent, to_name), replaces)
            })
        })
    }

    fn sync(&mut self) -> Result<()> {
        if let Some(found) = &self.corrupt {
            log::debug!("not synced: {found}");
            return Err(Error::Corrupt);
        }
        if !self.writable {
            return Ok(());
        }
        if self.change != Change::None || self.with_cache(|cache| cache.is_dirty())? {
            self.commit()?;
        }
        Ok(self.with_cache(Cache::flush)??)
    }

    fn sync_file(&mut self, file: FileId) -> Result<()> {
        self.handles.get(file)?;
        // The tables belong to the whole volume: one commit is as cheap for all files.
        self.sync()
    }

    fn space(&mut self) -> Result<Space> {
        let counted = self.fat.statfs();
        let counted = self.done(counted, "counting free clusters")?;
        let unit = counted.block_size();
        let free = counted.free_blocks() * u64::from(unit);
        Ok(Space {
            total: counted.total_blocks() * u64::from(unit),
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
