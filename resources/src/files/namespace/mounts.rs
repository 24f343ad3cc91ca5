//! The mount table: which volume a path is on. It contains the mounts of `SOIL_MOUNT` and of the
//! program, and automatic mounts: a disk without a mount point is mounted at `/DISK`, with the file
//! system detected on it, when a path below that is first used.

use crate::Runtime;
use crate::current::Current;
use crate::files::mounted_volume::drivers::INITRD;
use crate::files::mounted_volume::job::Job;
use crate::files::mounted_volume::specification::Specification;
use crate::files::mounted_volume::{Backing, Volume};
use ::fs::{Mounts, path};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use platform::System;
use platform::error::{Error, Failure};
use slab::Slab;

/// Location of a path.
pub enum Location {
    /// On a volume.
    Volume {
        /// Number of the volume.
        index: usize,
        /// Path on the volume.
        rest: String,
        /// Length of the part before that, in bytes.
        offset: usize,
    },
    /// At a directory on no volume; with the names of the mount points below it.
    MountPoints(Vec<String>),
}

/// Reads `SOIL_MOUNT`.
pub fn read() -> Result<(Mounts<usize>, Slab<Volume>), Failure> {
    let text = Current::variable("SOIL_MOUNT").unwrap_or_default();
    let mut mounts = Mounts::new();
    let mut volumes = Slab::new();
    for word in text
        .split(';')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let specification =
            Specification::parse(word).map_err(|failure| failure.within("SOIL_MOUNT"))?;
        let point = specification.point.clone();
        let volume = volumes.insert(Volume::new(specification));
        mounts.add(&point, volume).map_err(|error| {
            let detail = format!("SOIL_MOUNT: {point}: {error}");
            Failure::new(Error::BadConfiguration, detail)
        })?;
    }
    Ok((mounts, volumes))
}

/// Locates a normalised path without links. Fails where no file can exist.
pub fn locate(rt: &mut Runtime, path: &str) -> Result<Location, Failure> {
    let files = &mut rt.resources.files;
    if let Some((index, offset)) = files.mounts.volume_of(path) {
        return Ok(on_volume(*index, path, offset));
    }
    let names = names_above(rt, path);
    if path == "/" || !names.is_empty() {
        return Ok(Location::MountPoints(names));
    }
    let name = path::names(path).next().unwrap_or("").to_string();
    let disks = rt.resources.disks.as_deref().ok_or(Error::NoDevice)?;
    if disks.find(&name).is_none() {
        return Err(Failure::new(
            Error::NotFound,
            format!("nothing is mounted at /{name}: {}", disks.missing(&name)),
        ));
    }
    let offset = 1 + name.len();
    let index = add_disk(rt, name)?;
    Ok(on_volume(index, path, offset))
}

/// Adds the volume of the disk called `name` at `/NAME`; its first job opens it.
fn add_disk(rt: &mut Runtime, name: String) -> Result<usize, Error> {
    let specification = Specification {
        driver: None,
        point: format!("/{name}"),
        source: name,
        read_only: false,
        grow: false,
    };
    add(rt, specification)
}

/// Adds a volume; its first job opens it.
fn add(rt: &mut Runtime, specification: Specification) -> Result<usize, Error> {
    let files = &mut rt.resources.files;
    let point = specification.point.clone();
    let index = files.add(specification);
    if let Err(failure) = files.mounts.add(&point, index) {
        files.volumes.try_remove(index);
        return Err(failure.into());
    }
    Ok(index)
}

/// Mounts `root` (a word of `SOIL_MOUNT`) if nothing is mounted at `/`, and each disk without a
/// mount point at `/NAME`, as the first use of its path would. Opens nothing. Returns whether the
/// files at `/` are the program's own: `root`, or the initrd of an earlier call.
pub fn complete(rt: &mut Runtime, root: &str) -> Result<bool, Failure> {
    let root = Specification::parse(root)?;
    let disks = disks_at_root(rt);
    let files = &mut rt.resources.files;
    if let Ok((index, _)) = files.mounts.resolve(&root.point) {
        let volume = files.volumes.get(*index);
        let driver = volume.and_then(|volume| volume.specification.driver.as_deref());
        return Ok(driver == Some(INITRD.name));
    }
    for name in disks {
        add_disk(rt, name)?;
    }
    add(rt, root)?;
    Ok(true)
}

/// Returns the location on a volume whose mount point is the path's first `offset` bytes.
fn on_volume(index: usize, path: &str, offset: usize) -> Location {
    let rest = path.get(offset..).unwrap_or("");
    Location::Volume {
        index,
        rest: if rest.is_empty() { "/" } else { rest }.to_string(),
        offset,
    }
}

/// Returns the names that mount points, and disks with an automatic mount, add to a directory.
pub fn names_above(rt: &Runtime, path: &str) -> Vec<String> {
    let files = &rt.resources.files;
    let mut names = files.mounts.names_in(path).unwrap_or_default();
    if path == "/" && files.mounts.resolve("/").is_err() {
        for name in disks_at_root(rt) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Returns the names of the disks that the first use of their path would mount.
fn disks_at_root(rt: &Runtime) -> Vec<String> {
    let mut names = Vec::new();
    let files = &rt.resources.files;
    let Some(disks) = rt.resources.disks.as_deref() else {
        return names;
    };
    for index in 0..disks.len() {
        let name = disks.name(index).unwrap_or_default();
        let mut mounted = files
            .volumes
            .iter()
            .map(|(_, volume)| &volume.specification);
        let is_used = mounted
            .any(|mounted| mounted.is_on_disk() && mounted.disk().0.eq_ignore_ascii_case(name));
        if !is_used {
            names.push(name.to_string());
        }
    }
    names
}

/// Removes a volume whose mount failed, or that was unmounted. Returns the jobs queued on it
/// meanwhile.
pub fn forget(rt: &mut Runtime, index: usize) -> VecDeque<Job> {
    let files = &mut rt.resources.files;
    files.mounts.remove_volume(&index);
    let Some(volume) = files.volumes.try_remove(index) else {
        return VecDeque::new();
    };
    if let Backing::Fiber { port, disk } = volume.backing {
        files.spare.push(port);
        if let (Some(disk), Some(disks)) = (disk, rt.resources.disks.as_deref_mut()) {
            disks.release(disk);
        }
    }
    volume.schedule.into_queue()
}

/// Restores the mount point of a volume whose unmount failed. `false`: the volume has lost a write
/// and its file system is gone, so the caller has to remove it.
pub fn restore(rt: &mut Runtime, index: usize) -> bool {
    let files = &mut rt.resources.files;
    let Some(volume) = files.volumes.get(index) else {
        return true;
    };
    if volume.schedule.is_lost() && volume.is_over() {
        return false;
    }
    // If another volume was mounted at this point meanwhile, that one stays.
    let _ = files.mounts.add(&volume.specification.point, index);
    true
}
