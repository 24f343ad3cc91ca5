//! Files and directories: paths, mounts, and operations as jobs of the volumes.
//!
//! Jobs on one volume are done one after the other, in the order in which they came; one that finds
//! everything in the caches, or on a disk that answers at once, is answered at once.

pub mod cache;
mod cached;
pub mod embedded;
pub mod file;
pub mod kinds;
pub mod lend;
mod mounting;
mod open;
mod spec;
#[cfg(test)]
mod tests;
mod volumes;
mod walk;
mod work;
mod worker;

pub use mounting::{mount, unmount};
pub use open::{contents, directory, directory_next, file_stat, file_sync};
pub use open::{open, read, seek, size, truncate, write};

use crate::disks;
use crate::error::{Answer, Error, Failure, Stop};
use crate::ffi::{Int, IntsPiece, Piece, records};
use crate::platform::{Current, Platform};
use crate::runtime::{Cancelled, Driver, Runtime};
use ::fs::{Health, Mounts, Renaming, Stat};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use open::File;
use slab::Slab;
pub use volumes::given_up;
use volumes::{Job, Then, Volume};
use walk::{Advanced, Walking, advance, start};
pub use work::code;
use work::{Op, Value, Work};
use worker::Port;

/// The answer of a job.
type Ended = Result<usize, Failure>;

/// A `sync` of all volumes.
struct Sync {
    token: u64,
    remaining: usize,
    failed: Option<Failure>,
}

/// See the head of this file.
pub struct Files {
    mounts: Mounts<usize>,
    volumes: Slab<Volume>,
    /// Workers of volumes that were given up.
    spare: Vec<&'static Port>,
    open: Slab<File>,
    /// The number of the next file that is opened.
    next_serial: u64,
    /// Nanoseconds that a disk may take.
    patience_ns: u64,
    syncs: Vec<Sync>,
    /// Contents of files that the program looks at.
    lent: lend::Leases,
    /// The operation that is being submitted, and its answer if it has one already.
    submitting: Option<(u64, Option<Ended>)>,
}

/// The volumes, which the first call reads from `SOIL_MOUNT`.
fn files(rt: &mut Runtime) -> Result<&mut Files, Stop> {
    if rt.files.is_none() {
        mounting::disks_first(rt)?;
        kinds::register(rt, kinds::FAT)?;
        if let Some(folders) = Current::FOLDERS {
            kinds::register(rt, folders)?;
        }
        let patience_ns = disks::patience().or_else(|failure| rt.fail(failure))?;
        let (mounts, volumes) = mounting::read().or_else(|failure| rt.fail(failure))?;
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
            spare: Vec::new(),
            open: Slab::new(),
            next_serial: 0,
            patience_ns,
            syncs: Vec::new(),
            lent: lend::Leases::new(),
            submitting: None,
        })));
        embedded::appear(rt);
    }
    rt.files.as_deref_mut().ok_or(Stop::Error(Error::NoDevice))
}

/// Goes on where time for others had come, and gives up what a disk takes too long for.
fn poll(rt: &mut Runtime, now: u64) {
    let end = rt
        .files
        .as_deref()
        .map_or(0, |files| files.volumes.capacity());
    for index in 0..end {
        let waits = |volume: &Volume| volume.is_waiting();
        let files = rt.files.as_deref();
        if files.is_some_and(|files| files.volumes.get(index).is_some_and(waits)) {
            volumes::look(rt, index);
        }
        let files = rt.files.as_deref();
        let Some(volume) = files.and_then(|files| files.volumes.get(index)) else {
            continue;
        };
        if volume.is_runnable() {
            volumes::run(rt, index);
        } else {
            volumes::check_time(rt, index, now);
        }
    }
}

fn deadline(rt: &mut Runtime) -> Option<u64> {
    let files = rt.files.as_deref()?;
    let volumes = files.volumes.iter();
    let wanted = volumes.filter_map(|(_, volume)| {
        let now = volume.is_runnable().then_some(0);
        now.or_else(|| volume.due())
    });
    wanted.min()
}

/// Before exit: all volumes are synced once, then idle.
fn finish(rt: &mut Runtime) -> bool {
    let Some(files) = rt.files.as_deref_mut() else {
        return true;
    };
    for (_, volume) in &mut files.volumes {
        volume.end_at_exit();
    }
    files.volumes.iter().all(|(_, volume)| volume.is_idle())
}

/// Queues a job, begins it if the volume is free, and answers.
fn submit(rt: &mut Runtime, volume: usize, token: u64, work: Work, then: Then) -> Answer {
    rt.give(token, cancel)?;
    let Some(files) = rt.files.as_deref_mut() else {
        return Err(Error::Closed.into());
    };
    let queue = files.volumes.get_mut(volume).ok_or(Error::Closed);
    if let Err(error) = queue.and_then(|volume| {
        volume.push(Job {
            token,
            work,
            then,
            walking: None,
        })
    }) {
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
            said(rt, answer)
        }
    }
}

