//! A mounted ext4 volume: what is open, and the steps that operations are made of.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rsext4::runtime::MountedServices;
use rsext4::{
    Ext4, Ext4ErrorKind, Ext4Result, FileExtent, FilePermissions, InodeInfo, InodeNumber,
    MutationContext, UnlinkOutcome,
};

use super::device::{Calls, Device, OPERATION_CALLS, SharedCache};
use super::listing::Listing;
use super::{Notes, names};
use crate::cache::Cache;
use crate::handles::Handles;
use crate::path;
use crate::{Error, FileId, Health, Kind, OpenFlags, Walk};

pub(super) type Result<T> = core::result::Result<T, Error>;
type Inner = Ext4<Device, MountedServices<(), Notes>>;

/// Who owns what is made here: nobody but the program uses the volume while it runs.
pub(super) const OWNER: MutationContext = MutationContext::new(0, 0, 0, 0o022);

/// The longest symbolic link that is followed, in bytes; Linux makes none as long.
const MAX_LINK: u64 = 4096;

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
    /// Where its contents are, once that was asked and until it changes.
    pub extents: Option<Vec<FileExtent>>,
}

/// See [`super::mount`].
pub(super) struct Ext4Volume {
    pub ext4: Inner,
    pub cache: SharedCache,
    calls: Calls,
    /// Bytes in a block and in a sector of the device.
    pub block: usize,
    pub sector: usize,
    pub handles: Handles<Handle>,
    pub nodes: BTreeMap<InodeNumber, Node>,
    /// Files of which rsext4 may hold something newer than the cache, since the last sync.
    recent: BTreeSet<InodeNumber>,
    all_recent: bool,
    /// Closed files without a name whose room couldn't be given back yet.
    leftover: Vec<InodeNumber>,
    pub writable: bool,
    /// What was found when the volume turned out to be corrupt or its journal failed.
    pub broken: Option<(Error, String)>,
}

impl Ext4Volume {
    pub fn new(
        ext4: Inner,
        cache: SharedCache,
        calls: Calls,
        block: usize,
        sector: usize,
        writable: bool,
        corrupt: Option<String>,
    ) -> Self {
        Self {
            ext4,
            cache,
            calls,
            block,
            sector,
            handles: Handles::default(),
            nodes: BTreeMap::new(),
            recent: BTreeSet::new(),
            all_recent: false,
            leftover: Vec::new(),
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
        self.calls.allow(OPERATION_CALLS);
        let found = match step(&mut self.ext4) {
            Ok(value) => return Ok(value),
            Err(found) => found,
        };
        let known = names::error(&found);
        let ends = known == Error::Corrupt
            || found.kind() == Ext4ErrorKind::JournalAborted
            || self.calls.are_used_up();
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
        let root = self.ext4.root_inode();
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
                self.check_writable()?;
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
        let orphan = node.orphan;
        self.nodes.remove(&handle.inode);
        if orphan && self.check_writable().is_ok() {
            self.reap(handle.inode);
        }
        Ok(())
    }

    /// Deals with what lost a name: what lost its last one is given back, unless it is open.
    pub(super) fn removed(&mut self, outcome: UnlinkOutcome) {
        if !outcome.requires_reap() {
            return;
        }
        match self.nodes.get_mut(&outcome.inode) {
            Some(node) => node.orphan = true,
            None => self.reap(outcome.inode),
        }
    }

    /// Gives back a file without a name. It has none whatever comes of this: what couldn't be
    /// given back now is tried again by `sync`, or by the next mount.
    fn reap(&mut self, inode: InodeNumber) {
        self.recent.remove(&inode);
        let reaped = self.call("giving back a file", |ext4| ext4.reap_unlinked_inode(inode));
        if reaped.is_err() {
            self.leftover.push(inode);
        }
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
        for inode in core::mem::take(&mut self.leftover) {
            self.reap(inode);
        }
        self.call("syncing", Inner::sync)?;
        self.recent.clear();
        self.all_recent = false;
        Ok(())
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
        let open: Vec<InodeNumber> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.orphan)
            .map(|(inode, _)| *inode)
            .collect();
        for inode in open.into_iter().chain(core::mem::take(&mut self.leftover)) {
            self.reap(inode);
        }
        if let Err(error) = self.call("unmounting", Inner::unmount) {
            log::warn!(
                "ext4 volume not unmounted cleanly ({error}); its journal is replayed when it is next mounted"
            );
        }
    }
}
