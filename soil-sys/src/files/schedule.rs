//! The schedule of one volume: which job is next, what its fiber waits for, which answers wait.
//!
//! It is told what has happened, and [`Schedule::next`] says what to do; `execute` does that, with
//! the fiber and the device. So all orders of events can be tested without either.
//!
//! The active job, by [`Phase`]:
//!
//! ```text
//!   (no job) ◀────────────────────────── finish ──────────────────────────┐
//!      │ begin                                                            │
//!      ▼                                                                  │ Done
//!   Opening ──opened──▶ Starting ──Start──▶ Running ──suspended──▶ Suspended
//!      │                   ▲                   ▲                      │
//!      └──▶ Reflushing ────┘                Resume                    │ Access, Claim,
//!           (a flush had failed)               │                      │ Events, Yield
//!                                           Resuming ◀── at once ─────┤
//!                                              ▲                      ▼
//!                                              ├── completed ────── Device
//!                                              ├── poll_events ──── Events
//!                                              └── flush over ───── Barrier (asks again)
//! ```
//!
//! A job that is done is answered at once, or waits with its result: for the flush under way, if
//! the answer promises that something is durable; or for the platform, if the volume said so.
//!
//! The device, by [`Device`]: `Answering ──time_out──▶ TimedOut ──nothing is asked of it──▶
//! Answering`. While it is timed out, every operation fails and no job begins. The fiber stays where
//! it is, and with it the memory that the device has; it goes on when the device answers, so that
//! the file system never sees a request that failed and was done after all.

use super::drivers::WAITS;
use super::job::{Job, Waiter};
use super::request::{Outcome, Request, Value};
use super::resolution::Resolution;
use super::worker::{Access, Suspension};
use crate::error::{Error, Failure};
use ::fs::BlockError;
use ::fs::barrier::{Admission, Barrier, Next};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use platform::volume::SuspendedAnswer;

/// How much later than at its deadline a device may be given up, once, in nanoseconds: a caller
/// that looks later has itself stood still, and perhaps the device with it (a paused machine).
const GRACE_NS: u64 = 500_000_000;

/// What is to be done for a volume.
pub enum Action {
    /// Nothing, until something happens or the next time slice.
    Wait,
    /// Open the volume, unless that is done; then [`Schedule::opened`] or [`Schedule::finish`].
    Open {
        /// It fails while files on the volume are open.
        unmounts: bool,
    },
    /// Start a request; then [`Schedule::suspended`] or [`Schedule::finish`].
    Start(Request, Waiter),
    /// Resume the fiber; then [`Schedule::suspended`].
    Resume(Result<(), BlockError>),
    /// Give the device the fiber's access; then [`Schedule::submitted`].
    Submit(Access),
    /// Give the device a flush; then [`Schedule::flush_submitted`].
    Flush {
        /// What is written later must not be durable before.
        ordered: bool,
    },
    /// Reserve so many sectors from the first on for the volume; then [`Schedule::claimed`].
    Claim(u64, u64),
    /// Tell the waiter.
    Answer(Answered),
    /// Tell the waiter that the device has timed out. Its job may go on.
    Abandon(Waiter),
}

/// A job that is done, durable if it has to be.
pub struct Answered {
    /// Who waits for it.
    pub waiter: Waiter,
    /// The path that it was a step of.
    pub resolution: Option<Box<Resolution>>,
    /// What it gave.
    pub outcome: Outcome,
}

/// What is left of a job that has begun, beside its request.
struct Begun {
    waiter: Waiter,
    resolution: Option<Box<Resolution>>,
    /// The token of the operation that timed out, until its caller has been told that the memory it
    /// lent is still in use; else 0.
    abandoned: u64,
    /// Its answer promises that something is durable, or it has begun a flush.
    durable: bool,
    /// It unmounts the volume: no job begins after it.
    last: bool,
    /// It reports no loss: it unmounts a volume whose loss was reported before.
    excused: bool,
}

impl Begun {
    fn new(job: &mut Job, lost: bool) -> Begun {
        let last = matches!(job.request, Request::Unmount);
        Begun {
            waiter: job.waiter,
            resolution: job.resolution.take(),
            abandoned: 0,
            durable: job.request.is_durable(),
            last,
            excused: last && lost,
        }
    }

