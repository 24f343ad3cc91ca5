//! The job that is being done.

use crate::files::volume::fiber::Access;
use crate::files::volume::job::request::Request;
use crate::files::volume::job::resolution::Resolution;
use crate::files::volume::job::{Job, Waiter};
use ::fs::BlockError;
use alloc::boxed::Box;
use alloc::vec::Vec;
use platform::volume::SuspendedAnswer;

/// State of a job that has begun, besides its request.
pub struct Begun {
    /// Receiver of the result.
    pub waiter: Waiter,
    /// The path that it is a step of.
    pub resolution: Option<Box<Resolution>>,
    /// The token of the operation that timed out, until its caller has been told that the memory it
    /// lent is still in use; else 0.
    pub abandoned: u64,
    /// Its answer promises that something is durable, or it has begun a flush.
    pub durable: bool,
    /// It unmounts the volume: no job begins after it.
    pub last: bool,
    /// It reports no loss: it unmounts a volume whose loss was reported before.
    pub excused: bool,
}

impl Begun {
    /// Begins a job, whose request stays there; `lost`: on a volume that has lost a write.
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

    /// The operation that waits for it, which is not told of it any more.
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
    /// The volume is opened.
    Opening,
    /// The device flushes once more what a failed flush was to make durable: the file system takes
    /// that for durable.
    Reflushing,
    /// The request is about to start.
    Starting,
    /// An action is being done for it.
    Running,
    /// The fiber has asked for this.
    Asking(Access),
    /// The fiber wants a partition: its first sector and its sectors.
    Claiming(u64, u64),
    /// The fiber has given others their turn.
    Yielded,
    /// The fiber is about to go on.
    Resuming(Result<(), BlockError>),
    /// The fiber waits for the device.
    Device {
        /// Requests that the device has not done; at least one.
        outstanding: usize,
        /// The first failure among those that are done.
        failed: Option<BlockError>,
        /// When the device will have timed out, in nanoseconds of the monotonic clock.
        due: u64,
    },
    /// The fiber's access waits for the flush under way.
    Barrier(Access),
    /// The fiber waits for anything that the platform may report.
    Events,
}

impl Phase {
    /// Whether nothing can be done before something happens.
    pub const fn waits(self) -> bool {
        matches!(
            self,
            Phase::Running | Phase::Device { .. } | Phase::Barrier(_) | Phase::Events
        )
    }
}

/// The job that is being done.
pub struct Active {
    /// The job.
    pub job: Begun,
    /// The request to the volume, until that has started.
    pub request: Option<Request>,
    /// Syncs that this one does as well.
    pub merged: Vec<Begun>,
    /// The event that its answer waits for when the job is done.
    pub suspended: Option<SuspendedAnswer>,
    /// Its phase.
    pub phase: Phase,
}
