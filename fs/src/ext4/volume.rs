//! A mounted ext4 volume: what is open, and the steps that operations are made of.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rsext4::ext4::FileSystemStats;
use rsext4::runtime::{MountServices, MountedServices};
use rsext4::{
    Ext4, Ext4ErrorKind, Ext4Result, FileExtentTarget, FileName, FilePermissions, InodeFlags,
    InodeInfo, InodeNumber, MountOptions, MutationContext, UnlinkOutcome,
};

use super::device::{Device, MOUNT_CALLS, OPERATION_CALLS, SharedCache};
use super::listing::Listing;
use super::probe::Found;
use super::{Notes, Time, names};
use crate::cache::{Cache, Run};
use crate::handles::Handles;
use crate::path;
use crate::{Clock, Error, FileId, Health, Kind, OpenFlags, VolumeOptions, Walk};

pub(super) type Result<T> = core::result::Result<T, Error>;
type Inner = Ext4<Device, MountedServices<(), Notes>>;

/// Who owns what is made here: nobody but the program uses the volume while it runs.
pub(super) const OWNER: MutationContext = MutationContext::new(0, 0, 0, 0o022);

/// The longest symbolic link that is followed, in bytes; Linux makes none as long.
const MAX_LINK: u64 = 4096;

/// Bytes of journal that may be waiting to be written to their places, at least and at most: rsext4
/// keeps a copy of each in memory, and mounts afresh when they are written.
const MAX_WAITING: core::ops::RangeInclusive<u64> = 4 << 20..=16 << 20;

/// Attempts at a step for which the journal's running transaction had no room.
const ATTEMPTS: u32 = 64;

/// Pieces of the journal that are looked at on their way to the disk.
const MAX_JOURNAL_RUNS: usize = 4096;

/// Files without a name and not open that wait for the journal, at most.
const MAX_LEFTOVER: usize = 32;

/// Files remembered as partly in rsext4's own cache, before the volume is treated as if all were.
const MAX_RECENT: usize = 1024;

/// An open file or directory.
#[derive(Debug)]
pub(super) struct Handle {
    pub inode: InodeNumber,
    pub flags: OpenFlags,
    /// Of a directory: how far a listing has come.
    pub listing: Option<Listing>,
}

impl Handle {
    pub fn is_directory(&self) -> bool {
        self.flags.contains(OpenFlags::DIRECTORY)
    }
}

/// What is kept of a file while it is open, however often.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub handles: u32,
    /// Bytes in the file.
    pub size: u64,
    /// It lost its last name: to be given back when it is closed.
    pub orphan: bool,
    /// Its blocks are in lists, as in ext3, rather than in extents.
    pub has_lists: bool,
    /// Where its contents are, once that was asked and until it changes.
    pub extents: Option<Vec<Run>>,
}

/// Mounts what is on the device in rsext4, replaying the journal if that is called for.
pub(super) fn attach(
    device: &Device,
    clock: Option<&'static Clock>,
    journal: Option<u32>,
    writable: bool,
) -> Ext4Result<Inner> {
    let services = MountServices::new(Time(clock), (), Notes);
    let choice = if writable {
        MountOptions::read_write()
    } else {
        MountOptions::read_only_no_journal_replay()
    };
    device.allow(MOUNT_CALLS);
    device.begin_waiting();
    let mut ext4 = Ext4::mount(device.clone(), services, choice)?;
    if let (Some(journal), true) = (journal, writable) {
        let found = ext4.inode_extents(
            InodeNumber::new(journal)?,
            0,
            u64::MAX,
            FileExtentTarget::Data,
            MAX_JOURNAL_RUNS,
        )?;
        let block = device.block as u64;
        let runs = found.extents.iter();
        let runs = runs.map(|run| (run.physical_start / block, run.length / block));
        device.set_journal(runs.collect())?;
    }
    Ok(ext4)
}

