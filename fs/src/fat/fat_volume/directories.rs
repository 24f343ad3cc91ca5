//! Names of a volume: indexed directories, and the operations that change them.
//!
//! The first use of a directory builds its index, and every later change updates it; after a
//! failure it is rebuilt.

use alloc::vec::Vec;

use super::{Change, FatVolume, Result};
use crate::cache::Cache;
use crate::fat::clusters;
use crate::fat::clusters::Before;
use crate::fat::entries::{Directory, FoundEntry, Node, Slots};
use crate::fat::names;
use crate::fat::slots::{ATTR_ARCHIVE, ATTR_DIRECTORY, ShortEntry};
use crate::fat::times;
use crate::{Clock, Cursor, DirEntry, Error};

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
    fn make_room(&mut self) {
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
    /// Returns the first cluster of a directory: 0 for a root of fixed size.
    pub(in crate::fat) fn directory(&self, node: &Node) -> Result<u32> {
        let first = node.entry.first_cluster(self.geometry().kind);
        match node.entry.is_dir() {
            false => Err(Error::NotDirectory),
            // 0 or 1 in an entry is corruption.
            true if node.place > 0 => Ok(first.max(1)),
            true => Ok(first),
        }
    }

    /// Reads the directory that begins with cluster `first`, unless it is indexed.
    fn index(&mut self, first: u32) -> Result<()> {
        if self.directories.find(first).is_none() {
            let read = Directory::read(first, &self.geometry(), &mut self.cache)?;
            self.directories.kept.push(read.ok_or(Error::OutOfMemory)?);
        }
        self.directories.ticks += 1;
        let now = self.directories.ticks;
        if let Some(directory) = self.directories.find(first) {
            directory.used = now;
        }
        self.directories.make_room();
        Ok(())
    }

    /// Calls `f` with the directory that begins with cluster `first`, and the cache. When `f`
    /// fails, drops all indexes.
    pub(in crate::fat) fn with_directory<T>(
        &mut self,
        first: u32,
        f: impl FnOnce(&mut Directory, &mut Cache) -> Result<T>,
    ) -> Result<T> {
        self.index(first)?;
        let directory = self.directories.find(first).ok_or(Error::Io)?;
        let done = f(directory, &mut self.cache);
        if done.is_err() {
            self.directories.clear();
        }
        self.done(
            done,
            "reading a directory: it has no cluster, or nothing is above it",
        )
    }

    /// Returns the entry of this name in a directory.
    pub(in crate::fat) fn find(&mut self, first: u32, name: &str) -> Result<Option<FoundEntry>> {
        let found = self.with_directory(first, |directory, cache| directory.find(name, cache))?;
        if found.is_none() {
            self.check_whole(first)?;
        }
        Ok(found)
    }

    /// Fails if a part of a directory couldn't be read.
    fn check_whole(&mut self, first: u32) -> Result<()> {
        let is_damaged = self.directories.find(first).is_some_and(|it| it.damaged);
        let checked = if is_damaged {
            Err(Error::Corrupt)
        } else {
            Ok(())
        };
        self.done(
            checked,
            "reading a directory: its chain of clusters leads nowhere or in circles",
        )
    }

    /// Returns the node of this name in a directory.
    pub(in crate::fat) fn lookup(&mut self, directory: u32, name: &str) -> Result<Node> {
        let found = self.find(directory, name)?;
        let found = found.ok_or_else(|| names::absent(name))?;
        Ok(found.node)
    }

    /// Lists a directory from slot `from` on; see [`crate::Volume::list`].
    pub(in crate::fat) fn list_directory(
        &mut self,
        first: u32,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.index(first)?;
        let directory = self.directories.find(first).ok_or(Error::Io)?;
        let next = directory.list(from, &mut self.cache, visit);
        let next = self.done(next, "reading a directory: an entry without a name")?;
        if next.is_none() {
            self.check_whole(first)?;
        }
        Ok(next.map(|next| next as Cursor))
    }

    /// Creates a file or directory.
    pub(in crate::fat) fn create(
        &mut self,
        parent: u32,
        name: &str,
        is_directory: bool,
    ) -> Result<Node> {
        names::check(name)?;
        self.begin(Change::Taking)?;
        let made = self.create_entry(parent, name, is_directory);
        self.end();
        made
    }

    fn create_entry(&mut self, parent: u32, name: &str, is_directory: bool) -> Result<Node> {
        if self.find(parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        let now = times::encode(Clock::time(self.clock));
        let mut entry = ShortEntry::new([0; 11], ATTR_ARCHIVE);
        entry.set_created(now);
        entry.set_modified(now.0, now.1);
        entry.set_accessed(now.0);
        if !is_directory {
            return self.add_new(parent, name, entry);
        }
        let taken = self.clusters.take(0, 1, &mut self.cache);
        let taken = self.done(taken, "allocating a cluster")?;
        let cluster = taken.first().ok_or(Error::NoSpace)?.start;
        let geometry = self.geometry();
        entry.set_attributes(ATTR_DIRECTORY);
        entry.set_first_cluster(geometry.kind, cluster);
        let up = self.parent_cluster(parent);
        let begun = clusters::begin_directory(&entry, up, &geometry, &mut self.cache);
        let begun = self.done(begun, "writing a directory");
        let made = begun.and_then(|()| self.add_new(parent, name, entry));
        if made.is_err() {
            self.clusters.give_back(0, &taken, &mut self.cache);
        }
        made
    }

    /// Adds an entry with a new name.
    fn add_new(&mut self, parent: u32, name: &str, entry: ShortEntry) -> Result<Node> {
        let slots = self.slots_for(parent, name, entry, &[])?;
        self.make_room(parent, slots.len())?;
        let (node, _) = self.add(parent, slots)?;
        Ok(node)
    }

    /// Returns the cluster for `..` in a directory whose parent begins with cluster `first`.
    pub(in crate::fat) fn parent_cluster(&self, first: u32) -> u32 {
        if first == self.geometry().root {
            0
        } else {
            first
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

    /// Writes a new entry into free slots. Returns its node, and the old contents of the slots.
    pub(in crate::fat) fn add(&mut self, first: u32, slots: Slots) -> Result<(Node, Before)> {
        let added = self.with_directory(first, |directory, cache| directory.add(slots, cache))?;
        added.ok_or(Error::NoSpace)
    }

    /// Ensures that there are `count` consecutive free slots.
    pub(in crate::fat) fn make_room(&mut self, first: u32, count: usize) -> Result<()> {
        while !self.with_directory(first, |directory, _| Ok(directory.has_room(count)))? {
            self.grow(first)?;
        }
        Ok(())
    }

    /// Appends a cluster to a directory.
    fn grow(&mut self, first: u32) -> Result<()> {
        let geometry = self.geometry();
        let directory = self.directories.find(first).ok_or(Error::Io)?;
        if !directory.may_grow(&geometry) {
            return Err(Error::NoSpace);
        }
        let last = directory.last_cluster();
        let taken = self.clusters.take(last, 1, &mut self.cache);
        let taken = self.done(taken, "allocating a cluster")?;
        let cluster = taken.first().ok_or(Error::NoSpace)?.start;
        let cleared = clusters::clear_cluster(cluster, &geometry, &mut self.cache);
        if cleared.is_err() {
            self.clusters.give_back(last, &taken, &mut self.cache);
        }
        self.done(cleared, "writing a directory")?;
        let grown = self.with_directory(first, |it, cache| it.note_growth(&geometry, cache))?;
        if !grown {
            self.directories.kept.retain(|kept| kept.first != first);
        }
        Ok(())
    }

    /// Removes a file or an empty directory.
    pub(in crate::fat) fn remove(
        &mut self,
        parent: u32,
        name: &str,
        is_directory: bool,
    ) -> Result<()> {
        self.begin(Change::Giving)?;
        let removed = self.remove_entry(parent, name, is_directory);
        self.end();
        removed
    }

    /// Removes the entry of this name, if it is of the expected kind: completely or not at all.
    pub(in crate::fat) fn remove_entry(
        &mut self,
        parent: u32,
        name: &str,
        is_directory: bool,
    ) -> Result<()> {
        let found = self.find(parent, name)?;
        let found = found.ok_or_else(|| names::absent(name))?;
        match (is_directory, found.node.entry.is_dir()) {
            (false, true) => return Err(Error::IsDirectory),
            (true, false) => return Err(Error::NotDirectory),
            _ => {}
        }
        self.check_removable(&found.node)?;
        let before = self.with_directory(parent, |it, cache| it.remove(&found, cache))?;
        let first = found.node.entry.first_cluster(self.geometry().kind);
        if first == 0 {
            return Ok(());
        }
        let freed = self.clusters.cut(first, 0, &mut self.cache);
        if freed.is_err() {
            clusters::put_back(&before, &mut self.cache);
            self.directories.clear();
        }
        self.done(freed, "removing a file: its chain of clusters is broken")
    }

    fn check_removable(&mut self, node: &Node) -> Result<()> {
        if self.is_open(node.place) {
            return Err(Error::Busy);
        }
        if node.entry.is_dir() {
            let first = self.directory(node)?;
            if !self.with_directory(first, |directory, cache| directory.is_empty(cache))? {
                return Err(Error::NotEmpty);
            }
            self.check_whole(first)?;
            self.directories.kept.retain(|kept| kept.first != first);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::format;

    use super::*;
    use crate::Volume;
    use crate::fake::Disk;
    use crate::fat::geometry::FatKind;
    use crate::fat::tests::formatted;
    use crate::fat::{Options, mount_volume};

    /// Creates a volume with an index limit of `limit` bytes, and directories of 16 slots each.
    fn volume(limit: usize) -> FatVolume {
        let options = Options {
            cache_bytes: limit / 2,
            ..Options::default()
        };
        let disk = Disk::new(formatted(FatKind::Fat12), 512);
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
            // Each call used the root; the others are the most recently used ones.
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
