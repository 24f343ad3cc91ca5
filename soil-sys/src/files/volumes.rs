//! Volumes: the queue of jobs for each, and the requests of its fiber.

mod flushing;
mod opening;
mod overdue;

pub use opening::{WAITS, cache_statistics, lendable};
pub use overdue::{check_time, given_up};

use super::kinds::Held;
use super::open::Place;
use super::spec::Spec;
use super::walk::Walking;
use super::work::{Value, Work, code, detail, perform};
use super::worker::{Event, Port};
use super::{Ended, finished};
use crate::disks::{Geometry, Request};
use crate::error::{Error, Failure};
use crate::ffi::{IntsPiece, Piece};
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use ::fs::{BlockError, CacheCounts};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr::NonNull;
use flushing::{Behind, Deferral, Flushing, flushed, overlaps};
use opening::{CACHE, NO_DISK, claim, open};
use overdue::refuse;

/// How long jobs run on without a look at anything else, where the disk answers at once (the
/// process).
const SLICE_NS: u64 = 2_000_000;
/// The bit of a tag that says that it is a flush; the rest is the volume.
const FLUSH: u64 = 1 << 63;
/// The bit of a tag that says that it is a write that was kept.
const BEHIND: u64 = 1 << 62;

/// What is done with the result of a job.
#[derive(Clone, Copy)]
pub enum Then {
    /// It is the answer.
    Answer,
    /// A descriptor is made; `true` for a directory.
    Descriptor {
        /// Of a directory.
        directory: bool,
        /// Writes go to the end.
        append: bool,
    },
    /// The position of the open file moves on, from the one that the job began with.
    Advance(Place),
    /// The position becomes the value, which is the file's size, and this many bytes.
    SeekEnd {
        /// The open file.
        place: Place,
        /// Bytes from the end.
        offset: i64,
    },
    /// A directory's place moves on, and mount points go there after its last entry.
    Listed(Place, Piece),
    /// The numbers are written there.
    Fill(IntsPiece),
    /// The numbers are written there, and a text.
    Describe(IntsPiece, Piece),
    /// The text is written there.
    Text(Piece),
    /// What only some programs do with it, as in [`Work::With`].
    With(fn(&mut Runtime, Value) -> Ended),
    /// It is forgotten again where that failed.
    Mounted,
    /// The volume is forgotten, or mounted again where it couldn't be given up.
    Unmounted,
    /// One part of a `sync` of all volumes.
    Synced,
    /// Whoever wanted it mounted has been told that the disk doesn't answer: it is given up.
    Unwanted,
    /// Nobody waits for it.
    Nothing,
}

/// A job in the queue of its volume.
pub struct Job {
    /// Its operation; 0 when nobody waits.
    pub token: u64,
    /// What is to be done.
    pub work: Work,
    /// And with the result.
    pub then: Then,
    /// The path that it is about.
    pub walking: Option<Box<Walking>>,
}

/// A job that is being done.
pub struct Running {
    token: u64,
    then: Then,
    walking: Option<Box<Walking>>,
    /// The token that it had, until its caller has been told that the memory it lent is still in
    /// use.
    given_up: u64,
    /// Its answer says that things are durable, or it has begun a flush: it waits for the flush
    /// that is under way.
    durable: bool,
    /// It gives the volume up.
    last: bool,
    /// All that is to be said of what was lost before it began has been said.
    excused: bool,
    /// What its answer waits for when it is done.
    held: Option<Held>,
}

impl Running {
    /// Begins a job, whose work and `then` stay there, on a volume that has lost something or not.
    fn of(job: &mut Job, lost: bool) -> Running {
        let last = matches!(job.work, Work::Unmount);
        Running {
            token: job.token,
            then: job.then,
            walking: job.walking.take(),
            given_up: 0,
            durable: job.work.is_durable(),
            last,
            excused: last && lost,
            held: None,
        }
    }
}

