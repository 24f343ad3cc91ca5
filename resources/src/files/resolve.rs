//! The next step of a path: the volume that it leads to gets a request, or the mount table alone
//! has the answer.

use super::job::{Ended, Job, Output, Waiter, write_stat, write_text};
use super::mounts::{self, Location};
use super::open_files;
use super::request::Op;
use super::resolution::Resolution;
use crate::Runtime;
use ::fs::{OpenFlags, Stat, Time};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use platform::error::{Error, Failure};

/// Where an operation is.
pub enum Advanced {
    /// In the queue of a volume, which is to be run.
    Queued(usize),
    /// At its end.
    Done(usize),
}

/// Takes an operation to the next volume that has to be asked.
pub fn advance(
    rt: &mut Runtime,
    waiter: Waiter,
    mut resolution: Box<Resolution>,
) -> Result<Advanced, Failure> {
    loop {
        let path = String::from(resolution.path());
        match mounts::locate(rt, &path)? {
            Location::Volume {
                index,
                rest,
                offset,
            } => {
                if resolution.is_last() {
                    guard(rt, &path, &resolution)?;
                }
                if are_together(rt, index, &resolution) {
                    resolution.go_to_new(index, offset);
                    continue;
                }
                let job = Job {
                    waiter,
                    request: resolution.request(index, rest, offset),
                    resolution: Some(resolution),
                };
                let files = rt.resources.files.as_deref_mut().ok_or(Error::Closed)?;
                let volume = files.volumes.get_mut(index).ok_or(Error::Closed)?;
                volume.schedule.push(job)?;
                return Ok(Advanced::Queued(index));
            }
            Location::MountPoints(_) if !resolution.is_last() => resolution.up(),
            Location::MountPoints(names) => {
                return above(rt, &path, waiter, &resolution, names).map(Advanced::Done);
            }
        }
    }
}

/// Whether the new path of a rename or a link leads to the volume of the old one, which can then
/// look at both in one job.
fn are_together(rt: &Runtime, index: usize, resolution: &Resolution) -> bool {
    let files = rt.resources.files.as_deref();
    let new = resolution.new_path().zip(files);
    let volume = new.and_then(|(new, files)| files.mounts.volume_of(new));
    volume.is_some_and(|(volume, _)| *volume == index)
}

/// A volume has nothing at a path: takes the operation on if something is mounted below it. The
/// listing of the directory above shows it, so it is a directory like those on no volume.
pub fn missing(
    rt: &mut Runtime,
    waiter: Waiter,
    mut resolution: Box<Resolution>,
    failure: Failure,
) -> Result<Advanced, Failure> {
    let path = String::from(resolution.path());
    let names = mounts::names_above(rt, &path);
    if names.is_empty() {
        return Err(failure);
    }
    if resolution.is_last() {
        return above(rt, &path, waiter, &resolution, names).map(Advanced::Done);
    }
    resolution.up();
    advance(rt, waiter, resolution)
}

/// Names above mount points stay those of directories, where they are.
fn guard(rt: &Runtime, path: &str, resolution: &Resolution) -> Result<(), Failure> {
    let files = rt.resources.files.as_deref();
    let Some(point) = files.and_then(|files| files.mounts.below(path)) else {
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

/// Performs an operation on a directory that only leads to mount points.
fn above(
    rt: &mut Runtime,
    path: &str,
    waiter: Waiter,
    resolution: &Resolution,
    names: Vec<String>,
) -> Ended {
    match (resolution.op(), waiter) {
        (Op::Stat, Waiter::Operation(_, Output::Numbers(into))) => {
            write_stat(into, &DIRECTORY, -1);
            Ok(0)
        }
        (Op::Stat, Waiter::Operation(_, Output::Text(into))) => Ok(write_text(path, into)),
        (Op::Open(flags), _) if flags.contains(OpenFlags::DIRECTORY) => {
            Ok(open_files::insert(rt, None, false, Some(names))?)
        }
        (Op::Open(_), _) => Err(Error::IsDirectory.into()),
        (Op::Readlink, _) => Err(Error::Invalid.into()),
        (Op::Mkdir | Op::Symlink(_), _) => Err(Error::Exists.into()),
        _ => Err(Failure::new(
            Error::ReadOnly,
            format!("{path} is there for what is mounted below it only"),
        )),
    }
}

/// Attributes of such a directory.
const DIRECTORY: Stat = Stat {
    kind: ::fs::Kind::Directory,
    size: 0,
    modified: Time::from_seconds(0),
    accessed: Time::from_seconds(0),
    changed: Time::from_seconds(0),
    links: 1,
    inode: 0,
    read_only: true,
};
