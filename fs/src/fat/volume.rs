//! Mounted FAT volume: its operations.

mod directories;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use hadris_fat::sync::FatFs;
use hadris_fat_raw::ShortEntry;
use hadris_fs::sync::FileSystem;
use hadris_fs::{Extent, FileType, Metadata, NodeId, OpenMode};

use super::cluster_chains::Chain;
use super::clusters;
use super::device::{Device, SharedCache};
use super::names;
use crate::cache::{Cache, Order};
use crate::handles::Handles;
use crate::path;
use crate::{BlockError, Error, FileId, Kind, OpenFlags, Stat, Time, Volume};
use directories::Directories;

/// Maximum file size: the disk stores 32 bits.
pub(super) const MAX_FILE: u64 = u32::MAX as u64;

/// Bytes per step of a write or of growing a file; changes may be committed between steps.
const STEP: u64 = 1 << 20;

pub(super) type Result<T> = core::result::Result<T, Error>;
type FatResult<T> = core::result::Result<T, hadris_fs::Error<BlockError>>;

/// Kind of changes since the last commit. A commit separates changes of different kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Clusters were allocated, entries added or changed.
    Taking,
    /// Clusters were freed, entries removed. A freed cluster isn't allocated again before the
    /// commit, so until then the device still has all removed data.
    Giving,
}

/// Open file or directory.
#[derive(Debug)]
pub(super) struct Handle {
    /// Pinned in hadris-fat while the handle exists.
    pub node: NodeId,
    pub flags: OpenFlags,
    /// Size of the file in bytes, once looked up.
    pub size: Option<u64>,
    /// Location of the contents, as far as they were read.
    pub chain: Option<Chain>,
}

impl Handle {
    fn new(node: NodeId, flags: OpenFlags) -> Self {
        Self {
            node,
            flags,
            size: None,
            chain: None,
        }
    }

    pub fn forget(&mut self) {
        self.size = None;
        self.chain = None;
    }

    pub fn is_directory(&self) -> bool {
        self.flags.contains(OpenFlags::DIRECTORY)
    }
}

/// Mounted FAT volume; see [`super::mount`].
pub(super) struct FatVolume {
    /// Boxed: the type contains a block of 4 KiB, which must not move through small stacks.
    pub fat: Box<FatFs<Device>>,
    pub cache: SharedCache,
    pub handles: Handles<Handle>,
    pub(super) sector: usize,
    pub writable: bool,
    /// Description of the damage, once the volume turned out to be corrupt.
    pub corrupt: Option<String>,
    pub change: Change,
    /// Directories with an index of their names.
    pub directories: Directories,
    /// An operation failed half way, and hadris-fat restores consistency before its next write.
    pub unsynced: bool,
}

impl FatVolume {
    pub fn new(
        fat: Box<FatFs<Device>>,
        cache: SharedCache,
        writable: bool,
        sector: usize,
        index_bytes: usize,
    ) -> Self {
        let handles = Handles::default();
        Self {
            fat,
            cache,
            handles,
            sector,
            writable,
            corrupt: None,
            change: Change::None,
            directories: Directories::new(index_bytes),
            unsynced: false,
        }
    }

    pub(super) fn with_cache<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> Result<T> {
        // Never contended; see `Device::with`.
        self.cache
            .try_lock()
            .map(|mut cache| f(&mut cache))
            .ok_or(Error::Io)
    }

    /// Converts the result of a hadris-fat call. The first sign of corruption ends all writes.
    pub(super) fn done<T>(&mut self, result: FatResult<T>, what: &str) -> Result<T> {
        result.map_err(|error| self.failed(&error, what))
    }

    #[inline(never)]
    fn failed(&mut self, error: &hadris_fs::Error<BlockError>, what: &str) -> Error {
        let known = names::error(error);
        // While the caller must not wait for the device, an operation that needs it fails without
        // effect.
        let away =
            known == Error::Io && self.with_cache(|cache| cache.is_unresponsive()) == Ok(true);
        if matches!(known, Error::Io | Error::Corrupt) && !away {
            self.unsynced |= self.change != Change::None;
            self.directories.clear();
        }
        if known == Error::Corrupt && self.corrupt.is_none() {
            let found = format!("{what}: {}", error.message());
            log::error!(
                "FAT volume is corrupt and read-only from now on: {found}; repair it with fsck.fat \
                -a"
            );
            self.corrupt = Some(found);
            let _ = self.with_cache(Cache::freeze);
            self.handles.all_mut().for_each(Handle::forget);
        }
        known
    }