/// A mounted volume.
pub struct Volume {
    /// What it is.
    pub spec: Spec,
    /// Its disk, or [`NO_DISK`], and the fiber on which it lives.
    disk: Option<(usize, &'static Port)>,
    /// The sectors of its partition, where it is on one.
    claim: Option<(u64, u64)>,
    /// The volume itself where it needs no disk.
    alone: Option<Box<dyn ::fs::Volume>>,
    queue: VecDeque<Job>,
    /// The job that is being done now.
    running: Option<Running>,
    /// Syncs that had been asked for when it began, which is one as well: what it makes durable is
    /// theirs, too.
    along: Vec<Running>,
    /// Requests of the fiber that the disk has not done.
    outstanding: usize,
    /// The first failure among them.
    failed: Option<BlockError>,
    /// The fiber's last event, when time for others had come.
    postponed: Option<Event>,
    /// The fiber waits for whatever may happen.
    paused: bool,
    /// Jobs that are done but for what their answers wait for.
    held: Vec<(Running, Result<Value, Failure>)>,
    /// See [`Flushing`].
    flushing: Option<Flushing>,
    /// A flush failed after the fiber had gone on: its next write or flush fails, and what is to be
    /// durable until then.
    unflushed: Option<BlockError>,
    /// What failed then though the volume takes it for written: it can't be read.
    lost: Option<Behind>,
    /// When the disk will have taken too long for what the fiber asked for.
    until: u64,
    /// What that was put off to, for who looked late.
    granted: u64,
    /// The disk has taken too long, and what calls are told until it answers.
    overdue: Option<String>,
    /// The last job has been queued.
    last: bool,
}

impl Volume {
    /// What `spec` says, which is opened by the first job.
    pub fn new(spec: Spec) -> Volume {
        Volume {
            spec,
            disk: None,
            claim: None,
            alone: None,
            queue: VecDeque::new(),
            running: None,
            along: Vec::new(),
            outstanding: 0,
            failed: None,
            postponed: None,
            paused: false,
            held: Vec::new(),
            flushing: None,
            unflushed: None,
            lost: None,
            until: 0,
            granted: 0,
            overdue: None,
            last: false,
        }
    }

    /// That is there already, and on no disk.
    pub fn of(spec: Spec, alone: Box<dyn ::fs::Volume>) -> Volume {
        Volume {
            alone: Some(alone),
            ..Volume::new(spec)
        }
    }

    /// Whether there is nothing to do, or nothing that can be waited for.
    pub fn is_idle(&self) -> bool {
        let idle = self.running.is_none() && self.queue.is_empty() && self.flushing.is_none();
        idle && self.held.is_empty() || self.overdue.is_some()
    }

    /// Whether the next job can begin.
    fn is_free(&self) -> bool {
        let held = self.flushing.as_ref().map_or(&[][..], |f| &f.held);
        // A volume is given up after all else, and nothing begins after that.
        let is_last = |job: &Job| matches!(job.work, Work::Unmount);
        let waits = self.running.is_some()
            || self.overdue.is_some()
            || WAITS && !self.held.is_empty() && self.queue.front().is_some_and(is_last);
        !waits && !held.iter().chain(&self.held).any(|(job, _)| job.last)
    }

    /// Whether it could go on at once.
    pub fn is_runnable(&self) -> bool {
        let refuses = self.overdue.is_some() && self.queue.iter().any(|job| job.token != 0);
        self.postponed.is_some() || refuses || self.is_free() && !self.queue.is_empty()
    }

    /// Whether its disk makes durable what was written when it is told to.
    pub fn flushes(&self) -> bool {
        self.disk.is_none_or(|(_, port)| port.geometry().flushes)
    }

    /// Whether something failed that it takes for written.
    pub fn is_lost(&self) -> bool {
        self.disk.is_some_and(|(_, port)| port.lost.get())
    }

    /// Whether its file system is gone, and the disk has nothing of it: the fiber is free for
    /// another.
    pub fn is_over(&self) -> bool {
        let waits = self.running.is_some() || self.outstanding > 0 || self.flushing.is_some();
        let is_empty = self.disk.is_none_or(|(_, port)| port.is_empty());
        !waits && self.overdue.is_none() && is_empty
    }

