//! The one tree: which volume a path is on. `SOIL_MOUNT`, what the program mounts, and disks by
//! their names.
//!
//! A disk that is mounted nowhere is mounted at `/DISK`, with the file system that is found on it,
//! when a path below that is used.

use super::spec::Spec;
use super::volumes::{Job, Then, Volume};
use super::work::Work;
use super::{files, submit};
use crate::disks;
use crate::error::{Answer, Error, Failure, Stop};
use crate::ffi::Int;
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use ::fs::{Mounts, path};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use slab::Slab;

/// Where a path leads.
pub enum Place {
    /// To a volume.
    On {
        /// Its number.
        volume: usize,
        /// The path on it.
        rest: String,
        /// Bytes of the path before that.
        offset: usize,
    },
    /// To a directory on no volume, with these names: what is mounted below it.
    Above(Vec<String>),
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
        let spec = Spec::parse(word).map_err(|failure| failure.within("SOIL_MOUNT"))?;
        let point = spec.point.clone();
        let volume = volumes.insert(Volume::new(spec));
        mounts.add(&point, volume).map_err(|error| {
            let detail = format!("SOIL_MOUNT: {point}: {error}");
            Failure::new(Error::BadConfiguration, detail)
        })?;
    }
    Ok((mounts, volumes))
}

/// The code of a path that can't be one.
pub fn error(error: ::fs::Error) -> Error {
    super::work::code(error)
}

/// What is at a path without links, `.` and `..`; why nothing can be there.
pub fn locate(rt: &mut Runtime, path: &str) -> Result<Place, Failure> {
    let files = rt.files.as_deref_mut().ok_or(Error::Closed)?;
    match files.mounts.resolve(path) {
        Ok((volume, rest)) => {
            return Ok(Place::On {
                volume: *volume,
                rest,
                offset: files.mounts.point_len(path),
            });
        }
        Err(::fs::Error::NotFound) => (),
        Err(failure) => return Err(error(failure).into()),
    }
    let names = names_above(rt, path);
    if path == "/" || !names.is_empty() {
        return Ok(Place::Above(names));
    }
    let name = path::names(path).next().unwrap_or("").to_string();
    let disks = rt.disks.as_deref().ok_or(Error::NoDevice)?;
    if disks.find(&name).is_none() {
        let line = format!("nothing is mounted at /{name}: {}", disks.missing(&name));
        return Err(Failure::new(Error::NotFound, line));
    }
    let point = format!("/{name}");
    let spec = Spec {
        kind: None,
        source: name,
        read_only: false,
        point: point.clone(),
    };
    let files = rt.files.as_deref_mut().ok_or(Error::Closed)?;
    let volume = files.volumes.insert(Volume::new(spec));
    if let Err(failure) = files.mounts.add(&point, volume) {
        files.volumes.try_remove(volume);
        return Err(error(failure).into());
    }
    let rest = path.get(point.len()..).unwrap_or("");
    Ok(Place::On {
        volume,
        rest: if rest.is_empty() { "/" } else { rest }.to_string(),
        offset: point.len(),
    })
}

/// The names that what is mounted, and disks that would be by a first use, add to a directory.
pub fn names_above(rt: &Runtime, path: &str) -> Vec<String> {
    let Some(files) = rt.files.as_deref() else {
        return Vec::new();
    };
    let mut names = files.mounts.names_in(path).unwrap_or_default();
    let Some(disks) = rt
        .disks
        .as_deref()
        .filter(|_| path == "/" && files.mounts.resolve("/").is_err())
    else {
        return names;
    };
    for index in 0..disks.len() {
        let name = disks.name(index).unwrap_or_default();
        let mut specs = files.volumes.iter().map(|(_, volume)| &volume.spec);
        let is_used =
            specs.any(|spec| spec.is_on_disk() && spec.disk().0.eq_ignore_ascii_case(name));
        if !is_used && !names.iter().any(|other| other == name) {
            names.push(name.to_string());
        }
    }
    names
}

/// See `soil_fs_mount`.
pub fn mount(rt: &mut Runtime, word: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let spec = Spec::parse(word).or_else(|failure| rt.fail(failure))?;
    let point = spec.point.clone();
    let files = files(rt)?;
    let volume = files.volumes.insert(Volume::new(spec));
    if let Err(failure) = files.mounts.add(&point, volume) {
        files.volumes.try_remove(volume);
        let line = match failure {
            ::fs::Error::Exists => format!("something is mounted at {point} already"),
            failure => format!("{point}: {failure}"),
        };
        return rt.fail(Failure::new(error(failure), line));
    }
    submit(rt, volume, token, Work::Mount, Then::Mounted)
}

/// See `soil_fs_unmount`.
pub fn unmount(rt: &mut Runtime, point: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let point = path::normalise(point).map_err(error)?;
    let files = files(rt)?;
    let mounted = files.mounts.iter().any(|(other, _)| other == point);
    if !mounted {
        let line = format!("nothing is mounted at {point}");
        return rt.fail(Failure::new(Error::NotFound, line));
    }
    if let Some(below) = files.mounts.below(&point) {
        let line = format!("{below} is mounted below it");
        return rt.fail(Failure::new(Error::Busy, line));
    }
    // From here on nobody gets there by a path.
    let Some(volume) = files.mounts.remove(&point) else {
        return Err(Error::NotFound.into());
    };
    submit(rt, volume, token, Work::Unmount, Then::Unmounted)
}

/// A volume could not be mounted, or has been given up: it is forgotten, and so is what was asked
/// of it meanwhile.
pub fn forget(rt: &mut Runtime, index: usize) {
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
    files.mounts.remove_volume(&index);
    let Some(volume) = files.volumes.try_remove(index) else {
        return;
    };
    let (disk, queue) = volume.end();
    if let Some((disk, port)) = disk {
        files.spare.push(port);
        if let Some(disks) = rt.disks.as_deref_mut() {
            disks.release(disk);
        }
    }
    for Job { token, then, .. } in queue {
        if matches!(then, Then::Synced) {
            super::synced(rt, token, None);
        } else if token != 0 {
            super::answered(rt, token, Err(Error::NotFound.into()));
        }
    }
}

/// An unmounting failed: paths lead to the volume again, unless it is of no use and was given up.
pub fn keep(rt: &mut Runtime, index: usize) {
    let volumes = rt.files.as_deref().map(|files| &files.volumes);
    if volumes
        .and_then(|volumes| volumes.get(index))
        .is_some_and(|volume| volume.is_lost() && volume.is_over())
    {
        return forget(rt, index);
    }
    if let Some(files) = rt.files.as_deref_mut()
        && let Some(volume) = files.volumes.get(index)
    {
        // Taken away by `unmount`; in the meantime something else may have come there, which stays.
        let _ = files.mounts.add(&volume.spec.point, index);
    }
}

/// The disks have to be known before the volumes.
pub fn disks_first(rt: &mut Runtime) -> Result<(), Stop> {
    disks::disks(rt).map(drop)
}