/// The answer of a call.
fn said(rt: &mut Runtime, answer: Ended) -> Answer {
    answer.or_else(|failure| rt.fail(failure))
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
                walking: None,
            })
            .is_ok()
    {
        volumes::run(rt, volume);
    }
}

/// Only what has not begun can be taken back; a long transfer ends early.
fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    let Some(files) = rt.files.as_deref_mut() else {
        return Cancelled::Later;
    };
    for (_, volume) in &mut files.volumes {
        if volume.take_back(token) {
            return Cancelled::Done;
        }
        volume.give_up(token);
    }
    Cancelled::Later
}

/// A job is done: makes its answer of what it gave.
fn finish_job(
    rt: &mut Runtime,
    volume: usize,
    then: Then,
    walking: Option<&Walking>,
    value: Value,
) -> Ended {
    match (then, value) {
        (Then::Descriptor { directory, append }, Value::File(file)) => {
            let path = walking.map_or("/", Walking::path);
            let names = directory.then(|| mounting::names_above(rt, path));
            Ok(open::descriptor(rt, volume, file, names, append)?)
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
            let position = open::moved(size, offset)?;
            open::set_position(rt, place, position);
            Ok(position as usize)
        }
        (Then::Listed(place, into), Value::Listed(n, next)) => {
            open::set_cursor(rt, place, next);
            if n > 0 {
                return Ok(n);
            }
            Ok(open::list_mounted(rt, place, into)?)
        }
        // It had ended before.
        (Then::Listed(place, into), _) => Ok(open::list_mounted(rt, place, into)?),
        (Then::Fill(into), Value::Stat(stat)) => {
            fill_stat(into, &stat);
            Ok(0)
        }
        (Then::Fill(into), Value::Contents(contents)) => {
            let record = contents.map_or(records::Contents::default(), |bytes| records::Contents {
                address: bytes.as_ptr().expose_provenance() as Int,
                length: bytes.len() as Int,
                length_address: into.address_of(1),
            });
            // SAFETY: the operation has not completed.
            unsafe { into.fill(&record.numbers()) };
            Ok(usize::from(contents.is_some()))
        }
        // Whoever wanted it open has given up.
        (Then::Nothing, Value::File(file)) => {
            submit_quietly(rt, volume, Work::Close(file));
            Ok(0)
        }
        (Then::Text(into), value) => {
            let text = match &value {
                Value::Text(text) => text.as_str(),
                _ => walking.map_or("/", Walking::path),
            };
            // SAFETY: the operation has not completed.
            Ok(copy(text, unsafe { into.as_mut_slice() }))
        }
        (Then::With(end), value) => end(rt, value),
        (Then::Describe(into, text), Value::Space(space, health)) => {
            Ok(describe(rt, volume, &space, health, into, text))
        }
        (_, Value::Number(n)) => Ok(n as usize),
        (_, Value::Written(n, _) | Value::Listed(n, _)) => Ok(n),
        _ => Ok(0),
    }
}

/// Copies what fits; the whole length.
fn copy(text: &str, into: &mut [u8]) -> usize {
    for (to, from) in into.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    text.len()
}

/// Writes what `soil_fs_stat` gives.
fn fill_stat(into: IntsPiece, stat: &Stat) {
    let record = records::Stat {
        size: stat.size as Int,
        kind: work::entry(stat.kind),
        modified: stat.modified.seconds as Int,
        modified_ns: stat.modified.nanoseconds as Int,
        accessed: stat.accessed.seconds as Int,
        changed: stat.changed.seconds as Int,
        links: stat.links as Int,
        // OCaml's integers have a bit less.
        inode: (stat.inode & (u64::MAX >> 2)) as Int,
        read_only: stat.read_only.into(),
        accessed_ns: stat.accessed.nanoseconds as Int,
        changed_ns: stat.changed.nanoseconds as Int,
    };
    // SAFETY: the operation has not completed.
    unsafe { into.fill(&record.numbers()) };
}

