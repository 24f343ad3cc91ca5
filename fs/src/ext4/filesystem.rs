//! Mounted file system below names and open files: metadata blocks, groups, and the running
//! transaction.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::checksum::Crc32c;
use super::fields::group as gd;
use super::groups::{self, Group};
use super::journal::Journal;
use super::metadata_cache::{BlockKind, MetadataCache, Owner};
use super::superblock::{Errors, Geometry};
use super::zones::{Zones, table_blocks};
use crate::bytes::put;
use crate::cache::Cache;
use crate::{Clock, Error, Time};

pub type Result<T> = core::result::Result<T, Error>;

/// Bytes of metadata per read where neighbours are likely to be needed.
const RUN: usize = 32 << 10;

/// State other than blocks that a rollback restores.
#[derive(Debug, Default)]
pub struct Undo {
    pub groups: Vec<(u32, Group)>,
    /// First blocks of the runs that the operation freed.
    pub freed: Vec<u64>,
    pub revoked: Vec<u64>,
    pub orphans: Option<Vec<u32>>,
    free_blocks: u64,
    free_inodes: u32,
}

/// File system without names and open files; see the module documentation.
pub struct Fs {
    pub cache: Cache,
    pub geometry: Geometry,
    pub crc: Crc32c,
    pub blocks: MetadataCache,
    pub groups: Vec<Group>,
    pub dirty_groups: Vec<u32>,
    pub zones: Zones,
    pub free_blocks: u64,
    pub free_inodes: u32,
    /// Runs of blocks that the running transaction has freed: first and number. They can't be
    /// allocated before the commit, since after a power cut they would belong to the old owner
    /// again.
    pub freed: BTreeMap<u64, u64>,
    /// Metadata blocks that the transaction has freed and that the journal has a copy of.
    pub revoked: BTreeSet<u64>,
    /// Inodes without a name that wait for release, in the order of the list on the disk: each
    /// stores its predecessor, and the superblock the last.
    pub orphans: Vec<u32>,
    /// Directory whose index was used last, and its first block, which never changes.
    pub last_root: Option<(Owner, u64)>,
    /// Blocks reserved for growing files: first, number, and the file's inode.
    pub reserved: BTreeMap<u64, (u64, u32)>,
    pub journal: Option<Journal>,
    /// The superblock on the disk marks the volume as in use.
    pub marked: bool,
    /// Number of operations that changed the file system.
    pub operation: u64,
    pub undo: Undo,
    pub clock: Option<&'static Clock>,
    /// State of the generator of inode generations.
    pub random: u64,
    /// Inconsistency that was found last.
    pub found: Option<String>,
    /// Errors to store in the superblock.
    pub errors: Errors,
    /// A commit has failed in a flush: memory and disk differ from now on.
    pub failed: bool,
    /// The disk refused a write of a commit: its time. Nothing changes until the commit has been
    /// repeated.
    pub unwritten: Option<Time>,
}

impl Fs {
    /// Records an inconsistency on the disk: its description and the number of its location.
    pub fn damage(&mut self, what: &'static str, number: u64) -> Error {
        log::debug!("ext4: {what} ({number})");
        if self.found.is_none() {
            self.found = Some(format!("{what} ({number})"));
        }
        self.errors = Errors {
            count: self.errors.count.saturating_add(1),
            what,
            number,
            // Tools take 0 for "never".
            time: (self.now().seconds as u32).max(1),
        };
        self.geometry.has_errors = true;
        Error::Corrupt
    }

    /// As [`damage`](Self::damage) for a group, from which nothing is allocated from then on.
    pub fn damaged_group(&mut self, number: u32, what: &'static str, place: u64) -> Error {
        self.avoid(number);
        self.damage(what, place)
    }

    /// Excludes a group from allocation.
    pub fn avoid(&mut self, number: u32) {
        if let Some(group) = self.groups.get_mut(number as usize) {
            group.avoided = true;
        }
    }

    pub fn now(&self) -> Time {
        Clock::time(self.clock)
    }

    /// Number of sectors in a block.
    pub fn sectors(&self, block: u64) -> u64 {
        block * (self.geometry.block / self.cache.sector_size()) as u64
    }

    /// Number of blocks of the device.
    pub fn device_blocks(&self) -> u64 {
        self.cache.sectors() / self.sectors(1).max(1)
    }

