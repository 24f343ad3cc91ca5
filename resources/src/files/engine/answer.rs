//! The results of operations, converted from those of their jobs.

use super::caller::Caller;
use super::freezing;
use crate::files::mounted_volume::Volume;
use crate::files::mounted_volume::job::request::{Op, Request, Value};
use crate::files::mounted_volume::job::resolution::Resolution;
use crate::files::mounted_volume::job::{Ended, Job, Output, Waiter};
use crate::files::mounted_volume::options::leasable;
use crate::files::mounted_volume::schedule::Answered;
use crate::files::namespace::{self, Above, Step, mounts};
use crate::files::open_files::{OpenId, moved};
use crate::files::records::{write_stat, write_text};
use crate::types::{Int, IntsPiece, Piece, records};
use crate::{Operations, Runtime};
use ::fs::{FileId, Health, OpenFlags, Stat, Time};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use platform::error::{Error, Failure};

/// A pending `sync` of all volumes.
pub struct Sync {
    /// Token of its operation.
    pub token: u64,
    /// Number of volumes that haven't completed.
    pub remaining: usize,
    /// The first failure.
    pub failed: Option<Failure>,
}

/// Completes the operation of a finished job, or queues its next step on another volume, which runs
/// later.
pub fn answer(rt: &mut Runtime, index: usize, answered: Answered, caller: &mut Caller) {
    let Answered {
        waiter,
        resolution,
        outcome,
    } = answered;
    let advanced = match (outcome, resolution) {
        (Ok(value @ (Value::Link(..) | Value::OldLink(..) | Value::Plain)), Some(resolution)) => {
            next_volume(rt, index, waiter, resolution, value)
        }
        (Ok(Value::Stat(_)), Some(resolution)) if matches!(resolution.op(), Op::Sync) => {
            sync(rt, index, waiter)
        }
        (Ok(value), resolution) => {
            let path = resolution.as_deref().map_or("/", Resolution::path);
            let ended = match waiter {
                Waiter::Operation(_, output) => self::output(rt, index, output, path, value),
                _ => {
                    // The operation that opened the file was abandoned.
                    if let Value::File(file) = value {
                        queue(rt, index, Waiter::None, Request::Close(file));
                    }
                    Ok(0)
                }
            };
            ended.map(Advanced::Done)
        }
        (Err(failure), Some(resolution)) if failure.error == Error::NotFound => {
            let step = namespace::missing(rt, resolution, failure);
            step.and_then(|step| take_step(rt, waiter, step))
        }
        (Err(failure), _) => Err(labelled(rt, index, failure)),
    };
    let ended = match advanced {
        Ok(Advanced::Queued(_)) => return,
        Ok(Advanced::Done(n)) => Ok(n),
        Err(failure) => Err(failure),
    };
    match (waiter, &ended) {
        (Waiter::Sync(token), _) => return synced(rt, token, ended.err(), caller),
        (Waiter::Freeze(number), _) => {
            return freezing::ended(rt, number, Some(ended.map(|_| ())));
        }
        (Waiter::Mount(_) | Waiter::AbandonedMount, Err(_))
        | (Waiter::Unmount(_) | Waiter::AbandonedUnmount, Ok(_)) => forget(rt, index, caller),
        (Waiter::Unmount(_) | Waiter::AbandonedUnmount, Err(_)) => restore(rt, index, caller),
        // Without memory for the job the disk stays in use.
        (Waiter::AbandonedMount, Ok(_)) => {
            queue(rt, index, Waiter::AbandonedUnmount, Request::Unmount);
        }
        _ => (),
    }
    caller.complete(rt, waiter.token(), ended);
}

/// Fails an operation after a timeout of the volume's device. Its job may continue.
pub fn abandon(rt: &mut Runtime, index: usize, waiter: Waiter, caller: &mut Caller) {
    let files = &mut rt.resources.files;
    let Some(volume) = files.volumes.get(index) else {
        return;
    };
    let failure = Failure::new(Error::Io, volume.schedule.timed_out().unwrap_or_default());
    match waiter {
        Waiter::Sync(token) => return synced(rt, token, Some(failure), caller),
        // Another volume may be mounted at this point meanwhile.
        Waiter::Mount(_) => files.mounts.remove_volume(&index),
        Waiter::Unmount(_) => restore(rt, index, caller),
        _ => (),
    }
    caller.complete(rt, waiter.token(), Err(failure));
}

/// Continues the resolution of a path on its next volume.
fn next_volume(
    rt: &mut Runtime,
    index: usize,
    waiter: Waiter,
    mut resolution: Box<Resolution>,
    value: Value,
) -> Result<Advanced, Failure> {
    match value {
        Value::Link(end, target) => resolution.link(end, &target)?,
        Value::OldLink(end, target) => resolution.link_old(end, &target)?,
        _ => resolution.plain(index)?,
    }
    let step = namespace::advance(rt, resolution)?;
    take_step(rt, waiter, step)
}

