//! Names of a volume: directories whose names are indexed, and what changes them.
//!
//! An index is made when a directory is first looked at, and kept true by every change from then
//! on. Without one, which is so for a directory that is larger than the memory for it or odd in any
//! way, and after anything failed, all is left to hadris-fat.

use alloc::vec::Vec;

use hadris_fat::RootLocation;
use hadris_fat_raw::{ATTR_ARCHIVE, ShortEntry, date};
use hadris_fs::{DirCursor, Name, NodeId, RenameMode, SetAttr};

use super::entries::{Directory, Found};
use super::names;
use super::volume::{Change, FatVolume, Result};
use crate::cache::Cache;
use crate::{Error, Kind};

/// Where a name is: the first cluster of its directory, and its first and last slot.
type Named = (u32, Option<(usize, usize)>);

/// The directories that are indexed.
#[derive(Default)]
pub(super) struct Directories {
    kept: Vec<Directory>,
    /// Bytes that they may take.
    limit: usize,
    ticks: u64,
}

impl Directories {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// Makes room for so many bytes, in place of what was not used for longest.
    fn make_room(&mut self, bytes: usize) -> bool {
        loop {
            let used: usize = self.kept.iter().map(Directory::bytes).sum();
            if used + bytes <= self.limit {
                return true;
            }
            let kept = self.kept.iter().enumerate();
            let Some((oldest, _)) = kept.min_by_key(|(_, directory)| directory.used) else {
                return false;
            };
            self.kept.swap_remove(oldest);
        }
    }
}

impl FatVolume {
    /// Where the indexed directory is among those that are kept.
    fn directory(&mut self, node: NodeId) -> Result<Option<usize>> {
        let geometry = *self.fat.info();
        let first = match geometry.root() {
            RootLocation::Cluster(first) if node == self.fat.root() => first,
            RootLocation::Fixed { .. } if node == self.fat.root() => 0,
            _ => {
                let entry = self.short_entry(node)?;
                if !entry.is_dir() {
                    return Err(Error::NotDirectory);
                }
                entry.first_cluster(geometry.kind()).max(1)
            }
        };
        if self.unsettled {
            return Ok(None);
        }
        let found = self.directories.kept.iter();
        let mut found = found.clone().position(|directory| directory.first == first);
        if found.is_none() {
            let page = self.fat.code_page();
            let cache = self.cache.clone();
            let mut cache = cache.try_lock().ok_or(Error::Io)?;
            if let Some((chain, bytes)) = Directory::places(first, &geometry, &mut cache)?
                && self.directories.make_room(bytes)
                && let Some(read) = Directory::read(first, chain, page, &mut cache)?
            {
                found = Some(self.directories.kept.len());
                self.directories.kept.push(read);
            }
        }
        self.directories.ticks += 1;
        if let Some(directory) = found.and_then(|at| self.directories.kept.get_mut(at)) {
            directory.used = self.directories.ticks;
        }
        Ok(found)
    }

    /// Calls `f` with an indexed directory and the cache. When it fails, no index is trusted.
    fn with_directory<T>(
        &mut self,
        at: usize,
        f: impl FnOnce(&mut Directory, &mut Cache) -> core::result::Result<T, crate::BlockError>,
    ) -> Result<T> {
        let mut cache = self.cache.try_lock().ok_or(Error::Io)?;
        let directory = self.directories.kept.get_mut(at).ok_or(Error::Io)?;
        let done = f(directory, &mut cache);
        drop(cache);
        if done.is_err() {
            self.directories.clear();
        }
        Ok(done?)
    }

    /// The entry of that name in an indexed directory.
    fn find(&mut self, at: usize, name: &str) -> Result<Option<Found>> {
        self.with_directory(at, |directory, cache| directory.find(name, cache))
    }

    /// The node whose entry begins in a slot, pinned.
    fn pin(&mut self, directory: NodeId, slot: usize, name: &str) -> Result<NodeId> {
        // hadris-fat looks at what it listed last before it looks through all of a directory.
        let cursor = DirCursor::from_raw(slot as u64);
        let listed = self.fat.readdir(directory, cursor);
        let found = listed.and_then(|_| self.fat.lookup(directory, Name::new(name)));
        self.done(found, "reading a directory")
    }

