//! Names of a volume: indexed directories, and the operations that change them.
//!
//! The first use of a directory builds its index, and every later change updates it; after a
//! failure it is rebuilt. This module writes entries, and hadris-fat allocates and frees clusters,
//! which it does for files: a future directory is a file for a moment, and so is one that is being
//! removed. None of these states reaches the disk.

use alloc::vec::Vec;

use hadris_fat::RootLocation;
use hadris_fat_raw::{ATTR_ARCHIVE, ATTR_DIRECTORY, ENTRY_SIZE, ShortEntry, date};
use hadris_fs::sync::FileSystem;
use hadris_fs::{DirCursor, ErrorKind, Name, NodeId};

use super::{Change, FatVolume, Result};
use crate::cache::Cache;
use crate::fat::clusters;
use crate::fat::clusters::Before;
use crate::fat::entries::{Directory, FoundEntry, Slots};
use crate::fat::names;
use crate::{BlockError, Error};

/// Indexed directories.
#[derive(Default)]
pub(in crate::fat) struct Directories {
    kept: Vec<Directory>,
    /// Maximum memory of the indexes in bytes.
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

    pub(in crate::fat) fn find(&mut self, first: u32) -> Option<&mut Directory> {
        let mut kept = self.kept.iter_mut();
        kept.find(|directory| directory.first == first)
    }

    /// Drops all indexes.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// Evicts the least recently used indexes, but never the last two, which an operation may use.
    pub(in crate::fat) fn make_room(&mut self) {
        while self.kept.len() > 2
            && self.kept.iter().map(Directory::bytes).sum::<usize>() > self.limit
        {
            let kept = self.kept.iter().enumerate();
            let oldest = kept.min_by_key(|(_, directory)| directory.used);
            let oldest = oldest.map_or(0, |(oldest, _)| oldest);
            self.kept.swap_remove(oldest);
        }
    }
}

impl FatVolume {
    /// Returns the first cluster of a directory, after indexing it.
    pub(in crate::fat) fn directory(&mut self, node: NodeId) -> Result<u32> {
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
        if self.unsynced && self.corrupt.is_none() {
            // Restore consistency after a failure first, in the cache.
            let synced = FileSystem::sync(&mut *self.fat);
            self.done(synced, "putting right what failed")?;
            self.unsynced = false;
        }
        let mut kept = self.directories.kept.iter();
        if !kept.any(|directory| directory.first == first) {
            let page = self.fat.code_page();
            let cache = self.cache.clone();
            let mut cache = cache.try_lock().ok_or(Error::Io)?;
            let read = Directory::read(first, &geometry, page, &mut cache)?;
            self.directories.kept.push(read.ok_or(Error::OutOfMemory)?);
        }
        self.directories.ticks += 1;
        let now = self.directories.ticks;
        if let Some(directory) = self.directories.find(first) {
            directory.used = now;
        }
        self.directories.make_room();
        Ok(first)
    }

    /// Calls `f` with an indexed directory and the cache. When `f` fails, drops all indexes.
    pub(in crate::fat) fn with_directory<T>(
        &mut self,
        first: u32,
        f: impl FnOnce(&mut Directory, &mut Cache) -> core::result::Result<T, BlockError>,
    ) -> Result<T> {
        let (mut f, mut value) = (Some(f), None);
        self.in_directory(first, &mut |directory, cache| {
            value = f.take().map(|f| f(directory, cache)).transpose()?;
            Ok(())
        })?;
        value.ok_or(Error::Io)
    }

    /// Outlined, so that it isn't compiled for each of the closures.
    #[inline(never)]
    fn in_directory(
        &mut self,
        first: u32,
        f: &mut dyn FnMut(&mut Directory, &mut Cache) -> core::result::Result<(), BlockError>,
    ) -> Result<()> {
        let mut cache = self.cache.try_lock().ok_or(Error::Io)?;
        let directory = self.directories.find(first).ok_or(Error::Io)?;
        let done = f(directory, &mut cache);
        drop(cache);
        if done.is_err() {
            self.directories.clear();
        }
        match done {
            Err(BlockError::OutOfRange) => {
                self.damaged("it has no cluster, or nothing is above it")
            }
            done => Ok(done?),
        }
    }

    /// Returns the entry of that name in an indexed directory.
    pub(in crate::fat) fn find(&mut self, first: u32, name: &str) -> Result<Option<FoundEntry>> {
        let found = self.with_directory(first, |directory, cache| directory.find(name, cache))?;
        if found.is_none() {
            self.check_whole(first)?;
        }
        Ok(found)
    }