    /// Prepares for an operation that changes the volume: first commits changes of another kind, or
    /// those that leave too little of the cache.
    pub(super) fn begin(&mut self, change: Change) -> Result<()> {
        if !self.writable || self.corrupt.is_some() {
            return Err(Error::ReadOnly);
        }
        let filling = self.with_cache(|cache| cache.is_filling())?;
        if self.change != Change::None && (filling || self.change != change) {
            self.commit()?;
        }
        if !self.with_cache(Cache::prepare)? {
            return Err(Error::OutOfMemory);
        }
        self.change = change;
        Ok(())
    }

    /// Ends an operation that changed the volume, whose result stands. If the changes can't be
    /// written now, they stay in the cache, and `sync` reports the error.
    pub(super) fn end(&mut self) {
        if self.corrupt.is_none() && self.with_cache(|cache| cache.is_filling()) == Ok(true) {
            let _ = self.commit();
        }
    }

    /// Writes all changes to the device, without a flush.
    pub(super) fn commit(&mut self) -> Result<()> {
        // Writes the sizes of open files, the number of free clusters, and the clean bit, all to
        // the cache.
        let synced = FileSystem::sync(&mut *self.fat);
        self.done(synced, "writing directories")?;
        let order = match self.change {
            Change::Giving => Order::DirectoriesFirst,
            Change::Taking | Change::None => Order::TablesFirst,
        };
        self.with_cache(|cache| cache.commit(order))??;
        self.change = Change::None;
        self.unsynced = false;
        Ok(())
    }

    /// Returns the node of `path`, pinned.
    pub(super) fn resolve(&mut self, path: &str) -> Result<NodeId> {
        let mut node = self.fat.root();
        for name in path::names(path) {
            let next = self.lookup(node, name);
            self.fat.forget(node, 1);
            node = next?;
        }
        Ok(node)
    }

    /// Calls `f` with the directory of `path` and its last name; [`Error::Invalid`] for the root,
    /// which has no parent.
    pub(super) fn in_parent<T>(
        &mut self,
        path: &str,
        f: impl FnOnce(&mut Self, NodeId, &str) -> Result<T>,
    ) -> Result<T> {
        let (parent, name) = path::split_last(path).ok_or(Error::Invalid)?;
        let parent = self.resolve(parent)?;
        let result = f(self, parent, name);
        self.fat.forget(parent, 1);
        result
    }

    pub(super) fn metadata(&mut self, node: NodeId) -> Result<Stat> {
        let found = self.fat.stat(node);
        let found = self.done(found, "reading a directory entry")?;
        Ok(Stat {
            inode: node.get(),
            ..stat(&found)
        })
    }

    /// Returns the short entry of a node other than the root.
    pub(super) fn short_entry(&mut self, node: NodeId) -> Result<ShortEntry> {
        let place = self.place(node)?;
        let mut bytes = [0; hadris_fat_raw::ENTRY_SIZE];
        let read = self.fat.read_raw(place, &mut bytes);
        self.done(read, "reading a directory entry")?;
        clusters::short(&bytes).ok_or(Error::NotFound)
    }

    /// Returns the handle of an open file; fails for a directory.
    pub(super) fn file(&self, file: FileId, needed: OpenFlags) -> Result<&Handle> {
        let handle = self.handles.get(file)?;
        if handle.is_directory() {
            return Err(Error::IsDirectory);
        }
        if !handle.flags.contains(needed) {
            return Err(Error::PermissionDenied);
        }
        Ok(handle)
    }

    /// Whether a directory is open.
    pub(super) fn is_open_directory(&self, node: NodeId) -> bool {
        self.handles
            .all()
            .any(|handle| handle.node == node && handle.is_directory())
    }