    /// The node of that name in a directory, pinned.
    pub(super) fn lookup(&mut self, directory: NodeId, name: &str) -> Result<NodeId> {
        let Some(at) = self.directory(directory)? else {
            let found = self.fat.lookup(directory, Name::new(name));
            return self.done(found, "reading a directory");
        };
        let found = self.find(at, name)?.ok_or(Error::NotFound)?;
        self.pin(directory, found.at, name)
    }

    /// Makes a file or directory, and pins it.
    pub(super) fn create(&mut self, parent: NodeId, name: &str, directory: bool) -> Result<NodeId> {
        names::check(name)?;
        self.begin(Change::Taking)?;
        let made = self.create_entry(parent, name, directory);
        self.end();
        made
    }

    fn create_entry(&mut self, parent: NodeId, name: &str, directory: bool) -> Result<NodeId> {
        let indexed = self.directory(parent)?;
        if let Some(at) = indexed {
            if self.find(at, name)?.is_some() {
                return Err(Error::Exists);
            }
            if !directory && let Some(slot) = self.add_file(at, name)? {
                return self.pin(parent, slot, name);
            }
        }
        let (at, attributes) = (Name::new(name), SetAttr::new());
        let made = match directory {
            false => self.fat.create(parent, at, &attributes),
            true => self.fat.mkdir(parent, at, &attributes),
        };
        let made = self.done(made, "creating an entry")?;
        if let Some(at) = indexed {
            self.note(at, made);
        }
        Ok(made)
    }

    /// Writes the entry of a new file, if there is room in the directory's clusters. Gives the slot
    /// in which it begins.
    fn add_file(&mut self, at: usize, name: &str) -> Result<Option<usize>> {
        let now = self.fat.clock().now();
        let (day, time, tenths) = date::encode(now, None);
        let mut entry = ShortEntry::new([0; 11], ATTR_ARCHIVE);
        entry.set_created(day, time, tenths);
        entry.set_modified(day, time);
        entry.set_accessed_date(day);
        let added = self.with_directory(at, |directory, cache| {
            match directory.slots_for(name, entry, cache)? {
                Some(slots) => Ok(Some(directory.add(slots, cache)?)),
                None => Ok(None),
            }
        })?;
        self.changed_entries()?;
        added.ok_or(Error::Exists)
    }

    /// To be called after entries were written: hadris-fat keeps a copy of the last sector that it
    /// looked at, which now is another.
    fn changed_entries(&mut self) -> Result<()> {
        let read = self.fat.read_raw(0, &mut [0]);
        self.done(read, "reading the first sector")
    }

    /// Notes where hadris-fat has put an entry.
    fn note(&mut self, at: usize, node: NodeId) {
        let geometry = *self.fat.info();
        let noted = self.place(node).and_then(|byte| {
            self.with_directory(at, |directory, cache| {
                directory.note_at(byte, &geometry, cache)
            })
        });
        if noted != Ok(true) {
            self.directories.clear();
        }
        self.directories.make_room(0);
    }

    /// Removes a file or an empty directory.
    pub(super) fn remove(&mut self, parent: NodeId, name: &str, directory: bool) -> Result<()> {
        self.begin(Change::Giving)?;
        let removed = self.remove_entry(parent, name, directory);
        self.end();
        removed
    }

    fn remove_entry(&mut self, parent: NodeId, name: &str, directory: bool) -> Result<()> {
        let mut indexed = None;
        if let Some(at) = self.directory(parent)? {
            let found = self.find(at, name)?.ok_or(Error::NotFound)?;
            let first = found.entry.first_cluster(self.fat.info().kind());
            let is_plain = (first == 0) == (found.entry.size() == 0);
            if is_plain && !directory && !found.entry.is_dir() {
                return self.remove_file(at, parent, name, &found);
            }
            let start =
                |directory: &mut Directory, cache: &mut Cache| directory.start_of(&found, cache);
            indexed = Some((at, self.with_directory(at, start)?, found.short));
        }
        let at = Name::new(name);
        let removed = match directory {
            false => self.fat.unlink(parent, at),
            true => self.fat.rmdir(parent, at),
        };
        self.done(removed, "removing an entry")?;
        if let Some((at, start, short)) = indexed {
            self.forget_slots(at, start, short);
        }
        if directory {
            // Another may begin where it began.
            self.directories.clear();
        }
        Ok(())
    }

