//! A mounted FAT volume: the operations.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use hadris_fat::sync::FatFs;
use hadris_fs::sync::FileSystem;
use hadris_fs::{
    DirCursor, Extent, FileType, Metadata, Name, NodeId, OpenMode, RenameMode, SetAttr,
};

use super::device::{Device, SharedCache};
use super::handles::{Handle, Handles};
use super::names;
use crate::cache::{Cache, Order};
use crate::path;
use crate::{
    BlockError, Cursor, DirEntry, Error, FileId, Health, Kind, OpenFlags, Space, Stat, Volume,
};

/// The largest file: its size is 32 bits on the disk.
const MAX_FILE: u64 = u32::MAX as u64;

/// Bytes of one step of a write or of growing a file, between which changes may be committed.
const STEP: u64 = 1 << 20;

/// Entries given by one call of `list`.
const LIST_STEP: usize = 256;

type Result<T> = core::result::Result<T, Error>;
type FatResult<T> = core::result::Result<T, hadris_fs::Error<BlockError>>;

/// What the operations since the last commit did. Only one kind at a time: a commit comes between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing.
    None,
    /// Clusters were taken, entries added or changed.
    Taking,
    /// Clusters were given back, entries removed. A cluster given back isn't taken again before
    /// this is committed, so until then the device still has all of what was removed.
    Giving,
}

/// See [`super::mount`].
pub(super) struct FatVolume {
    /// Boxed: it has a block of 4 KiB in it, which is not to be moved over small stacks.
    fat: Box<FatFs<Device>>,
    cache: SharedCache,
    handles: Handles,
    sector: usize,
    writable: bool,
    /// What was found when the volume turned out to be corrupt.
    corrupt: Option<String>,
    change: Change,
}

impl FatVolume {
    pub fn new(fat: Box<FatFs<Device>>, cache: SharedCache, writable: bool, sector: usize) -> Self {
        let handles = Handles::default();
        Self {
            fat,
            cache,
            handles,
            sector,
            writable,
            corrupt: None,
            change: Change::None,
        }
    }

    fn with_cache<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> Result<T> {
        // Never contended; see `Device::with`.
        self.cache
            .try_lock()
            .map(|mut cache| f(&mut cache))
            .ok_or(Error::Io)
    }

    /// Turns the outcome of a call of hadris-fat into ours. The first sign of corruption ends all
    /// writing.
    fn done<T>(&mut self, result: FatResult<T>, what: &str) -> Result<T> {
        result.map_err(|error| {
            let known = names::error(&error);
            if known == Error::Corrupt && self.corrupt.is_none() {
                let found = format!("{what}: {}", error.message());
                log::error!(
                    "FAT volume is corrupt and read-only from now on: {found}; repair it with fsck.fat -a"
                );
                self.corrupt = Some(found);
                let _ = self.with_cache(Cache::freeze);
            }
            known
        })
    }

    /// Prepares for an operation that changes the volume: commits before it what isn't of the
    /// same kind.
    fn begin(&mut self, change: Change) -> Result<()> {
        if !self.writable || self.corrupt.is_some() {
            return Err(Error::ReadOnly);
        }
        if self.change != Change::None && self.change != change {
            self.commit()?;
        }
        self.change = change;
        Ok(())
    }

    /// Ends an operation that changed the volume. Its outcome stands; what was changed stays in
    /// the cache when it can't be written now, and `sync` says so.
    fn end(&mut self) {
        if self.corrupt.is_none() && self.with_cache(|cache| cache.is_filling()) == Ok(true) {
            let _ = self.commit();
        }
    }

    /// Brings all changes to the device, without flushing it.
    fn commit(&mut self) -> Result<()> {
        // Writes the sizes of open files, the number of free clusters, and the mark of a clean
        // volume, all of it to the cache.
        let synced = FileSystem::sync(&mut *self.fat);
        self.done(synced, "writing directories")?;
        let order = match self.change {
            Change::Giving => Order::DirectoriesFirst,
            Change::Taking | Change::None => Order::TablesFirst,
        };
        self.with_cache(|cache| cache.commit(order))??;
        self.change = Change::None;
        Ok(())
    }

    fn lookup(&mut self, directory: NodeId, name: &str) -> Result<NodeId> {
        let found = self.fat.lookup(directory, Name::new(name));
        self.done(found, "reading a directory")
    }

    /// The node that `path` names, pinned.
    fn resolve(&mut self, path: &str) -> Result<NodeId> {
        let mut node = self.fat.root();
        for name in path::names(path) {
            let next = self.lookup(node, name);
            self.fat.forget(node, 1);
            node = next?;
        }
        Ok(node)
    }