    /// Loads a metadata block into memory and checks it against its kind.
    pub fn load(&mut self, block: u64, kind: BlockKind) -> Result<()> {
        if let Some(entry) = self.blocks.touch(block) {
            if entry.kind == kind {
                return Ok(());
            }
            if entry.dirty || entry.logged {
                return Err(self.damage("a block that is two things at once", block));
            }
        }
        if !self.geometry.contains(block, 1) && kind != BlockKind::Super {
            return Err(self.damage("metadata outside of the file system", block));
        }
        if kind.belongs_to_file() && self.zones.has(block, 1) {
            return Err(self.damage("a file that has metadata as its own", block));
        }
        if let BlockKind::Inodes(first) = kind {
            return self.load_inodes(block, first);
        }
        let mut data = self.blocks.memory_for_read()?;
        let sector = self.sectors(block);
        self.cache.read_raw(sector, &mut data)?;
        if let Err(wrong) = self.check(block, kind, &data) {
            return Err(self.damage(wrong, block));
        }
        self.blocks.insert(block, data, kind)
    }

    /// Number of metadata blocks to read together.
    pub fn run_blocks(&self) -> u64 {
        (RUN / self.geometry.block) as u64
    }

    /// Loads contiguous blocks, given by the first and their number; `kind` returns the expected
    /// kind of each. Skips blocks that fail their check: [`load`](Self::load) reports them later.
    pub fn load_run(
        &mut self,
        (first, count): (u64, u64),
        kind: &dyn Fn(u64) -> BlockKind,
    ) -> Result<()> {
        let size = self.geometry.block;
        let mut data = vec![0; count as usize * size];
        let sector = self.sectors(first);
        self.cache.read_raw(sector, &mut data)?;
        for (some, block) in data.chunks_exact(size).zip(first..) {
            let kind = kind(block);
            let known = self.blocks.get(block);
            // The copy in memory may be newer than the disk.
            if known.is_some_and(|known| known.kind == kind || known.dirty || known.logged)
                || self.check(block, kind, some).is_err()
            {
                continue;
            }
            let mut memory = self.blocks.memory_for_read()?;
            memory.copy_from_slice(some);
            self.blocks.insert(block, memory, kind)?;
        }
        Ok(())
    }

    /// Returns a metadata block.
    pub fn block(&mut self, block: u64, kind: BlockKind) -> Result<&[u8]> {
        self.load(block, kind)?;
        let entry = self.blocks.get(block).ok_or(Error::Io)?;
        Ok(&entry.data)
    }

    /// Returns a metadata block for a change by the running operation.
    pub fn block_mut(&mut self, block: u64, kind: BlockKind) -> Result<&mut [u8]> {
        self.load(block, kind)?;
        let entry = self.blocks.change(block)?.ok_or(Error::Io)?;
        Ok(&mut entry.data)
    }

    /// Returns a new metadata block of zeros.
    pub fn block_new(&mut self, block: u64, kind: BlockKind) -> Result<&mut [u8]> {
        let (sector, count) = (self.sectors(block), self.sectors(1));
        // An operation that failed may have used the block for a file.
        self.cache.forget(sector, count)?;
        Ok(&mut self.blocks.create(block, kind)?.data)
    }

    /// Forgets a metadata block that is freed. A replay must not restore the journal's copy over
    /// the next owner's contents (kernel documentation, "Revocation Block").
    pub fn forget(&mut self, block: u64) {
        self.blocks.forget(block);
        let journal = self.journal.as_ref();
        if journal.is_some_and(|journal| journal.has(block)) && self.revoked.insert(block) {
            self.undo.revoked.push(block);
        }
    }

    /// Begins an operation: all changes until [`end`](Self::end) or [`roll_back`](Self::roll_back)
    /// belong together.
    pub fn begin(&mut self) {
        self.operation += 1;
        self.blocks.begin();
        self.undo.free_blocks = self.free_blocks;
        self.undo.free_inodes = self.free_inodes;
    }

    /// Ends a successful operation.
    pub fn end(&mut self) {
        self.blocks.end();
        self.undo.groups.clear();
        self.undo.freed.clear();
        self.undo.revoked.clear();
        self.undo.orphans = None;
    }

    /// Undoes all changes of a failed operation.
    pub fn roll_back(&mut self) {
        self.blocks.roll_back();
        for (number, before) in self.undo.groups.drain(..) {
            if let Some(group) = self.groups.get_mut(number as usize) {
                // The group stays marked as changed, and findings about it stay true.
                let (dirty, avoided) = (group.dirty, group.avoided);
                *group = Group {
                    dirty,
                    avoided,
                    ..before
                };
            }
        }
        for first in self.undo.freed.drain(..) {
            self.freed.remove(&first);
        }
        for block in self.undo.revoked.drain(..) {
            self.revoked.remove(&block);
        }
        if let Some(orphans) = self.undo.orphans.take() {
            self.orphans = orphans;
        }
        self.free_blocks = self.undo.free_blocks;
        self.free_inodes = self.undo.free_inodes;
    }

    /// Saves the list of orphans for rollback, before the operation changes it.
    pub fn keep_orphans(&mut self) {
        if self.undo.orphans.is_none() {
            self.undo.orphans = Some(self.orphans.clone());
        }
    }
}