    /// Notes that slots are free now.
    fn forget_slots(&mut self, at: usize, start: usize, short: usize) {
        if let Some(directory) = self.directories.kept.get_mut(at) {
            directory.forget(start, short);
        }
    }

    /// Gives the clusters of a file back, and its slots.
    fn remove_file(&mut self, at: usize, parent: NodeId, name: &str, found: &Found) -> Result<()> {
        let node = self.pin(parent, found.at, name)?;
        let open = self.handles.all().any(|handle| handle.node == node);
        let cut = match open {
            true => Err(Error::Busy),
            false => {
                let cut = self.fat.truncate(node, 0);
                self.done(cut, "removing a file")
            }
        };
        self.fat.forget(node, 1);
        cut?;
        self.with_directory(at, |directory, cache| directory.remove(found, cache))?;
        self.changed_entries()
    }

    /// The slots of a name in a directory: the directory's first cluster, and first and last slot.
    fn slots(&mut self, parent: NodeId, name: &str) -> Result<Option<Named>> {
        let Some(at) = self.directory(parent)? else {
            return Ok(None);
        };
        let slots = self.with_directory(at, |directory, cache| {
            Ok(match directory.find(name, cache)? {
                Some(found) => Some((directory.start_of(&found, cache)?, found.short)),
                None => None,
            })
        })?;
        let directory = self.directories.kept.get(at).ok_or(Error::Io)?;
        Ok(Some((directory.first, slots)))
    }

    /// Gives what is called `from` the name `to`, in place of what has it.
    pub(super) fn move_entry(&mut self, from: (NodeId, &str), to: (NodeId, &str)) -> Result<()> {
        names::check(to.1)?;
        let source = self.lookup(from.0, from.1);
        let (change, open) = match self.lookup(to.0, to.1) {
            Ok(target) => {
                let open = self.is_open_directory(target) && source != Ok(target);
                self.fat.forget(target, 1);
                (Change::Giving, open)
            }
            Err(Error::NotFound) => (Change::Taking, false),
            Err(error) => {
                if let Ok(source) = source {
                    self.fat.forget(source, 1);
                }
                return Err(error);
            }
        };
        let source = source?;
        let moved = match open {
            true => Err(Error::Busy),
            false => self.begin(change).and_then(|()| {
                let moved = self.move_node(source, from, to);
                self.end();
                moved
            }),
        };
        self.fat.forget(source, 1);
        moved
    }

    fn move_node(
        &mut self,
        source: NodeId,
        from: (NodeId, &str),
        to: (NodeId, &str),
    ) -> Result<()> {
        let is_directory = self.metadata(source)?.kind == Kind::Directory;
        let old = self.slots(from.0, from.1)?;
        let new = self.slots(to.0, to.1)?;
        let (from_name, to_name) = (Name::new(from.1), Name::new(to.1));
        let mode = RenameMode::Replace;
        let renamed = self.fat.rename(from.0, from_name, to.0, to_name, mode);
        self.done(renamed, "renaming")?;
        // Looking for the second may have taken the place of the first.
        let kept = |volume: &Self, first| {
            let mut kept = volume.directories.kept.iter();
            kept.position(|directory| directory.first == first)
        };
        for (first, slots) in old.iter().chain(&new) {
            if let (Some(at), Some((start, short))) = (kept(self, *first), *slots) {
                self.forget_slots(at, start, short);
            }
        }
        if let Some(at) = new.and_then(|(first, _)| kept(self, first)) {
            self.note(at, source);
        }
        if is_directory {
            // Another may begin where the one began that it has replaced.
            self.directories.clear();
        }
        Ok(())
    }
}
