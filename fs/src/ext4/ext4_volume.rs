//! Mounted ext4 volume: open files, and the steps of operations.

mod listing;
mod paths;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::filesystem::{Fs, Result};
use super::inode::{APPEND_ONLY, Inode, REGULAR, UNSUPPORTED};
use super::names::{LinksLeft, Place, There};
use crate::cache::Run;
use crate::handles::Handles;
use crate::path;
use crate::{Error, FileId, Health, Kind, Lease, OpenFlags};
use listing::Listing;
use paths::LastLookup;

/// Bytes of one step of a write.
const STEP: usize = 1 << 20;

/// Permissions of new files: only the program uses the volume while it runs.
const FILE_MODE: u16 = REGULAR | 0o644;

/// Change that may remove the last name of a file; the callback returns whether an inode is open.
type DropName<'a> = &'a dyn Fn(&mut Fs, &dyn Fn(u32) -> bool) -> Result<LinksLeft>;

/// Open file or directory.
#[derive(Debug)]
pub(super) struct Handle {
    pub inode: u32,
    pub flags: OpenFlags,
    /// Progress of a listing, for a directory.
    pub listing: Option<Listing>,
}

impl Handle {
    pub fn is_directory(&self) -> bool {
        self.flags.contains(OpenFlags::DIRECTORY)
    }
}

/// State of an open file, shared by all its handles.
#[derive(Debug, Default)]
pub(super) struct Node {
    handles: u32,
    /// Bytes in the file.
    pub size: u64,
    /// Location of the contents, once looked up and until it changes; an inner `None` means too
    /// many pieces.
    pub runs: Option<Option<Vec<Run>>>,
}

/// Mounted ext4 volume; see [`super::mount`].
pub(super) struct Ext4Volume {
    pub fs: Fs,
    pub handles: Handles<Handle>,
    pub nodes: BTreeMap<u32, Node>,
    pub remembered: LastLookup,
    pub writable: bool,
    /// Error and description, once the volume was found corrupt or its journal failed.
    pub broken: Option<(Error, String)>,
    /// Description of the last damage if the volume stays writable.
    damaged: Option<String>,
    /// Between [`crate::Volume::freeze`] and [`crate::Volume::thaw`]: nothing is written.
    suspended: bool,
}

impl Ext4Volume {
    /// Creates a volume, with the damage that the mount found, and whether that ends all writes.
    pub fn new(fs: Fs, writable: bool, (found, is_end): (Option<String>, bool)) -> Self {
        let (broken, damaged) = if is_end { (found, None) } else { (None, found) };
        Self {
            fs,
            handles: Handles::default(),
            nodes: BTreeMap::new(),
            remembered: LastLookup::default(),
            writable,
            broken: broken.map(|found| (Error::Corrupt, found)),
            damaged,
            suspended: false,
        }
    }

    /// Reacts to an error: a failed commit ends all writes. Corruption does so where the superblock
    /// says "remount-ro" or "panic"; where it says "continue", only the operation fails.
    fn watch(&mut self, failed: Option<Error>) {
        if let Some(error) = failed
            && (self.fs.failed || error == Error::Corrupt)
            && self.broken.is_none()
        {
            let found = self.fs.found.take();
            if found.is_some() || error == Error::Corrupt {
                self.on_damage(found.unwrap_or_else(|| String::from("it contradicts itself")));
            } else {
                log::error!("ext4 volume is read-only from now on, its journal failed: {error}");
                self.broken = Some((Error::Io, String::from("its journal can't be written")));
                self.fs.cache.freeze();
            }
        }
    }

    fn on_damage(&mut self, found: String) {
        if self.fs.geometry.continue_on_error && self.writable && !self.fs.failed {
            log::error!("ext4 volume is damaged: {found}; repair it with e2fsck -f");
            self.damaged = Some(found);
            return;
        }
        log::error!(
            "ext4 volume is corrupt and read-only from now on: {found}; repair it with e2fsck -f"
        );
        // Earlier changes are consistent; commit them together with the superblock.
        let may_write = self.writable && !self.suspended;
        if may_write && (self.fs.failed || self.fs.commit().is_err()) {
            let _ = self.fs.mark_errors();
        }
        self.broken = Some((Error::Corrupt, found));
        self.fs.cache.freeze();
    }