/// Writes what `soil_fs_space` gives.
fn describe(
    rt: &Runtime,
    volume: usize,
    space: &::fs::Space,
    health: Health,
    into: IntsPiece,
    text: Piece,
) -> usize {
    let files = rt.files.as_deref();
    let volume = files.and_then(|files| files.volumes.get(volume));
    let (health, line) = match health {
        Health::Writable if volume.is_some_and(|volume| !volume.flushes()) => (3, String::new()),
        Health::Writable => (0, String::new()),
        Health::Damaged(line) => (0, line),
        Health::ReadOnly => (1, String::new()),
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
    let line = volume.map_or(String::new(), |Volume { spec, .. }| {
        format!("{}\n{}\n{line}", spec.point, spec.label())
    });
    // SAFETY: as above.
    copy(&line, unsafe { text.as_mut_slice() })
}

/// A job is done: completes its operation, or takes it on.
fn finished(
    rt: &mut Runtime,
    volume: usize,
    token: u64,
    then: Then,
    walking: Option<Box<Walking>>,
    result: Result<Value, Failure>,
) {
    let mut walking = walking;
    let answer = match result {
        Ok(Value::Link(end, target)) => match walking.take() {
            Some(mut walking) => match walking.link(end, &target) {
                Ok(()) => return go_on(rt, token, then, walking),
                Err(failed) => Err(failed),
            },
            None => Ok(0),
        },
        Ok(Value::Plain) => match walking.take() {
            Some(mut walking) => match walking.plain(volume) {
                Ok(()) => return go_on(rt, token, then, walking),
                Err(failed) => Err(failed),
            },
            None => Ok(0),
        },
        Ok(value) => finish_job(rt, volume, then, walking.as_deref(), value),
        Err(failure) => Err(failure),
    };
    match (then, &answer) {
        (Then::Synced, _) => return synced(rt, token, answer.err()),
        (Then::Mounted | Then::Unwanted, Err(_)) | (Then::Unmounted, Ok(_)) => {
            mounting::forget(rt, volume)
        }
        (Then::Unmounted, Err(_)) => mounting::keep(rt, volume),
        (Then::Unwanted, Ok(_)) => unwanted(rt, volume),
        _ => (),
    }
    if token != 0 {
        answered(rt, token, answer);
    }
}

/// A volume was mounted after all that nobody has been told of.
fn unwanted(rt: &mut Runtime, volume: usize) {
    let files = rt.files.as_deref_mut();
    if let Some(volume) = files.and_then(|files| files.volumes.get_mut(volume)) {
        let job = Job {
            token: 0,
            work: Work::Unmount,
            then: Then::Unmounted,
            walking: None,
        };
        // Without memory for it the disk stays in use.
        let _ = volume.push(job);
    }
}

/// An operation goes to the next volume: the same one looks at its queue after this, another one
/// when its turn comes.
fn go_on(rt: &mut Runtime, token: u64, then: Then, walking: Box<Walking>) {
    match advance(rt, token, then, walking) {
        Ok(Advanced::Queued(_)) => (),
        Ok(Advanced::Done(n)) => answered(rt, token, Ok(n)),
        Err(failed) => answered(rt, token, Err(failed)),
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
        Err(failure) => rt.complete_failed(token, failure),
    }
}

/// One volume of a `sync` is done.
fn synced(rt: &mut Runtime, token: u64, failed: Option<Failure>) {
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
                walking: None,
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
            said(rt, answer)
        }
    }
}

/// Begins what is to be done with one path.
fn on_path(rt: &mut Runtime, path: &str, follow: bool, op: Op, then: Then, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    start(rt, token, then, Walking::new(path, follow, op)?)
}

/// See `soil_fs_stat`.
pub fn stat(rt: &mut Runtime, path: &str, follow: bool, into: IntsPiece, token: Int) -> Answer {
    on_path(rt, path, follow, Op::Stat, Then::Fill(into), token)
}

/// See `soil_fs_space`.
pub fn space(rt: &mut Runtime, path: &str, into: IntsPiece, text: Piece, token: Int) -> Answer {
    on_path(rt, path, true, Op::Space, Then::Describe(into, text), token)
}

/// See `soil_fs_sync_volume`.
pub fn sync_volume(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, true, Op::Sync, Then::Answer, token)
}

/// See `soil_fs_mkdir`.
pub fn mkdir(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, false, Op::Mkdir, Then::Answer, token)
}

/// See `soil_fs_remove_directory`.
pub fn remove_directory(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, false, Op::Rmdir, Then::Answer, token)
}

/// See `soil_fs_unlink`.
pub fn unlink(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, false, Op::Unlink, Then::Answer, token)
}

/// See `soil_fs_readlink`.
pub fn readlink(rt: &mut Runtime, path: &str, into: Piece, token: Int) -> Answer {
    on_path(rt, path, false, Op::Readlink, Then::Text(into), token)
}

/// See `soil_fs_realpath`.
pub fn realpath(rt: &mut Runtime, path: &str, into: Piece, token: Int) -> Answer {
    on_path(rt, path, true, Op::Stat, Then::Text(into), token)
}

/// See `soil_fs_symlink`.
pub fn symlink(rt: &mut Runtime, target: &str, path: &str, token: Int) -> Answer {
    if target.is_empty() || target.len() > ::fs::path::MAX_PATH || target.contains('\0') {
        return Err(Error::Invalid.into());
    }
    let op = Op::Symlink(target.into());
    on_path(rt, path, false, op, Then::Answer, token)
}

/// See `soil_fs_rename`.
pub fn rename(rt: &mut Runtime, from: &str, to: &str, how: Int, token: Int) -> Answer {
    let how = match how {
        0 => Renaming::Replace,
        1 => Renaming::NoReplace,
        2 => Renaming::Exchange,
        _ => return Err(Error::Invalid.into()),
    };
    let token = rt.new_token(token)?;
    let walking = Walking::of_two(from, to, Op::Rename(String::new(), how))?;
    start(rt, token, Then::Answer, walking)
}

/// See `soil_fs_link`.
pub fn link(rt: &mut Runtime, path: &str, new: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let walking = Walking::of_two(path, new, Op::Link(String::new()))?;
    start(rt, token, Then::Answer, walking)
}
