//! The results of operations, made from those of their jobs.

use super::job::{Ended, Job, OpenId, Output, Waiter, write_stat, write_text};
use super::lease;
use super::mounts;
use super::open_files;
use super::request::{Request, Value};
use super::resolution::Resolution;
use super::resolve::{Advanced, advance, missing};
use super::schedule::Answered;
use super::volume::Volume;
use crate::Runtime;
use crate::types::{Int, IntsPiece, Piece, records};
use ::fs::{FileId, Health};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use platform::error::{Answer, Error, Failure, Stop};

/// The call during which volumes run: if its own operation ends meanwhile, the call has the answer,
/// and there is no completion.
pub struct Caller {
    /// The operation's token; 0 if there is none.
    token: u64,
    answer: Option<Ended>,
}

impl Caller {
    /// The call that began an operation.
    pub const fn new(token: u64) -> Caller {
        Caller {
            token,
            answer: None,
        }
    }

    /// A call that began none.
    pub const fn none() -> Caller {
        Caller::new(0)
    }

    /// Ends an operation, if there is one.
    pub fn complete(&mut self, rt: &mut Runtime, token: u64, ended: Ended) {
        match ended {
            _ if token == 0 => (),
            ended if token == self.token => self.answer = Some(ended),
            Ok(n) => rt.complete(token, Ok(n)),
            Err(failure) => rt.complete_failed(token, failure),
        }
    }

    /// Returns the result of the call.
    pub fn answer(self, rt: &mut Runtime) -> Answer {
        match self.answer {
            None => Err(Stop::Pending),
            Some(ended) => {
                rt.forget(self.token);
                ended.or_else(|failure| rt.fail(failure))
            }
        }
    }
}

/// A `sync` of all volumes.
pub struct Sync {
    /// Its operation.
    pub token: u64,
    /// Volumes that are not done.
    pub remaining: usize,
    /// The first failure.
    pub failed: Option<Failure>,
}

/// A job of a volume is done: ends its operation, or takes it to its next volume, which runs later.
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
        (Ok(value), resolution) => {
            let ended = output(rt, index, waiter, resolution.as_deref(), value);
            ended.map(Advanced::Done)
        }
        (Err(failure), Some(resolution)) if failure.error == Error::NotFound => {
            missing(rt, waiter, resolution, failure)
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
        (Waiter::Mount(_) | Waiter::AbandonedMount, Err(_))
        | (Waiter::Unmount(_) | Waiter::AbandonedUnmount, Ok(_)) => forget(rt, index, caller),
        (Waiter::Unmount(_) | Waiter::AbandonedUnmount, Err(_)) => restore(rt, index, caller),
        // Without memory for it the disk stays in use.
        (Waiter::AbandonedMount, Ok(_)) => {
            queue(rt, index, Waiter::AbandonedUnmount, Request::Unmount);
        }
        _ => (),
    }
    caller.complete(rt, waiter.token(), ended);
}

/// The device of a volume has timed out: fails an operation, whose job may go on.
pub fn abandon(rt: &mut Runtime, index: usize, waiter: Waiter, caller: &mut Caller) {
    let Some(files) = rt.resources.files.as_deref_mut() else {
        return;
    };
    let Some(volume) = files.volumes.get(index) else {
        return;
    };
    let failure = Failure::new(Error::Io, volume.schedule.timed_out().unwrap_or_default());
    match waiter {
        Waiter::Sync(token) => return synced(rt, token, Some(failure), caller),
        // Something else may be mounted there meanwhile.
        Waiter::Mount(_) => files.mounts.remove_volume(&index),
        Waiter::Unmount(_) => restore(rt, index, caller),
        _ => (),
    }
    caller.complete(rt, waiter.token(), Err(failure));
}

/// Takes a path to its next volume.
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
    advance(rt, waiter, resolution)
}

/// A failure whose line names the volume.
fn labelled(rt: &Runtime, index: usize, mut failure: Failure) -> Failure {
    let files = rt.resources.files.as_deref();
    if let Some(volume) = files.and_then(|files| files.volumes.get(index)) {
        let label = volume.specification.label();
        // `str::contains` is a kilobyte of code.
        let mut parts = failure.detail.as_bytes().windows(label.len().max(1));
        if !failure.detail.is_empty() && !parts.any(|part| part == label.as_bytes()) {
            failure = failure.within(&label);
        }
    }
    failure
}