/// Queues the sync of a volume that a path led to.
fn sync(rt: &mut Runtime, index: usize, waiter: Waiter) -> Result<Advanced, Failure> {
    let volume = rt.resources.files.volumes.get_mut(index);
    let volume = volume.ok_or(Error::Closed)?;
    volume.schedule.push(Job::new(waiter, Request::Sync))?;
    Ok(Advanced::Queued(index))
}

/// Progress of an operation on a path.
pub enum Advanced {
    /// Queued on a volume, which has to be run.
    Queued(usize),
    /// Completed with this value.
    Done(usize),
}

/// Queues the job of a path's next step, or returns the result where no volume is involved.
pub fn take_step(rt: &mut Runtime, waiter: Waiter, step: Step) -> Result<Advanced, Failure> {
    match step {
        Step::Volume {
            index,
            request,
            resolution,
        } => {
            let job = Job {
                waiter,
                request,
                resolution: Some(resolution),
            };
            let volume = rt.resources.files.volumes.get_mut(index);
            volume.ok_or(Error::Closed)?.schedule.push(job)?;
            Ok(Advanced::Queued(index))
        }
        Step::Above(above) => on_mount_points(rt, waiter, above).map(Advanced::Done),
    }
}

/// Performs an operation on a directory that only leads to mount points.
fn on_mount_points(rt: &mut Runtime, waiter: Waiter, above: Above) -> Ended {
    let Above {
        resolution,
        path,
        names,
    } = above;
    let Waiter::Operation(_, output) = waiter else {
        return Ok(0);
    };
    match (resolution.op(), output) {
        (Op::Stat, Output::Numbers(into)) => {
            write_stat(into, &MOUNT_POINTS, None);
            Ok(0)
        }
        (Op::Stat, Output::Text(into)) => Ok(write_text(&path, into)),
        (Op::Open(flags), Output::Descriptor { operations, .. })
            if flags.contains(OpenFlags::DIRECTORY) =>
        {
            Ok(insert(rt, operations, None, names.into(), false)?)
        }
        (Op::Open(_), _) => Err(Error::IsDirectory.into()),
        (Op::Readlink, _) => Err(Error::Invalid.into()),
        (Op::Mkdir | Op::Symlink(_), _) => Err(Error::Exists.into()),
        _ => Err(Failure::new(
            Error::ReadOnly,
            format!("{path} only contains mount points: use a path below one of them"),
        )),
    }
}

/// Attributes of a directory that only leads to mount points.
const MOUNT_POINTS: Stat = Stat {
    kind: ::fs::Kind::Directory,
    size: 0,
    modified: Time::from_seconds(0),
    accessed: Time::from_seconds(0),
    changed: Time::from_seconds(0),
    links: 1,
    inode: 0,
    read_only: true,
};

/// Prefixes the message of a failure with the volume, unless it names it already.
fn labelled(rt: &Runtime, index: usize, mut failure: Failure) -> Failure {
    if let Some(volume) = rt.resources.files.volumes.get(index) {
        let label = volume.specification.label();
        // `str::contains` would add a kilobyte of code.
        let mut parts = failure.detail.as_bytes().windows(label.len().max(1));
        if !failure.detail.is_empty() && !parts.any(|part| part == label.as_bytes()) {
            failure = failure.within(&label);
        }
    }
    failure
}

/// Converts a job's value to the answer. `path` is the resolved path.
pub fn output(rt: &mut Runtime, index: usize, output: Output, path: &str, value: Value) -> Ended {
    match (output, value) {
        (
            Output::Descriptor {
                operations,
                directory,
                append,
            },
            Value::File(file),
        ) => {
            let names = if directory {
                mounts::names_above(rt, path)
            } else {
                Vec::new()
            };
            let made = insert(rt, operations, Some((index, file)), names.into(), append);
            if made.is_err() {
                queue(rt, index, Waiter::None, Request::Close(file));
            }
            Ok(made?)
        }
        (Output::Numbers(into), Value::Stat(stat)) => {
            write_stat(into, &stat, Some(index));
            Ok(0)
        }
        (Output::Numbers(into), Value::Contents(contents)) => {
            let record = contents.map_or(records::Contents::default(), |bytes| records::Contents {
                address: bytes.as_ptr().expose_provenance() as Int,
                length: bytes.len() as Int,
                length_address: into.address_of(1),
            });
            // SAFETY: the operation has not completed.
            unsafe { into.fill(&record.numbers()) };
            Ok(usize::from(contents.is_some()))
        }
        (Output::Text(into), Value::Text(text)) => Ok(write_text(&text, into)),
        (Output::Text(into), _) => Ok(write_text(path, into)),
        (Output::Lease, Value::Leases(slices)) => {
            rt.resources.files.leases.take(slices, leasable())
        }
        (Output::Space(into, text), Value::Space(space, health)) => {
            Ok(describe(rt, index, &space, health, into, text))
        }
        (Output::Position(open), Value::Transferred(n, end)) => {
            rt.resources.files.open.set_position(open, end);
            Ok(n)
        }
        (Output::End { file, offset }, Value::Number(size)) => {
            let position = moved(size, offset)?;
            rt.resources.files.open.set_position(file, position);
            Ok(position as usize)
        }
        (Output::Entries(open, into), value) => entries(rt, open, into, value),
        (_, Value::Number(n)) => Ok(n as usize),
        (_, Value::Transferred(n, _)) => Ok(n),
        _ => Ok(0),
    }
}