    fn open_node(&mut self, node: NodeId, flags: OpenFlags, is_new: bool) -> Result<FileId> {
        let known = self.metadata(node)?;
        if !is_new && flags.contains(OpenFlags::EXCLUSIVE) {
            return Err(Error::Exists);
        }
        match (known.kind, flags.contains(OpenFlags::DIRECTORY)) {
            (Kind::Directory, false) => return Err(Error::IsDirectory),
            (Kind::File | Kind::Symlink, true) => return Err(Error::NotDirectory),
            (Kind::Directory, true) => return Ok(self.handles.add(Handle::new(node, flags))),
            (Kind::File | Kind::Symlink, false) => {}
        }
        let mode = if flags.contains(OpenFlags::WRITE) {
            if !self.writable || self.corrupt.is_some() {
                return Err(Error::ReadOnly);
            }
            if known.read_only && !is_new {
                return Err(Error::PermissionDenied);
            }
            OpenMode::Write
        } else {
            OpenMode::Read
        };
        if flags.contains(OpenFlags::TRUNCATE) && known.size > 0 {
            self.resize(node, 0)?;
        }
        let opened = self.fat.open(node, mode);
        self.done(opened, "opening a file")?;
        Ok(self.handles.add(Handle::new(node, flags)))
    }

    pub(super) fn open_path(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        if path::split_last(path).is_none() {
            let root = self.fat.root();
            return self.open_node(root, flags, false);
        }
        self.in_parent(path, |volume, parent, name| {
            let (node, is_new) = volume.find_or_create(parent, name, flags)?;
            let opened = volume.open_node(node, flags, is_new);
            if opened.is_err() {
                volume.fat.forget(node, 1);
            }
            opened
        })
    }

    /// Returns the node of that name, pinned, and whether this call created it.
    fn find_or_create(
        &mut self,
        parent: NodeId,
        name: &str,
        flags: OpenFlags,
    ) -> Result<(NodeId, bool)> {
        match self.lookup(parent, name) {
            Err(Error::NotFound) if flags.contains(OpenFlags::CREATE) => {
                Ok((self.create(parent, name, false)?, true))
            }
            found => Ok((found?, false)),
        }
    }

    /// Returns the location of the short entry of a node other than the root, as a byte of the
    /// disk.
    pub(super) fn place(&mut self, node: NodeId) -> Result<u64> {
        let mut places = [Extent::new(0, 0)];
        let found = self.fat.records(node, &mut places);
        self.done(found, "reading a directory entry")?;
        let [place] = places;
        Ok(place.offset())
    }

    /// Runs `f`, which writes the contents of a file.
    fn writing<T>(
        &mut self,
        node: NodeId,
        f: impl FnOnce(&mut FatFs<Device>) -> FatResult<T>,
    ) -> Result<T> {
        let entry = self.place(node)? / self.sector as u64;
        self.with_cache(|cache| cache.begin_file(entry))?;
        let result = f(&mut self.fat);
        self.with_cache(Cache::end_file)?;
        self.done(result, "writing a file")
    }

    /// Truncates a file, or extends it with zeros, completely or not at all.
    pub(super) fn resize(&mut self, node: NodeId, size: u64) -> Result<()> {
        if size > MAX_FILE {
            return Err(Error::TooLarge);
        }
        let old = self.metadata(node)?.size;
        if size < old {
            self.begin(Change::Giving)?;
            let cut = self.fat.truncate(node, size);
            let cut = self.done(cut, "cutting a file");
            self.note_size(node, None);
            self.end();
            return cut;
        }
        let mut reached = old;
        while reached < size {
            self.begin(Change::Taking)?;
            let next = size.min(reached + STEP);
            let grown = self.writing(node, |fat| fat.truncate(node, next));
            self.end();
            if let Err(error) = grown {
                if reached > old && self.begin(Change::Giving).is_ok() {
                    let cut = self.fat.truncate(node, old);
                    let _ = self.done(cut, "cutting a file");
                }
                self.note_size(node, None);
                return Err(error);
            }
            reached = next;
            self.note_size(node, Some(next));
        }
        Ok(())
    }

