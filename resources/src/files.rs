//! Files and directories: paths, mounts, and operations as jobs of volumes.
//!
//! An operation takes four steps, each of which uses those below it only:
//!
//! ```text
//!   resolve    open    a descriptor's file     paths    a path, over mounts and symbolic links
//!                 │                               │     (resolve, resolution, mounts)
//!   schedule      └─────────▶ execute ◀───────────┘     the job joins the volume's queue
//!                                │                      (schedule, volume, opening)
//!   do                           ├──▶ worker, request   the fiber calls the file system, and is
//!                                │                      suspended while the device works
//!   answer                       └──▶ answer            position, descriptor, memory, completion
//! ```
//!
//! Jobs of one volume are done one after the other, in the order in which they came. A job that
//! finds everything in the caches, or on a disk that answers at once, is answered at once.

mod answer;
pub mod cache;
pub mod drivers;
pub mod embedded;
mod execute;
mod job;
pub mod lease;
mod mounts;
mod open;
mod open_files;
mod opening;
mod options;
mod paths;
mod request;
mod resolution;
mod resolve;
mod schedule;
mod specification;
#[cfg(test)]
mod tests;
mod volume;
mod volumes;
mod worker;

pub use open::{allocate, contents, directory_next, file_stat, file_sync, lend, next};
pub use open::{read, seek, set_append, size, truncate, write, write_at};
pub use paths::{directory, link, mkdir, open, readlink, realpath, remove_directory, rename};
pub use paths::{set_times, space, stat, symlink, sync_volume, time, unlink};
pub use volumes::{complete_tree, mount, sync, unmount};

use crate::current::Current;
use crate::disks;
use crate::{Driver, Runtime};
use ::fs::Mounts;
use alloc::boxed::Box;
use alloc::vec::Vec;
use answer::Sync;
use open_files::OpenFiles;
use platform::Folders;
use platform::error::{Error, Stop};
use request::Request;
use slab::Slab;
use volume::Volume;
use worker::Port;

/// State of the files: mounts, volumes and open files.
pub struct Files {
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
    /// Contents of files that the program looks at.
    leases: lease::Leases,
}

/// The volumes, which the first call reads from `SOIL_MOUNT`.
fn files(rt: &mut Runtime) -> Result<&mut Files, Stop> {
    if rt.resources.files.is_none() {
        // The disks have to be known before the volumes.
        disks::disks(rt)?;
        drivers::register(rt, drivers::FAT)?;
        if let Some(folders) = Current::FOLDERS {
            drivers::register(rt, drivers::host(folders))?;
        }
        let timeout_ns = disks::timeout().or_else(|failure| rt.fail(failure))?;
        let (mounts, volumes) = mounts::read().or_else(|failure| rt.fail(failure))?;
        rt.register(&Driver {
            poll,
            deadline,
            interest: |_, _| (),
            finish,
            counter: |_, _| 0,
        })?;
        rt.resources.files = Some(Box::leak(Box::new(Files {
            mounts,
            volumes,
            spare: Vec::new(),
            open: OpenFiles::new(),
            timeout_ns,
            syncs: Vec::new(),
            leases: lease::Leases::new(),
        })));
        embedded::appear(rt);
    }
    rt.resources
        .files
        .as_deref_mut()
        .ok_or(Stop::Error(Error::NoDevice))
}

/// Goes on where others have had their turn, and times out disks.
fn poll(rt: &mut Runtime, now: u64) {
    let files = rt.resources.files.as_deref();
    for index in 0..files.map_or(0, |files| files.volumes.capacity()) {
        execute::poll(rt, index, now);
    }
}

fn deadline(rt: &mut Runtime) -> Option<u64> {
    let volumes = rt.resources.files.as_deref()?.volumes.iter();
    let wanted = volumes.filter_map(|(_, Volume { schedule, .. })| {
        let now = schedule.is_runnable().then_some(0);
        now.or_else(|| schedule.due())
    });
    wanted.min()
}

/// Before exit: all volumes are unmounted once, then idle.
fn finish(rt: &mut Runtime) -> bool {
    let Some(files) = rt.resources.files.as_deref_mut() else {
        return true;
    };
    for (_, volume) in &mut files.volumes {
        if volume.is_open() {
            volume.schedule.exit();
        }
    }
    let mut volumes = files.volumes.iter();
    volumes.all(|(_, volume)| volume.schedule.is_idle())
}

/// The descriptor of an open file or directory is closed.
fn close(rt: &mut Runtime, key: u32) {
    let files = rt.resources.files.as_deref_mut();
    if let Some(file) = files.and_then(|files| files.open.remove(key))
        && let Some((volume, file)) = file.on
    {
        execute::submit_detached(rt, volume, Request::Close(file));
    }
}

/// See `soil_fs_given_up`.
pub fn abandoned(rt: &mut Runtime, token: u64) -> usize {
    let Some(files) = rt.resources.files.as_deref_mut() else {
        return 0;
    };
    let mut volumes = files.volumes.iter_mut();
    let abandoned = volumes.find_map(|(index, volume)| {
        let is_abandoned = volume.schedule.take_abandoned(token);
        is_abandoned.then_some(index + 1)
    });
    abandoned.unwrap_or(0)
}