    /// The operation that waits for it, which is not told of it any more.
    fn abandon(&mut self) -> Option<Waiter> {
        let waiter = self.waiter;
        if waiter.token() == 0 {
            return None;
        }
        self.abandoned = waiter.token();
        self.resolution = None;
        self.waiter = waiter.abandoned();
        Some(waiter)
    }
}

/// See the drawing in the module's head.
enum Phase {
    /// The volume is opened.
    Opening(Request),
    /// The device flushes once more what a failed flush was to make durable: the file system takes
    /// that for durable.
    Reflushing(Request),
    /// The request is about to start.
    Starting(Request),
    /// An action is being done for it.
    Running,
    /// The fiber has asked for this.
    Suspended(Suspension),
    /// The fiber is about to go on.
    Resuming(Result<(), BlockError>),
    /// The fiber waits for the device.
    Device {
        /// Requests that the device has not done; at least one.
        outstanding: usize,
        /// The first failure among those that are done.
        failed: Option<BlockError>,
        /// When the device will have timed out.
        due: u64,
    },
    /// The fiber's access waits for the flush under way.
    Barrier(Access),
    /// The fiber waits for anything that the platform may report.
    Events,
}

/// The job that is being done.
struct Active {
    job: Begun,
    /// Syncs that this one does as well.
    merged: Vec<Begun>,
    /// What its answer waits for when it is done.
    suspended: Option<SuspendedAnswer>,
    phase: Phase,
}

/// Whether the device answers in time.
enum Device {
    Answering {
        /// The deadline to which one was put off already.
        granted: u64,
    },
    /// What operations are told, and what the device is called.
    TimedOut { line: String, label: String },
}

/// See the module's head.
pub struct Schedule {
    queue: VecDeque<Job>,
    active: Option<Active>,
    /// What the flush under way allows.
    barrier: Barrier,
    /// When the device will have timed out for that flush.
    flush_due: u64,
    /// Jobs that begin when it is over, before those of the queue.
    after_flush: VecDeque<Job>,
    /// Jobs that are done, but for that flush.
    unflushed: Vec<(Begun, Outcome)>,
    /// Jobs that are done, but for what the platform does.
    suspended: Vec<(Begun, Outcome, SuspendedAnswer)>,
    /// Jobs that are done, and whose waiters are to be told.
    done: VecDeque<Answered>,
    device: Device,
    /// The volume is on a disk, where one sync costs as much as several.
    merges_syncs: bool,
    /// The job that ends the volume at exit has been queued.
    exiting: bool,
}

impl Schedule {
    /// Nothing to do.
    pub const fn new() -> Schedule {
        Schedule {
            queue: VecDeque::new(),
            active: None,
            barrier: Barrier::new(),
            flush_due: 0,
            after_flush: VecDeque::new(),
            unflushed: Vec::new(),
            suspended: Vec::new(),
            done: VecDeque::new(),
            device: Device::Answering { granted: 0 },
            merges_syncs: false,
            exiting: false,
        }
    }

    /// Puts a job at the end of the queue.
    pub fn push(&mut self, job: Job) -> Result<(), Error> {
        self.queue.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.queue.push_back(job);
        Ok(())
    }

    /// Queues the last job before exit, once: all is written, and a journal left empty, whatever is
    /// open.
    pub fn exit(&mut self) {
        let job = Job::new(Waiter::None, Request::Unmount);
        self.exiting = self.exiting || self.push(job).is_ok();
    }

    /// Takes back the job of an operation, if it has not begun; whether it did.
    pub fn take_back(&mut self, token: u64) -> bool {
        for queue in [&mut self.after_flush, &mut self.queue] {
            let place = queue.iter().position(|job| job.waiter.token() == token);
            if place.and_then(|place| queue.remove(place)).is_some() {
                return true;
            }
        }
        false
    }