    /// Fails if part of an indexed directory couldn't be read.
    fn check_whole(&mut self, first: u32) -> Result<()> {
        match self.directories.find(first) {
            Some(it) if it.damaged => {
                self.damaged("its chain of clusters leads nowhere or in circles")
            }
            _ => Ok(()),
        }
    }

    fn damaged(&mut self, text: &'static str) -> Result<()> {
        let error = hadris_fs::Error::new(ErrorKind::Corrupt, text);
        self.done(Err(error), "reading a directory")
    }

    /// Returns the node whose entry begins in a slot, pinned.
    pub(in crate::fat) fn pin(
        &mut self,
        directory: NodeId,
        slot: usize,
        name: &str,
    ) -> Result<NodeId> {
        // hadris-fat checks the entry that it listed last before it searches the directory.
        let cursor = DirCursor::from_raw(slot as u64);
        let listed = self.fat.readdir(directory, cursor);
        let found = listed.and_then(|_| self.fat.lookup(directory, Name::new(name)));
        self.done(found, "reading a directory")
    }

    /// Returns the node of that name in a directory, pinned.
    pub(in crate::fat) fn lookup(&mut self, directory: NodeId, name: &str) -> Result<NodeId> {
        let first = self.directory(directory)?;
        let found = self.find(first, name)?;
        let found = found.ok_or_else(|| names::absent(name))?;
        self.pin(directory, found.at, name)
    }

    /// Invalidates hadris-fat's copy of the sector that it read last; to be called after entries
    /// were written. Reads two sectors in a row: the second replaces a stale copy of any sector,
    /// and the first one of the second.
    pub(in crate::fat) fn changed_entries(&mut self) {
        if self
            .fat
            .read_raw(self.sector as u64 - 1, &mut [0; 2])
            .is_err()
        {
            self.fat.clear_cache();
        }
    }

    /// Sets the fields of a short entry. Returns the old contents of its slot.
    fn set_short(&mut self, first: u32, slot: usize, entry: &ShortEntry) -> Result<Before> {
        let bytes = entry.encode();
        let before = self.with_directory(first, |directory, cache| {
            directory.replace(slot, &[bytes], cache)
        })?;
        self.changed_entries();
        Ok(before)
    }

    /// Changes the size of a file that isn't open, whose entry begins in a slot. Returns its new
    /// first cluster.
    fn size_file(&mut self, parent: NodeId, at: usize, name: &str, size: u64) -> Result<u32> {
        let nodes = self.fat.open_nodes();
        let node = self.pin(parent, at, name)?;
        let sized = match self.fat.open_nodes() > nodes {
            true => {
                let sized = self.fat.truncate(node, size);
                self.done(sized, "taking or giving back clusters")
            }
            // An open node had this slot.
            false => Err(Error::Busy),
        };
        let entry = sized.and_then(|()| self.short_entry(node));
        self.fat.forget(node, 1);
        Ok(entry?.first_cluster(self.fat.info().kind()))
    }

    /// Creates a file or directory, and pins it.
    pub(in crate::fat) fn create(
        &mut self,
        parent: NodeId,
        name: &str,
        directory: bool,
    ) -> Result<NodeId> {
        names::check(name)?;
        self.begin(Change::Taking)?;
        let made = self.create_entry(parent, name, directory);
        self.end();
        made
    }

    fn create_entry(&mut self, parent: NodeId, name: &str, directory: bool) -> Result<NodeId> {
        let first = self.directory(parent)?;
        if self.find(first, name)?.is_some() {
            return Err(Error::Exists);
        }
        let (day, time, tenths) = date::encode(self.fat.clock().now(), None);
        let mut entry = ShortEntry::new([0; 11], ATTR_ARCHIVE);
        entry.set_created(day, time, tenths);
        entry.set_modified(day, time);
        entry.set_accessed_date(day);
        let slots = self.slots_for(first, name, entry, &[])?;
        self.make_room(parent, first, slots.len())?;
        let (at, _) = self.add(first, slots)?;
        if directory && let Err(error) = self.become_directory(parent, first, name, at) {
            let _ = self.remove_entry(parent, name, None);
            return Err(error);
        }
        self.pin(parent, at, name)
    }

    /// Turns a new file into a directory.
    fn become_directory(
        &mut self,
        parent: NodeId,
        first: u32,
        name: &str,
        at: usize,
    ) -> Result<()> {
        let geometry = *self.fat.info();
        self.size_file(parent, at, name, 1)?;
        let found = self.find(first, name)?.ok_or(Error::Io)?;
        let up = self.parent_cluster(first);
        self.with_directory(first, |_, cache| {
            clusters::begin_directory(&found.entry, up, &geometry, cache)
        })?;
        let mut entry = found.entry;
        entry.set_attributes(ATTR_DIRECTORY);
        entry.set_size(0);
        self.set_short(first, found.short, &entry).map(|_| ())
    }