    /// Runs a step that changes nothing.
    pub fn inspect<T>(&mut self, step: impl FnOnce(&mut Fs) -> Result<T>) -> Result<T> {
        let done = step(&mut self.fs);
        self.watch(done.as_ref().err().copied());
        done
    }

    /// Runs an operation that changes something.
    pub fn change<T>(&mut self, step: &mut dyn FnMut(&mut Fs) -> Result<T>) -> Result<T> {
        self.check_writable()?;
        self.remembered.forget_entry();
        let done = self.fs.change(step);
        self.watch(done.as_ref().err().copied());
        done
    }

    /// Repeats a step until it returns `true`.
    pub fn change_all(&mut self, step: &mut dyn FnMut(&mut Fs) -> Result<bool>) -> Result<()> {
        while !self.change(step)? {}
        Ok(())
    }

    pub fn check_writable(&self) -> Result<()> {
        if !self.writable || self.broken.is_some() {
            Err(Error::ReadOnly)
        } else if self.suspended {
            Err(Error::Busy)
        } else {
            Ok(())
        }
    }

    pub fn inode(&mut self, number: u32) -> Result<Inode> {
        self.inspect(|fs| fs.inode(number))
    }

    /// Returns the inode and flags of an open file; fails for a directory.
    pub fn file(&self, file: FileId, needed: OpenFlags) -> Result<(u32, OpenFlags)> {
        let handle = self.handles.get(file)?;
        if handle.is_directory() {
            return Err(Error::IsDirectory);
        }
        if !handle.flags.contains(needed) {
            return Err(Error::PermissionDenied);
        }
        Ok((handle.inode, handle.flags))
    }

    pub fn node(&mut self, inode: u32) -> Result<&mut Node> {
        self.nodes.get_mut(&inode).ok_or(Error::Closed)
    }

    /// Opens an inode.
    pub fn open_inode(&mut self, found: &Inode, flags: OpenFlags, is_new: bool) -> Result<FileId> {
        let directory = flags.contains(OpenFlags::DIRECTORY);
        match (found.kind(), directory) {
            (Kind::Directory, false) => return Err(Error::IsDirectory),
            (Kind::File | Kind::Symlink, true) => return Err(Error::NotDirectory),
            (Kind::Symlink, false) => return Err(Error::Unsupported),
            (Kind::Directory, true) | (Kind::File, false) => {}
        }
        if found.flags & UNSUPPORTED != 0 || !directory && !found.is_regular() {
            return Err(Error::Unsupported);
        }
        if flags.contains(OpenFlags::WRITE) {
            self.check_writable()?;
            let is_fixed = found.is_read_only() || found.flags & APPEND_ONLY != 0;
            if is_fixed && !is_new {
                return Err(Error::PermissionDenied);
            }
        }
        let inode = found.number;
        let node = self.nodes.entry(inode).or_default();
        if node.handles == 0 {
            node.size = found.size;
        }
        node.handles += 1;
        let file = self.handles.add(Handle {
            inode,
            flags,
            listing: None,
        });
        if flags.contains(OpenFlags::TRUNCATE)
            && let Err(error) = self.resize(inode, 0)
        {
            let _ = self.close_handle(file);
            return Err(error);
        }
        Ok(file)
    }

    /// Returns the file of that name, and whether this call created it.
    pub fn find_or_create(&mut self, path: &str, flags: OpenFlags) -> Result<(Inode, bool)> {
        let place = self.place(path)?;
        match place.there {
            There::Entry(..) if flags.contains(OpenFlags::EXCLUSIVE) => Err(Error::Exists),
            There::Entry(_, found) => Ok((found, false)),
            There::Nothing(_) if flags.contains(OpenFlags::CREATE) => {
                let made = self.change(&mut |fs| fs.create(&place, FILE_MODE, &[]))?;
                Ok((made, true))
            }
            There::Nothing(_) => Err(Error::NotFound),
        }
    }