    /// Writes `buf`, or as much of it as fits the file and the volume.
    pub(super) fn write_steps(
        &mut self,
        node: NodeId,
        size: u64,
        offset: u64,
        buf: &[u8],
    ) -> Result<usize> {
        let mut done = 0;
        for step in buf.chunks(STEP as usize) {
            let at = offset + done as u64;
            match self.write_step(node, size.max(at), at, step) {
                Ok(count) if count < step.len() => return Ok(done + count),
                Ok(count) => done += count,
                Err(Error::NoSpace | Error::TooLarge) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes as much of `buf` as fits the volume.
    fn write_step(&mut self, node: NodeId, size: u64, offset: u64, buf: &[u8]) -> Result<usize> {
        self.begin(Change::Taking)?;
        let mut written = self.writing(node, |fat| fat.write(node, offset, buf));
        if written == Err(Error::NoSpace) {
            // hadris-fat writes all or nothing; the part that fits is the rest of the last cluster
            // and the free clusters, which it has just counted.
            let space = self.space()?;
            let unit = u64::from(space.unit.max(1));
            let room = size.div_ceil(unit) * unit + space.free;
            let fits = room.saturating_sub(offset).min(buf.len() as u64) as usize;
            if let Some(part) = buf.get(..fits).filter(|part| !part.is_empty()) {
                written = self.writing(node, |fat| fat.write(node, offset, part));
            }
        }
        let size = written.map(|count| size.max(offset + count as u64));
        self.note_size(node, size.ok());
        self.end();
        written
    }
}

/// Converts hadris-fat's metadata of a node.
pub(super) fn stat(known: &Metadata) -> Stat {
    let directory = known.file_type() == FileType::Dir;
    let modified = known.modified();
    let modified = modified.map_or(0, |time| time.unix_seconds());
    let modified = Time::from_seconds(modified);
    Stat {
        kind: if directory {
            Kind::Directory
        } else {
            Kind::File
        },
        size: known.len(),
        modified,
        accessed: modified,
        changed: modified,
        links: 1,
        inode: 0,
        read_only: known.permissions().bits() & 0o222 == 0,
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::vec;

    use hadris_fat::FatOptions;

    use super::*;
    use crate::fake::Disk;
    use crate::fat::{Options, mount_volume};

    /// Runs every operation that can fail half way, with names that are pinned on the way.
    fn use_it(volume: &mut FatVolume) -> Result<()> {
        let write = OpenFlags::WRITE | OpenFlags::CREATE;
        volume.mkdir("d")?;
        volume.mkdir("d/e")?;
        for n in 0..40 {
            let file = volume.open(&format!("d/e/file number {n}"), write)?;
            volume.write_at(file, n * 100, &[1; 3000])?;
            volume.close(file)?;
        }
        assert_eq!(volume.open("d/e", write), Err(Error::IsDirectory));
        assert_eq!(
            volume.open("d/e/file number 1/x", write),
            Err(Error::NotDirectory)
        );
        assert_eq!(volume.open("d/e/bad?", write), Err(Error::InvalidName));
        let long = format!("d/{}", "n".repeat(256));
        assert_eq!(volume.stat(&long).err(), Some(Error::NameTooLong));
        assert_eq!(
            volume.open("d/e/file number 3", write | OpenFlags::EXCLUSIVE),
            Err(Error::Exists)
        );
        assert_eq!(volume.rename("d", "d/e/f"), Err(Error::Invalid));
        assert_eq!(
            volume.rename("d/e/file number 1", "d/e"),
            Err(Error::IsDirectory)
        );
        assert_eq!(
            volume.rename("d/e/none", "d/e/file number 2"),
            Err(Error::NotFound)
        );
        assert_eq!(volume.rmdir("d"), Err(Error::NotEmpty));
        assert_eq!(volume.unlink("d/e/none"), Err(Error::NotFound));
        volume.rename("d/e/file number 1", "d/e/file number 2")?;
        volume.rename("d/e/file number 3", "d/moved")?;
        volume.stat("d/moved")?;
        volume.unlink("d/moved")?;
        volume.sync()
    }

    #[test]
    fn nothing_stays_pinned() {
        let mut image = vec![0; 4 << 20];
        hadris_fat::sync::format(&mut image, &FatOptions::new()).unwrap();
        for fail_write in [None, Some(1), Some(3), Some(7)] {
            let disk = Disk::new(image.clone(), 512);
            let mut volume = mount_volume(Box::new(disk.clone()), Options::default()).unwrap();
            disk.state().fail_write = fail_write;
            let result = use_it(&mut volume);
            // A commit between operations may fail silently; the next one retries.
            assert!(result.is_ok() || fail_write.is_some());
            volume.sync().unwrap();
            // The root only.
            assert_eq!(volume.fat.open_nodes(), 1, "write {fail_write:?} failed");
        }
    }
}
