//! Files and directories: paths, mounts, and operations as jobs of the volumes.
//!
//! Jobs on one volume are done one after the other, in the order in which they came; one that finds everything in the caches, or on a
//! disk that answers at once, is answered at once.

mod mounting;
mod open;
#[cfg(test)]
mod tests;
mod volumes;
mod worker;

pub use mounting::{mount, space, stat};
pub use open::{directory, directory_next, file_sync, open, read, seek, size, truncate, write};

use crate::disks;
use crate::error::{Answer, Error, Stop};
use crate::runtime::{Cancelled, Driver, Runtime};
use crate::ty::{Int, IntsPiece};
use ::fs::{Kind, Mounts};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use open::File;
use slab::Slab;
use volumes::{Job, Then, Volume};
use worker::{Failure, Value, Work};

/// The answer of a job: a number, or a code with a line where there is more to say.
type Ended = Result<usize, (Error, String)>;

/// A `sync` of all volumes.
struct Sync {
    token: u64,
    remaining: usize,
    failed: Option<(Error, String)>,
}

/// See the head of this file.
pub struct Files {
    mounts: Mounts<usize>,
    volumes: Vec<Volume>,
    open: Slab<File>,
    /// The number of the next file that is opened.
    next_serial: u64,
    syncs: Vec<Sync>,
    /// The operation that is being submitted, and its answer if it has one already.
    submitting: Option<(u64, Option<Ended>)>,
}

/// The volumes, which the first call reads from `SOIL_MOUNT`.
fn files(rt: &mut Runtime) -> Result<&mut Files, Stop> {
    if rt.files.is_none() {
        disks::disks(rt)?;
        let (mounts, volumes) = match mounting::read() {
            Ok(read) => read,
            Err(detail) => return rt.fail(Error::BadConfiguration, &detail),
        };
        rt.register(Driver {
            poll,
            deadline,
            interest: |_, _| (),
            finish,
            counter: |_, _| 0,
        })?;
        rt.files = Some(Box::leak(Box::new(Files {
            mounts,
            volumes,
            open: Slab::new(),
            next_serial: 0,
            syncs: Vec::new(),
            submitting: None,
        })));
    }
    rt.files.as_deref_mut().ok_or(Stop::Error(Error::NoDevice))
}

/// Goes on where time for others had come.
fn poll(rt: &mut Runtime, _now: u64) {
    let count = rt.files.as_deref().map_or(0, |files| files.volumes.len());
    for index in 0..count {
        let files = rt.files.as_deref();
        if files
            .and_then(|files| files.volumes.get(index))
            .is_some_and(Volume::is_runnable)
        {
            volumes::run(rt, index);
        }
    }
}

fn deadline(rt: &mut Runtime) -> Option<u64> {
    let files = rt.files.as_deref()?;
    files.volumes.iter().any(Volume::is_runnable).then_some(0)
}

/// Before exit: all volumes are synced once, then idle.
fn finish(rt: &mut Runtime) -> bool {
    let Some(files) = rt.files.as_deref_mut() else {
        return true;
    };
    for volume in &mut files.volumes {
        volume.sync_at_exit();
    }
    files.volumes.iter().all(Volume::is_idle)
}

/// Queues a job, begins it if the volume is free, and answers.
fn submit(rt: &mut Runtime, volume: usize, token: u64, work: Work, then: Then) -> Answer {
    rt.give(token, cancel)?;
    let Some(files) = rt.files.as_deref_mut() else {
        return Err(Error::Closed.into());
    };
    let queue = files.volumes.get_mut(volume).ok_or(Error::Closed);
    if let Err(error) = queue.and_then(|volume| volume.push(Job { token, work, then })) {
        rt.forget(token);
        return Err(error.into());
    }
    files.submitting = Some((token, None));
    volumes::run(rt, volume);
    let submitted = rt
        .files
        .as_deref_mut()
        .and_then(|files| files.submitting.take());
    match submitted.and_then(|(_, answer)| answer) {
        None => Err(Stop::Pending),
        Some(answer) => {
            rt.forget(token);
            answer.or_else(|(error, detail)| {
                if detail.is_empty() {
                    Err(error.into())
                } else {
                    rt.fail(error, &detail)
                }
            })
        }
    }
}

/// Queues a job that nobody waits for.
fn submit_quietly(rt: &mut Runtime, volume: usize, work: Work) {
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
    if let Some(queue) = files.volumes.get_mut(volume)
        && queue
            .push(Job {
                token: 0,
                work,
                then: Then::Nothing,
            })
            .is_ok()
    {
        volumes::run(rt, volume);
    }
}

/// Only what has not begun can be taken back.
fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    let Some(files) = rt.files.as_deref_mut() else {
        return Cancelled::Later;
    };
    if files
        .volumes
        .iter_mut()
        .any(|volume| volume.take_back(token))
    {
        Cancelled::Done
    } else {
        Cancelled::Later
    }
}

