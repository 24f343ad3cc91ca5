//! A thread's sleep until a completion, and how it enters the ring.

use super::issuer::Issuer;
use super::starter::Starter;
use crate::poll;
use alloc::sync::Arc;
use core::time::Duration;
use rustix::fd::AsRawFd;
use rustix_uring::types::{SubmitArgs, Timespec};
use rustix_uring::{Errno, IoUring};

/// How long a thread waits for completions of the issuer before it asks again: Linux doesn't notify
/// other threads of due work.
const RETRY_DELAY: Duration = Duration::from_millis(5);

/// How a thread enters a ring.
pub enum Entrance {
    /// By its own system call.
    Itself,
    /// By its own system call, but not to sleep: this thread may end, and would submit what others
    /// add meanwhile.
    Briefly,
    /// By the starter's: this thread may end.
    Starter(Arc<Starter>),
    /// By the issuer's, which is another thread.
    Issuer(Issuer),
}

/// A prepared sleep.
pub struct Sleep {
    pub uring: Arc<IoUring>,
    pub entrance: Entrance,
    /// There are requests to submit. The queue isn't accessed without the runtime's lock: a
    /// [`SubmissionQueue`] takes back what another thread adds while there is one.
    pub queued: bool,
    /// Number of completions that end it.
    pub want: usize,
    /// There was a completion or an event.
    pub event: bool,
}

impl Sleep {
    /// Submits added requests and waits for a completion or until `time` has passed (`None`:
    /// forever): one system call, with the signal mask `mask` if one is given.
    pub fn sleep(&mut self, time: Option<Duration>, mask: Option<&libc::sigset_t>) {
        let time = if self.event {
            Some(Duration::ZERO)
        } else {
            time
        };
        match &self.entrance {
            Entrance::Itself => self.enter(time, mask),
            Entrance::Briefly => {
                self.await_end(time, mask);
            }
            Entrance::Starter(starter) => {
                if self.queued {
                    starter.begin();
                }
                self.await_end(time, mask);
            }
            Entrance::Issuer(issuer) => {
                issuer.interrupt();
                let time = time.map_or(RETRY_DELAY, |time| time.min(RETRY_DELAY));
                // Unless a signal ends it, the program has to check again.
                self.event |= !self.await_end(Some(time), mask);
            }
        }
    }

    /// Sleeps by this thread's own system call on the ring.
    fn enter(&mut self, time: Option<Duration>, mask: Option<&libc::sigset_t>) {
        let time_given = time.map(Timespec::from);
        let mut arguments = SubmitArgs::new();
        if let Some(mask) = mask {
            // SAFETY: the kernel's set is the beginning of the C library's, in every libc
            // (`rustix::io_uring::KernelSigSet`), and lives as long.
            arguments = arguments.sigmask(unsafe { &*core::ptr::from_ref(mask).cast() });
        }
        let submitter = self.uring.submitter();
        let answer = match &time_given {
            _ if time == Some(Duration::ZERO) => {
                if self.queued {
                    let _ = submitter.submit();
                }
                Ok(0)
            }
            Some(time) => submitter.submit_with_args(self.want, &arguments.timespec(time)),
            None => submitter.submit_with_args(self.want, &arguments),
        };
        // A kernel out of memory: let the program check again.
        self.event |= !matches!(answer, Ok(_) | Err(Errno::TIME | Errno::INTR));
    }

    /// Sleeps until the ring is readable, that is until a completion, or until `time` has passed;
    /// returns whether a signal ended that.
    fn await_end(&self, time: Option<Duration>, mask: Option<&libc::sigset_t>) -> bool {
        let mut fds = [libc::pollfd {
            fd: self.uring.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        }];
        poll::poll(&mut fds, time, mask)
    }
}
