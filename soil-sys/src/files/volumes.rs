//! Volumes: the queue of jobs for each, and the requests of its fiber.

use super::finished;
use super::open::Place;
use super::worker::{Event, Failure, Port, Value, Work};
use crate::disks::{Geometry, Request};
use crate::error::Error;
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use crate::ty::IntsPiece;
use ::fs::{BlockError, Clock};
use alloc::collections::VecDeque;
use alloc::string::String;
use core::ptr::NonNull;

/// How long jobs run on without a look at anything else, where the disk answers at once (the process).
const SLICE_NS: u64 = 2_000_000;
/// Memory below which caches are small, in bytes.
const SMALL_MACHINE: u64 = 32 << 20;

static CLOCK: Clock = Clock::new(|| (Current::wall_ns() / 1_000_000_000) as i64);

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
    /// A directory's place moves on.
    Listed(Place),
    /// The numbers are written there.
    Fill(IntsPiece),
    /// One part of a `sync` of all volumes.
    Synced,
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
}

/// A volume on a disk.
pub struct Volume {
    /// The disk's name, for messages.
    pub name: String,
    disk: Option<(usize, &'static Port)>,
    queue: VecDeque<Job>,
    /// The job that the fiber does now.
    running: Option<(u64, Then)>,
    /// Requests of the fiber that the disk has not done.
    outstanding: usize,
    /// The first failure among them.
    failed: Option<BlockError>,
    /// The fiber's last event, when time for others had come.
    postponed: Option<Event>,
    /// The last `sync` has been queued.
    last_sync: bool,
}

impl Volume {
    /// On the disk called `name`, which is opened by the first job.
    pub fn new(name: String) -> Volume {
        Volume {
            name,
            disk: None,
            queue: VecDeque::new(),
            running: None,
            outstanding: 0,
            failed: None,
            postponed: None,
            last_sync: false,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.queue.is_empty()
    }

    /// Whether it could go on at once.
    pub fn is_runnable(&self) -> bool {
        self.postponed.is_some() || self.running.is_none() && !self.queue.is_empty()
    }

    /// Whether anything was done on it.
    pub fn is_open(&self) -> bool {
        self.disk.is_some()
    }

    /// Puts a job at the end of the queue.
    pub fn push(&mut self, job: Job) -> Result<(), Error> {
        self.queue.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.queue.push_back(job);
        Ok(())
    }

    /// Queues the `sync` before exit, once.
    pub fn sync_at_exit(&mut self) {
        if self.is_open() && !self.last_sync {
            let job = Job {
                token: 0,
                work: Work::Sync,
                then: Then::Nothing,
            };
            self.last_sync = self.push(job).is_ok();
        }
    }

    /// Takes a job out of the queue that has not begun.
    pub fn take_back(&mut self, token: u64) -> bool {
        let before = self.queue.len();
        self.queue.retain(|job| job.token != token);
        self.queue.len() < before
    }
}

fn volume(rt: &mut Runtime, index: usize) -> Option<&mut Volume> {
    rt.files.as_deref_mut()?.volumes.get_mut(index)
}

/// Opens the disk of a volume and makes its fiber.
fn open(rt: &mut Runtime, index: usize) -> Result<(usize, &'static Port), Failure> {
    let fail = |error, detail| Failure { error, detail };
    let Some(volume) = volume(rt, index) else {
        return Err(fail(Error::Closed, String::new()));
    };
    if let Some(disk) = volume.disk {
        return Ok(disk);
    }
    let name = volume.name.clone();
    let memory = Current::memory().first().copied().unwrap_or(0);
    let Some(disks) = rt.disks.as_deref_mut() else {
        return Err(fail(Error::NoDevice, String::new()));
    };
    let Some(disk) = disks.find(&name) else {
        return Err(fail(Error::NoDevice, disks.missing(&name)));
    };
    let geometry: Geometry = disks
        .acquire(disk, report)
        .map_err(|(error, detail)| fail(error, detail))?;
    let cache = if memory < SMALL_MACHINE {
        64 << 10
    } else {
        256 << 10
    };
    let Some(port) = Port::new(geometry, cache, &CLOCK) else {
        disks.release(disk);
        return Err(fail(Error::OutOfMemory, String::new()));
    };
    if let Some(volume) = rt
        .files
        .as_deref_mut()
        .and_then(|files| files.volumes.get_mut(index))
    {
        volume.disk = Some((disk, port));
    }
    Ok((disk, port))
}

/// The disk has done a request of a volume; its tag is the volume's index.
fn report(rt: &mut Runtime, _disk: usize, tag: u64, result: Result<(), BlockError>) {
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

/// Begins or goes on with what a volume has to do.
pub fn run(rt: &mut Runtime, index: usize) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    if let Some(event) = volume.postponed.take() {
        go_on(rt, index, Some(event));
    } else if volume.running.is_none() {
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
    while let Some(volume) = volume(rt, index).filter(|volume| volume.running.is_none()) {
        if Current::monotonic_ns() >= until {
            return;
        }
        let Some(job) = volume.queue.pop_front() else {
            return;
        };
        volume.running = Some((job.token, job.then));
        match open(rt, index) {
            Err(failure) => done(rt, index, Err(failure)),
            Ok((_, port)) => {
                let work = rt
                    .files
                    .as_deref_mut()
                    .map(|files| files.place(job.work, job.then));
                let event = work.and_then(|work| port.start(work));
                drive(rt, index, event, until);
            }
        }
    }
}

/// Serves the fiber's requests until it has to wait, has done its job, or time is up.
fn drive(rt: &mut Runtime, index: usize, mut event: Option<Event>, until: u64) {
    loop {
        let Some(now) = event.take() else { return };
        if let Event::Done(result) = now {
            return done(rt, index, result);
        }
        if Current::monotonic_ns() >= until {
            if let Some(volume) = volume(rt, index) {
                volume.postponed = Some(now);
            }
            return;
        }
        let Some((disk, port)) = volume(rt, index).and_then(|volume| volume.disk) else {
            return;
        };
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
    let disks = rt.disks.as_deref_mut()?;
    let mut one = |request: Request| {
        if request.is_within(geometry) {
            submitted.note(disks.submit(disk, request, index as u64));
        } else {
            submitted.failed.get_or_insert(BlockError::OutOfRange);
        }
    };
    match *event {
        Event::Done(_) => (),
        Event::Read(sector, to, len) => one(Request::Read { sector, to, len }),
        Event::Write(sector, from, len) => one(Request::Write {
            sector,
            from,
            len,
            together: false,
        }),
        Event::Flush => one(Request::Flush),
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

/// The fiber has done its job.
fn done(rt: &mut Runtime, index: usize, result: Result<Value, Failure>) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    let Some((token, then)) = volume.running.take() else {
        return;
    };
    let result = result.map_err(|mut failure| {
        if !failure.detail.is_empty() && !failure.detail.contains(volume.name.as_str()) {
            failure.detail = alloc::format!("disk {}: {}", volume.name, failure.detail);
        }
        failure
    });
    finished(rt, index, token, then, result);
}
