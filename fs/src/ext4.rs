//! ext4 with its journal.
//!
//! The format is that of the kernel documentation, `Documentation/filesystems/ext4`; each module
//! names the chapter that it implements. From the bottom up:
//!
//! - `fields`, `checksum`, `hash`, `bitmap`: numbers.
//! - `superblock`, `groups`, `zones`: the layout of the file system, and the refusals of a mount.
//! - `metadata_cache`, `filesystem`, `verification`: metadata in memory, and the rollback of failed
//!   operations.
//! - `allocation`, `inodes`, `inode`: allocation and release of blocks and inodes.
//! - `extents`, `indirect`, `mapping`: the block map of a file.
//! - `records`, `htree`, `directory`, `names`, `orphans`, `data`: the parts of operations.
//! - `journal`, `replay`, `transaction`: durability.
//! - `grow`: growing to the size of the device.
//! - `ext4_volume`, `paths`, `operations`, `ranges`, `listing`: open files, and [`Volume`].

mod allocation;
mod bitmap;
mod checksum;
mod data;
mod directory;
mod ext4_volume;
mod extents;
mod fields;
mod filesystem;
mod groups;
mod grow;
mod hash;
mod htree;
mod indirect;
mod inode;
mod inodes;
mod journal;
mod mapping;
mod metadata_cache;
mod names;
mod operations;
mod orphans;
mod ranges;
mod records;
mod replay;
mod superblock;
#[cfg(test)]
mod tests;
mod transaction;
mod verification;
mod zones;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use crate::VolumeOptions as Options;
use crate::bytes::{u16_at, u32_at};
use crate::cache::{Cache, Layout};
use crate::{Block, Clock, Error, MountError, Volume};
use checksum::Crc32c;
use ext4_volume::Ext4Volume;
use fields::superblock as sb;
use filesystem::Fs;
use metadata_cache::{BlockKind, MetadataCache};
use superblock::{Geometry, corrupt, incompatible};

