//! The schedule of one volume: its next job, what its fiber waits for, and pending answers.
//!
//! A state machine without side effects: the engine reports events to it, and performs the actions
//! that [`Schedule::next`] returns with the fiber and the device. Tests can therefore run all
//! orders of events without either.
//!
//! The active job, by [`Phase`]:
//!
//! ```text
//!   (no job) ◀────────────────────────── finish ──────────────────────────┐
//!      │ begin                                                            │ Done
//!      ▼                                                                  │
//!   Opening ──opened──▶ Starting ──Start──▶ Running ──────── suspended ───┤
//!      │                   ▲                   ▲                          │ Access, Claim,
//!      └──▶ Reflushing, ───┘                Resume                        │ Yield
//!           Rewriting (a flush, or a held      │                          ▼
//!           write, had failed)                 │                          │
//!                                           Resuming ◀── at once ── Asking, Claiming, Yielded
//!                                              ▲                          │
//!                                              ├── completed ─── Device ◀─┤ submitted
//!                                              ├── flush over ── Barrier ◀┘ must wait
//!                                              └── poll_events ─ Events ◀── suspended
//! ```
//!
//! A completed job is answered at once, unless its answer has to wait: for the flush in progress,
//! if the answer guarantees durability, or for the platform, if the volume suspended the answer.
//!
//! The device, by [`Device`]: `Answering ──time_out──▶ TimedOut ──no request is outstanding──▶
//! Answering`. While it is timed out, every operation fails and no job starts. The fiber stays
//! suspended and keeps the memory that the device uses. It resumes when the device answers, so that
//! the file system never sees a failed request that was executed after all.
//!
//! A freeze, by [`Hold`]: from the start of its job on, jobs that change the volume wait apart from
//! the queue, and others run. The thaw puts them before the queue, and a job that ends the freeze
//! in the file system before all of them.

mod active;
mod timeout;

use super::drivers::WAITS;
use super::fiber::{Access, Suspension};
use super::job::request::{Outcome, Request, Value};
use super::job::resolution::Resolution;
use super::job::{Job, Waiter};
use ::fs::BlockError;
use ::fs::barrier::{Admission, Barrier, Next};
use active::{Active, Begun, Phase};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use platform::error::{Error, Failure};
use platform::folders::SuspendedAnswer;
use timeout::Device;

/// The next step for a volume.
pub enum Action {
    /// Do nothing until the next event or time slice.
    Wait,
    /// Open the volume, unless it is open; then [`Schedule::opened`] or [`Schedule::finish`].
    Open {
        /// Whether to fail while files on the volume are open.
        unmounts: bool,
    },
    /// Start a request; then [`Schedule::suspended`] or [`Schedule::finish`].
    Start(Request),
    /// Resume the fiber; then [`Schedule::suspended`].
    Resume(Result<(), BlockError>),
    /// Submit the fiber's access to the device; then [`Schedule::submitted`].
    Submit(Access),
    /// Submit a flush to the device; then [`Schedule::flush_submitted`].
    Flush {
        /// Whether later writes must not become durable before it has completed.
        ordered: bool,
    },
    /// Repeat the write that the device refused ([`Schedule::repeat`]).
    Rewrite,
    /// Claim sectors for the volume, by first sector and number; then [`Schedule::claimed`].
    Claim(u64, u64),
    /// Pass the result to the waiter.
    Answer(Answered),
    /// Fail the waiter because the device timed out. Its job may continue.
    Abandon(Waiter),
    /// Log that the device answers again.
    Recovered,
}

/// A completed job, durable if necessary.
pub struct Answered {
    /// Receiver of the result.
    pub waiter: Waiter,
    /// The path of which it is a step.
    pub resolution: Option<Box<Resolution>>,
    /// Its result.
    pub outcome: Outcome,
}