/// See [`super::mount`].
pub(super) struct Ext4Volume {
    /// Absent only while it is mounted again, and when that failed.
    ext4: Option<Inner>,
    pub cache: SharedCache,
    device: Device,
    clock: Option<&'static Clock>,
    /// See [`MAX_WAITING`].
    max_waiting: u64,
    /// The inode of the journal.
    journal: Option<u32>,
    /// Bytes in a block.
    pub block: usize,
    pub handles: Handles<Handle>,
    pub nodes: BTreeMap<InodeNumber, Node>,
    /// Files of which rsext4 may hold something newer than the cache, since the last sync.
    recent: BTreeSet<InodeNumber>,
    all_recent: bool,
    /// What is neither open nor has a name, with its size: to be given back once the journal has
    /// it that the name is gone. Until then a power cut brings the name back, so nothing else may
    /// be written to its blocks.
    leftover: Vec<(InodeNumber, u64)>,
    /// Blocks of files that were cut are free, and the journal doesn't have that yet.
    cut: bool,
    pub writable: bool,
    /// What was found when the volume turned out to be corrupt or its journal failed.
    pub broken: Option<(Error, String)>,
}

impl Ext4Volume {
    pub fn new(
        ext4: Inner,
        device: Device,
        options: &VolumeOptions,
        found: &Found,
        writable: bool,
        corrupt: Option<String>,
    ) -> Self {
        Self {
            ext4: Some(ext4),
            cache: device.cache.clone(),
            block: device.block,
            device,
            clock: options.clock,
            // Where there is memory for large buffers, there is for this.
            max_waiting: (8 * options.stream_bytes as u64)
                .clamp(*MAX_WAITING.start(), *MAX_WAITING.end()),
            journal: found.journal,
            handles: Handles::default(),
            nodes: BTreeMap::new(),
            recent: BTreeSet::new(),
            all_recent: false,
            leftover: Vec::new(),
            cut: false,
            writable,
            broken: corrupt.map(|found| (Error::Corrupt, found)),
        }
    }

    pub(super) fn with_cache<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> Result<T> {
        // Never contended; see `Device::with`.
        self.cache
            .try_lock()
            .map(|mut cache| f(&mut cache))
            .ok_or(Error::Io)
    }

    /// One step in rsext4, which may make as many requests as an operation may. The first sign of
    /// corruption, or of a journal that failed, ends all writing.
    pub(super) fn call<T>(
        &mut self,
        what: &str,
        step: impl FnOnce(&mut Inner) -> Ext4Result<T>,
    ) -> Result<T> {
        self.device.allow(OPERATION_CALLS);
        let ext4 = self.ext4.as_mut().ok_or(Error::Io)?;
        let found = match step(ext4) {
            Ok(value) => return Ok(value),
            Err(found) => found,
        };
        log::debug!("ext4: {what}: {}", names::describe(&found));
        log::debug!("ext4: {what}: {}", names::describe(&found));
        let known = names::error(&found);
        let ends = known == Error::Corrupt
            || found.kind() == Ext4ErrorKind::JournalAborted
            || self.device.is_used_up();
        if ends && self.broken.is_none() {
            let found = format!("{what}: {}", names::describe(&found));
            let error = if known == Error::Io {
                log::error!("ext4 volume is read-only from now on, its journal failed: {found}");
                Error::Io
            } else {
                log::error!(
                    "ext4 volume is corrupt and read-only from now on: {found}; repair it with e2fsck -f"
                );
                Error::Corrupt
            };
            self.broken = Some((error, found));
            let _ = self.with_cache(Cache::freeze);
        }
        Err(known)
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.writable && self.broken.is_none() {
            Ok(())
        } else {
            Err(Error::ReadOnly)
        }
    }

    /// To be called before names change.
    pub(super) fn begin_change(&mut self) -> Result<()> {
        self.check_writable()?;
        self.checkpoint_if_due()
    }

    pub(super) fn inode(&mut self, inode: InodeNumber) -> Result<InodeInfo> {
        self.call("reading an inode", |ext4| ext4.inode(inode))
    }

