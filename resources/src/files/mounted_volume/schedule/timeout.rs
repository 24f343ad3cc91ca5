//! Timeouts of devices.

use super::active::{Active, Begun, Phase};
use super::{Action, Schedule};
use alloc::string::String;

/// Grace period after a deadline, granted once, in nanoseconds: a late check means that this
/// program was stopped, and perhaps the device with it (a paused machine).
pub(super) const GRACE_NS: u64 = 500_000_000;

/// Whether the device answers in time.
pub(super) enum Device {
    Answering {
        /// The deadline for which the grace period was granted.
        granted: u64,
    },
    /// The error message for operations.
    TimedOut(String),
}

impl Schedule {
    /// Whether the device has timed out.
    pub(super) fn is_timed_out(&self) -> bool {
        matches!(self.device, Device::TimedOut(_))
    }

    /// Returns the error message for operations while the device is timed out.
    pub fn timed_out(&self) -> Option<&str> {
        match &self.device {
            Device::Answering { .. } => None,
            Device::TimedOut(line) => Some(line),
        }
    }

    /// Returns the deadline of the device, if it has outstanding requests.
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

    /// Whether the deadline has passed at `now`; if so, [`time_out`](Self::time_out) is next.
    pub fn is_overdue(&mut self, now: u64) -> bool {
        let Some(due) = self.due().filter(|due| *due <= now) else {
            return false;
        };
        let Device::Answering { granted } = &mut self.device else {
            return false;
        };
        // Only once, so that a caller that always checks late still gets the timeout.
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

    /// Marks the device as timed out: all operations fail with this message until the device has
    /// completed its outstanding requests.
    pub fn time_out(&mut self, line: String) {
        self.device = Device::TimedOut(line);
        self.requeue();
        let told = &mut self.told;
        let mut abandon = |job: &mut Begun| {
            if let Some(waiter) = job.abandon() {
                told.push(Action::Abandon(waiter));
            }
        };
        if let Some(active) = &mut self.active {
            abandon(&mut active.job);
            active.merged.iter_mut().for_each(&mut abandon);
        }
        for (job, _) in &mut self.unflushed {
            abandon(job);
        }
    }

    /// Removes and fails the next job in the queue that has a waiting operation. The others are
    /// deferred.
    pub(super) fn refuse(&mut self) -> Option<Action> {
        while let Some(job) = self.queue.pop_front() {
            if job.waiter.token() != 0 {
                return Some(Action::Abandon(job.waiter));
            }
            self.deferred.push_back(job);
        }
        None
    }

    /// Whether this operation abandoned the active job, which still uses its memory; reported once.
    pub fn take_abandoned(&mut self, token: u64) -> bool {
        let active = self.active.as_mut();
        let is_abandoned = |active: &&mut Active| token != 0 && active.job.abandoned == token;
        let Some(active) = active.filter(is_abandoned) else {
            return false;
        };
        active.job.abandoned = 0;
        true
    }

    /// Ends the timeout once the device has completed all outstanding requests.
    pub(super) fn end_timeout(&mut self) {
        if self.is_timed_out() && self.active.is_none() && !self.barrier.is_pending() {
            self.device = Device::Answering { granted: 0 };
            self.told.push(Action::Recovered);
            self.requeue();
        }
    }
}