    /// Does a job now that changes nothing, if nothing is done before it and everything that it
    /// needs is in memory: no fiber, no queue, no completion. `None`: to be done in the ordinary
    /// way.
    pub fn on_the_spot(&mut self, work: Work) -> Option<Value> {
        let flushing = self.flushing.as_ref();
        let waits = flushing.is_some_and(|flushing| !flushing.waiting.is_empty());
        if waits || !self.queue.is_empty() || self.postponed.is_some() || !self.is_free() {
            return None;
        }
        match (self.disk, &mut self.alone) {
            (Some((disk, port)), _) => {
                let done = port.on_the_spot(work)?;
                if !WAITS || disk != NO_DISK {
                    port.counters.count_hit();
                    CACHE.count_hit();
                }
                Some(done)
            }
            (None, Some(alone)) => perform(&mut **alone, work, &Cell::new(false)).ok(),
            (None, None) => None,
        }
    }

    /// Whether something that has happened could be what it waits for.
    pub fn is_waiting(&self) -> bool {
        WAITS && (self.paused || !self.held.is_empty())
    }

    /// Whether anything was done on it.
    pub fn is_open(&self) -> bool {
        self.disk.is_some() || self.alone.is_some()
    }

    /// The disk and the fiber, for others: the volume is over. What waits for it is handed over as
    /// well.
    pub fn end(mut self) -> (Option<(usize, &'static Port)>, VecDeque<Job>) {
        (self.disk.take(), core::mem::take(&mut self.queue))
    }

    /// Tells the job with this token, if it is under way, to end early where it can.
    pub fn give_up(&mut self, token: u64) {
        if let (Some(running), Some((_, port))) = (&self.running, self.disk)
            && running.token == token
        {
            port.cancelled.set(true);
        }
    }

    /// What its cache has done; nothing where it has none, or isn't mounted yet.
    pub fn cache_counts(&self) -> CacheCounts {
        self.disk
            .map(|(_, port)| port.counters.counts())
            .unwrap_or_default()
    }

    /// Puts a job at the end of the queue.
    pub fn push(&mut self, job: Job) -> Result<(), Error> {
        self.queue.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.queue.push_back(job);
        Ok(())
    }

    /// Queues the last work before exit, once: all is written, and a journal left empty, whatever
    /// is open.
    pub fn end_at_exit(&mut self) {
        if self.is_open() && !self.last {
            let job = Job {
                token: 0,
                work: Work::Unmount,
                then: Then::Nothing,
                walking: None,
            };
            self.last = self.push(job).is_ok();
        }
    }

    /// Has the syncs that come next in the queue done with this one, which then is one of the whole
    /// volume. What each has to make durable was done before it was asked for, and so before this
    /// one begins; if each began when the one before has ended, what others changed meanwhile would
    /// cost a commit for each.
    fn take_along(&mut self, job: &mut Job) {
        let is_sync = |job: &Job| matches!(job.work, Work::Sync | Work::SyncFile(_));
        let is_on_disk = self.disk.is_some_and(|(disk, _)| disk != NO_DISK);
        if !is_on_disk || !is_sync(job) {
            return;
        }
        while self.queue.front().is_some_and(is_sync) && self.along.try_reserve(1).is_ok() {
            let Some(mut other) = self.queue.pop_front() else {
                return;
            };
            job.work = Work::Sync;
            self.along.push(Running::of(&mut other, false));
        }
    }

    /// Takes a job out of the queue that has not begun.
    pub fn take_back(&mut self, token: u64) -> bool {
        let waiting = self.flushing.as_mut().map(|flushing| &mut flushing.waiting);
        if let Some(waiting) = waiting
            && let Some(place) = waiting.iter().position(|job| job.token == token)
        {
            waiting.remove(place);
            return true;
        }
        let before = self.queue.len();
        self.queue.retain(|job| job.token != token);
        self.queue.len() < before
    }
}

fn volume(rt: &mut Runtime, index: usize) -> Option<&mut Volume> {
    rt.files.as_deref_mut()?.volumes.get_mut(index)
}

/// The disk has done a request of a volume; its tag is the volume's index.
fn report(rt: &mut Runtime, _disk: usize, tag: u64, result: Result<(), BlockError>) {
    if tag & (FLUSH | BEHIND) != 0 {
        return flushed(rt, (tag & !(FLUSH | BEHIND)) as usize, result);
    }
    let index = tag as usize;
    let Some(volume) = volume(rt, index) else {
        return;
    };
    volume.outstanding = volume.outstanding.saturating_sub(1);
    if let Err(error) = result {
        volume.failed.get_or_insert(error);
    }
    if volume.outstanding > 0 {
        return;
    }
    let reply = volume.failed.take().map_or(Ok(()), Err);
    if let Some((_, port)) = volume.disk {
        let event = port.resume(reply);
        go_on(rt, index, event);
    }
}

/// Something has happened, which may be what a volume waits for.
pub fn look(rt: &mut Runtime, index: usize) {
    let mut place = 0;
    while let Some((job, _)) = volume(rt, index).and_then(|volume| volume.held.get_mut(place)) {
        match job.held.as_mut().and_then(|held| held()) {
            None => place += 1,
            Some(ended) => {
                let Some(volume) = volume(rt, index) else {
                    return;
                };
                let (job, result) = volume.held.remove(place);
                let failed = |error| Failure::from(code(error));
                conclude(
                    rt,
                    index,
                    job,
                    result.and_then(|value| ended.map(|()| value).map_err(failed)),
                );
            }
        }
    }
    let Some(volume) = volume(rt, index) else {
        return;
    };
    if core::mem::take(&mut volume.paused)
        && let Some((_, port)) = volume.disk
    {
        let event = port.resume(Ok(()));
        go_on(rt, index, event);
    }
}

/// Begins or goes on with what a volume has to do.
pub fn run(rt: &mut Runtime, index: usize) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    if let Some(event) = volume.postponed.take() {
        go_on(rt, index, Some(event));
    } else if let Some(line) = volume.overdue.clone() {
        refuse(rt, index, &line);
    } else if volume.is_free() {
        next(rt, index, Current::monotonic_ns() + SLICE_NS);
    }
}

fn go_on(rt: &mut Runtime, index: usize, event: Option<Event>) {
    let until = Current::monotonic_ns() + SLICE_NS;
    drive(rt, index, event, until);
    next(rt, index, until);
}

/// Starts jobs while the fiber is free and there is time.
fn next(rt: &mut Runtime, index: usize, until: u64) {
    while let Some(volume) = volume(rt, index).filter(|volume| volume.is_free()) {
        if Current::monotonic_ns() >= until {
            return;
        }
        let Some(job) = volume.queue.pop_front() else {
            return;
        };
        let job = match &mut volume.flushing {
            Some(flushing) => flushing.wait(job),
            None => Some(job),
        };
        let Some(mut job) = job else { continue };
        volume.take_along(&mut job);
        let (last, lost) = (volume.last, volume.is_lost());
        volume.running = Some(Running::of(&mut job, lost));
        if matches!(job.work, Work::Unmount) && !last && is_used(rt, index) {
            let failure = Failure::new(Error::Busy, "files on it are open");
            done(rt, index, Err(failure));
        } else if let Err(failure) = open(rt, index) {
            done(rt, index, Err(failure));
        } else {
            begin(rt, index, job.work, job.then, until);
        }
    }
}

/// Whether a descriptor stands for something on the volume.
fn is_used(rt: &Runtime, index: usize) -> bool {
    rt.files
        .as_deref()
        .is_some_and(|files| files.has_open(index))
}

/// Does a job on its volume, which is open.
fn begin(rt: &mut Runtime, index: usize, work: Work, then: Then, until: u64) {
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
    let work = files.place(work, then);
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    if let Some((disk, port)) = volume.disk {
        if work.is_durable() && !port.lost.get() && volume.flushing.is_none() {
            flush_again(rt, index, disk, port);
        }
        let event = port.start(work);
        return drive(rt, index, event, until);
    }
    let Some(mut alone) = volume.alone.take() else {
        return;
    };
    let result = perform(&mut *alone, work, &Cell::new(false))
        .map_err(|error| Failure::new(code(error), detail(&*alone, error)));
    if let Some(volume) = self::volume(rt, index) {
        volume.alone = Some(alone);
    }
    done(rt, index, result);
}

/// Has the disk flush once more what a flush that failed was to make durable: the file system takes
/// that for durable, and asks for another only when it has written something.
fn flush_again(rt: &mut Runtime, index: usize, disk: usize, port: &Port) {
    let unflushed = volume(rt, index).and_then(|volume| volume.unflushed.take());
    if unflushed.is_none() {
        return;
    }
    let begun = submit(rt, index, disk, port.geometry(), &Event::Flush(true));
    if let (Some(Err(error)), Some(volume)) = (begun, volume(rt, index)) {
        volume.unflushed = Some(error);
    }
}

/// Serves the fiber's requests until it has to wait, has done its job, or time is up.
fn drive(rt: &mut Runtime, index: usize, mut event: Option<Event>, until: u64) {
    loop {
        let Some(now) = event.take() else { return };
        let now = match now {
            Event::Done(result) => return done(rt, index, result),
            Event::Wait if WAITS => {
                if let Some(volume) = volume(rt, index) {
                    volume.paused = true;
                }
                return;
            }
            Event::Hold(held) if WAITS => {
                let Some(volume) = volume(rt, index) else {
                    return;
                };
                if let Some(running) = &mut volume.running {
                    running.held = Some(held);
                }
                event = volume.disk.and_then(|(_, port)| port.resume(Ok(())));
                continue;
            }
            now => now,
        };
        if Current::monotonic_ns() >= until {
            if let Some(volume) = volume(rt, index) {
                volume.postponed = Some(now);
            }
            return;
        }
        let Some(volume) = volume(rt, index) else {
            return;
        };
        let Some((disk, port)) = volume.disk else {
            return;
        };
        let sector_size = port.geometry().sector_size;
        let writes = matches!(now, Event::Write(..) | Event::Batch(_) | Event::Flush(_));
        let is_lost = match now {
            Event::Read(sector, _, len) => overlaps(&volume.lost, sector, len, sector_size),
            _ => writes && port.lost.get(),
        };
        if is_lost {
            event = port.resume(Err(BlockError::Io));
            continue;
        }
        let running = volume.running.as_ref();
        let began = running.is_some_and(|running| running.durable);
        if let Some(flushing) = &mut volume.flushing {
            match flushing.defer(&now, began, sector_size) {
                Deferral::Passes => (),
                Deferral::Kept => {
                    event = port.resume(Ok(()));
                    continue;
                }
                Deferral::Waits => {
                    flushing.blocked = Some(now);
                    return;
                }
            }
        }
        if writes && let Some(error) = volume.unflushed.take() {
            event = port.resume(Err(error));
            continue;
        }
        match submit(rt, index, disk, port.geometry(), &now) {
            None => return,
            Some(reply) => event = port.resume(reply),
        }
    }
}

/// Gives the requests of an event to the disk; the reply if they are all done already.
fn submit(
    rt: &mut Runtime,
    index: usize,
    disk: usize,
    geometry: Geometry,
    event: &Event,
) -> Option<Result<(), BlockError>> {
    let mut submitted = Outcome {
        waiting: 0,
        failed: None,
    };
    let patience_ns = rt.files.as_deref()?.patience_ns;
    let until = Current::monotonic_ns().saturating_add(patience_ns);
    let disks = rt.disks.as_deref_mut()?;
    let mut one = |request: Request| {
        if request.is_within(geometry) {
            submitted.note(disks.submit(disk, request, index as u64));
        } else {
            submitted.failed.get_or_insert(BlockError::OutOfRange);
        }
    };
    match *event {
        Event::Done(_) | Event::Wait | Event::GiveWay | Event::Hold(_) => (),
        Event::Claim(first, sectors) => {
            let claimed = claim(rt, index, disk, (first, sectors));
            return Some(claimed.map_err(|_| BlockError::Io));
        }
        Event::Read(sector, to, len) => one(Request::Read { sector, to, len }),
        Event::Write(sector, from, len) => one(Request::Write {
            sector,
            from,
            len,
            together: false,
        }),
        Event::Flush(ordered) => {
            let submitted = disks.submit(disk, Request::Flush, index as u64 | FLUSH);
            if let (Ok(None), Some(volume)) = (submitted, volume(rt, index)) {
                volume.flushing = Some(Flushing::new(until, ordered));
                if let Some(running) = &mut volume.running {
                    running.durable = true;
                }
            }
            return Some(submitted.map_or(Err(BlockError::Io), |done| done.unwrap_or(Ok(()))));
        }
        Event::Batch(writes) => {
            // SAFETY: the fiber is suspended in `write_batch`, whose argument this is.
            for (sector, data) in unsafe { writes.as_ref() } {
                let from = NonNull::from(*data).cast();
                one(Request::Write {
                    sector: *sector,
                    from,
                    len: data.len(),
                    together: true,
                });
            }
        }
    }
    let Outcome { waiting, failed } = submitted;
    if waiting == 0 {
        return Some(failed.map_or(Ok(()), Err));
    }
    if let Some(volume) = volume(rt, index) {
        volume.outstanding = waiting;
        volume.until = until;
        volume.failed = failed;
    }
    None
}

/// What became of the requests of an event.
struct Outcome {
    waiting: usize,
    failed: Option<BlockError>,
}

impl Outcome {
    fn note(&mut self, submitted: Result<Option<Result<(), BlockError>>, Error>) {
        match submitted {
            Ok(None) => self.waiting += 1,
            Ok(Some(Ok(()))) => (),
            Ok(Some(Err(error))) => {
                self.failed.get_or_insert(error);
            }
            Err(_) => {
                self.failed.get_or_insert(BlockError::Io);
            }
        }
    }
}

/// A job is done.
fn done(rt: &mut Runtime, index: usize, result: Result<Value, Failure>) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    let Some(running) = volume.running.take() else {
        return;
    };
    volume.settle();
    let along = core::mem::take(&mut volume.along);
    let same = |result: &Result<Value, Failure>| match result {
        Ok(_) => Ok(Value::Number(0)),
        Err(failure) => Err(failure.clone()),
    };
    let others: Vec<_> = along.into_iter().map(|job| (job, same(&result))).collect();
    match &mut volume.flushing {
        _ if WAITS && running.held.is_some() => volume.held.push((running, result)),
        Some(flushing) if running.durable => {
            flushing.held.push((running, result));
            flushing.held.extend(others);
        }
        _ => {
            conclude(rt, index, running, result);
            for (job, result) in others {
                conclude(rt, index, job, result);
            }
        }
    }
}

/// A job is done, and durable if it has to be.
fn conclude(rt: &mut Runtime, index: usize, job: Running, result: Result<Value, Failure>) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    let lost = !job.excused && volume.is_lost();
    let unflushed = volume.unflushed.or(lost.then_some(BlockError::Io));
    let result = match unflushed {
        Some(error) if job.durable => result.and(Err(crate::disks::error(error).into())),
        _ => result,
    };
    let label = volume.spec.label();
    let result = result.map_err(|failure| {
        if failure.detail.is_empty() || failure.detail.contains(label.as_str()) {
            failure
        } else {
            failure.within(&label)
        }
    });
    let Running {
        token,
        then,
        walking,
        ..
    } = job;
    finished(rt, index, token, then, walking, result);
}