    /// Returns the cluster for `..` in a directory whose parent begins with cluster `first`.
    pub(in crate::fat) fn parent_cluster(&self, first: u32) -> u32 {
        match self.fat.info().root() {
            RootLocation::Cluster(root) if root == first => 0,
            _ => first,
        }
    }

    /// Returns the slots of a new entry.
    pub(in crate::fat) fn slots_for(
        &mut self,
        first: u32,
        name: &str,
        entry: ShortEntry,
        except: &[usize],
    ) -> Result<Slots> {
        let slots = self.with_directory(first, |directory, cache| {
            directory.slots_for(name, entry, except, cache)
        })?;
        slots.ok_or(Error::Exists)
    }

    /// Writes a new entry into free slots. Returns the first slot, and the old contents.
    pub(in crate::fat) fn add(&mut self, first: u32, slots: Slots) -> Result<(usize, Before)> {
        let added = self.with_directory(first, |directory, cache| directory.add(slots, cache))?;
        self.changed_entries();
        added.ok_or(Error::NoSpace)
    }

    /// Ensures that there are `count` free slots in a row.
    pub(in crate::fat) fn make_room(
        &mut self,
        parent: NodeId,
        first: u32,
        count: usize,
    ) -> Result<()> {
        while !self.with_directory(first, |directory, _| Ok(directory.has_room(count)))? {
            self.grow(parent, first)?;
        }
        Ok(())
    }

    /// Appends a cluster to a directory.
    fn grow(&mut self, parent: NodeId, first: u32) -> Result<()> {
        let mut kept = self.directories.kept.iter();
        let at = kept.position(|directory| directory.first == first);
        let mut directory = self.directories.kept.swap_remove(at.ok_or(Error::Io)?);
        let grown = self.grow_with_file(parent, &mut directory);
        if grown == Ok(true) {
            self.directories.kept.push(directory);
        }
        self.directory(parent)?;
        grown.map(|_| ())
    }

    /// Appends to a directory the cluster of a file that takes a slot for a moment. `false` when
    /// the index needs a rebuild.
    fn grow_with_file(&mut self, parent: NodeId, directory: &mut Directory) -> Result<bool> {
        let geometry = *self.fat.info();
        let file = ShortEntry::new(*b"GROWING    ", ATTR_ARCHIVE).encode();
        for slot in directory.spare_slots(&geometry) {
            let mut cache = self.cache.try_lock().ok_or(Error::Io)?;
            let before = directory.replace(slot, &[file], &mut cache)?;
            drop(cache);
            self.changed_entries();
            let taken = self.size_file(parent, slot, "GROWING", 1);
            let grown = match taken {
                Ok(cluster) => {
                    let mut cache = self.cache.try_lock().ok_or(Error::Io)?;
                    let grown = directory.append(cluster, &geometry, &mut cache);
                    drop(cache);
                    grown.map_err(Error::from)
                }
                Err(error) => Err(error),
            };
            if taken.is_ok() && grown.is_err() {
                let _ = self.size_file(parent, slot, "GROWING", 0);
            }
            if let Some(mut cache) = self.cache.try_lock() {
                clusters::put_back(&before, &mut cache);
            }
            self.changed_entries();
            if grown != Err(Error::Busy) {
                return grown;
            }
        }
        Err(Error::NoSpace)
    }

    /// Removes a file or an empty directory.
    pub(in crate::fat) fn remove(
        &mut self,
        parent: NodeId,
        name: &str,
        directory: bool,
    ) -> Result<()> {
        self.begin(Change::Giving)?;
        let removed = self.remove_entry(parent, name, Some(directory));
        self.end();
        removed
    }

    /// Removes the entry of that name, if it is of the expected kind.
    pub(in crate::fat) fn remove_entry(
        &mut self,
        parent: NodeId,
        name: &str,
        directory: Option<bool>,
    ) -> Result<()> {
        let first = self.directory(parent)?;
        let found = self.find(first, name)?;
        let found = found.ok_or_else(|| names::absent(name))?;
        match (directory, found.entry.is_dir()) {
            (Some(false), true) => return Err(Error::IsDirectory),
            (Some(true), false) => return Err(Error::NotDirectory),
            _ => {}
        }
        let node = self.pin(parent, found.at, name)?;
        let checked = self.check_removable(node, &found);
        self.fat.forget(node, 1);
        checked?;
        // The check of the directory may have evicted the index of its parent.
        self.directory(parent)?;
        self.release_clusters(parent, first, name, &found)?;
        self.with_directory(first, |directory, cache| directory.remove(&found, cache))?;
        self.changed_entries();
        Ok(())
    }

