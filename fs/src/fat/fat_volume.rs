//! Mounted FAT volume: its operations.

mod directories;

use alloc::string::String;

use super::cluster_chains::Chain;
use super::entries::Node;
use super::geometry::{ENTRY_SIZE, Geometry};
use super::slots::{ATTR_DIRECTORY, ShortEntry, Slot};
use super::table::Clusters;
use super::times;
use crate::cache::{Cache, Order};
use crate::handles::Handles;
use crate::path;
use crate::{Clock, Error, FileId, Kind, OpenFlags, Stat, Time, VolumeOptions};
use directories::Directories;

pub(super) type Result<T> = core::result::Result<T, Error>;

/// Kind of changes since the last commit. A commit separates changes of different kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Clusters were allocated, entries added or changed.
    Taking,
    /// Clusters were freed, entries removed. A freed cluster isn't reused before the commit, so the
    /// device keeps all removed data until then.
    Giving,
}

/// Distance to the next candidate for an inode number that is in use: no disk has that many
/// entries.
const NEXT_INODE: u64 = 1 << 48;

/// Open file or directory.
#[derive(Debug)]
pub(super) struct Handle {
    /// See [`Node`].
    pub place: u64,
    /// See [`FatVolume::inode`].
    inode: u64,
    pub flags: OpenFlags,
    /// Size of the file in bytes, once it is known.
    pub size: Option<u64>,
    /// Location of the contents, as far as it is known.
    pub chain: Option<Chain>,
}

impl Handle {
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
    pub clusters: Clusters,
    pub cache: Cache,
    pub clock: Option<&'static Clock>,
    pub handles: Handles<Handle>,
    pub writable: bool,
    /// Description of the damage, once the volume turned out to be corrupt.
    pub corrupt: Option<String>,
    pub change: Change,
    /// Directories with an index of their names.
    pub directories: Directories,
}

impl FatVolume {
    pub fn new(clusters: Clusters, cache: Cache, writable: bool, options: &VolumeOptions) -> Self {
        Self {
            clusters,
            cache,
            clock: options.clock,
            handles: Handles::default(),
            writable,
            corrupt: None,
            change: Change::None,
            directories: Directories::new(options.cache_bytes * 2),
        }
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.clusters.geometry
    }

    /// Records the failure of `what`. The first sign of corruption stops all writes.
    pub(super) fn done<T>(&mut self, result: Result<T>, what: &str) -> Result<T> {
        result.map_err(|error| self.failed(error, what))
    }

    #[inline(never)]
    fn failed(&mut self, error: Error, what: &str) -> Error {
        // While the caller must not wait for the device, operations that need it fail without
        // effect.
        let away = error == Error::Io && self.cache.is_unresponsive();
        if matches!(error, Error::Io | Error::Corrupt) && !away {
            self.directories.clear();
        }
        if error == Error::Corrupt && self.corrupt.is_none() {
            log::error!(
                "FAT volume is corrupt and read-only from now on: {what}; repair it with fsck.fat \
                -a"
            );
            self.corrupt = Some(what.into());
            self.cache.freeze();
            self.handles.all_mut().for_each(Handle::forget);
        }
        error
    }

    /// Prepares an operation that changes the volume: first commits changes of another kind, or
    /// changes that leave too little of the cache.
    pub(super) fn begin(&mut self, change: Change) -> Result<()> {
        if !self.writable || self.corrupt.is_some() {
            return Err(Error::ReadOnly);
        }
        let filling = self.cache.is_filling();
        if self.change != Change::None && (filling || self.change != change) {
            self.commit()?;
        }
        if !self.cache.prepare() {
            return Err(Error::OutOfMemory);
        }
        self.change = change;
        Ok(())
    }

    /// Ends an operation that changed the volume and has succeeded. If the changes can't be written
    /// now, they stay in the cache, and `sync` reports the error.
    pub(super) fn end(&mut self) {
        if self.corrupt.is_none() && self.cache.is_filling() {
            let _ = self.commit();
        }
    }