/// The jobs that wait for a thaw.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Nothing,
    /// Those that change the volume.
    Changes,
    /// All: the volume isn't open, and opening it would change it.
    Everything,
}

/// Queue of a volume's jobs, and the state of the active one.
pub struct Schedule {
    queue: VecDeque<Job>,
    active: Option<Active>,
    /// Orders writes around the flush in progress.
    barrier: Barrier,
    /// Deadline of the device for that flush.
    flush_due: u64,
    /// Jobs that will start before those in the queue, once that flush has completed or the device
    /// answers again.
    deferred: VecDeque<Job>,
    /// Completed jobs that wait for that flush.
    unflushed: Vec<(Begun, Outcome)>,
    /// Completed jobs that wait for the platform.
    suspended: Vec<(Begun, Outcome, SuspendedAnswer)>,
    /// Pending actions for waiters: answers and timeouts.
    told: Vec<Action>,
    device: Device,
    /// Whether the volume is on a disk, where one sync costs as much as several.
    merges_syncs: bool,
    /// Whether the last job before exit has been queued.
    exiting: bool,
    /// The jobs that wait for a thaw, and which do.
    held: VecDeque<Job>,
    hold: Hold,
    /// Whether the next job ends a freeze.
    thaws: bool,
}

impl Schedule {
    /// Creates an empty schedule.
    pub const fn new() -> Schedule {
        Schedule {
            queue: VecDeque::new(),
            active: None,
            barrier: Barrier::new(),
            flush_due: 0,
            deferred: VecDeque::new(),
            unflushed: Vec::new(),
            suspended: Vec::new(),
            told: Vec::new(),
            device: Device::Answering { granted: 0 },
            merges_syncs: false,
            exiting: false,
            held: VecDeque::new(),
            hold: Hold::Nothing,
            thaws: false,
        }
    }

    /// Appends a job to the queue.
    pub fn push(&mut self, job: Job) -> Result<(), Error> {
        self.queue.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.queue.push_back(job);
        Ok(())
    }

    /// Queues the last job before exit, once: it writes everything and leaves an empty journal,
    /// even if files are open.
    pub fn exit(&mut self) {
        let job = Job::new(Waiter::None, Request::Unmount);
        self.exiting = self.exiting || self.push(job).is_ok();
    }

    /// Removes the job of an operation from the queue. Returns `false` if it has started.
    pub fn cancel(&mut self, token: u64) -> bool {
        let queues = [&mut self.deferred, &mut self.held, &mut self.queue];
        queues.into_iter().any(|queue| {
            let before = queue.len();
            queue.retain(|job| job.waiter.token() != token);
            queue.len() < before
        })
    }

