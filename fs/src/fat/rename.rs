//! Renaming: writes an entry under its new name, and updates open handles.

use alloc::vec::Vec;

use hadris_fat_raw::{ATTR_ARCHIVE, ShortEntry};
use hadris_fs::{NodeId, OpenMode};

use super::clusters;
use super::entries::FoundEntry;
use super::names;
use super::volume::{Change, FatVolume, Result};
use crate::{Error, OpenFlags};

/// Maximum depth of nested directories.
const MAX_DEPTH: usize = 1 << 16;

impl FatVolume {
    /// Renames `from` to `to`; replaces an existing entry if `replaces` is set.
    pub(super) fn rename_entry(
        &mut self,
        from: (NodeId, &str),
        to: (NodeId, &str),
        replaces: bool,
    ) -> Result<()> {
        names::check(to.1)?;
        let from_first = self.directory(from.0)?;
        let source = self.find(from_first, from.1)?;
        let to_first = self.directory(to.0)?;
        let target = self.find(to_first, to.1)?;
        let source = source.ok_or(Error::NotFound)?;
        if target.is_some() && !replaces {
            return Err(Error::Exists);
        }
        let is_same = |target: &FoundEntry| to_first == from_first && target.short == source.short;
        let target = target.filter(|target| !is_same(target));
        let is_directory = source.entry.is_dir();
        if is_directory {
            self.check_outside(to_first, &source.entry)?;
        }
        match target.as_ref().map(|target| target.entry.is_dir()) {
            Some(false) if is_directory => return Err(Error::NotDirectory),
            Some(true) if !is_directory => return Err(Error::IsDirectory),
            _ => {}
        }
        self.begin(match target {
            Some(_) => Change::Giving,
            None => Change::Taking,
        })?;
        let moved = self.rename_found(from, to, (from_first, to_first), target);
        self.end();
        moved
    }

    fn rename_found(
        &mut self,
        from: (NodeId, &str),
        to: (NodeId, &str),
        (from_first, to_first): (u32, u32),
        target: Option<FoundEntry>,
    ) -> Result<()> {
        // Write the size of open files first, so that the entry is up to date.
        let source = self.find(from_first, from.1)?.ok_or(Error::Io)?;
        let node = self.pin(from.0, source.at, from.1)?;
        let written = self.fat.fsync(node);
        let written = self.done(written, "writing a directory entry");
        self.fat.forget(node, 1);
        written?;
        let source = self.find(from_first, from.1)?.ok_or(Error::Io)?;
        let mut entry = source.entry;
        if !entry.is_dir() {
            entry.set_attributes(entry.attributes() | ATTR_ARCHIVE);
        }
        let mut except = [usize::MAX; 2];
        if from_first == to_first {
            except[0] = source.short;
        }
        if let Some(target) = &target {
            except[1] = target.short;
        }
        let slots = self.slots_for(to_first, to.1, entry, &except)?;
        let geometry = *self.fat.info();
        let is_elsewhere = entry.is_dir() && from_first != to_first;
        if is_elsewhere {
            // Verify the directory's `..` before any change.
            let cluster = entry.first_cluster(geometry.kind());
            self.with_directory(to_first, |_, cache| {
                clusters::parent(cluster, &geometry, cache)
            })?;
        }
        // Find room before anything is freed for it: free slots, or those that become free.
        let count = slots.len();
        let freed = |volume: &mut Self, first, found: &FoundEntry| {
            volume.with_directory(first, |it, cache| {
                Ok(found.short + 1 - it.start_of(found, cache)?)
            })
        };
        let mut fits = from_first == to_first && freed(self, from_first, &source)? >= count;
        if let Some(target) = &target {
            fits |= freed(self, to_first, target)? >= count;
        }
        if !fits {
            let change = self.change;
            self.begin(Change::Taking)?;
            self.make_room(to.0, to_first, count)?;
            self.begin(change)?;
        }
        if let Some(target) = &target {
            self.remove_entry(to.0, to.1, Some(target.entry.is_dir()))?;
            self.directory(from.0)?;
            self.directory(to.0)?;
        }
        let before = self.with_directory(from_first, |it, cache| it.remove(&source, cache))?;
        let mut added = Vec::new();
        let moved = self.add(to_first, slots).and_then(|(at, overwritten)| {
            added = overwritten;
            if is_elsewhere {
                let up = self.parent_cluster(to_first);
                self.with_directory(to_first, |_, cache| {
                    clusters::set_parent(&source.entry, up, &geometry, cache)
                })?;
            }
            Ok(at)
        });
        if let Some(mut cache) = self.cache.try_lock() {
            match moved {
                // At any moment the disk has one of the two names.
                Ok(_) => clusters::put_last(&before, &mut cache),
                Err(_) => {
                    clusters::put_back(&added, &mut cache);
                    clusters::put_back(&before, &mut cache);
                }
            }
        }
        if moved.is_err() {
            self.directories.clear();
        }
        self.changed_entries();
        self.follow(node, to, moved?)
    }

    /// Updates the handles of a moved node to its new entry.
    fn follow(&mut self, node: NodeId, to: (NodeId, &str), at: usize) -> Result<()> {
        let mut count = 0;
        for handle in self.handles.all().filter(|handle| handle.node == node) {
            if !handle.is_directory() {
                let _ = self.fat.close(node);
            }
            self.fat.forget(node, 1);
            count += 1;
        }
        for left in (0..count).rev() {
            let moved = self.pin(to.0, at, to.1)?;
            if left > 0 {
                continue;
            }
            for handle in self.handles.all_mut().filter(|handle| handle.node == node) {
                handle.node = moved;
                if !handle.is_directory() {
                    let mode = match handle.flags.contains(OpenFlags::WRITE) {
                        true => OpenMode::Write,
                        false => OpenMode::Read,
                    };
                    let _ = self.fat.open(moved, mode);
                }
            }
        }
        Ok(())
    }

    /// [`Error::Invalid`] if the directory that begins with `cluster` is the one of this entry, or
    /// below it.
    fn check_outside(&mut self, mut cluster: u32, entry: &ShortEntry) -> Result<()> {
        let geometry = *self.fat.info();
        let source = entry.first_cluster(geometry.kind());
        let indexed = cluster;
        for _ in 0..MAX_DEPTH {
            if cluster == source {
                return Err(Error::Invalid);
            }
            if self.parent_cluster(cluster) == 0 {
                return Ok(());
            }
            cluster = self.with_directory(indexed, |_, cache| {
                clusters::parent(cluster, &geometry, cache)
            })?;
        }
        Err(Error::Invalid)
    }
}
