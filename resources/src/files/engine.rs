//! Performs the actions of a volume's schedule, with its fiber and its device.
//!
//! [`submit`], or [`submit_path`] for a path, queues the job of an operation. [`run`] then performs
//! one [`Action`] after the other until the volume has to wait. When a device request completes or
//! a deadline passes, [`run`] resumes from there. [`answer`] converts the job's result to the
//! operation's.

pub mod answer;
pub mod caller;
pub mod driver;
pub mod freezing;

use super::mounted_volume::drivers::WAITS;
use super::mounted_volume::fiber::{Access, Port};
use super::mounted_volume::job::request::{Request, detail, perform};
use super::mounted_volume::job::resolution::Resolution;
use super::mounted_volume::job::{Ended, Job, Output, Waiter};
use super::mounted_volume::schedule::Action;
use super::mounted_volume::{Backing, Volume, attach};
use super::namespace::advance;
use crate::Runtime;
use crate::current::Current;
use crate::disks::{self, Disks};
use ::fs::BlockError;
use ::fs::barrier::Next;
use alloc::boxed::Box;
use alloc::format;
use answer::Advanced;
use caller::Caller;
use core::cell::Cell;
use core::ptr::NonNull;
use platform::Clock;
use platform::error::{Answer, Error, Failure};
use reactor::Cancelled;

/// Time slice of a volume's jobs, where the disk answers at once (the process).
const SLICE_NS: u64 = 2_000_000;
/// Bit of a tag that marks a request as part of a flush; the other bits are the volume.
const FLUSH: u64 = 1 << 63;

fn volume(rt: &mut Runtime, index: usize) -> Option<&mut Volume> {
    rt.resources.files.volumes.get_mut(index)
}

/// Queues a job for an operation and runs the volume. Returns the answer if the job completes at
/// once.
pub fn submit(rt: &mut Runtime, index: usize, waiter: Waiter, request: Request) -> Answer {
    let token = waiter.token();
    rt.give(token, cancel)?;
    let pushed = volume(rt, index).ok_or(Error::Closed);
    if let Err(error) = pushed.and_then(|volume| volume.schedule.push(Job::new(waiter, request))) {
        rt.forget(token);
        return Err(error.into());
    }
    let mut caller = Caller::new(token);
    run(rt, index, &mut caller);
    caller.answer(rt)
}

/// Queues a job without a waiter, and runs the volume.
pub fn submit_detached(rt: &mut Runtime, index: usize, request: Request) {
    let job = Job::new(Waiter::None, request);
    if volume(rt, index).is_some_and(|volume| volume.schedule.push(job).is_ok()) {
        run(rt, index, &mut Caller::none());
    }
}

/// Starts an operation on a path. Returns the answer if it completes at once. The volumes have been
/// initialised.
pub fn submit_path(
    rt: &mut Runtime,
    token: u64,
    output: Output,
    resolution: Box<Resolution>,
) -> Answer {
    rt.give(token, cancel)?;
    let mut caller = Caller::new(token);
    let waiter = Waiter::Operation(token, output);
    match advance(rt, resolution).and_then(|step| answer::take_step(rt, waiter, step)) {
        Ok(Advanced::Queued(volume)) => run(rt, volume, &mut caller),
        Ok(Advanced::Done(n)) => caller.complete(rt, token, Ok(n)),
        Err(failure) => caller.complete(rt, token, Err(failure)),
    }
    caller.answer(rt)
}

/// Performs a read-only request at once, if it needs no wait. `None`: the caller has to submit it.
pub fn at_once(
    rt: &mut Runtime,
    index: usize,
    mut request: Request,
    output: Output,
) -> Option<Ended> {
    let files = &mut rt.resources.files;
    if let Some(offset) = request.offset_mut() {
        files.open.resolve(offset);
    }
    let value = files.volumes.get_mut(index)?.at_once(request)?;
    Some(answer::output(rt, index, output, "/", value))
}

/// Cancels an operation. Only a job that hasn't started can be withdrawn; a long transfer ends
/// early.
pub fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    for (_, volume) in &mut rt.resources.files.volumes {
        if volume.schedule.cancel(token) {
            return Cancelled::Done;
        }
        if let Some(port) = volume.port()
            && volume.schedule.is_active(token)
        {
            port.cancelled.set(true);
        }
    }
    Cancelled::Later
}

/// Time slice of a volume. It starts at the first check, which always passes: so a call always does
/// what it can do at once, however late it gets the processor.
#[derive(Default)]
struct Slice {
    until: Cell<Option<u64>>,
}

