//! Renames: write an entry under its new name, and update open handles.

use alloc::vec::Vec;

use super::clusters;
use super::entries::FoundEntry;
use super::fat_volume::{Change, FatVolume, Result};
use super::names;
use super::slots::{ATTR_ARCHIVE, ShortEntry};
use crate::Error;

/// Maximum depth of nested directories.
const MAX_DEPTH: usize = 1 << 16;

impl FatVolume {
    /// Renames `from` to `to`, each a directory and a name in it; replaces an existing entry if
    /// `replaces` is set.
    pub(super) fn rename_entry(
        &mut self,
        from: (u32, &str),
        to: (u32, &str),
        replaces: bool,
    ) -> Result<()> {
        names::check(to.1)?;
        let source = self.find(from.0, from.1)?;
        let target = self.find(to.0, to.1)?;
        let source = source.ok_or(Error::NotFound)?;
        if target.is_some() && !replaces {
            return Err(Error::Exists);
        }
        let target = target.filter(|target| target.node.place != source.node.place);
        let is_directory = source.node.entry.is_dir();
        if is_directory {
            self.check_outside(to.0, &source.node.entry)?;
        }
        match target.as_ref().map(|target| target.node.entry.is_dir()) {
            Some(false) if is_directory => return Err(Error::NotDirectory),
            Some(true) if !is_directory => return Err(Error::IsDirectory),
            _ => {}
        }
        self.begin(match target {
            Some(_) => Change::Giving,
            None => Change::Taking,
        })?;
        let moved = self.rename_found(from.0, to, &source, target);
        self.end();
        moved
    }

    fn rename_found(
        &mut self,
        from: u32,
        to: (u32, &str),
        source: &FoundEntry,
        target: Option<FoundEntry>,
    ) -> Result<()> {
        let mut entry = source.node.entry;
        if !entry.is_dir() {
            entry.set_attributes(entry.attributes() | ATTR_ARCHIVE);
        }
        let mut except = [usize::MAX; 2];
        if from == to.0 {
            except[0] = source.short;
        }
        if let Some(target) = &target {
            except[1] = target.short;
        }
        let slots = self.slots_for(to.0, to.1, entry, &except)?;
        let geometry = self.geometry();
        let is_elsewhere = entry.is_dir() && from != to.0;
        if is_elsewhere {
            // Verify the directory's `..` before any change.
            self.above(entry.first_cluster(geometry.kind))?;
        }
        // Find room before any slot is freed for it: free slots, or those about to be freed.
        let count = slots.len();
        let freed = |volume: &mut Self, first, found: &FoundEntry| {
            volume.with_directory(first, |it, cache| {
                Ok(found.short + 1 - it.start_of(found, cache)?)
            })
        };
        let mut fits = from == to.0 && freed(self, from, source)? >= count;
        if let Some(target) = &target {
            fits |= freed(self, to.0, target)? >= count;
        }
        if !fits {
            let change = self.change;
            self.begin(Change::Taking)?;
            self.make_room(to.0, count)?;
            self.begin(change)?;
        }
        if let Some(target) = &target {
            self.remove_entry(to.0, to.1, target.node.entry.is_dir())?;
        }
        let before = self.with_directory(from, |it, cache| it.remove(source, cache))?;
        let mut added = Vec::new();
        let moved = self.add(to.0, slots).and_then(|(node, overwritten)| {
            added = overwritten;
            if is_elsewhere {
                let up = self.parent_cluster(to.0);
                let set = clusters::set_parent(&entry, up, &geometry, &mut self.cache);
                self.done(set, "writing a directory: nothing is above it")?;
            }
            Ok(node.place)
        });
        let place = match moved {
            // At any moment one of the two names is on the disk.
            Ok(place) => {
                clusters::put_last(&before, &mut self.cache);
                place
            }
            Err(error) => {
                clusters::put_back(&added, &mut self.cache);
                clusters::put_back(&before, &mut self.cache);
                self.directories.clear();
                return Err(error);
            }
        };
        let handles = self.handles.all_mut();
        for handle in handles.filter(|handle| handle.place == source.node.place) {
            handle.place = place;
        }
        Ok(())
    }

    /// Fails with [`Error::Invalid`] if the directory that begins with `cluster` is that of this
    /// entry, or below it.
    fn check_outside(&mut self, mut cluster: u32, entry: &ShortEntry) -> Result<()> {
        let source = entry.first_cluster(self.geometry().kind);
        for _ in 0..MAX_DEPTH {
            if cluster == source {
                return Err(Error::Invalid);
            }
            if self.parent_cluster(cluster) == 0 {
                return Ok(());
            }
            cluster = self.above(cluster)?;
        }
        Err(Error::Invalid)
    }

    /// Returns the first cluster of the parent of the directory that begins with `cluster`.
    fn above(&mut self, cluster: u32) -> Result<u32> {
        let found = clusters::parent(cluster, &self.geometry(), &mut self.cache);
        self.done(
            found,
            "reading a directory: it has no cluster, or nothing is above it",
        )
    }
}