/// Completes a step of a listing: mount points in the directory follow the volume's last entry.
fn entries(rt: &mut Runtime, open: OpenId, into: Piece, value: Value) -> Ended {
    let files = &mut rt.resources.files.open;
    if let Value::Listed(n, next) = value {
        files.set_cursor(open, next);
        if n > 0 {
            return Ok(n);
        }
    }
    Ok(files.list_mounted(open, into)?)
}

/// Creates the descriptor of a file or directory `on` a volume, or of a directory that has nothing
/// but mount points. `names` are the mount points in it.
fn insert(
    rt: &mut Runtime,
    operations: &'static Operations,
    on: Option<(usize, FileId)>,
    names: Rc<[String]>,
    append: bool,
) -> Result<usize, Error> {
    let key = rt.resources.files.open.insert(on, names, append);
    match rt.table.insert(operations, key) {
        Ok(fd) => Ok(fd.encode() as usize),
        Err(error) => {
            rt.resources.files.open.remove(key);
            Err(error)
        }
    }
}

/// Writes the results of `soil_fs_space`.
fn describe(
    rt: &Runtime,
    index: usize,
    space: &::fs::Space,
    health: Health,
    into: IntsPiece,
    text: Piece,
) -> usize {
    let volume = rt.resources.files.volumes.get(index);
    let (health, line) = match health {
        Health::Writable if volume.is_some_and(|volume| !volume.flushes()) => (3, String::new()),
        Health::Writable => (0, String::new()),
        Health::Damaged(line) => (0, line),
        Health::ReadOnly | Health::Waiting(_) => (1, String::new()),
        Health::Corrupt(line) => (2, line),
    };
    let record = records::Space {
        total: space.total as Int,
        free: space.free as Int,
        unit: space.unit as Int,
        health,
        available: space.available as Int,
    };
    // SAFETY: the operation has not completed.
    unsafe { into.fill(&record.numbers()) };
    let line = volume.map_or(String::new(), |Volume { specification, .. }| {
        format!("{}\n{}\n{line}", specification.point, specification.label())
    });
    write_text(&line, text)
}

/// Queues a job on a volume that is running.
fn queue(rt: &mut Runtime, index: usize, waiter: Waiter, request: Request) {
    if let Some(volume) = rt.resources.files.volumes.get_mut(index) {
        let _ = volume.schedule.push(Job::new(waiter, request));
    }
}

/// Restores the mount point of a volume whose unmount failed, or removes the volume if its file
/// system is gone.
fn restore(rt: &mut Runtime, index: usize, caller: &mut Caller) {
    if !mounts::restore(rt, index) {
        forget(rt, index, caller);
    }
}

/// Removes a volume, and fails the operations of jobs that were queued on it.
fn forget(rt: &mut Runtime, index: usize, caller: &mut Caller) {
    for Job { waiter, .. } in mounts::forget(rt, index) {
        match waiter {
            Waiter::Sync(token) => synced(rt, token, None, caller),
            Waiter::Freeze(number) => freezing::ended(rt, number, None),
            waiter => caller.complete(rt, waiter.token(), Err(Error::NotFound.into())),
        }
    }
}

/// Records that one volume of a `sync` has completed.
fn synced(rt: &mut Runtime, token: u64, failed: Option<Failure>, caller: &mut Caller) {
    let files = &mut rt.resources.files;
    let Some(place) = files.syncs.iter().position(|sync| sync.token == token) else {
        return;
    };
    let Some(sync) = files.syncs.get_mut(place) else {
        return;
    };
    sync.remaining = sync.remaining.saturating_sub(1);
    if sync.failed.is_none() {
        sync.failed = failed;
    }
    if sync.remaining == 0 {
        let sync = files.syncs.swap_remove(place);
        caller.complete(rt, token, sync.failed.map_or(Ok(0), Err));
    }
}
