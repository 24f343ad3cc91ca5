//! FAT12, FAT16 and FAT32 with long names.
//!
//! The format follows Microsoft's "FAT32 File System Specification" (fatgen103, 2000), whose
//! sections the modules name. From the bottom up:
//!
//! - `probe`, `geometry`, `slots`, `names`, `times`: records, and detection of other formats.
//! - `table`, `cluster_chains`: allocation, and the location of contents.
//! - `index`, `entries`, `clusters`: one directory.
//! - [`reader`]: the label and small files of a volume, without a cache.
//! - `fat_volume`, `operations`, `rename`, `reading`, `writing`, `lease`: the volume.

mod cluster_chains;
mod clusters;
mod entries;
mod fat_volume;
mod geometry;
mod index;
mod lease;
mod names;
mod operations;
mod probe;
pub mod reader;
mod reading;
mod rename;
mod slots;
mod table;
#[cfg(test)]
mod tests;
mod times;
mod writing;

use alloc::boxed::Box;
use alloc::format;

pub use crate::VolumeOptions as Options;
use crate::cache::{Cache, Layout};
use crate::{Block, Error, MountError, Volume};
use fat_volume::FatVolume;
use geometry::{BOOT, Geometry};
use probe::Content;
use table::{Clusters, Table};

/// Mounts the FAT file system on `device`, which is the whole disk.
/// Reads some 40 KiB. A volume whose dirty mark is set mounts with a warning in the log, and keeps
/// the mark until `fsck.fat` clears it.
pub fn mount(
    device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Box<dyn Volume>, MountError> {
    Ok(Box::new(mount_volume(device, options)?))
}

/// Unused bytes of a device from which a volume that should grow says that it can't.
const GROWTH: u64 = 1 << 20;

fn mount_volume(
    mut device: Box<dyn Block + Send>,
    options: Options,
) -> Result<FatVolume, MountError> {
    let sector = device.sector_size();
    if !(512..=4096).contains(&sector) || !sector.is_power_of_two() {
        let detail =
            format!("sectors of {sector} bytes are not supported; use a disk with 512 or 4096");
        return Err(MountError::new(Error::Unsupported, detail));
    }
    if let Content::Other(detail) = probe::classify(&mut *device)? {
        return Err(MountError::new(Error::Corrupt, detail));
    }
    let len = device.sectors() * sector as u64;
    let writable = !options.read_only && !device.read_only();
    let mut cache = Cache::new(device, &options);
    let mut boot = [0; BOOT];
    let read = cache.read_bytes(0, &mut boot);
    read.map_err(|error| MountError::unreadable("the disk", error))?;
    let geometry =
        Geometry::parse(&boot, len).map_err(|detail| MountError::new(Error::Corrupt, detail))?;
    if options.grow
        && probe::claimed_bytes(&boot).is_some_and(|used| len.saturating_sub(used) >= GROWTH)
    {
        log::warn!(
            "FAT volume doesn't use all of its disk's {} MiB, and can't grow in place: \
            enlarge it with soil disk grow",
            len >> 20
        );
    }
    cache.set_layout(Layout {
        tables_end: geometry.tables_end / sector as u64,
        journaled: false,
    });
    let clusters = Clusters::new(geometry, &mut cache);
    let clusters = clusters.map_err(|error| MountError::unreadable("FSInfo", error))?;
    let second = Table::new(&geometry).get(1, &mut cache);
    let second =
        second.map_err(|error| MountError::unreadable("the file allocation table", error))?;
    let clean = geometry.kind.clean_bit();
    if second & clean != clean {
        log::warn!("FAT volume is marked as not cleanly unmounted: check it with fsck.fat -a");
    }
    Ok(FatVolume::new(clusters, cache, writable, &options))
}
