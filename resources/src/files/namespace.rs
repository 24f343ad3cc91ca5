//! The namespace: one tree over all volumes. It determines the next step of a path: a request to a
//! volume, or an answer from the mount table alone.

pub mod mounts;

use super::mounted_volume::job::request::{Op, Request};
use super::mounted_volume::job::resolution::Resolution;
use crate::Runtime;
use ::fs::{Mounts, OpenFlags};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use mounts::Location;
use platform::error::{Error, Failure};

/// The next step of an operation on a path.
pub enum Step {
    /// A volume performs a request.
    Volume {
        /// Number of the volume.
        index: usize,
        /// The request.
        request: Request,
        /// The path, for the steps after this one.
        resolution: Box<Resolution>,
    },
    /// The path ends at a directory that only leads to mount points.
    Above(Above),
}

/// A directory that isn't on a volume.
pub struct Above {
    /// The path that was resolved.
    pub resolution: Box<Resolution>,
    /// The directory's path.
    pub path: String,
    /// Names of the mount points below it.
    pub names: Vec<String>,
}

/// Advances a path to the next volume that has to resolve a part of it.
pub fn advance(rt: &mut Runtime, mut resolution: Box<Resolution>) -> Result<Step, Failure> {
    loop {
        let path = String::from(resolution.path());
        match mounts::locate(rt, &path)? {
            Location::Volume {
                index,
                rest,
                offset,
            } => {
                let mounts = &rt.resources.files.mounts;
                if resolution.is_last() {
                    guard(mounts, &path, &resolution)?;
                }
                if are_together(mounts, index, &resolution) {
                    resolution.go_to_new(index, offset);
                    continue;
                }
                return Ok(Step::Volume {
                    index,
                    request: resolution.request(index, rest, offset),
                    resolution,
                });
            }
            Location::MountPoints(_) if !resolution.is_last() => resolution.up(),
            Location::MountPoints(names) => {
                return Ok(Step::Above(Above {
                    resolution,
                    path,
                    names,
                }));
            }
        }
    }
}

/// Called when a volume has no file at a path: continues the operation if there is a mount point
/// below the path. A listing of the parent shows that name, so it is a directory like those on no
/// volume.
pub fn missing(
    rt: &mut Runtime,
    mut resolution: Box<Resolution>,
    failure: Failure,
) -> Result<Step, Failure> {
    let path = String::from(resolution.path());
    let names = mounts::names_above(rt, &path);
    if names.is_empty() {
        return Err(failure);
    }
    if resolution.is_last() {
        return Ok(Step::Above(Above {
            resolution,
            path,
            names,
        }));
    }
    resolution.up();
    advance(rt, resolution)
}

/// Whether the new path of a rename or a link is on the volume of the old one, which can then
/// resolve both in one job.
fn are_together(mounts: &Mounts<usize>, index: usize, resolution: &Resolution) -> bool {
    let new = resolution.new_path();
    let volume = new.and_then(|new| mounts.volume_of(new));
    volume.is_some_and(|(volume, _)| *volume == index)
}

/// Protects the directories above mount points: no operation may remove, rename or replace them.
fn guard(mounts: &Mounts<usize>, path: &str, resolution: &Resolution) -> Result<(), Failure> {
    let Some(point) = mounts.below(path) else {
        return Ok(());
    };
    match resolution.op() {
        Op::Rename(..) | Op::Rmdir => {
            let detail = format!("{point} is mounted below it");
            Err(Failure::new(Error::Busy, detail))
        }
        Op::Open(flags) if flags.contains(OpenFlags::CREATE) => Err(Error::IsDirectory.into()),
        Op::Symlink(_) => Err(Error::Exists.into()),
        Op::Link(_) if !resolution.is_old() => Err(Error::Exists.into()),
        _ => Ok(()),
    }
}
