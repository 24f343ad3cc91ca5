//! Files and directories: paths, mounts, and operations as jobs of volumes.
//!
//! An operation crosses four rooms, each of which uses those below it only (`tests/layers.rs`):
//!
//! ```text
//!   calls       the functions of the interface: on paths, open files, leases and volumes
//!     │
//!   engine      runs a volume's jobs with its fiber and its disk, and answers their operations
//!     │
//!   namespace   the one tree: mount points, and the volume that a path leads to next
//!     │
//!   volume      a file system on its fiber, the requests to it, and the schedule of its jobs
//! ```
//!
//! Below them are the tables `open_files` and `leases`, and the formats of `records`.
//!
//! Jobs of one volume are done one after the other, in the order in which they came. A job that
//! finds everything in the caches, or on a disk that answers at once, is answered at once.

mod calls;
mod engine;
mod leases;
mod namespace;
mod open_files;
mod records;
#[cfg(test)]
mod tests;
mod volume;

pub use calls::abandoned;
pub use calls::descriptors::{allocate, contents, directory_next, file_stat, file_sync, next};
pub use calls::descriptors::{read, seek, set_append, size, truncate, write, write_at};
pub use calls::leases::{lease_end, lease_next, lend};
pub use calls::paths::{directory, link, mkdir, open, readlink, realpath, remove_directory};
pub use calls::paths::{rename, set_times, space, stat, symlink, sync_volume, time, unlink};
pub use calls::volumes::{complete_tree, mount, sync, unmount};
pub use volume::{drivers, embedded, statistics};

use crate::current::Current;
use crate::disks;
use crate::{Driver, Runtime};
use ::fs::Mounts;
use alloc::vec::Vec;
use engine::answer::Sync;
use leases::Leases;
use open_files::OpenFiles;
use platform::Folders;
use platform::error::Stop;
use slab::Slab;
use volume::Volume;
use volume::drivers::FileSystem;
use volume::embedded::Embedded;
use volume::fiber::Port;

/// State of the files: mounts, volumes and open files. It is empty until [`begin`].
pub struct Files {
    has_begun: bool,
    /// The file-system drivers that the program has.
    drivers: Vec<FileSystem>,
    /// Files that are part of the program.
    embedded: Embedded,
    /// Mount points, and the volumes by their numbers.
    mounts: Mounts<usize>,
    volumes: Slab<Volume>,
    /// Fibers of volumes that are unmounted.
    spare: Vec<&'static Port>,
    open: OpenFiles,
    /// Nanoseconds that a disk may take.
    timeout_ns: u64,
    /// Syncs of all volumes that are under way.
    syncs: Vec<Sync>,
    /// Contents of files that the program reads in place.
    leases: Leases,
}

impl Files {
    /// Nothing is mounted or open.
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
        leases: Leases::new(),
    };

    /// Whether a call has needed the volumes.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }
}

/// The files with their volumes, which the first call reads from `SOIL_MOUNT`.
fn begin(rt: &mut Runtime) -> Result<&mut Files, Stop> {
    if !rt.resources.files.has_begun {
        // The disks have to be known before the volumes.
        disks::disks(rt)?;
        drivers::register(rt, drivers::FAT)?;
        if let Some(folders) = Current::FOLDERS {
            drivers::register(rt, drivers::host(folders))?;
        }
        let timeout_ns = disks::timeout().or_else(|failure| rt.fail(failure))?;
        let (mounts, volumes) = namespace::mounts::read().or_else(|failure| rt.fail(failure))?;
        rt.register(&Driver {
            poll,
            deadline,
            interest: |_, _| (),
            finish,
            counter: |_, _| 0,
        })?;
        let files = &mut rt.resources.files;
        files.has_begun = true;
        files.timeout_ns = timeout_ns;
        files.mounts = mounts;
        files.volumes = volumes;
        embedded::appear(files);
    }
    Ok(&mut rt.resources.files)
}

/// Resumes the volumes where others have had their turn, and times out disks.
fn poll(rt: &mut Runtime, now: u64) {
    for index in 0..rt.resources.files.volumes.capacity() {
        engine::poll(rt, index, now);
    }
}

fn deadline(rt: &mut Runtime) -> Option<u64> {
    let volumes = rt.resources.files.volumes.iter();
    let wanted = volumes.filter_map(|(_, Volume { schedule, .. })| {
        let now = schedule.is_runnable().then_some(0);
        now.or_else(|| schedule.due())
    });
    wanted.min()
}

/// Before exit: all volumes are unmounted once, then idle.
fn finish(rt: &mut Runtime) -> bool {
    let volumes = &mut rt.resources.files.volumes;
    for (_, volume) in volumes.iter_mut() {
        if volume.is_open() {
            volume.schedule.exit();
        }
    }
    volumes.iter().all(|(_, volume)| volume.schedule.is_idle())
}