/// Makes the answer of what a job gave.
fn output(
    rt: &mut Runtime,
    index: usize,
    waiter: Waiter,
    resolution: Option<&Resolution>,
    value: Value,
) -> Ended {
    let output = match waiter {
        Waiter::Operation(_, output) => output,
        _ => {
            // The operation that opened it was abandoned.
            if let Value::File(file) = value {
                queue(rt, index, Waiter::None, Request::Close(file));
            }
            return Ok(0);
        }
    };
    let path = resolution.map_or("/", Resolution::path);
    match (output, value) {
        (Output::Descriptor { directory, append }, Value::File(file)) => {
            descriptor(rt, index, file, directory.then_some(path), append)
        }
        (Output::Numbers(into), Value::Stat(stat)) => {
            write_stat(into, &stat, index as Int);
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
        (Output::Lease, value) => lease::take(rt, value),
        (Output::Space(into, text), Value::Space(space, health)) => {
            Ok(describe(rt, index, &space, health, into, text))
        }
        (Output::Position(open), value) => Ok(transferred(rt, open, value)),
        (Output::End { file, offset }, Value::Number(size)) => {
            let position = open_files::moved(size, offset)?;
            if let Some(files) = rt.resources.files.as_deref_mut() {
                files.open.set_position(file, position);
            }
            Ok(position as usize)
        }
        (Output::Entries(open, into), value) => entries(rt, open, into, value),
        (_, Value::Number(n)) => Ok(n as usize),
        (_, Value::Written(n, _)) => Ok(n),
        _ => Ok(0),
    }
}

/// Moves a file's position as a transfer did; the bytes.
fn transferred(rt: &mut Runtime, open: OpenId, value: Value) -> usize {
    let files = rt.resources.files.as_deref_mut();
    match (value, files) {
        (Value::Number(n), Some(files)) => {
            files.open.advance(open, n);
            n as usize
        }
        (Value::Written(n, end), Some(files)) => {
            files.open.set_position(open, end);
            n
        }
        _ => 0,
    }
}

/// Ends a listing's step: what is mounted in the directory follows the volume's last entry.
fn entries(rt: &mut Runtime, open: OpenId, into: Piece, value: Value) -> Ended {
    let files = rt.resources.files.as_deref_mut().ok_or(Error::Closed)?;
    if let Value::Listed(n, next) = value {
        files.open.set_cursor(open, next);
        if n > 0 {
            return Ok(n);
        }
    }
    Ok(files.open.list_mounted(open, into)?)
}

/// Makes the descriptor of a file that a volume has opened, or of the directory with this path.
fn descriptor(
    rt: &mut Runtime,
    index: usize,
    file: FileId,
    directory: Option<&str>,
    append: bool,
) -> Ended {
    let names = directory.map(|path| mounts::names_above(rt, path));
    let made = open_files::insert(rt, Some((index, file)), append, names);
    if made.is_err() {
        queue(rt, index, Waiter::None, Request::Close(file));
    }
    Ok(made?)
}

/// Writes what `soil_fs_space` gives.
fn describe(
    rt: &Runtime,
    index: usize,
    space: &::fs::Space,
    health: Health,
    into: IntsPiece,
    text: Piece,
) -> usize {
    let files = rt.resources.files.as_deref();
    let volume = files.and_then(|files| files.volumes.get(index));
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
    let line = volume.map_or(String::new(), |Volume { specification, .. }| {
        format!("{}\n{}\n{line}", specification.point, specification.label())
    });
    write_text(&line, text)
}

/// Queues a job of a volume that is being run.
fn queue(rt: &mut Runtime, index: usize, waiter: Waiter, request: Request) {
    let files = rt.resources.files.as_deref_mut();
    if let Some(volume) = files.and_then(|files| files.volumes.get_mut(index)) {
        let _ = volume.schedule.push(Job::new(waiter, request));
    }
}

/// Mounts a volume again whose unmount failed, or forgets it if its file system is gone.
fn restore(rt: &mut Runtime, index: usize, caller: &mut Caller) {
    if !mounts::restore(rt, index) {
        forget(rt, index, caller);
    }
}

/// Removes a volume, and ends the operations of jobs that were queued on it.
fn forget(rt: &mut Runtime, index: usize, caller: &mut Caller) {
    for Job { waiter, .. } in mounts::forget(rt, index) {
        match waiter {
            Waiter::Sync(token) => synced(rt, token, None, caller),
            waiter => caller.complete(rt, waiter.token(), Err(Error::NotFound.into())),
        }
    }
}

/// One volume of a `sync` is done.
fn synced(rt: &mut Runtime, token: u64, failed: Option<Failure>, caller: &mut Caller) {
    let Some(files) = rt.resources.files.as_deref_mut() else {
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
        caller.complete(rt, token, sync.failed.map_or(Ok(0), Err));
    }
}