/// A job is done: makes its answer of what it gave.
fn finish_job(rt: &mut Runtime, volume: usize, then: Then, value: Value) -> Ended {
    let plain = |error: Error| (error, String::new());
    match (then, value) {
        (Then::Descriptor { directory, append }, Value::File(file)) => {
            open::descriptor(rt, volume, file, directory, append).map_err(plain)
        }
        (Then::Advance(place), Value::Number(n)) => {
            open::advance(rt, place, n);
            Ok(n as usize)
        }
        (Then::Advance(place), Value::Written(n, end)) => {
            open::set_position(rt, place, end);
            Ok(n)
        }
        (Then::SeekEnd { place, offset }, Value::Number(size)) => {
            let position = open::moved(size, offset).map_err(plain)?;
            open::set_position(rt, place, position);
            Ok(position as usize)
        }
        (Then::Listed(place), Value::Listed(n, next)) => {
            open::set_cursor(rt, place, next);
            Ok(n)
        }
        (Then::Fill(into), Value::Stat(stat)) => {
            fill_stat(into, stat.kind, stat.size, stat.modified);
            Ok(0)
        }
        (Then::Fill(into), Value::Space(space)) => {
            // SAFETY: the operation has not completed.
            unsafe { into.fill(&[space.total as Int, space.free as Int]) };
            Ok(0)
        }
        (_, Value::Number(n)) => Ok(n as usize),
        (_, Value::Written(n, _) | Value::Listed(n, _)) => Ok(n),
        _ => Ok(0),
    }
}

/// Writes what `soil_fs_stat` gives.
fn fill_stat(into: IntsPiece, kind: Kind, size: u64, modified: i64) {
    let kind = match kind {
        Kind::File => crate::abi::ENTRY_FILE,
        Kind::Directory => crate::abi::ENTRY_DIRECTORY,
        Kind::Symlink => crate::abi::ENTRY_SYMLINK,
    };
    // SAFETY: the operation has not completed.
    unsafe { into.fill(&[size as Int, kind, modified as Int]) };
}

/// A job is done: completes its operation.
fn finished(
    rt: &mut Runtime,
    volume: usize,
    token: u64,
    then: Then,
    result: Result<Value, Failure>,
) {
    let answer = match result {
        Ok(value) => finish_job(rt, volume, then, value),
        Err(Failure { error, detail }) => Err((error, detail)),
    };
    if let Then::Synced = then {
        return synced(rt, token, answer.err());
    }
    if token != 0 {
        answered(rt, token, answer);
    }
}

/// Gives an answer to whoever waits for it.
fn answered(rt: &mut Runtime, token: u64, answer: Ended) {
    if let Some(files) = rt.files.as_deref_mut()
        && let Some((submitting, place)) = &mut files.submitting
        && *submitting == token
    {
        *place = Some(answer);
        return;
    }
    match answer {
        Ok(n) => rt.complete(token, Ok(n)),
        Err((error, detail)) if detail.is_empty() => rt.complete(token, Err(error.into())),
        Err((error, detail)) => rt.complete_with_detail(token, error, &detail),
    }
}

/// One volume of a `sync` is done.
fn synced(rt: &mut Runtime, token: u64, failed: Option<(Error, String)>) {
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
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
        answered(rt, token, sync.failed.map_or(Ok(0), Err));
    }
}

/// See `soil_fs_sync`.
pub fn sync(rt: &mut Runtime, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let files = files(rt)?;
    let open: Vec<usize> = files
        .volumes
        .iter()
        .enumerate()
        .filter_map(|(index, volume)| volume.is_open().then_some(index))
        .collect();
    if open.is_empty() {
        return Ok(0);
    }
    files.syncs.push(Sync {
        token,
        remaining: open.len(),
        failed: None,
    });
    for index in &open {
        if let Some(volume) = files.volumes.get_mut(*index) {
            volume.push(Job {
                token,
                work: Work::Sync,
                then: Then::Synced,
            })?;
        }
    }
    files.submitting = Some((token, None));
    rt.give(token, |_, _| Cancelled::Later)?;
    for index in open {
        volumes::run(rt, index);
    }
    let submitted = rt
        .files
        .as_deref_mut()
        .and_then(|files| files.submitting.take());
    match submitted.and_then(|(_, answer)| answer) {
        None => Err(Stop::Pending),
        Some(answer) => {
            rt.forget(token);
            answer.or_else(|(error, detail)| rt.fail(error, &detail))
        }
    }
}

/// Runs a job on the volume that `path` leads to.
fn on_path(
    rt: &mut Runtime,
    path: &str,
    token: Int,
    then: Then,
    work: impl FnOnce(String) -> Work,
) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, rest) = mounting::resolve(rt, path)?;
    submit(rt, volume, token, work(rest), then)
}

/// See `soil_fs_mkdir`.
pub fn mkdir(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, token, Then::Answer, Work::Mkdir)
}

/// See `soil_fs_remove_directory`.
pub fn remove_directory(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, token, Then::Answer, Work::Rmdir)
}

/// See `soil_fs_unlink`.
pub fn unlink(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, token, Then::Answer, Work::Unlink)
}

/// See `soil_fs_rename`.
pub fn rename(rt: &mut Runtime, from: &str, to: &str, token: Int) -> Answer {
    let (volume, to_rest) = mounting::resolve(rt, to)?;
    let (other, _) = mounting::resolve(rt, from)?;
    if volume != other {
        let detail = [from, " and ", to, " are on different volumes"].concat();
        return rt.fail(Error::Unsupported, &detail);
    }
    on_path(rt, from, token, Then::Answer, |from| {
        Work::Rename(from, to_rest)
    })
}