/// Mounts the ext4 file system on `device`, which is the whole disk or partition.
///
/// Replays the journal first if the file system wasn't unmounted cleanly; fails if a replay is
/// needed and the mount or the device is read-only. Mounts a file system that is marked as having
/// errors read-only, unless its superblock says "continue"; [`Volume::health`] reports it. Dropping
/// the volume writes everything and leaves the journal empty.
pub fn mount(
    device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Box<dyn Volume>, MountError> {
    Ok(Box::new(mount_volume(device, options)?))
}

/// Bytes of cached metadata for each byte of the cache; more if the budget has room.
const METADATA: usize = 8;

fn mount_volume(
    mut device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Ext4Volume, MountError> {
    let read_only = options.read_only || device.read_only();
    let crc = Crc32c::new();
    let geometry = superblock::check(&mut *device, read_only, &crc)?;
    let mut cache = Cache::new(device, &options);
    let layout = Layout {
        journaled: true,
        ..Layout::default()
    };
    cache.set_layout(layout);
    let mut fs = begin(cache, geometry, crc, &options);
    let is_replayed = fs.marked && fs.geometry.has_journal() && !read_only;
    fs.read_groups(!is_replayed)?;
    if fs.geometry.has_journal() && !read_only {
        fs.open_journal()?;
    }
    if is_replayed {
        fs.read_again()?;
    } else {
        fs.read_layout()?;
    }
    let continue_on_error = fs.geometry.continue_on_error && !read_only;
    let mut corrupt = fs.geometry.has_errors.then(|| {
        let found = String::from("it is marked as having errors; repair it with e2fsck -f");
        log::error!(
            "ext4 volume is {}: {found}",
            if continue_on_error {
                "damaged"
            } else {
                "read-only"
            }
        );
        found
    });
    let mut is_frozen = corrupt.is_some() && !continue_on_error;
    if !read_only && !is_frozen {
        if fs.journal.is_none() {
            log::warn!(
                "ext4 volume has no journal: a power cut can damage it; add one with tune2fs -j"
            );
        }
        // Marked here, as by Linux, and not by the first commit, whose flush would delay other
        // reads.
        match fs.finish_orphans().and_then(|()| fs.mark()) {
            Err(Error::Corrupt) => {
                (corrupt, is_frozen) = (fs.found.take(), true);
                let _ = fs.mark_errors();
            }
            finished => finished.map_err(unreadable)?,
        }
        if options.grow && corrupt.is_none() {
            fs.grow()?;
        }
    }
    if is_frozen {
        fs.cache.freeze();
    }
    Ok(Ext4Volume::new(fs, !read_only, (corrupt, is_frozen)))
}

fn begin(cache: Cache, geometry: Geometry, crc: Crc32c, options: &Options) -> Fs {
    let limit = (options.cache_bytes.max(64 << 10) * METADATA / geometry.block).max(64);
    let seed = geometry.uuid.first_chunk().copied().unwrap_or([1; 8]);
    let now = Clock::time(options.clock);
    Fs {
        cache,
        blocks: MetadataCache::new(geometry.block, limit, options.budget),
        marked: geometry.incompatible & incompatible::RECOVER != 0,
        geometry,
        crc,
        groups: Vec::new(),
        zones: zones::Zones::default(),
        dirty_groups: Vec::new(),
        free_blocks: 0,
        free_inodes: 0,
        freed: BTreeMap::new(),
        revoked: BTreeSet::new(),
        orphans: Vec::new(),
        last_root: None,
        reserved: BTreeMap::new(),
        journal: None,
        operation: 0,
        undo: filesystem::Undo::default(),
        clock: options.clock,
        random: (u64::from_le_bytes(seed) ^ now.seconds as u64 ^ u64::from(now.nanoseconds)) | 1,
        found: None,
        errors: superblock::Errors::default(),
        failed: false,
        unwritten: None,
    }
}

fn disk_failed(error: impl fmt::Display) -> MountError {
    let detail = format!("the disk failed while mounting ({error}); check the disk");
    MountError::new(Error::Io, detail)
}

fn unreadable(error: Error) -> MountError {
    match error {
        Error::OutOfMemory => {
            MountError::new(error, "there is no memory for it; give the machine more")
        }
        error => disk_failed(error),
    }
}

impl Fs {
    fn failure(&mut self, error: Error) -> MountError {
        match self.found.take() {
            Some(found) => corrupt(&found),
            None => unreadable(error),
        }
    }

    /// Reads the group descriptors. Before a replay of the journal their checksums may belong to
    /// another state.
    fn read_groups(&mut self, is_strict: bool) -> Result<(), MountError> {
        let read = groups::read_all(&mut self.cache, &self.geometry, &self.crc, is_strict);
        self.groups = read.map_err(|wrong| match wrong {
            groups::Wrong::Disk(error) => unreadable(error),
            groups::Wrong::Contents(what) => corrupt(what),
        })?;
        Ok(())
    }

    /// Returns the runs of blocks of the journal in inode `number`, and its number of blocks.
    fn journal_runs(&mut self, number: u32) -> Result<(journal::Runs, u32), journal::Wrong> {
        let inode = self.inode(number).map_err(journal::unreadable)?;
        let blocks = inode.size / self.geometry.block as u64;
        if !inode.is_regular() || blocks > u32::MAX.into() {
            return Err(journal::damaged("its journal is not a file"));
        }
        let mut runs = journal::Runs::new();
        let mut at = 0;
        while at < blocks {
            let piece = self.piece(&inode, at, blocks - at);
            let piece = piece.map_err(journal::unreadable)?;
            let is_hole = piece.physical == 0 || piece.unwritten || piece.len == 0;
            if is_hole || runs.len() >= journal::MAX_RUNS {
                return Err(journal::damaged("its journal has holes"));
            }
            runs.push((at as u32, piece.physical, piece.len as u32));
            at += piece.len;
        }
        Ok((runs, blocks as u32))
    }

    fn open_journal(&mut self) -> Result<(), MountError> {
        let number = self.geometry.journal;
        let opened = self.journal_runs(number).and_then(|(runs, blocks)| {
            let block = self.geometry.block;
            journal::open(&mut self.cache, &self.crc, block, runs, blocks)
        });
        let mut journal = opened.map_err(|wrong| match self.found.take() {
            Some(found) => corrupt(&found),
            None => journal_failed(wrong),
        })?;
        if journal.start != 0 && self.marked {
            log::info!("ext4 volume was not cleanly unmounted: replaying its journal");
            replay::replay(self, &mut journal).map_err(journal_failed)?;
        } else if journal.start != 0 {
            replay::skip(self, &mut journal).map_err(journal_failed)?;
        }
        if journal.was_aborted() {
            self.geometry.has_errors = true;
        }
        let geometry = &self.geometry;
        let wide = geometry.incompatible & incompatible::IS_64BIT != 0;
        journal.begin_writing(geometry.has_checksums(), wide);
        self.journal = Some(journal);
        // Blocks that were read before the replay may be stale.
        self.blocks.clear();
        Ok(())
    }

    /// Finds out where metadata is, and how much is free.
    fn read_layout(&mut self) -> Result<(), MountError> {
        self.find_zones().map_err(unreadable)?;
        if !self.add_journal_zones().map_err(unreadable)? {
            return Err(corrupt("its journal lies where other metadata is"));
        }
        self.read_counts()
    }

    /// Reads superblock and descriptors again, after a replay of the journal or a growth has
    /// changed them. Nothing else is in memory.
    fn read_again(&mut self) -> Result<(), MountError> {
        let has_errors = self.geometry.has_errors;
        self.geometry = superblock::check(self.cache.device(), false, &self.crc)?;
        self.geometry.has_errors |= has_errors;
        self.read_groups(true)?;
        self.blocks.clear();
        self.read_layout()
    }

    /// Adds up the free blocks and inodes after the replay. Linux updates the superblock's counts
    /// only when it unmounts, so those of the groups count.
    fn read_counts(&mut self) -> Result<(), MountError> {
        let (block, at) = self.geometry.superblock();
        if let Err(error) = self.load(block, BlockKind::Super) {
            return Err(self.failure(error));
        }
        let data = self.blocks.get(block).map(|entry| &entry.data[..]);
        let s = data.and_then(|data| data.get(at..)).unwrap_or_default();
        self.free_blocks = self.groups.iter().map(|g| u64::from(g.free_blocks)).sum();
        let free_inodes: u64 = self.groups.iter().map(|g| u64::from(g.free_inodes)).sum();
        self.free_inodes = free_inodes.try_into().unwrap_or(u32::MAX);
        self.geometry.to_write = u32_at(s, sb::FEATURE_RO_COMPAT);
        self.geometry.has_errors |= u16_at(s, sb::STATE) & 2 != 0;
        if self.free_blocks > self.geometry.blocks || self.free_inodes > self.geometry.inodes {
            return Err(corrupt("it has more free than it has in all"));
        }
        Ok(())
    }
}

fn journal_failed(wrong: journal::Wrong) -> MountError {
    match wrong {
        journal::Wrong::Disk(wrong) => disk_failed(wrong),
        journal::Wrong::Contents(wrong) => corrupt(&wrong),
        journal::Wrong::Memory => {
            let detail = "its journal needs more memory than there is; give the program more, or \
                replay the journal with e2fsck -p";
            MountError::new(Error::OutOfMemory, detail)
        }
    }
}
