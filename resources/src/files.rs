//! Files and directories: paths, mounts, and operations as jobs of volumes.
//!
//! An operation crosses four layers, each of which uses only those below it:
//!
//! ```text
//!   calls       the functions of the interface: on paths, open files, leases and volumes
//!     │
//!   engine      runs a volume's jobs with its fiber and its disk, and answers their operations
//!     │
//!   namespace   the one tree: mount points, and the volume that a path leads to next
//!     │
//!   mounted_volume
//!               a file system on its fiber, the requests to it, and the schedule of its jobs
//! ```
//!
//! Below them are the tables `open_files` and `leases`, and the formats of `records`.
//!
//! A volume runs its jobs one at a time, in the order of submission. A job completes within the
//! call if the caches hold everything that it needs, or if the disk answers at once.

mod calls;
mod engine;
mod leases;
mod mounted_volume;
mod namespace;
mod open_files;
mod records;
#[cfg(test)]
mod tests;

pub use calls::abandoned;
pub use calls::descriptors::{allocate, contents, directory_next, file_stat, file_sync, next};
pub use calls::descriptors::{read, seek, set_append, size, truncate, write, write_at};
pub use calls::leases::{lease_end, lease_next, lend};
pub use calls::mounting::{complete_tree, mount, sync, unmount, use_initrd};
pub use calls::paths::{directory, link, mkdir, open, readlink, realpath, remove_directory};
pub use calls::paths::{rename, set_times, space, stat, symlink, sync_volume, time, unlink};
pub use mounted_volume::statistics::statistics;
pub use mounted_volume::{drivers, embedded};

use ::fs::Mounts;
use alloc::string::String;
use alloc::vec::Vec;
use engine::answer::Sync;
use engine::freezing::Freeze;
use leases::Leases;
use mounted_volume::Volume;
use mounted_volume::drivers::FileSystem;
use mounted_volume::embedded::Embedded;
use mounted_volume::fiber::Port;
use mounted_volume::specification::Specification;
use open_files::OpenFiles;
use slab::Slab;

/// State of the file layer: mounts, volumes and open files. It is empty until the first call that
/// needs the volumes (`engine::driver`).
pub struct Files {
    has_begun: bool,
    /// File-system drivers linked into the program.
    drivers: Vec<FileSystem>,
    /// Files embedded in the program.
    embedded: Embedded,
    /// Mount points, and the volumes by number.
    mounts: Mounts<usize>,
    volumes: Slab<Volume>,
    /// Fibers of unmounted volumes, for reuse.
    spare: Vec<&'static Port>,
    open: OpenFiles,
    /// Timeout of a disk request, in nanoseconds.
    timeout_ns: u64,
    /// Pending syncs of all volumes.
    syncs: Vec<Sync>,
    /// The host's freeze of the volumes, and the number of the last one.
    freeze: Option<Freeze>,
    freezes: u32,
    /// Contents of files that the program reads in place.
    leases: Leases,
}

impl Files {
    /// State without mounts or open files.
    pub const EMPTY: Files = Files {
        has_begun: false,
        drivers: Vec::new(),
        embedded: Embedded::new(),
        mounts: Mounts::new(),
        volumes: Slab::new(),
        spare: Vec::new(),
        open: OpenFiles::new(),
        timeout_ns: 0,
        syncs: Vec::new(),
        freeze: None,
        freezes: 0,
        leases: Leases::new(),
    };

    /// Adds a volume, which its first job opens; returns its number.
    fn add(&mut self, specification: Specification) -> usize {
        let mut volume = Volume::new(specification);
        if self.freeze.is_some() && volume.specification.is_on_disk() {
            volume.schedule.hold_everything();
        }
        self.volumes.insert(volume)
    }

    /// Whether the volumes have been initialised.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Adds a line for each open volume; see `soil_statistics`.
    pub fn describe(&mut self, text: &mut String) {
        mounted_volume::statistics::volumes(&mut self.volumes, text);
    }
}