    /// Whether the job of an operation is being done.
    pub fn is_active(&self, token: u64) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| active.job.waiter.token() == token)
    }

    /// The jobs that have not begun, of a volume that is forgotten.
    pub fn into_queue(self) -> VecDeque<Job> {
        self.queue
    }

    // States.

    /// Whether a job could begin.
    fn is_free(&self) -> bool {
        // A volume is unmounted after all else is answered, and nothing begins after that.
        let is_unmount = |job: &Job| matches!(job.request, Request::Unmount);
        let waits = self.active.is_some()
            || self.is_timed_out()
            || WAITS && !self.suspended.is_empty() && self.queue.front().is_some_and(is_unmount);
        let unflushed = self.unflushed.iter().map(|(job, _)| job);
        let suspended = self.suspended.iter().map(|(job, ..)| job);
        !waits && !unflushed.chain(suspended).any(|job| job.last)
    }

    /// Whether nothing is queued or active, so that a read may be done without a job.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.after_flush.is_empty() && self.is_free()
    }

    /// Whether there is nothing to do, or nothing that can be waited for.
    pub fn is_idle(&self) -> bool {
        let is_empty = self.active.is_none() && self.queue.is_empty() && self.done.is_empty();
        is_empty && !self.barrier.is_pending() && self.suspended.is_empty() || self.is_timed_out()
    }

    /// Whether nothing is asked of the device.
    pub fn is_over(&self) -> bool {
        self.active.is_none() && !self.barrier.is_pending() && !self.is_timed_out()
    }

    /// Whether [`next`](Self::next) has something to do in another time slice.
    pub fn is_runnable(&self) -> bool {
        let refuses = |job: &Job| job.waiter.token() != 0;
        let goes_on = self.active.as_ref().is_some_and(|active| {
            let waits = matches!(
                active.phase,
                Phase::Running | Phase::Device { .. } | Phase::Barrier(_) | Phase::Events
            );
            !waits
        });
        goes_on
            || !self.done.is_empty()
            || self.is_timed_out() && self.queue.iter().any(refuses)
            || !self.queue.is_empty() && self.is_free()
    }

    fn is_timed_out(&self) -> bool {
        matches!(self.device, Device::TimedOut { .. })
    }

    /// What operations are told while the device is timed out.
    pub fn timed_out(&self) -> Option<&str> {
        match &self.device {
            Device::Answering { .. } => None,
            Device::TimedOut { line, .. } => Some(line),
        }
    }

    /// Whether a write was lost that the file system takes for written.
    pub fn is_lost(&self) -> bool {
        self.barrier.is_lost()
    }

    // What to do.

    /// What is to be done now. `is_over` says that the time slice is: then no job begins, and the
    /// fiber gets nothing from the device.
    pub fn next(&mut self, is_over: impl Fn() -> bool, sector_size: usize) -> Action {
        loop {
            if let Some(answered) = self.done.pop_front() {
                return Action::Answer(answered);
            }
            if let Some(waiter) = self.next_to_abandon() {
                return Action::Abandon(waiter);
            }
            let Some(active) = &mut self.active else {
                if is_over() || !self.begin() {
                    return Action::Wait;
                }
                continue;
            };
            match core::mem::replace(&mut active.phase, Phase::Running) {
                Phase::Opening(request) => {
                    let unmounts = active.job.last && !self.exiting;
                    active.phase = Phase::Opening(request);
                    return Action::Open { unmounts };
                }
                Phase::Reflushing(request) => {
                    active.phase = Phase::Starting(request);
                    return Action::Flush { ordered: true };
                }
                Phase::Starting(request) => return Action::Start(request, active.job.waiter),
                Phase::Resuming(reply) => return Action::Resume(reply),
                Phase::Suspended(Suspension::Done(outcome)) => self.finish(outcome),
                Phase::Suspended(Suspension::Events) if WAITS => active.phase = Phase::Events,
                Phase::Suspended(Suspension::Answer(answer)) if WAITS => {
                    active.suspended = Some(answer);
                    active.phase = Phase::Resuming(Ok(()));
                }
                waiting @ Phase::Suspended(_) if is_over() => {
                    active.phase = waiting;
                    return Action::Wait;
                }
                Phase::Suspended(Suspension::Access(access)) => {
                    if let Some(action) = self.admit(access, sector_size) {
                        return action;
                    }
                }
                Phase::Suspended(Suspension::Claim(first, sectors)) => {
                    return Action::Claim(first, sectors);
                }
                Phase::Suspended(_) => active.phase = Phase::Resuming(Ok(())),
                waiting => {
                    active.phase = waiting;
                    return Action::Wait;
                }
            }
        }
    }

    /// Begins the next job, if one can begin.
    fn begin(&mut self) -> bool {
        while self.is_free()
            && let Some(mut job) = self.queue.pop_front()
        {
            if self.barrier.is_pending() && self.waits_for_flush(&job) {
                self.after_flush.push_back(job);
                continue;
            }
            let merged = self.merge_syncs(&mut job);
            self.active = Some(Active {
                job: Begun::new(&mut job, self.barrier.is_lost()),
                merged,
                suspended: None,
                phase: Phase::Opening(job.request),
            });
            return true;
        }
        false
    }

    /// Whether a job begins after the flush under way: its answer says that something is durable,
    /// so that one flush does for all of these; or it closes a file that such a one is about, or
    /// comes after that.
    fn waits_for_flush(&self, job: &Job) -> bool {
        let mut before = self.after_flush.iter();
        let waits = match job.request {
            _ if job.request.is_durable() => true,
            Request::Close(file) => before
                .clone()
                .any(|job| matches!(job.request, Request::SyncFile(synced) if synced == file)),
            _ => false,
        };
        waits || before.any(|job| matches!(job.request, Request::Close(_)))
    }

    /// Takes the syncs that come next in the queue along with `job`, if that is one: it becomes one
    /// of the whole volume. What each has to make durable was done before it was asked for, and so
    /// before this one begins. One after the other, each would commit what others changed meanwhile.
    fn merge_syncs(&mut self, job: &mut Job) -> Vec<Begun> {
        let is_sync = |job: &Job| matches!(job.request, Request::Sync | Request::SyncFile(_));
        let mut merged = Vec::new();
        if !self.merges_syncs || !is_sync(job) {
            return merged;
        }
        while self.queue.front().is_some_and(is_sync) && merged.try_reserve(1).is_ok() {
            let Some(mut other) = self.queue.pop_front() else {
                break;
            };
            job.request = Request::Sync;
            merged.push(Begun::new(&mut other, false));
        }
        merged
    }

    /// Decides about the active job's access to the device.
    fn admit(&mut self, access: Access, sector_size: usize) -> Option<Action> {
        let active = self.active.as_mut()?;
        let admission = access.with(|access| {
            let own = active.job.durable;
            self.barrier.admit(access, own, sector_size)
        });
        active.phase = match admission {
            Admission::Pass => {
                return Some(match access {
                    Access::Flush { ordered } => Action::Flush { ordered },
                    access => Action::Submit(access),
                });
            }
            Admission::Held => Phase::Resuming(Ok(())),
            Admission::Wait => Phase::Barrier(access),
            Admission::Fail(error) => Phase::Resuming(Err(error)),
        };
        None
    }

    // What has happened.

    /// The volume is open; `on_disk`: it is on one.
    pub fn opened(&mut self, on_disk: bool) {
        self.merges_syncs = on_disk;
        let Some(active) = &mut self.active else {
            return;
        };
        active.phase = match core::mem::replace(&mut active.phase, Phase::Running) {
            Phase::Opening(request) if request.is_durable() && self.barrier.take_failed_flush() => {
                Phase::Reflushing(request)
            }
            Phase::Opening(request) => Phase::Starting(request),
            other => other,
        };
    }

    /// The fiber is suspended.
    pub fn suspended(&mut self, suspension: Option<Suspension>) {
        if let (Some(active), Some(suspension)) = (&mut self.active, suspension) {
            active.phase = Phase::Suspended(suspension);
        }
    }

    /// The sectors are the volume's, or not.
    pub fn claimed(&mut self, claimed: Result<(), Error>) {
        if let Some(active) = &mut self.active {
            active.phase = Phase::Resuming(claimed.map_err(|_| BlockError::Io));
        }
    }

    /// The device has so many requests of the active job's access, until `due` at most; the others
    /// are done, and `failed` is the first failure among them.
    pub fn submitted(&mut self, outstanding: usize, failed: Option<BlockError>, due: u64) {
        if let Some(active) = &mut self.active {
            active.phase = match outstanding {
                0 => Phase::Resuming(failed.map_or(Ok(()), Err)),
                _ => Phase::Device {
                    outstanding,
                    failed,
                    due,
                },
            };
        }
    }

    /// The device has done one of them.
    pub fn completed(&mut self, result: Result<(), BlockError>) {
        if let Some(active) = &mut self.active
            && let Phase::Device {
                outstanding,
                failed,
                ..
            } = &mut active.phase
        {
            *outstanding = outstanding.saturating_sub(1);
            if let Err(error) = result {
                failed.get_or_insert(error);
            }
            if *outstanding == 0 {
                active.phase = Phase::Resuming(failed.map_or(Ok(()), Err));
            }
        }
    }

    /// The device has the flush of [`Action::Flush`], until `due` at most; or has done it.
    pub fn flush_submitted(
        &mut self,
        done: Option<Result<(), BlockError>>,
        ordered: bool,
        due: u64,
    ) {
        let Some(active) = &mut self.active else {
            return;
        };
        let reply = done.unwrap_or_else(|| {
            // The fiber isn't kept waiting: the barrier sees to the order.
            self.barrier.begin(ordered);
            self.flush_due = due;
            active.job.durable = true;
            Ok(())
        });
        match (&mut active.phase, reply) {
            (Phase::Starting(_), Ok(())) => (),
            (Phase::Starting(_), Err(error)) => self.barrier.fail(error),
            (phase, reply) => *phase = Phase::Resuming(reply),
        }
    }

    /// The device has done what it was given of the flush under way; what it gets next, until `due`
    /// at most.
    pub fn flush_completed(&mut self, result: Result<(), BlockError>, due: u64) -> Next {
        if !self.barrier.is_pending() {
            return Next::Done;
        }
        let next = self.barrier.completed(result);
        self.flush_due = due;
        if next == Next::Done {
            self.requeue();
            self.settle();
            for (job, outcome) in core::mem::take(&mut self.unflushed) {
                self.conclude(job, outcome);
            }
        }
        if next != Next::Write
            && let Some(active) = &mut self.active
            && let Phase::Barrier(access) = active.phase
        {
            active.phase = Phase::Suspended(Suspension::Access(access));
        }
        next
    }

    /// What the device writes next of the flush under way.
    pub fn held_write(&self) -> Option<(u64, &[u8])> {
        self.barrier.held()
    }

    /// Something has happened, which may be what answers or the fiber wait for.
    pub fn poll_events(&mut self) {
        let mut place = 0;
        while let Some((_, _, answer)) = self.suspended.get_mut(place) {
            let Some(ended) = answer() else {
                place += 1;
                continue;
            };
            let (job, outcome, _) = self.suspended.remove(place);
            let failed = |error| Failure::from(Error::from(error));
            self.conclude(
                job,
                outcome.and_then(|value| ended.map(|()| value).map_err(failed)),
            );
        }
        if let Some(active) = &mut self.active
            && let Phase::Events = active.phase
        {
            active.phase = Phase::Resuming(Ok(()));
        }
    }

    /// Whether [`poll_events`](Self::poll_events) could change anything.
    pub fn waits_for_events(&self) -> bool {
        let active = self.active.as_ref();
        WAITS
            && (!self.suspended.is_empty()
                || active.is_some_and(|active| matches!(active.phase, Phase::Events)))
    }

    /// The active job is done.
    pub fn finish(&mut self, outcome: Outcome) {
        let Some(active) = self.active.take() else {
            return;
        };
        self.settle();
        let others = active.merged.into_iter().map(|job| {
            let same = outcome.as_ref().map(|_| Value::Number(0));
            (job, same.map_err(Failure::clone))
        });
        let others: Vec<_> = others.collect();
        match active.suspended {
            Some(answer) if WAITS => self.suspended.push((active.job, outcome, answer)),
            _ if active.job.durable && self.barrier.is_pending() => {
                self.unflushed.push((active.job, outcome));
                self.unflushed.extend(others);
            }
            _ => {
                self.conclude(active.job, outcome);
                for (job, outcome) in others {
                    self.conclude(job, outcome);
                }
            }
        }
    }

    /// A job is done, and nothing is to be waited for: notes what its waiter is told.
    fn conclude(&mut self, job: Begun, outcome: Outcome) {
        let excused = job.excused && self.barrier.is_lost();
        let outcome = match self.barrier.loss() {
            Some(error) if job.durable && !excused => {
                outcome.and(Err(crate::disks::error(error).into()))
            }
            _ => outcome,
        };
        self.done.push_back(Answered {
            waiter: job.waiter,
            resolution: job.resolution,
            outcome,
        });
    }

    /// Has the jobs that wait for a flush come first again.
    fn requeue(&mut self) {
        while let Some(job) = self.after_flush.pop_back() {
            self.queue.push_front(job);
        }
    }

    // Time.

    /// When the device will have timed out, if anything was asked of it.
    pub fn due(&self) -> Option<u64> {
        if self.is_timed_out() {
            return None;
        }
        let flush = self.barrier.is_pending().then_some(self.flush_due);
        match self.active.as_ref().map(|active| &active.phase) {
            Some(Phase::Device { due, .. }) => Some(flush.map_or(*due, |flush| flush.min(*due))),
            _ => flush,
        }
    }

    /// Whether the device has timed out at `now`; if so, [`time_out`](Self::time_out) is next.
    pub fn is_overdue(&mut self, now: u64) -> bool {
        let Some(due) = self.due().filter(|due| *due <= now) else {
            return false;
        };
        let Device::Answering { granted } = &mut self.device else {
            return false;
        };
        // Once: a caller that is always late times it out as well.
        if now <= due.saturating_add(GRACE_NS) || *granted == due {
            return true;
        }
        let again = now.saturating_add(GRACE_NS);
        *granted = again;
        self.flush_due = self.flush_due.max(again);
        if let Some(active) = &mut self.active
            && let Phase::Device { due, .. } = &mut active.phase
        {
            *due = again.max(*due);
        }
        false
    }

    /// The device called `label` has not answered for `seconds`: all operations fail until it has
    /// done what was asked of it.
    pub fn time_out(&mut self, label: String, seconds: u64) {
        let line = format!(
            "{label} hasn't answered for {seconds} s: all that is asked of it fails until it does; \
             see what holds it up, or give it longer with SOIL_DISK_TIMEOUT=SECONDS"
        );
        log::warn!("{line}");
        self.device = Device::TimedOut { line, label };
        self.requeue();
    }

    /// The next operation that is told that the device has timed out: those whose jobs have begun,
    /// and then those in the queue, whose jobs are dropped.
    fn next_to_abandon(&mut self) -> Option<Waiter> {
        if !self.is_timed_out() {
            return None;
        }
        let active = self.active.iter_mut();
        let active =
            active.flat_map(|active| core::iter::once(&mut active.job).chain(&mut active.merged));
        let unflushed = self.unflushed.iter_mut().map(|(job, _)| job);
        if let Some(waiter) = active.chain(unflushed).find_map(Begun::abandon) {
            return Some(waiter);
        }
        let place = self.queue.iter().position(|job| job.waiter.token() != 0)?;
        self.queue.remove(place).map(|job| job.waiter)
    }

    /// Whether the active job was abandoned by this operation, whose memory it still uses; said
    /// once.
    pub fn take_abandoned(&mut self, token: u64) -> bool {
        let active = self.active.as_mut();
        let is_abandoned = |active: &&mut Active| token != 0 && active.job.abandoned == token;
        let Some(active) = active.filter(is_abandoned) else {
            return false;
        };
        active.job.abandoned = 0;
        true
    }

    /// Ends the time-out when the device has done all that was asked of it.
    fn settle(&mut self) {
        if let Device::TimedOut { label, .. } = &self.device
            && self.active.is_none()
            && !self.barrier.is_pending()
        {
            log::warn!("{label} answers again");
            self.device = Device::Answering { granted: 0 };
        }
    }
}

#[cfg(test)]
mod tests;