    /// What `name` is in `directory`.
    pub(super) fn child(&mut self, directory: &InodeInfo, name: &str) -> Result<InodeInfo> {
        if !directory.is_directory() {
            return Err(Error::NotDirectory);
        }
        let name = names::file_name(name)?;
        self.call("reading a directory", |ext4| {
            ext4.lookup_child(directory.number, name)
        })?
        .ok_or(Error::NotFound)
    }

    pub(super) fn root(&mut self) -> Result<InodeInfo> {
        let root = self.ext4.as_ref().ok_or(Error::Io)?.root_inode();
        self.inode(root)
    }

    /// What `path` names; a symbolic link is not followed.
    pub(super) fn find(&mut self, path: &str) -> Result<InodeInfo> {
        let mut found = self.root()?;
        for name in path::names(path) {
            found = self.child(&found, name)?;
        }
        Ok(found)
    }

    /// The directory that `path` is in, and its last name; [`Error::Invalid`] for the root, which
    /// is in none.
    pub(super) fn parent<'a>(&mut self, path: &'a str) -> Result<(InodeInfo, &'a str)> {
        let (parent, name) = path::split_last(path).ok_or(Error::Invalid)?;
        let parent = self.find(parent)?;
        if !parent.is_directory() {
            return Err(Error::NotDirectory);
        }
        names::file_name(name)?;
        Ok((parent, name))
    }

    /// What `name` is in `directory`, if anything.
    pub(super) fn child_if_any(
        &mut self,
        directory: &InodeInfo,
        name: &str,
    ) -> Result<Option<InodeInfo>> {
        match self.child(directory, name) {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where `path` meets a symbolic link.
    pub(super) fn walk(&mut self, path: &str, last: bool) -> Result<Walk> {
        let mut found = self.root()?;
        let mut names = path::names(path).peekable();
        while let Some(name) = names.next() {
            found = match self.child(&found, name) {
                Ok(found) => found,
                Err(Error::NotFound | Error::NotDirectory) => return Ok(Walk::Plain),
                Err(error) => return Err(error),
            };
            if names::kind(&found) == Kind::Symlink && (last || names.peek().is_some()) {
                let target = self.link_target(&found)?;
                let end = name.as_ptr().addr() - path.as_ptr().addr() + name.len();
                return Ok(Walk::Link { end, target });
            }
        }
        Ok(Walk::Plain)
    }

    fn link_target(&mut self, link: &InodeInfo) -> Result<String> {
        if link.size == 0 || link.size > MAX_LINK {
            return Err(Error::NameTooLong);
        }
        let mut target = alloc::vec![0; link.size as usize];
        let number = link.number;
        let count = self.call("reading a symbolic link", |ext4| {
            ext4.read_inode(number, 0, &mut target)
        })?;
        target.truncate(count);
        String::from_utf8(target).map_err(|_| Error::InvalidName)
    }

    /// An open file, not a directory: its inode and flags.
    pub(super) fn file(&self, file: FileId, needed: OpenFlags) -> Result<(InodeNumber, OpenFlags)> {
        let handle = self.handles.get(file)?;
        if handle.is_directory() {
            return Err(Error::IsDirectory);
        }
        if !handle.flags.contains(needed) {
            return Err(Error::PermissionDenied);
        }
        Ok((handle.inode, handle.flags))
    }

    pub(super) fn node(&mut self, inode: InodeNumber) -> Result<&mut Node> {
        self.nodes.get_mut(&inode).ok_or(Error::Closed)
    }

    /// Opens what was found.
    pub(super) fn open_inode(
        &mut self,
        found: &InodeInfo,
        flags: OpenFlags,
        is_new: bool,
    ) -> Result<FileId> {
        let known = names::stat(found);
        let directory = flags.contains(OpenFlags::DIRECTORY);
        match (known.kind, directory) {
            (Kind::Directory, false) => return Err(Error::IsDirectory),
            (Kind::File | Kind::Symlink, true) => return Err(Error::NotDirectory),
            (Kind::Symlink, false) => return Err(Error::Unsupported),
            (Kind::Directory, true) | (Kind::File, false) => {}
        }
        if !directory && found.file_type() != rsext4::DirectoryEntryType::RegularFile {
            return Err(Error::Unsupported);
        }
        if flags.contains(OpenFlags::WRITE) {
            self.check_writable()?;
            if known.read_only && !is_new {
                return Err(Error::PermissionDenied);
            }
        }
        let inode = found.number;
        let node = self.nodes.entry(inode).or_default();
        if node.handles == 0 {
            node.size = found.size;
            node.has_lists = !found.flags.contains(InodeFlags::EXTENTS);
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

    /// The file of that name, and whether it was made for it.
    pub(super) fn find_or_create(
        &mut self,
        path: &str,
        flags: OpenFlags,
    ) -> Result<(InodeInfo, bool)> {
        let (parent, name) = self.parent(path)?;
        match self.child_if_any(&parent, name)? {
            Some(_) if flags.contains(OpenFlags::EXCLUSIVE) => Err(Error::Exists),
            Some(found) => Ok((found, false)),
            None if flags.contains(OpenFlags::CREATE) => {
                self.begin_change()?;
                self.reserve_for_entry()?;
                let name = names::file_name(name)?;
                let mode = permissions(0o666)?;
                let made = self.call("creating a file", |ext4| {
                    ext4.create_regular_file(OWNER, parent.number, name, mode)
                })?;
                Ok((made, true))
            }
            None => Err(Error::NotFound),
        }
    }

    pub(super) fn close_handle(&mut self, file: FileId) -> Result<()> {
        let handle = self.handles.remove(file)?;
        let node = self.node(handle.inode)?;
        node.handles = node.handles.saturating_sub(1);
        if node.handles > 0 {
            return Ok(());
        }
        let (orphan, size) = (node.orphan, node.size);
        self.nodes.remove(&handle.inode);
        if orphan && self.check_writable().is_ok() {
            self.leave(handle.inode, size);
        }
        Ok(())
    }

    /// Deals with what lost a name: what lost its last one is to be given back, unless it is open.
    pub(super) fn removed(&mut self, outcome: UnlinkOutcome, size: u64) {
        if !outcome.requires_reap() {
            return;
        }
        match self.nodes.get_mut(&outcome.inode) {
            Some(node) => node.orphan = true,
            None => self.leave(outcome.inode, size),
        }
    }

    fn leave(&mut self, inode: InodeNumber, size: u64) {
        self.leftover.push((inode, size));
        if self.leftover.len() >= MAX_LEFTOVER {
            // Fails as the next sync will, which says so.
            let _ = self.sync_all();
        }
    }

    /// Gives back what is left over. What can't be given back now is tried again by the next sync,
    /// or by the next mount.
    fn reap(&mut self) {
        for (inode, size) in core::mem::take(&mut self.leftover) {
            self.recent.remove(&inode);
            let reaped = self.call("giving back a file", |ext4| ext4.reap_unlinked_inode(inode));
            if reaped.is_err() {
                self.leftover.push((inode, size));
            }
        }
    }

    /// Bytes that are free as soon as the journal has it.
    pub(super) fn leftover_bytes(&self) -> u64 {
        self.leftover.iter().map(|(_, size)| size).sum()
    }

    /// Whether a sync would give something back.
    pub(super) fn has_leftover(&self) -> bool {
        !self.leftover.is_empty()
    }

    /// Notes that blocks of a file were given back.
    pub(super) fn note_cut(&mut self) {
        self.cut = true;
    }

    /// Makes sure that blocks which were given back may be written again.
    pub(super) fn settle(&mut self) -> Result<()> {
        if self.cut { self.sync_all() } else { Ok(()) }
    }

    /// Brings everything to stable storage.
    pub(super) fn sync_all(&mut self) -> Result<()> {
        if let Some((error, found)) = &self.broken {
            log::debug!("not synced: {found}");
            return Err(*error);
        }
        if !self.writable {
            return Ok(());
        }
        self.call_retried("syncing", Inner::sync)?;
        self.recent.clear();
        self.all_recent = false;
        self.cut = false;
        self.reap();
        self.checkpoint_if_due()
    }

    /// As [`call`](Self::call) for a step that writes metadata outside of rsext4's operations: there
    /// it can't end a transaction, or make room in the journal, in the middle of changing a block.
    fn call_retried(&mut self, what: &str, step: fn(&mut Inner) -> Ext4Result<()>) -> Result<()> {
        for _ in 1..ATTEMPTS {
            match self.call(what, step) {
                Err(Error::Busy) => self.make_room(),
                done => return done,
            }
        }
        self.call(what, step)
    }

    /// Makes room for some blocks in the journal's running transaction, ending it if need be: by
    /// beginning an operation that is refused once it has its room.
    pub(super) fn make_room(&mut self) {
        let Some(ext4) = self.ext4.as_mut().filter(|_| self.journal.is_some()) else {
            return;
        };
        self.device.allow(OPERATION_CALLS);
        let root = ext4.root_inode();
        if let Ok(name) = FileName::new(b".") {
            let refused = ext4.hard_link(root, root, name);
            debug_assert!(refused.is_err());
        }
    }

    /// Brings what is in the journal to its places when there is much of it. rsext4 does that by
    /// itself only when the journal is nearly full, and else when it unmounts.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<()> {
        let orphans = self.nodes.values().any(|node| node.orphan);
        if self.device.waiting() < self.max_waiting || orphans || !self.leftover.is_empty() {
            return Ok(());
        }
        self.check_writable()?;
        self.make_room();
        self.call_retried("writing back the journal", Inner::unmount)?;
        self.ext4 = None;
        self.recent.clear();
        self.all_recent = false;
        match attach(&self.device, self.clock, self.journal, true) {
            Ok(ext4) => {
                self.ext4 = Some(ext4);
                Ok(())
            }
            Err(found) => {
                let found = names::describe(&found);
                log::error!("ext4 volume can't be used from now on: {found}; mount it again");
                self.broken = Some((Error::Io, found));
                let _ = self.with_cache(Cache::freeze);
                Err(Error::Io)
            }
        }
    }

    /// Blocks and inodes, in all and free.
    pub(super) fn known_space(&self) -> Result<FileSystemStats> {
        Ok(self.ext4.as_ref().ok_or(Error::Io)?.statfs())
    }

    /// Notes that rsext4 may hold contents of a file that the cache doesn't have yet.
    pub(super) fn note_recent(&mut self, inode: InodeNumber) {
        if self.recent.len() >= MAX_RECENT {
            self.all_recent = true;
        } else {
            self.recent.insert(inode);
        }
    }

    pub(super) fn is_recent(&self, inode: InodeNumber) -> bool {
        self.all_recent || self.recent.contains(&inode)
    }

    pub(super) fn state(&self) -> Health {
        match &self.broken {
            Some((_, found)) => Health::Corrupt(found.clone()),
            None if self.writable => Health::Writable,
            None => Health::ReadOnly,
        }
    }
}

/// Mode bits as rsext4 takes them.
pub(super) fn permissions(bits: u16) -> Result<FilePermissions> {
    FilePermissions::new(bits).map_err(|_| Error::Invalid)
}

impl Drop for Ext4Volume {
    /// Leaves a file system that needs no replay, as far as the device lets.
    fn drop(&mut self) {
        if self.check_writable().is_err() {
            return;
        }
        let open = self.nodes.iter().filter(|(_, node)| node.orphan);
        let open: Vec<_> = open.map(|(inode, node)| (*inode, node.size)).collect();
        self.leftover.extend(open);
        if !self.leftover.is_empty() {
            let _ = self.sync_all();
        }
        if let Err(error) = self.call_retried("unmounting", Inner::unmount) {
            log::warn!(
                "ext4 volume not unmounted cleanly ({error}); its journal is replayed when it is next mounted"
            );
        }
    }
}