impl Slice {
    /// Whether the slice has expired at `now`, in nanoseconds.
    fn is_over(&self, now: u64) -> bool {
        let until = self.until.get().unwrap_or(now + SLICE_NS);
        self.until.set(Some(until));
        now >= until
    }
}

/// Runs a volume until it has to wait or its time slice expires.
pub fn run(rt: &mut Runtime, index: usize, caller: &mut Caller) {
    let slice = Slice::default();
    while let Some(volume) = volume(rt, index) {
        let sector_size = volume.port().map_or(1, |port| port.geometry().sector_size);
        let is_over = || slice.is_over(Current::monotonic_ns());
        match volume.schedule.next(is_over, sector_size) {
            Action::Wait => return,
            Action::Open { unmounts } => open(rt, index, unmounts),
            Action::Start(request) => start(rt, index, request),
            Action::Resume(reply) => {
                let lost = volume.schedule.is_lost();
                let port = volume.port();
                let suspension = port.and_then(|port| port.resume(reply, lost));
                volume.schedule.suspended(suspension);
            }
            Action::Submit(access) => transfer(rt, index, access),
            Action::Flush { ordered } => flush(rt, index, ordered),
            Action::Rewrite => rewrite(rt, index),
            Action::Claim(first, sectors) => {
                let claimed = attach::claim(rt, index, (first, sectors));
                if let Some(volume) = self::volume(rt, index) {
                    volume.schedule.claimed(claimed);
                }
            }
            Action::Answer(answered) => answer::answer(rt, index, answered, caller),
            Action::Abandon(waiter) => answer::abandon(rt, index, waiter, caller),
            Action::Recovered => {
                log::warn!("{} answers again", volume.specification.label());
            }
        }
    }
}

/// Opens the volume for the active job, unless it is open.
fn open(rt: &mut Runtime, index: usize, unmounts: bool) {
    let opened = if unmounts && rt.resources.files.open.is_used(index) {
        Err(Failure::new(Error::Busy, "files on it are open"))
    } else {
        attach::attach(rt, index, report)
    };
    if let Some(volume) = volume(rt, index) {
        match opened {
            Ok(()) => {
                if volume.port().is_some_and(Port::is_empty) {
                    volume.schedule.forget_loss();
                }
                volume.schedule.opened(volume.disk().is_some());
            }
            Err(failure) => volume.schedule.finish(Err(failure)),
        }
    }
}

/// Starts the active job's request: on the fiber, or on this stack if it never waits.
fn start(rt: &mut Runtime, index: usize, mut request: Request) {
    let files = &mut rt.resources.files;
    if let Some(offset) = request.offset_mut() {
        files.open.resolve(offset);
    }
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    match &mut volume.backing {
        Backing::None => (),
        Backing::Immediate(file_system) => {
            let done = perform(&mut **file_system, request, &Cell::new(false));
            let failed = |error| Failure::new(Error::from(error), detail(&**file_system, error));
            let outcome = done.map_err(failed);
            volume.schedule.finish(outcome);
        }
        Backing::Fiber { port, .. } => {
            let suspension = port.start(request, volume.schedule.is_lost());
            volume.schedule.suspended(suspension);
        }
    }
}

/// Submits a request with this tag to the disk of a volume. Returns the result if it completes at
/// once.
fn give(
    disks: Option<&mut Disks>,
    volume: &Volume,
    request: disks::Request,
    tag: u64,
) -> Option<Result<(), BlockError>> {
    let Backing::Fiber {
        port,
        disk: Some(disk),
    } = volume.backing
    else {
        return Some(Err(BlockError::Io));
    };
    let geometry = port.geometry();
    match disks {
        _ if !request.is_within(geometry.sectors, geometry.sector_size) => {
            Some(Err(BlockError::OutOfRange))
        }
        Some(disks) => {
            let submitted = disks.submit(disk, request, tag);
            submitted.unwrap_or(Some(Err(BlockError::Io)))
        }
        None => Some(Err(BlockError::Io)),
    }
}

/// Submits the fiber's reads or writes to the device.
fn transfer(rt: &mut Runtime, index: usize, access: Access) {
    let files = &mut rt.resources.files;
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    let (mut outstanding, mut failed) = (0, None);
    let due = Current::monotonic_ns().saturating_add(files.timeout_ns);
    let mut one = |request: disks::Request| match give(
        rt.resources.disks.as_deref_mut(),
        volume,
        request,
        index as u64,
    ) {
        None => outstanding += 1,
        Some(Ok(())) => (),
        Some(Err(error)) => {
            failed.get_or_insert(error);
        }
    };
    match access {
        Access::Read { sector, to, len } => one(disks::Request::Read { sector, to, len }),
        Access::Write { sector, from, len } => one(disks::Request::Write {
            sector,
            from,
            len,
            together: false,
        }),
        Access::Batch(writes) => {
            // SAFETY: the fiber is suspended in `write_batch`, whose argument this is.
            for (sector, data) in unsafe { writes.as_ref() } {
                one(disks::Request::Write {
                    sector: *sector,
                    from: NonNull::from(*data).cast(),
                    len: data.len(),
                    together: true,
                });
            }
        }
        Access::Flush { .. } => (),
    }
    volume.schedule.submitted(outstanding, failed, due);
}

