//! The active job.

use crate::files::mounted_volume::fiber::Access;
use crate::files::mounted_volume::job::request::Request;
use crate::files::mounted_volume::job::resolution::Resolution;
use crate::files::mounted_volume::job::{Job, Waiter};
use ::fs::BlockError;
use alloc::boxed::Box;
use alloc::vec::Vec;
use platform::folders::SuspendedAnswer;

/// State of a job that has started, besides its request.
pub struct Begun {
    /// Receiver of the result.
    pub waiter: Waiter,
    /// The path of which it is a step.
    pub resolution: Option<Box<Resolution>>,
    /// Token of the operation that timed out, until its caller has learned that the memory it lent
    /// is still in use; then 0.
    pub abandoned: u64,
    /// Whether its answer guarantees durability, or it started a flush.
    pub durable: bool,
    /// Whether it unmounts the volume: no job starts after it.
    pub last: bool,
    /// Whether it ignores the lost write: it unmounts a volume that reported the loss before.
    pub excused: bool,
}

impl Begun {
    /// Starts a job, whose request stays in `job`; `lost`: on a volume that has lost a write.
    pub fn new(job: &mut Job, lost: bool) -> Begun {
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

    /// Detaches the operation that waits for it. Returns the waiter to fail.
    pub fn abandon(&mut self) -> Option<Waiter> {
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

/// Phase of the active job: its next step, or the event that it waits for. The documentation of
/// `schedule` has the state diagram.
#[derive(Clone, Copy)]
pub enum Phase {
    /// The volume is being opened.
    Opening,
    /// The device repeats the flush that failed: the file system takes its writes for durable.
    Reflushing,
    /// The device repeats the held write that it refused.
    Rewriting,
    /// The request is about to start.
    Starting,
    /// The engine performs an action for it.
    Running,
    /// The fiber wants this access.
    Asking(Access),
    /// The fiber claims a partition: first sector and number of sectors.
    Claiming(u64, u64),
    /// The fiber has yielded.
    Yielded,
    /// The fiber is about to resume.
    Resuming(Result<(), BlockError>),
    /// The fiber waits for device requests.
    Device {
        /// Number of outstanding requests; at least one.
        outstanding: usize,
        /// First failure among the completed ones.
        failed: Option<BlockError>,
        /// Deadline of the device, in nanoseconds of the monotonic clock.
        due: u64,
    },
    /// The fiber's access waits for the flush in progress.
    Barrier(Access),
    /// The fiber waits for any event of the platform.
    Events,
}

impl Phase {
    /// Whether the job can't advance without an event.
    pub const fn waits(self) -> bool {
        matches!(
            self,
            Phase::Running | Phase::Device { .. } | Phase::Barrier(_) | Phase::Events
        )
    }
}

/// The active job.
pub struct Active {
    /// The job.
    pub job: Begun,
    /// The request to the volume, until it starts.
    pub request: Option<Request>,
    /// Syncs that this one serves as well.
    pub merged: Vec<Begun>,
    /// The event that the answer waits for once the job has completed.
    pub suspended: Option<SuspendedAnswer>,
    /// Its phase.
    pub phase: Phase,
}