    /// Creates a file, directory or link with a new name.
    pub fn make(&mut self, path: &str, mode: u16, target: &[u8]) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        let place = self.place(path)?;
        if place.is_taken() {
            return Err(Error::Exists);
        }
        self.change(&mut |fs| fs.create(&place, mode, target).map(|_| ()))
    }

    /// Removes a name with `step`, and releases the file if that was its last name.
    pub fn drop_name(&mut self, step: DropName<'_>) -> Result<()> {
        self.check_writable()?;
        let nodes = core::mem::take(&mut self.nodes);
        let is_open = |inode: u32| nodes.contains_key(&inode);
        let done = self.change(&mut |fs| step(fs, &is_open));
        self.nodes = nodes;
        match done? {
            LinksLeft::Settled => Ok(()),
            // The next mount retries what fails here.
            LinksLeft::ToReap(number) => self.change_all(&mut |fs| fs.reap_step(number)),
        }
    }

    pub fn close_handle(&mut self, file: FileId) -> Result<()> {
        let handle = self.handles.remove(file)?;
        let number = handle.inode;
        let node = self.node(number)?;
        node.handles = node.handles.saturating_sub(1);
        if node.handles > 0 {
            return Ok(());
        }
        self.nodes.remove(&number);
        self.fs.release(number);
        if self.fs.orphans.contains(&number) && self.check_writable().is_ok() {
            // The next mount retries what fails here.
            let _ = self.change_all(&mut |fs| fs.release_step(number));
        }
        Ok(())
    }

    /// Returns the location of an open file's contents; `None` when it is too much to store.
    fn runs(&mut self, number: u32) -> Result<Option<&[Run]>> {
        if self.node(number)?.runs.is_none() {
            let found = self.inspect(|fs| {
                let inode = fs.inode(number)?;
                fs.runs(&inode)
            })?;
            self.node(number)?.runs = Some(found);
        }
        let node = self.nodes.get(&number).ok_or(Error::Closed)?;
        Ok(node.runs.as_ref().and_then(|runs| runs.as_deref()))
    }

    /// Reads from an open file; see [`crate::Volume::read_at`].
    pub fn read_file(&mut self, number: u32, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let size = self.node(number)?.size;
        let count = (buf.len() as u64).min(size.saturating_sub(offset)) as usize;
        let Some(buf) = buf.get_mut(..count).filter(|buf| !buf.is_empty()) else {
            return Ok(0);
        };
        if self.runs(number)?.is_none() {
            return self.inspect(|fs| {
                let inode = fs.inode(number)?;
                fs.read_pieces(&inode, offset, buf)?;
                Ok(count)
            });
        }
        let node = self.nodes.get(&number).ok_or(Error::Closed)?;
        let runs = node.runs.as_ref().and_then(|runs| runs.as_deref());
        let cache = &mut self.fs.cache;
        cache.begin_reading(size);
        let read = cache.read_runs(runs.unwrap_or_default(), offset, buf);
        cache.end_reading();
        Ok(read.map(|()| count)?)
    }

    /// Lends from an open file the bytes that need no copy; see [`crate::Volume::lend`].
    pub fn lend_file(
        &mut self,
        number: u32,
        offset: u64,
        len: usize,
        out: &mut Vec<Lease>,
    ) -> Result<()> {
        let size = self.node(number)?.size;
        let count = (len as u64).min(size.saturating_sub(offset)) as usize;
        if count == 0 || self.runs(number)?.is_none() {
            return Ok(());
        }
        let node = self.nodes.get(&number).ok_or(Error::Closed)?;
        let runs = node.runs.as_ref().and_then(|runs| runs.as_deref());
        let cache = &mut self.fs.cache;
        cache.lend_runs(runs.unwrap_or_default(), size, (offset, count), out)
    }

    /// Writes `buf` at `offset` of an open file, or as much of it as fits the file and the volume.
    pub fn write_file(&mut self, number: u32, offset: u64, buf: &[u8]) -> Result<usize> {
        self.check_writable()?;
        let inode = self.inode(number)?;
        let room = self.fs.max_size(&inode).saturating_sub(offset);
        if room == 0 {
            return Err(Error::TooLarge);
        }
        let fits = room.min(buf.len() as u64) as usize;
        let mut done = 0;
        while let Some(rest) = buf.get(done..fits).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            // Steps end where large requests should.
            let step = (STEP - at as usize % STEP).min(rest.len());
            let piece = rest.get(..step).unwrap_or_default();
            match self.write_piece(number, at, piece) {
                Ok(count) => done += count,
                Err(Error::NoSpace | Error::TooLarge) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes as much of `data` as one operation may.
    fn write_piece(&mut self, number: u32, offset: u64, data: &[u8]) -> Result<usize> {
        let mut progress = 0;
        self.node(number)?.runs = None;
        let mut written =
            self.change(&mut |fs| fs.write_step(number, (offset, data), &mut progress));
        if written == Err(Error::NoSpace) && progress > 0 {
            // The part that fitted before the volume was full.
            let some = data.get(..progress).unwrap_or_default();
            written = self.change(&mut |fs| fs.write_step(number, (offset, some), &mut progress));
        }
        let count = written?;
        let node = self.node(number)?;
        node.size = node.size.max(offset + count as u64);
        let relieved = self.fs.flush_if_full();
        self.watch(relieved.err());
        relieved.map(|()| count)
    }

    /// Truncates an open file, or extends it with a hole.
    pub fn resize(&mut self, number: u32, size: u64) -> Result<()> {
        self.check_writable()?;
        if size == self.node(number)?.size {
            return Ok(());
        }
        let inode = self.inode(number)?;
        if size > self.fs.max_size(&inode) {
            return Err(Error::TooLarge);
        }
        self.node(number)?.runs = None;
        self.fs.release(number);
        let is_done = self.change(&mut |fs| fs.resize_step(number, size))?;
        self.node(number)?.size = size;
        if is_done {
            return Ok(());
        }
        self.change_all(&mut |fs| fs.cut_step(number))
    }

    /// Adds a name to a file.
    pub fn link_file(&mut self, number: u32, place: &Place<'_>) -> Result<()> {
        self.change(&mut |fs| fs.add_link(number, place))
    }

    /// Makes all changes durable.
    pub fn sync_all(&mut self) -> Result<()> {
        if let Some((error, found)) = &self.broken {
            log::debug!("not synced: {found}");
            return Err(*error);
        }
        if !self.writable || self.suspended {
            return Ok(());
        }
        let done = self.fs.commit();
        self.watch(done.err());
        done
    }

    /// See [`crate::Volume::freeze`].
    pub fn suspend_writes(&mut self) -> Result<()> {
        self.sync_all()?;
        if self.writable && !self.suspended {
            let done = self.fs.close();
            self.watch(done.err());
            done?;
            self.suspended = true;
        }
        Ok(())
    }

    /// See [`crate::Volume::thaw`]. The next commit marks the volume as in use.
    pub fn resume_writes(&mut self) -> Result<()> {
        if !core::mem::take(&mut self.suspended) || self.check_writable().is_err() {
            return Ok(());
        }
        // Files that lost their last handle meanwhile.
        for number in self.fs.orphans.clone() {
            if !self.nodes.contains_key(&number) {
                self.change_all(&mut |fs| fs.release_step(number))?;
            }
        }
        Ok(())
    }

    pub fn state(&self) -> Health {
        match &self.broken {
            Some((_, found)) => Health::Corrupt(found.clone()),
            None if !self.writable => Health::ReadOnly,
            None if self.fs.unwritten.is_some() => Health::Waiting(String::from(
                "the disk refused its last commit, which each change and each sync repeats: make \
                room where the disk is stored, or replace the disk",
            )),
            None => match &self.damaged {
                Some(found) => Health::Damaged(found.clone()),
                None => Health::Writable,
            },
        }
    }
}

impl Drop for Ext4Volume {
    /// Leaves a file system that needs no replay, unless the device fails.
    fn drop(&mut self) {
        let _ = self.resume_writes();
        if self.check_writable().is_err() {
            return;
        }
        for number in self.fs.orphans.clone() {
            let _ = self.change_all(&mut |fs| fs.release_step(number));
        }
        if self.check_writable().is_ok()
            && let Err(error) = self.fs.close()
        {
            log::warn!(
                "ext4 volume not unmounted cleanly ({error}); its journal is replayed when it is \
                next mounted"
            );
        }
    }
}