/// Submits a flush to the device.
fn flush(rt: &mut Runtime, index: usize, ordered: bool) {
    let files = &mut rt.resources.files;
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    let due = Current::monotonic_ns().saturating_add(files.timeout_ns);
    let (disks, tag) = (rt.resources.disks.as_deref_mut(), index as u64 | FLUSH);
    let done = give(disks, volume, disks::Request::Flush, tag);
    volume.schedule.flush_submitted(done, ordered, due);
}

/// Called when the disk has completed a request of a volume.
fn report(rt: &mut Runtime, _disk: usize, tag: u64, result: Result<(), BlockError>) {
    let index = (tag & !FLUSH) as usize;
    if tag & FLUSH != 0 {
        flush_completed(rt, index, result);
    } else if let Some(volume) = volume(rt, index) {
        volume.schedule.completed(result);
    }
    if volume(rt, index).is_some_and(|volume| volume.schedule.is_runnable()) {
        run(rt, index, &mut Caller::none());
    }
}

/// Repeats the held write that the disk refused.
fn rewrite(rt: &mut Runtime, index: usize) {
    let files = &mut rt.resources.files;
    let due = Current::monotonic_ns().saturating_add(files.timeout_ns);
    let volume = files.volumes.get_mut(index);
    if volume.is_some_and(|volume| volume.schedule.repeat(due)) {
        continue_flush(rt, index, Next::Write);
    }
}

/// Called when the disk has completed a flush or a held write: submits the next one.
fn flush_completed(rt: &mut Runtime, index: usize, result: Result<(), BlockError>) {
    let files = &mut rt.resources.files;
    let due = Current::monotonic_ns().saturating_add(files.timeout_ns);
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    let was_lost = volume.schedule.is_lost();
    let next = volume.schedule.flush_completed(result, due);
    if volume.schedule.is_lost() && !was_lost {
        let then = match volume.schedule.is_refused() {
            true => "nothing else is written until it succeeds, which each change tries",
            false => "nothing is written any more; unmount it and mount it again",
        };
        log::error!(
            "disk {}: a write failed, and {then}",
            volume.specification.source
        );
    }
    continue_flush(rt, index, next);
}

/// Submits the next request of the flush in progress.
fn continue_flush(rt: &mut Runtime, index: usize, next: Next) {
    let Some(volume) = rt.resources.files.volumes.get_mut(index) else {
        return;
    };
    let request = match next {
        Next::Done => return,
        Next::Flush => disks::Request::Flush,
        Next::Write => {
            let (sector, data) = volume.schedule.held_write().unwrap_or_default();
            disks::Request::Write {
                sector,
                from: NonNull::from(data).cast(),
                len: data.len(),
                together: true,
            }
        }
    };
    let (disks, tag) = (rt.resources.disks.as_deref_mut(), index as u64 | FLUSH);
    if let Some(done) = give(disks, volume, request, tag) {
        flush_completed(rt, index, done);
    }
}

/// Runs a volume if it can proceed, and handles the timeout of its disk.
pub fn poll(rt: &mut Runtime, index: usize, now: u64) {
    let files = &mut rt.resources.files;
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    if WAITS && volume.schedule.waits_for_events() {
        volume.schedule.poll_events();
    }
    if !volume.schedule.is_runnable() {
        if !volume.schedule.is_overdue(now) {
            return;
        }
        let line = format!(
            "{} has not responded for {} s: I/O fails until it does; check the host's storage, \
             or raise SOIL_DISK_TIMEOUT=SECONDS",
            volume.specification.label(),
            files.timeout_ns / 1_000_000_000
        );
        log::warn!("{line}");
        volume.schedule.time_out(line);
        if let Some(port) = volume.port() {
            port.cancelled.set(true);
        }
    }
    run(rt, index, &mut Caller::none());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_begins_with_the_first_look_at_it() {
        let slice = Slice::default();
        let first = 7_000_000_000;
        for (now, over) in [
            (first, false),
            (first + SLICE_NS - 1, false),
            (first + SLICE_NS, true),
            (first + SLICE_NS + 1, true),
        ] {
            assert_eq!(slice.is_over(now), over, "{now}");
        }
    }
}