/// Block groups.
impl Fs {
    /// Returns a group, if the number is valid.
    pub fn group(&mut self, number: u32) -> Result<Group> {
        match self.groups.get(number as usize) {
            Some(group) => Ok(*group),
            None => Err(self.damage("a block group that there isn't", number.into())),
        }
    }

    /// Returns a group for a change by the running operation.
    pub fn group_mut(&mut self, number: u32) -> Result<&mut Group> {
        if number >= self.geometry.groups {
            return Err(self.damage("a block group that there isn't", number.into()));
        }
        let group = self.groups.get_mut(number as usize).ok_or(Error::Io)?;
        if group.operation != self.operation {
            group.operation = self.operation;
            self.undo.groups.push((number, *group));
        }
        if !group.dirty {
            group.dirty = true;
            self.dirty_groups.push(number);
        }
        Ok(group)
    }

    /// Writes changed groups into their blocks and seals these. Only
    /// [`groups_written`](Self::groups_written) clears the marks of the groups, because this
    /// function may fail.
    pub fn write_groups(&mut self) -> Result<()> {
        let geometry = self.geometry.clone();
        let per_block = (geometry.block / geometry.descriptor).max(1) as u32;
        let (superblock, _) = geometry.superblock();
        for n in 0..self.dirty_groups.len() {
            let number = self.dirty_groups.get(n).copied().unwrap_or_default();
            let group = self.group(number)?;
            let block = superblock + 1 + u64::from(number / per_block);
            let at = (number % per_block) as usize * geometry.descriptor;
            self.block_mut(block, BlockKind::Descriptors)?;
            let Some(entry) = self.blocks.touch(block) else {
                continue;
            };
            let Some(data) = entry.data.get_mut(at..at + geometry.descriptor) else {
                continue;
            };
            // Short descriptors end after 32 bytes: `put` ignores the rest.
            group.write(data);
            if let Some(sum) = groups::checksum(&geometry, &self.crc, number, data) {
                put(data, gd::CHECKSUM, &sum.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Records that all groups are in their blocks.
    pub fn groups_written(&mut self) {
        for number in core::mem::take(&mut self.dirty_groups) {
            if let Some(group) = self.groups.get_mut(number as usize) {
                group.dirty = false;
            }
        }
    }
}

/// Zones of metadata.
impl Fs {
    /// Records the locations of the metadata of all groups.
    pub fn find_zones(&mut self) -> Result<()> {
        let geometry = &self.geometry;
        let copies = 1 + geometry.descriptor_blocks() + u64::from(geometry.reserved_descriptors);
        let table = table_blocks(geometry);
        let mut zones = Zones::default();
        for (number, group) in (0u32..).zip(&self.groups) {
            if geometry.has_copies(number) {
                zones.add(geometry.group_start(number), copies)?;
            }
            zones.add(group.block_bitmap, 1)?;
            zones.add(group.inode_bitmap, 1)?;
            zones.add(group.inode_table, table)?;
        }
        zones.normalize();
        self.zones = zones;
        Ok(())
    }

    /// Records the location of the journal; `false` if other metadata is there as well.
    pub fn add_journal_zones(&mut self) -> Result<bool> {
        let Some(journal) = &self.journal else {
            return Ok(true);
        };
        let mut runs = journal
            .runs
            .iter()
            .map(|(_, disk, count)| (*disk, u64::from(*count)));
        if runs
            .clone()
            .any(|(disk, count)| self.zones.has(disk, count))
        {
            return Ok(false);
        }
        runs.try_for_each(|(disk, count)| self.zones.add(disk, count))?;
        self.zones.normalize();
        Ok(true)
    }

    /// Whether a file may own `count` blocks from `first` on.
    pub fn is_valid_data_range(&self, first: u64, count: u64) -> bool {
        self.geometry.contains(first, count) && !self.zones.has(first, count)
    }
}

impl Fs {
    /// Changes the superblock and makes the change durable at once.
    pub fn write_superblock(&mut self, change: &mut dyn FnMut(&mut [u8])) -> Result<()> {
        let (block, at) = self.geometry.superblock();
        self.load(block, BlockKind::Super)?;
        let entry = self.blocks.touch(block).ok_or(Error::Io)?;
        if let Some(superblock) = entry.data.get_mut(at..) {
            change(superblock);
        }
        self.seal(block)?;
        let sector = self.sectors(block);
        if let Some(entry) = self.blocks.get(block) {
            self.cache.put_raw(sector, &entry.data)?;
        }
        self.cache.commit_raw()?;
        self.flush()
    }

    /// Flushes the disk. A failure is final: the disk may have lost any write.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.cache.flush();
        self.failed |= flushed.is_err();
        Ok(flushed?)
    }
}