    /// Whether the job of an operation is active.
    pub fn is_active(&self, token: u64) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| active.job.waiter.token() == token)
    }

    /// Returns the jobs that haven't started, when the volume is removed.
    pub fn into_queue(self) -> VecDeque<Job> {
        let mut all = self.held;
        all.extend(self.queue);
        all
    }

    // Freezes.

    /// Holds all jobs until [`thaw`](Self::thaw): the volume isn't open. An open one gets the job
    /// [`Request::Freeze`] instead.
    pub fn hold_everything(&mut self) {
        self.hold = Hold::Everything;
    }

    /// Ends a freeze, in any state.
    pub fn thaw(&mut self) {
        for queue in [&mut self.queue, &mut self.deferred] {
            queue.retain(|job| !matches!(job.request, Request::Freeze));
        }
        self.thaws |= self.hold == Hold::Changes;
        self.hold = Hold::Nothing;
        core::mem::swap(&mut self.queue, &mut self.held);
        while let Some(job) = self.held.pop_front() {
            self.queue.push_back(job);
        }
    }

    /// Whether a job has to wait for the thaw.
    fn waits_for_thaw(&self, job: &Job) -> bool {
        match (self.hold, &job.request) {
            (Hold::Nothing, _) => false,
            (Hold::Everything, _) => true,
            // After the file's last change.
            (Hold::Changes, Request::Close(file)) => {
                let mut held = self.held.iter();
                held.any(|job| job.request.file() == Some(*file))
            }
            (Hold::Changes, request) => request.changes(),
        }
    }

    // States.

    /// Whether a job could start.
    fn is_free(&self) -> bool {
        // An unmount starts after all other answers, and nothing starts after it.
        let is_unmount = |job: &Job| matches!(job.request, Request::Unmount);
        let waits = self.active.is_some()
            || self.is_timed_out()
            || WAITS && !self.suspended.is_empty() && self.queue.front().is_some_and(is_unmount);
        let unflushed = self.unflushed.iter().map(|(job, _)| job);
        let suspended = self.suspended.iter().map(|(job, ..)| job);
        !waits && !unflushed.chain(suspended).any(|job| job.last)
    }

    /// Whether nothing is queued or active, so that a read needs no job.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.deferred.is_empty() && self.is_free()
    }

    /// Whether no work is left, or the device has timed out.
    pub fn is_idle(&self) -> bool {
        let is_empty = self.active.is_none() && self.queue.is_empty() && self.told.is_empty();
        let is_thawed = self.held.is_empty() && !self.thaws;
        is_empty && is_thawed && !self.barrier.is_pending() && self.suspended.is_empty()
            || self.is_timed_out()
    }

    /// Whether the device has no outstanding request.
    pub fn is_over(&self) -> bool {
        self.active.is_none() && !self.barrier.is_pending() && !self.is_timed_out()
    }

    /// Whether [`next`](Self::next) has work for another time slice.
    pub fn is_runnable(&self) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| !active.phase.waits())
            || !self.told.is_empty()
            || !self.queue.is_empty() && (self.is_timed_out() || self.is_free())
            || self.thaws && self.is_free()
    }

    /// Whether the device lost a write that the file system takes for written.
    pub fn is_lost(&self) -> bool {
        self.barrier.is_lost()
    }

    /// Whether that write can be repeated.
    pub fn is_refused(&self) -> bool {
        self.barrier.is_refused()
    }

    // The next action.

    /// Returns the next step. `is_over` reports whether the time slice has expired: then no job
    /// starts, and the device gets no request from the fiber.
    pub fn next(&mut self, is_over: impl Fn() -> bool, sector_size: usize) -> Action {
        loop {
            if !self.told.is_empty() {
                return self.told.remove(0);
            }
            if self.is_timed_out()
                && let Some(action) = self.refuse()
            {
                return action;
            }
            let Some(active) = &mut self.active else {
                if is_over() || !self.begin() {
                    return Action::Wait;
                }
                continue;
            };
            match active.phase {
                Phase::Opening => {
                    let unmounts = active.job.last && !self.exiting;
                    return Action::Open { unmounts };
                }
                Phase::Reflushing => {
                    active.phase = Phase::Starting;
                    return Action::Flush { ordered: true };
                }
                Phase::Rewriting => {
                    active.phase = Phase::Starting;
                    return Action::Rewrite;
                }
                Phase::Starting => {
                    active.phase = Phase::Running;
                    if let Some(request) = active.request.take() {
                        return Action::Start(request);
                    }
                }
                Phase::Resuming(reply) => {
                    active.phase = Phase::Running;
                    return Action::Resume(reply);
                }
                Phase::Asking(_) | Phase::Claiming(..) | Phase::Yielded if is_over() => {
                    return Action::Wait;
                }
                Phase::Asking(access) => {
                    if let Some(action) = self.admit(access, sector_size) {
                        return action;
                    }
                }
                Phase::Claiming(first, sectors) => {
                    active.phase = Phase::Running;
                    return Action::Claim(first, sectors);
                }
                Phase::Yielded => active.phase = Phase::Resuming(Ok(())),
                Phase::Running | Phase::Device { .. } | Phase::Barrier(_) | Phase::Events => {
                    return Action::Wait;
                }
            }
        }
    }

    /// Starts the next job, if possible.
    fn begin(&mut self) -> bool {
        if self.thaws && self.is_free() {
            self.thaws = false;
            self.activate(Job::new(Waiter::None, Request::Thaw));
            return true;
        }
        while self.is_free()
            && let Some(job) = self.queue.pop_front()
        {
            if self.waits_for_thaw(&job) {
                self.held.push_back(job);
                continue;
            }
            if self.barrier.is_pending() && self.waits_for_flush(&job) {
                self.deferred.push_back(job);
                continue;
            }
            if matches!(job.request, Request::Freeze) {
                self.hold = Hold::Changes;
            }
            self.activate(job);
            return true;
        }
        false
    }

    fn activate(&mut self, mut job: Job) {
        let merged = self.merge_syncs(&mut job);
        self.active = Some(Active {
            job: Begun::new(&mut job, self.barrier.is_lost()),
            merged,
            request: Some(job.request),
            suspended: None,
            phase: Phase::Opening,
        });
    }

    /// Whether a job has to start after the flush in progress: it guarantees durability, so that
    /// one flush serves all such jobs, or it closes the file of such a job, or follows a close that
    /// waits.
    fn waits_for_flush(&self, job: &Job) -> bool {
        let mut before = self.deferred.iter();
        let waits = match job.request {
            _ if job.request.is_durable() => true,
            Request::Close(file) => before
                .clone()
                .any(|job| matches!(job.request, Request::SyncFile(synced) if synced == file)),
            _ => false,
        };
        waits || before.any(|job| matches!(job.request, Request::Close(_)))
    }

    /// Merges the syncs that follow in the queue into `job`, if that is a sync: it becomes one of
    /// the whole volume. Each of them covers what completed before its submission, and so before
    /// this one starts. Run one by one, each would commit the changes that others made meanwhile.
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

    /// Decides whether the active job's access may go to the device.
    fn admit(&mut self, access: Access, sector_size: usize) -> Option<Action> {
        let active = self.active.as_mut()?;
        let admission = access.with(|access| {
            let own = active.job.durable;
            self.barrier.admit(access, own, sector_size)
        });
        active.phase = match admission {
            Admission::Pass => {
                active.phase = Phase::Running;
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

    // Events.

    /// Nothing is mounted: the next mount relies on no write that a failed one has lost, since it
    /// reads the disk.
    pub fn forget_loss(&mut self) {
        if !self.barrier.is_pending() {
            self.barrier = Barrier::new();
        }
    }

    /// The volume is open; `on_disk` reports whether it is on a disk.
    pub fn opened(&mut self, on_disk: bool) {
        self.merges_syncs = on_disk;
        let Some(active) = &mut self.active else {
            return;
        };
        let request = active.request.as_ref();
        let is_durable = request.is_some_and(Request::is_durable);
        active.phase = if is_durable && self.barrier.take_failed_flush() {
            Phase::Reflushing
        } else if self.barrier.is_refused() && (is_durable || request.is_some_and(Request::changes))
        {
            Phase::Rewriting
        } else {
            Phase::Starting
        };
    }

    /// The fiber has suspended.
    pub fn suspended(&mut self, suspension: Option<Suspension>) {
        let (Some(active), Some(suspension)) = (&mut self.active, suspension) else {
            return;
        };
        active.phase = match suspension {
            Suspension::Done(outcome) => return self.finish(outcome),
            Suspension::Access(access) => Phase::Asking(access),
            Suspension::Claim(first, sectors) => Phase::Claiming(first, sectors),
            Suspension::Events if WAITS => Phase::Events,
            Suspension::Answer(answer) if WAITS => {
                active.suspended = Some(answer);
                Phase::Resuming(Ok(()))
            }
            Suspension::Events | Suspension::Answer(_) | Suspension::Yield => Phase::Yielded,
        };
    }

    /// The volume's claim of sectors succeeded or failed.
    pub fn claimed(&mut self, claimed: Result<(), Error>) {
        if let Some(active) = &mut self.active {
            active.phase = Phase::Resuming(claimed.map_err(|_| BlockError::Io));
        }
    }

    /// The device has `outstanding` requests of the active job's access, with deadline `due`. The
    /// others have completed, and `failed` is the first failure among them.
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

    /// The device has completed one of them.
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

    /// The device has the flush of [`Action::Flush`], with deadline `due`, or has completed it.
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
            // The fiber needn't wait: the barrier preserves the order.
            self.barrier.begin(ordered);
            self.flush_due = due;
            active.job.durable = true;
            Ok(())
        });
        match (&mut active.phase, reply) {
            (Phase::Starting, Ok(())) => (),
            (Phase::Starting, Err(error)) => self.barrier.fail(error),
            (phase, reply) => *phase = Phase::Resuming(reply),
        }
    }

    /// The device has completed its current request of the flush in progress; the next one has the
    /// deadline `due`.
    pub fn flush_completed(&mut self, result: Result<(), BlockError>, due: u64) -> Next {
        if !self.barrier.is_pending() {
            return Next::Done;
        }
        let next = self.barrier.completed(result);
        self.flush_due = due;
        if next == Next::Done {
            self.requeue();
            self.end_timeout();
            for (job, outcome) in core::mem::take(&mut self.unflushed) {
                self.conclude(job, outcome);
            }
        }
        if next != Next::Write
            && let Some(active) = &mut self.active
            && let Phase::Barrier(access) = active.phase
        {
            active.phase = Phase::Asking(access);
        }
        next
    }

    /// Repeats the write that the device refused: the next one is [`held_write`](Self::held_write),
    /// with the deadline `due`. `false` if there is none.
    pub fn repeat(&mut self, due: u64) -> bool {
        self.flush_due = due;
        self.barrier.repeat()
    }

    /// Returns the next held write of the flush in progress: first sector and bytes.
    pub fn held_write(&self) -> Option<(u64, &[u8])> {
        self.barrier.held()
    }

    /// An event has occurred on which answers or the fiber may wait.
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

    /// The active job has completed.
    pub fn finish(&mut self, outcome: Outcome) {
        let Some(active) = self.active.take() else {
            return;
        };
        self.end_timeout();
        let failed = outcome.as_ref().err().cloned();
        match active.suspended {
            Some(answer) if WAITS => self.suspended.push((active.job, outcome, answer)),
            _ => self.end(active.job, outcome),
        }
        for job in active.merged {
            self.end(job, failed.clone().map_or(Ok(Value::Number(0)), Err));
        }
    }

    /// Ends a job: if its answer guarantees durability, it waits for the flush in progress.
    fn end(&mut self, job: Begun, outcome: Outcome) {
        if job.durable && self.barrier.is_pending() {
            self.unflushed.push((job, outcome));
        } else {
            self.conclude(job, outcome);
        }
    }

    /// Ends a job that needs no further wait: queues the result for its waiter.
    fn conclude(&mut self, job: Begun, outcome: Outcome) {
        let excused = job.excused && self.barrier.is_lost();
        let outcome = match self.barrier.loss() {
            Some(error) if job.durable && !excused => {
                outcome.and(Err(crate::disks::error(error).into()))
            }
            _ => outcome,
        };
        self.told.push(Action::Answer(Answered {
            waiter: job.waiter,
            resolution: job.resolution,
            outcome,
        }));
    }

    /// Moves deferred jobs back to the front of the queue.
    fn requeue(&mut self) {
        core::mem::swap(&mut self.queue, &mut self.deferred);
        while let Some(job) = self.deferred.pop_front() {
            self.queue.push_back(job);
        }
    }
}

#[cfg(test)]
mod tests;
