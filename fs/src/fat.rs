//! FAT12, FAT16 and FAT32 with long names, through hadris-fat.
//!
//! hadris-fat knows the format and operates on files. This module adds the rules around it: the
//! meaning of paths and flags, the commits (`cache`), the response to a corrupt volume, the mapping
//! of errors, the index of names, and reading. The format is that of Microsoft's "FAT32 File System
//! Specification" (2000) with long names.

mod cluster_chains;
mod clusters;
mod device;
mod entries;
mod index;
mod lease;
mod names;
mod operations;
mod probe;
mod reading;
mod rename;
#[cfg(test)]
mod tests;
mod times;
mod volume;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

use hadris_fat::sync::FatFs;
use hadris_fat::{CacheOptions, FatKind, Geometry, RootLocation};
use hadris_fs::{DateTime, ErrorKind, MountOptions, NoClock};
use hadris_storage::BlockSize;
use spin::Mutex;

pub use crate::VolumeOptions as Options;
use crate::cache::{Cache, Layout};
use crate::{Block, Clock, Error, MountError, Volume};
use device::Device;
use probe::Content;
use volume::FatVolume;

/// Mounts the FAT file system on `device`, which is the whole disk.
/// Reads some 40 KiB. A volume whose dirty mark is set mounts with a warning in the log, and keeps
/// the mark until `fsck.fat` clears it.
pub fn mount(
    device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Box<dyn Volume>, MountError> {
    Ok(Box::new(mount_volume(device, options)?))
}

fn mount_volume(
    mut device: Box<dyn Block + Send>,
    options: Options,
) -> Result<FatVolume, MountError> {
    let sector = device.sector_size();
    let block_size = match u32::try_from(sector).ok().and_then(BlockSize::new) {
        Some(size) if (512..=4096).contains(&sector) && sector.is_power_of_two() => size,
        _ => {
            let detail =
                format!("sectors of {sector} bytes are not supported; use a disk with 512 or 4096");
            return Err(MountError {
                error: Error::Unsupported,
                detail,
            });
        }
    };
    if let Content::Other(detail) = probe::classify(&mut *device)? {
        return Err(MountError {
            error: Error::Corrupt,
            detail,
        });
    }
    let blocks = device.sectors();
    let writable = !options.read_only && !device.read_only();
    let cache = Arc::new(Mutex::new(Cache::new(device, &options)));
    let mut settings = MountOptions::new();
    if let Some(clock) = options.clock {
        settings = settings.with_clock(clock);
    }
    let device = Device {
        cache: cache.clone(),
        block_size,
        blocks,
        writable,
    };
    let fat = FatFs::mount(device, settings)
        .map(Box::new)
        .map_err(|error| {
            let error = error.into_error();
            refused(&error, &cache, blocks * sector as u64)
        })?;
    let geometry = *fat.info();
    if let Some(mut cache) = cache.try_lock() {
        cache
            .set_layout(layout(&geometry, sector))
            .map_err(|error| MountError {
                error: error.into(),
                detail: format!("the file allocation table can't be read: {error}; check the disk"),
            })?;
    }
    if fat.was_dirty() {
        log::warn!("FAT volume is marked as not cleanly unmounted: check it with fsck.fat -a");
    }
    let caches = CacheOptions::new()
        .with_blocks(0)
        .with_chain_positions(0)
        .with_directory_hint(true);
    let fat = Box::new(fat.with_cache(caches));
    let index_bytes = options.cache_bytes * 2;
    Ok(FatVolume::new(fat, cache, writable, sector, index_bytes))
}

impl hadris_fs::Clock for Clock {
    fn now(&self) -> DateTime {
        DateTime::from_unix_seconds(Self::time(Some(self)).seconds).unwrap_or(NoClock::TIME)
    }
}

/// Cache layout of a volume of this geometry.
fn layout(geometry: &Geometry, sector: usize) -> Layout {
    let sector = sector as u64;
    let tables_end = match geometry.root() {
        RootLocation::Fixed { start, .. } => start,
        RootLocation::Cluster(_) => geometry.data_start(),
    };
    // The mark of a clean volume is in the second entry of each FAT; FAT12 has none.
    let flags = match geometry.kind() {
        FatKind::Fat12 => alloc::vec::Vec::new(),
        _ => (0..geometry.copies())
            .map(|step| geometry.fat_copy(geometry.active_fat() ^ step) / sector)
            .collect(),
    };
    Layout {
        tables_end: tables_end / sector,
        data_start: geometry.data_start() / sector,
        flags,
        journaled: false,
    }
}

/// Message that explains why hadris-fat didn't mount a disk that looks like FAT.
fn refused(
    error: &hadris_fs::Error<crate::BlockError>,
    cache: &Mutex<Cache>,
    disk_bytes: u64,
) -> MountError {
    let claimed = cache.try_lock().and_then(|mut cache| {
        let mut boot = alloc::vec![0; cache.sector_size()];
        cache.read(0, &mut boot).ok()?;
        probe::claimed_bytes(&boot)
    });
    let detail = match (error.kind(), claimed) {
        (ErrorKind::Io, _) => format!(
            "the disk can't be read: {}; check the disk",
            error.message()
        ),
        (ErrorKind::Corrupt, Some(claimed)) if claimed > disk_bytes => format!(
            "truncated: the FAT file system has {claimed} bytes and the disk only {disk_bytes}; \
            restore the disk image"
        ),
        _ => format!(
            "not a FAT file system that can be used: {}; check it with fsck.fat, or make one with \
            mkfs.fat",
            error.message()
        ),
    };
    let error = if error.kind() == ErrorKind::Io {
        Error::Io
    } else {
        Error::Corrupt
    };
    MountError { error, detail }
}