    /// Calls `f` with the directory that `path` is in and its last name; [`Error::Invalid`] for
    /// the root, which is in none.
    fn in_parent<T>(
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

    fn metadata(&mut self, node: NodeId) -> Result<Stat> {
        let found = self.fat.stat(node);
        Ok(stat(&self.done(found, "reading a directory entry")?))
    }

    /// An open file, not a directory.
    fn file(&self, file: FileId, needed: OpenFlags) -> Result<Handle> {
        let handle = self.handles.get(file)?;
        if handle.is_directory() {
            return Err(Error::IsDirectory);
        }
        if !handle.flags.contains(needed) {
            return Err(Error::PermissionDenied);
        }
        Ok(handle)
    }

    fn open_node(&mut self, node: NodeId, flags: OpenFlags, is_new: bool) -> Result<FileId> {
        let known = self.metadata(node)?;
        if !is_new && flags.contains(OpenFlags::EXCLUSIVE) {
            return Err(Error::Exists);
        }
        match (known.kind, flags.contains(OpenFlags::DIRECTORY)) {
            (Kind::Directory, false) => return Err(Error::IsDirectory),
            (Kind::File, true) => return Err(Error::NotDirectory),
            (Kind::Directory, true) => return Ok(self.handles.add(Handle { node, flags })),
            (Kind::File, false) => {}
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
        Ok(self.handles.add(Handle { node, flags }))
    }

    fn open_path(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        if path::split_last(path).is_none() {
            let root = self.fat.root();
            return self.open_node(root, flags, false);
        }
        self.in_parent(path, |volume, parent, name| {
            let (node, is_new) = match volume.lookup(parent, name) {
                Err(Error::NotFound) if flags.contains(OpenFlags::CREATE) => {
                    (volume.create(parent, name, false)?, true)
                }
                found => (found?, false),
            };
            let opened = volume.open_node(node, flags, is_new);
            if opened.is_err() {
                volume.fat.forget(node, 1);
            }
            opened
        })
    }

    /// Makes a file or directory, and pins it.
    fn create(&mut self, parent: NodeId, name: &str, directory: bool) -> Result<NodeId> {
        names::check(name)?;
        self.begin(Change::Taking)?;
        let (at, attributes) = (Name::new(name), SetAttr::new());
        let made = match directory {
            false => self.fat.create(parent, at, &attributes),
            true => self.fat.mkdir(parent, at, &attributes),
        };
        let made = self.done(made, "creating an entry");
        self.end();
        made
    }

    /// Where the directory entry of a file is, as a sector.
    fn entry_sector(&mut self, node: NodeId) -> Result<u64> {
        let mut places = [Extent::new(0, 0)];
        let found = self.fat.records(node, &mut places);
        self.done(found, "reading a directory entry")?;
        let [place] = places;
        Ok(place.offset() / self.sector as u64)
    }

    /// Runs `f`, which writes the contents of a file.
    fn writing<T>(
        &mut self,
        node: NodeId,
        f: impl FnOnce(&mut FatFs<Device>) -> FatResult<T>,
    ) -> Result<T> {
        let entry = self.entry_sector(node)?;
        self.with_cache(|cache| cache.begin_file(entry))?;
        let result = f(&mut self.fat);
        self.with_cache(Cache::end_file)?;
        self.done(result, "writing a file")
    }

    /// Cuts a file, or extends it with zeros: all of it or nothing.
    fn resize(&mut self, node: NodeId, size: u64) -> Result<()> {
        if size > MAX_FILE {
            return Err(Error::TooLarge);
        }
        let old = self.metadata(node)?.size;
        if size < old {
            self.begin(Change::Giving)?;
            let cut = self.fat.truncate(node, size);
            let cut = self.done(cut, "cutting a file");
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
                return Err(error);
            }
            reached = next;
        }
        Ok(())
    }

    /// Writes `buf`, or as much of it as fits the file and the volume.
    fn write_steps(&mut self, node: NodeId, offset: u64, buf: &[u8]) -> Result<usize> {
        let mut done = 0;
        for step in buf.chunks(STEP as usize) {
            match self.write_step(node, offset + done as u64, step) {
                Ok(count) if count < step.len() => return Ok(done + count),
                Ok(count) => done += count,
                Err(Error::NoSpace | Error::TooLarge) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes as much of `buf` as fits the volume.
    fn write_step(&mut self, node: NodeId, offset: u64, buf: &[u8]) -> Result<usize> {
        self.begin(Change::Taking)?;
        let mut written = self.writing(node, |fat| fat.write(node, offset, buf));
        if written == Err(Error::NoSpace) {
            // hadris-fat writes all or nothing; what fits is the rest of the last cluster and
            // the free ones, which it has just counted.
            let size = self.metadata(node)?.size;
            let space = self.space()?;
            let unit = u64::from(space.unit.max(1));
            let room = size.div_ceil(unit) * unit + space.free;
            let fits = room.saturating_sub(offset).min(buf.len() as u64) as usize;
            if let Some(part) = buf.get(..fits).filter(|part| !part.is_empty()) {
                written = self.writing(node, |fat| fat.write(node, offset, part));
            }
        }
        self.end();
        written
    }
}

/// What hadris-fat knows of a node, in our words.
fn stat(known: &Metadata) -> Stat {
    let directory = known.file_type() == FileType::Dir;
    Stat {
        kind: if directory {
            Kind::Directory
        } else {
            Kind::File
        },
        size: known.len(),
        modified: known.modified().map_or(0, |time| time.unix_seconds()),
        read_only: known.permissions().bits() & 0o222 == 0,
    }
}

fn check_flags(flags: OpenFlags) -> Result<()> {
    let writes = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::APPEND;
    let directory = OpenFlags::DIRECTORY | OpenFlags::READ;
    let fits = if flags.contains(OpenFlags::DIRECTORY) {
        directory.contains(flags)
    } else {
        flags.intersects(OpenFlags::READ | OpenFlags::WRITE)
            && (flags.contains(OpenFlags::WRITE) || !flags.intersects(writes))
            && (flags.contains(OpenFlags::CREATE) || !flags.contains(OpenFlags::EXCLUSIVE))
    };
    if fits { Ok(()) } else { Err(Error::Invalid) }
}

impl Volume for FatVolume {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        check_flags(flags)?;
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
        let handle = self.file(file, OpenFlags::READ)?;
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.checked_add(done as u64).ok_or(Error::Invalid)?;
            let read = self.fat.read(handle.node, at, rest);
            match self.done(read, "reading a file")? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        let handle = self.file(file, OpenFlags::WRITE)?;
        let size = self.metadata(handle.node)?.size;
        let append = handle.flags.contains(OpenFlags::APPEND);
        let offset = if append { size } else { offset };
        if buf.is_empty() {
            return Ok(0);
        }
        if offset >= MAX_FILE {
            return Err(Error::TooLarge);
        }
        if offset > size {
            self.resize(handle.node, offset)?;
        }
        let written = self.write_steps(handle.node, offset, buf);
        if written.is_err() && offset > size {
            // The gap is of no use without what was to come after it.
            let _ = self.resize(handle.node, size);
        }
        written
    }

    fn size(&mut self, file: FileId) -> Result<u64> {
        let handle = self.file(file, OpenFlags::empty())?;
        Ok(self.metadata(handle.node)?.size)
    }

    fn truncate(&mut self, file: FileId, size: u64) -> Result<()> {
        let handle = self.file(file, OpenFlags::WRITE)?;
        self.resize(handle.node, size)
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        let handle = self.handles.get(file)?;
        self.metadata(handle.node)
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
        let mut cursor = from;
        for _ in 0..LIST_STEP {
            let entry = self.fat.readdir(handle.node, DirCursor::from_raw(cursor));
            let Some(entry) = self.done(entry, "reading a directory")? else {
                return Ok(None);
            };
            let name = String::from_utf8_lossy(entry.name().as_bytes());
            if !visit(&DirEntry {
                name: &name,
                stat: stat(entry.metadata()),
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
            let open = volume.handles.has_directory(node);
            volume.fat.forget(node, 1);
            if open {
                return Err(Error::Busy);
            }
            volume.begin(Change::Giving)?;
            let removed = volume.fat.rmdir(parent, Name::new(name));
            let removed = volume.done(removed, "removing a directory");
            volume.end();
            removed
        })
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::IsDirectory);
        }
        self.in_parent(path, |volume, parent, name| {
            volume.begin(Change::Giving)?;
            let removed = volume.fat.unlink(parent, Name::new(name));
            let removed = volume.done(removed, "removing a file");
            volume.end();
            removed
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        if path::split_last(from).is_none() || path::split_last(to).is_none() {
            return Err(Error::Busy);
        }
        self.in_parent(from, |volume, from_parent, from_name| {
            volume.in_parent(to, |volume, to_parent, to_name| {
                names::check(to_name)?;
                let change = match volume.lookup(to_parent, to_name) {
                    Ok(target) => {
                        let open = volume.handles.has_directory(target);
                        let source = volume.lookup(from_parent, from_name);
                        volume.fat.forget(target, 1);
                        let source = source?;
                        volume.fat.forget(source, 1);
                        if open && source != target {
                            return Err(Error::Busy);
                        }
                        Change::Giving
                    }
                    Err(Error::NotFound) => Change::Taking,
                    Err(error) => return Err(error),
                };
                volume.begin(change)?;
                let (from_name, to_name) = (Name::new(from_name), Name::new(to_name));
                let mode = RenameMode::Replace;
                let renamed = volume
                    .fat
                    .rename(from_parent, from_name, to_parent, to_name, mode);
                let renamed = volume.done(renamed, "renaming");
                volume.end();
                renamed
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
        // The tables are the volume's, not the file's: one commit is as cheap for all.
        self.sync()
    }

    fn space(&mut self) -> Result<Space> {
        let counted = self.fat.statfs();
        let counted = self.done(counted, "counting free clusters")?;
        let unit = counted.block_size();
        Ok(Space {
            total: counted.total_blocks() * u64::from(unit),
            free: counted.free_blocks() * u64::from(unit),
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