    fn check_removable(&mut self, node: NodeId, found: &FoundEntry) -> Result<()> {
        if self.handles.all().any(|handle| handle.node == node) {
            return Err(Error::Busy);
        }
        if found.entry.is_dir() {
            let first = self.directory(node)?;
            let empty = |directory: &mut Directory, cache: &mut Cache| directory.is_empty(cache);
            if !self.with_directory(first, empty)? {
                return Err(Error::NotEmpty);
            }
            self.check_whole(first)?;
            self.directories.kept.retain(|kept| kept.first != first);
        }
        Ok(())
    }

    /// Frees the clusters of a node that isn't open.
    fn release_clusters(
        &mut self,
        parent: NodeId,
        first: u32,
        name: &str,
        found: &FoundEntry,
    ) -> Result<()> {
        let kind = self.fat.info().kind();
        if found.entry.first_cluster(kind) == 0 {
            return Ok(());
        }
        let mut file = found.entry;
        file.set_attributes(ATTR_ARCHIVE);
        file.set_size(file.size().max(1));
        let before = self.set_short(first, found.short, &file)?;
        let given = self.size_file(parent, found.at, name, 0);
        if given.is_err() {
            // Use the slot in place: the index may be gone, and needs no rebuild for this.
            for (place, _) in &before {
                let mut now = [0; ENTRY_SIZE];
                self.with_cache(|cache| cache.read_bytes(*place, &mut now))??;
                match clusters::short(&now) {
                    Some(now) if now.first_cluster(kind) == 0 && self.corrupt.is_none() => {
                        // An entry without its clusters is useless; the failure is repaired first.
                        return self.directory(parent).map(|_| ());
                    }
                    _ => self.with_cache(|cache| clusters::put_back(&before, cache))?,
                }
            }
            self.changed_entries();
        }
        given.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::vec;

    use hadris_fat::{FatKind, FatOptions};

    use super::*;
    use crate::Volume;
    use crate::fake::Disk;
    use crate::fat::{Options, mount_volume};

    /// Creates a volume that may index `limit` bytes, with directories of 16 slots each.
    fn volume(limit: usize) -> FatVolume {
        let mut image = vec![0; 1 << 20];
        let options = FatOptions::new()
            .with_kind(FatKind::Fat12)
            .with_cluster_size(512);
        hadris_fat::sync::format(&mut image, &options).unwrap();
        let options = Options {
            cache_bytes: limit / 2,
            ..Options::default()
        };
        let disk = Disk::new(image, 512);
        let mut volume = mount_volume(Box::new(disk), options).unwrap();
        for n in 0..20 {
            volume.mkdir(&format!("{n}")).unwrap();
        }
        volume.directories.clear();
        volume
    }

    /// The slots, the buckets, the one run of the chain, and the record itself.
    const SMALL: usize = 16 * 4 + 16 * 2 + 24 + size_of::<Directory>();

    #[test]
    fn indices_take_the_room_that_they_may_and_the_oldest_goes_first() {
        // The root has 512 slots.
        const ROOT: usize = 512 * 4 + 128 * 2 + 24 + size_of::<Directory>();
        for (limit, expected) in [(ROOT + 5 * SMALL, 6), (ROOT + 5 * SMALL - 2, 5), (2, 2)] {
            let mut volume = volume(limit);
            assert_eq!(volume.directories.limit, limit);
            for n in 0..20 {
                volume.stat(&format!("{n}/x")).unwrap_err();
            }
            let kept = &volume.directories.kept;
            assert_eq!(kept.len(), expected, "{limit} bytes");
            let bytes: usize = kept.iter().map(Directory::bytes).sum();
            assert_eq!(bytes, ROOT + (expected - 1) * SMALL);
            // Each call used the root; the others are the most recent ones.
            assert!(kept.iter().any(|directory| directory.first == 0));
            let newest = kept.iter().map(|directory| directory.used).max();
            assert_eq!(newest, Some(volume.directories.ticks));
            let mut firsts: Vec<u32> = kept.iter().map(|directory| directory.first).collect();
            firsts.sort_unstable();
            let last = *firsts.last().unwrap();
            let wanted = last + 2 - expected as u32..=last;
            assert!(firsts[1..].iter().copied().eq(wanted), "{firsts:?}");
        }
    }
}
