//! Operations of a read-only volume.

use alloc::vec::Vec;

use super::{Content, NodeId, ROOT, Tree};
use crate::handles::Handles;
use crate::path;
use crate::{
    Cursor, DirEntry, Error, FileId, Health, Lease, OpenFlags, Renaming, Space, Stat, Volume, Walk,
    volume::lend_copy,
};

type Result<T> = core::result::Result<T, Error>;

/// Entries per call of `list`, after which other operations may run.
const LIST_STEP: usize = 256;

/// Source of the contents of files.
pub(crate) trait Source: Send {
    /// Location of a file's contents.
    type File: Send;

    /// Size of a file in bytes.
    fn size(file: &Self::File) -> u64;

    /// Fills `buf` from byte `offset` on, all within the file.
    fn read(&mut self, file: &Self::File, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Lends `len` bytes from `offset` on, all within the file, as [`Volume::lend`]; adds nothing
    /// where a copy is needed.
    fn lend(
        &mut self,
        file: &Self::File,
        offset: u64,
        len: usize,
        out: &mut Vec<Lease>,
    ) -> Result<()>;

    /// Returns the contents if they are in memory; see [`Volume::contents`].
    fn contents(file: &Self::File) -> Option<&'static [u8]> {
        let _ = file;
        None
    }
}

/// Tree with the source of its contents.
pub(crate) struct ReadOnly<S: Source> {
    tree: Tree<S::File>,
    source: S,
    handles: Handles<(NodeId, OpenFlags)>,
    /// Size of all contents in bytes.
    total: u64,
}

impl<S: Source> ReadOnly<S> {
    pub fn new(tree: Tree<S::File>, source: S, total: u64) -> Self {
        Self {
            tree,
            source,
            handles: Handles::default(),
            total,
        }
    }

    fn file(&self, file: FileId) -> Result<(&S::File, OpenFlags)> {
        let (node, flags) = *self.handles.get(file)?;
        match self.tree.content(node) {
            Some(Content::File(file)) => Ok((file, flags)),
            _ => Err(Error::IsDirectory),
        }
    }

    /// Fails with the error of every change.
    fn refuse<T>(&self) -> Result<T> {
        Err(Error::ReadOnly)
    }
}

impl<S: Source> Volume for ReadOnly<S> {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        flags.check()?;
        self.handles.check_room()?;
        let node = match self.tree.lookup(path) {
            Ok(_) if flags.contains(OpenFlags::EXCLUSIVE) => return Err(Error::Exists),
            Err(Error::NotFound) if flags.contains(OpenFlags::CREATE) => return self.refuse(),
            found => found?,
        };
        match (
            self.tree.content(node),
            flags.contains(OpenFlags::DIRECTORY),
        ) {
            (Some(Content::Directory { .. }), false) => return Err(Error::IsDirectory),
            (Some(Content::File(_) | Content::Link(_)), true) => return Err(Error::NotDirectory),
            (Some(Content::Link(_)), false) => return Err(Error::Unsupported),
            (Some(Content::Directory { .. } | Content::File(_)) | None, _) => {}
        }
        if flags.contains(OpenFlags::WRITE) {
            return self.refuse();
        }
        Ok(self.handles.add((node, flags)))
    }

    fn close(&mut self, file: FileId) -> Result<()> {
        self.handles.remove(file).map(|_| ())
    }

    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let (node, _) = *self.handles.get(file)?;
        let Some(Content::File(file)) = self.tree.content(node) else {
            return Err(Error::IsDirectory);
        };
        let left = S::size(file).saturating_sub(offset);
        let count = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..count).unwrap_or_default();
        if !buf.is_empty() {
            self.source.read(file, offset, buf)?;
        }
        Ok(count)
    }

    fn write_at(&mut self, file: FileId, _offset: u64, _buf: &[u8]) -> Result<usize> {
        self.file(file)?;
        Err(Error::PermissionDenied)
    }

    fn size(&mut self, file: FileId) -> Result<u64> {
        self.file(file).map(|(file, _)| S::size(file))
    }

    fn truncate(&mut self, file: FileId, _size: u64) -> Result<()> {
        self.file(file)?;
        Err(Error::PermissionDenied)
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        let (node, _) = *self.handles.get(file)?;
        self.tree.stat(node, S::size)
    }

    fn stat(&mut self, path: &str) -> Result<Stat> {
        self.tree.stat(self.tree.lookup(path)?, S::size)
    }

    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        let (node, flags) = *self.handles.get(directory)?;
        if !flags.contains(OpenFlags::DIRECTORY) {
            return Err(Error::NotDirectory);
        }
        let mut place = from;
        for _ in 0..LIST_STEP {
            let Some((id, next)) = self.tree.entry(node, place) else {
                return Ok(None);
            };
            let name = self.tree.name(id);
            let kind = self.tree.stat(id, S::size)?.kind;
            if !visit(&DirEntry { name, kind }) {
                return Ok(Some(u64::from(id)));
            }
            if next == 0 {
                return Ok(None);
            }
            place = next;
        }
        Ok(Some(place))
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        match self.tree.lookup(path) {
            Ok(_) => Err(Error::Exists),
            Err(Error::NotFound) => self.refuse(),
            Err(error) => Err(error),
        }
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        match self.tree.lookup(path)? {
            ROOT => Err(Error::Busy),
            _ => self.refuse(),
        }
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        self.tree.lookup(path)?;
        self.refuse()
    }

    fn rename_as(&mut self, from: &str, to: &str, _how: Renaming) -> Result<()> {
        let _ = to;
        self.tree.lookup(from)?;
        self.refuse()
    }

    fn link(&mut self, path: &str, new: &str) -> Result<()> {
        let _ = new;
        self.tree.lookup(path)?;
        self.refuse()
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        let _ = target;
        match path::split_last(path).map(|_| self.tree.lookup(path)) {
            None | Some(Ok(_)) => Err(Error::Exists),
            Some(Err(Error::NotFound)) => self.refuse(),
            Some(Err(error)) => Err(error),
        }
    }

    fn resolve(&mut self, path: &str, last: bool) -> Result<Walk> {
        Ok(self.tree.resolve(path, last))
    }

    fn contents(&mut self, file: FileId) -> Result<Option<&'static [u8]>> {
        self.file(file).map(|(file, _)| S::contents(file))
    }

    fn lend(&mut self, id: FileId, offset: u64, len: usize, out: &mut Vec<Lease>) -> Result<()> {
        let (node, _) = *self.handles.get(id)?;
        let Some(Content::File(file)) = self.tree.content(node) else {
            return Err(Error::IsDirectory);
        };
        let left = S::size(file).saturating_sub(offset);
        let count = len.min(usize::try_from(left).unwrap_or(usize::MAX));
        if count > 0 {
            self.source.lend(file, offset, count, out)?;
        }
        lend_copy(self, id, offset, count, out)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn sync_file(&mut self, file: FileId) -> Result<()> {
        self.handles.get(file).map(|_| ())
    }

    fn space(&mut self) -> Result<Space> {
        Ok(Space {
            total: self.total,
            free: 0,
            available: 0,
            unit: 512,
        })
    }

    fn health(&self) -> Health {
        Health::ReadOnly
    }
}