    /// Writes all changes to the device, without a flush.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.clusters.write_info(&mut self.cache)?;
        let order = match self.change {
            Change::Giving => Order::DirectoriesFirst,
            Change::Taking | Change::None => Order::TablesFirst,
        };
        self.cache.commit(order)?;
        self.change = Change::None;
        Ok(())
    }

    /// Returns the node whose short entry is at this location.
    pub(super) fn node(&mut self, place: u64) -> Result<Node> {
        let mut entry = ShortEntry::new([b' '; 11], ATTR_DIRECTORY);
        entry.set_first_cluster(self.geometry().kind, self.geometry().root);
        if place > 0 {
            let mut bytes = [0; ENTRY_SIZE];
            let read = self.cache.read_bytes(place, &mut bytes);
            self.done(read.map_err(Error::from), "reading a directory entry")?;
            let Slot::Short(found) = Slot::parse(&bytes) else {
                return Err(Error::NotFound);
            };
            entry = found;
        }
        Ok(Node { place, entry })
    }

    /// Writes the entry of a node.
    pub(super) fn put_entry(&mut self, node: &Node) -> Result<()> {
        let written = self.cache.write_bytes(node.place, &node.entry.0);
        self.done(written.map_err(Error::from), "writing a directory entry")
    }

    pub(super) fn resolve(&mut self, path: &str) -> Result<Node> {
        let mut node = self.node(0)?;
        for name in path::names(path) {
            let directory = self.directory(&node)?;
            node = self.lookup(directory, name)?;
        }
        Ok(node)
    }

    /// Returns the directory of `path`, as its first cluster, and the last name; [`Error::Invalid`]
    /// for the root, which has no parent.
    pub(super) fn parent_of<'a>(&mut self, path: &'a str) -> Result<(u32, &'a str)> {
        let (parent, name) = path::split_last(path).ok_or(Error::Invalid)?;
        let parent = self.resolve(parent)?;
        Ok((self.directory(&parent)?, name))
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

    /// Whether a file or directory is open.
    pub(super) fn is_open(&self, place: u64) -> bool {
        self.handles.all().any(|handle| handle.place == place)
    }

    /// Returns the inode number of the file or directory whose entry is at `place`. It derives from
    /// the location; but an open file keeps its number after a rename, and no other file gets it.
    fn inode(&self, place: u64) -> u64 {
        if let Some(handle) = self.handles.all().find(|handle| handle.place == place) {
            return handle.inode;
        }
        let mut inode = (place / ENTRY_SIZE as u64).max(1);
        while self.handles.all().any(|handle| handle.inode == inode) {
            inode += NEXT_INODE;
        }
        inode
    }

    /// Returns the record of a node.
    pub(super) fn stat_node(&self, node: &Node) -> Stat {
        let is_directory = node.entry.is_dir();
        let modified = Time::from_seconds(times::decode(node.entry.modified()));
        Stat {
            kind: match is_directory {
                true => Kind::Directory,
                false => Kind::File,
            },
            size: if is_directory {
                0
            } else {
                node.entry.size().into()
            },
            modified,
            accessed: modified,
            changed: modified,
            links: 1,
            inode: self.inode(node.place),
            read_only: node.is_read_only(),
        }
    }

    fn open_node(&mut self, node: &Node, flags: OpenFlags, is_new: bool) -> Result<FileId> {
        if !is_new && flags.contains(OpenFlags::EXCLUSIVE) {
            return Err(Error::Exists);
        }
        let is_directory = flags.contains(OpenFlags::DIRECTORY);
        match (node.entry.is_dir(), is_directory) {
            (true, false) => return Err(Error::IsDirectory),
            (false, true) => return Err(Error::NotDirectory),
            _ => {}
        }
        if flags.contains(OpenFlags::WRITE) && !is_directory {
            if !self.writable || self.corrupt.is_some() {
                return Err(Error::ReadOnly);
            }
            if node.is_read_only() && !is_new {
                return Err(Error::PermissionDenied);
            }
        }
        if flags.contains(OpenFlags::TRUNCATE) && node.entry.size() > 0 && !is_directory {
            self.cut(node.place, 0)?;
        }
        let inode = self.inode(node.place);
        Ok(self.handles.add(Handle {
            place: node.place,
            inode,
            flags,
            size: None,
            chain: None,
        }))
    }

    pub(super) fn open_path(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        if path::split_last(path).is_none() {
            let root = self.node(0)?;
            return self.open_node(&root, flags, false);
        }
        let (parent, name) = self.parent_of(path)?;
        let (node, is_new) = match self.lookup(parent, name) {
            Err(Error::NotFound) if flags.contains(OpenFlags::CREATE) => {
                (self.create(parent, name, false)?, true)
            }
            found => (found?, false),
        };
        self.open_node(&node, flags, is_new)
    }
}
