//! One `io_uring` (io_uring(7)) for the devices of the process and for its wait: requests of the
//! devices since the last system call begin with the next one, which also waits; completions are
//! read from memory shared with the kernel.
//!
//! If the kernel has none that is recent enough (5.11) or forbids it (`kernel.io_uring_disabled`,
//! the seccomp profiles of containers), [`Handle::open`] returns nothing, and the devices make
//! ordinary system calls.
//!
//! # Threads
//! A ring belongs to one thread or to all:
//!
//! - The program's first thread opens one of its own ([`issuer`]), which costs less, unless other
//!   threads are expected to wait (`soil.threads`), or to poll the network (`ticker`: the program
//!   has a stack of its own). Only that thread makes the ring's system calls; others interrupt it.
//!   No completion is visible before such a call, so [`Ring::reap`] makes one if the kernel reports
//!   that something is due.
//!   If other threads are expected later, a ring that is still as it was opened is replaced by one
//!   of all ([`Ring::share`]); otherwise that costs each of their waits a signal.
//! - Any other ring, and each one before Linux 6.1, is entered by any waiting thread. Linux cancels
//!   the requests of a thread that ends: the [`Starter`] submits those that must not be cancelled,
//!   in place of a thread that may end.

mod issuer;
mod sleep;
mod starter;

use crate::{hosted, thread};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr::NonNull;
use issuer::Issuer;
use rustix::fd::AsRawFd;
use rustix_uring::cqueue::{self, Flags};
use rustix_uring::squeue::{Entry, SubmissionQueue};
use rustix_uring::types::Fd;
use rustix_uring::{Errno, IoUring, opcode};
use sleep::Entrance;
pub use sleep::Sleep;
use starter::Starter;
use sync::atomic::{AtomicBool, Ordering};

/// Slots for requests that wait for the next system call; more only cost a call of their own.
const ENTRIES: u32 = 256;
/// Maximum number of kernel threads for blocking requests. Otherwise those on one stalled disk
/// would, with eight on two processors, delay all other disks.
const WORKERS: u32 = 1024;
/// Owner of [`Ring::polls`].
const POLLS: usize = 0;
/// Bits of a request's tag; the rest identifies its owner.
const TAG_BITS: u32 = 48;

/// The tag of a request whose completion no owner reads.
const NO_TAG: u64 = (1 << TAG_BITS) - 1;

/// A completion, which ends its request unless [`Ended::flags`] has [`Flags::MORE`].
pub struct Ended {
    pub tag: u64,
    /// The result that the equivalent system call would have.
    pub result: Result<u32, Errno>,
    pub flags: Flags,
}

/// A polled file descriptor.
struct Poll {
    fd: i32,
    events: i16,
    /// The kernel has the request.
    armed: bool,
}

/// An owner's share of the ring.
struct Share {
    /// Completions, until the owner takes them.
    ended: VecDeque<Ended>,
    kind: Requests,
}

/// The requests of an owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// They must not end with the thread that submits them.
    Lasting,
    /// Lasting ones that end in the system call that begins them, and don't end a sleep.
    Quiet,
    /// Their owner makes one again that has ended with its thread.
    Repeated,
}

/// The process's `io_uring`.
pub struct Ring {
    /// Shared with a sleeper and the starter, which only call the kernel.
    uring: Arc<IoUring>,
    /// The only thread that may enter it; `None`: all may.
    issuer: Option<Issuer>,
    /// Submits requests for threads that may end.
    starter: Option<Arc<Starter>>,
    /// Whether the current thread may end before the process.
    may_end: fn() -> bool,
    /// Whether threads other than the program's first wait.
    is_shared: fn() -> bool,
    polls: Vec<Poll>,
    owners: Vec<Share>,
    /// Requests that found the queue full: not every thread enters the ring at once, and the kernel
    /// may be out of memory.
    overflow: VecDeque<Entry>,
    /// Requests of owners that haven't ended.
    in_flight: usize,
    /// What [`Owner::register_buffers`] has registered.
    buffers: Option<Buffers>,
    /// Requests of quiet owners that the next system call begins and ends.
    quiet: usize,
    /// A request was added that must not end with the thread that submits it.
    lasts: bool,
    /// A request was added that should begin before the program resumes.
    urgent: bool,
    /// A thread sleeps, which takes the completions.
    asleep: bool,
    /// The ring was entered since the last wait, to complete due work.
    entered: bool,
}

/// A registered ring of buffers.
struct Buffers {
    start: NonNull<u8>,
    count: u16,
    group: u16,
    /// The kernel has used one: it counts from there.
    used: bool,
}

impl Buffers {
    fn register(&self, uring: &IoUring) -> bool {
        let (start, submitter) = (self.start.as_ptr().cast(), uring.submitter());
        // SAFETY: the promise of `Owner::register_buffers`.
        unsafe { submitter.register_buf_ring(start, self.count, self.group) }.is_ok()
    }
}

enum State {
    /// Not tried yet. The function returns whether the ring is for the current thread alone.
    Untried(fn() -> bool),
    Forbidden,
    Open(Box<Ring>),
}

/// This is the child of a fork: the ring is its parent's, which shares the memory, and would miss
/// what completed here.
static INHERITED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    INHERITED.store(true, Ordering::Relaxed);
}

/// The ring, which the first device that asks for it opens. Clones are the same ring.
#[derive(Clone)]
pub struct Handle(Rc<RefCell<State>>);

impl Default for Handle {
    fn default() -> Handle {
        Handle(Rc::new(RefCell::new(State::Untried(is_single_threaded))))
    }
}

/// Threads other than the program's first also wait.
static OTHER_WAITERS: AtomicBool = AtomicBool::new(false);

/// See [`Wait::expect_threads`].
pub fn expect_threads() {
    OTHER_WAITERS.store(true, Ordering::Relaxed);
}

fn others_wait() -> bool {
    OTHER_WAITERS.load(Ordering::Relaxed)
}

/// Whether only the current thread is expected to enter a ring.
fn is_single_threaded() -> bool {
    thread::is_main() && !others_wait() && hosted::may_be()
}

impl Handle {
    /// A ring of the thread that opens it.
    #[cfg(test)]
    pub fn of_one_thread() -> Handle {
        Handle(Rc::new(RefCell::new(State::Untried(|| true))))
    }

    /// A ring that the kernel forbids, for tests of other crates.
    pub fn forbidden() -> Handle {
        Handle(Rc::new(RefCell::new(State::Forbidden)))
    }

    /// Creates an owner of requests of this kind; `None` if the kernel offers no ring.
    pub fn open(&self, kind: Requests) -> Option<Owner> {
        let mut state = self.0.borrow_mut();
        if let State::Untried(is_single_threaded) = *state {
            let ring = Ring::open(is_single_threaded());
            *state = ring.map_or(State::Forbidden, |ring| State::Open(Box::new(ring)));
        }
        let State::Open(ring) = &mut *state else {
            return None;
        };
        if INHERITED.load(Ordering::Relaxed) {
            return None;
        }
        ring.owners.push(Share {
            ended: VecDeque::new(),
            kind,
        });
        Some(Owner {
            ring: self.clone(),
            index: ring.owners.len(),
            kind,
        })
    }

    /// Runs `f` on the ring, if it is open and not a parent's.
    pub fn with<R>(&self, f: impl FnOnce(&mut Ring) -> R) -> Option<R> {
        match &mut *self.0.borrow_mut() {
            State::Open(ring) if !INHERITED.load(Ordering::Relaxed) => Some(f(ring)),
            _ => None,
        }
    }
}

/// A device's share of the ring. It is never released: devices live as long as the program.
pub struct Owner {
    ring: Handle,
    /// Its share has the previous index; 0 is [`POLLS`].
    index: usize,
    kind: Requests,
}

impl Owner {
    /// Adds a request, which begins at the next system call of the ring: an `urgent` one before the
    /// program resumes, others when it waits. False if there is no memory, or the ring is a
    /// parent's.
    ///
    /// # Safety
    /// The request's memory stays valid and untouched until the request has ended.
    pub unsafe fn push(&self, request: Entry, tag: u64, urgent: bool) -> bool {
        let data = (self.index as u64) << TAG_BITS | tag & ((1 << TAG_BITS) - 1);
        let push = |ring: &mut Ring| {
            ring.urgent |= urgent;
            ring.lasts &= !(ring.queue().is_empty() && ring.overflow.is_empty());
            let pushed = ring.push(&request.user_data(data));
            ring.in_flight += usize::from(pushed);
            ring.quiet += usize::from(pushed && self.kind == Requests::Quiet);
            ring.lasts |= self.kind != Requests::Repeated;
            pushed
        };
        self.ring.with(push).unwrap_or(false)
    }

    /// Cancels the request with this tag, if it is in flight, at the next system call of the ring.
    /// It then ends, with an error unless it had completed before. `false` as for [`Owner::push`].
    pub fn cancel(&self, tag: u64) -> bool {
        let owner = (self.index as u64) << TAG_BITS;
        let request = opcode::AsyncCancel::new((owner | tag).into()).build();
        // SAFETY: the request has no memory.
        unsafe { self.push(request, NO_TAG, true) }
    }

    /// Registers a ring of `count` buffers for requests that name `group`; returns whether the
    /// kernel accepted it (since Linux 5.19).
    ///
    /// # Safety
    /// `start` begins pages with room for the ring's entries. They and the buffers in them stay for
    /// as long as the program lives.
    pub unsafe fn register_buffers(&self, start: NonNull<u8>, count: u16, group: u16) -> bool {
        let buffers = Buffers {
            start,
            count,
            group,
            used: false,
        };
        let register = |ring: &mut Ring| {
            let registered = buffers.register(&ring.uring);
            ring.buffers = registered.then_some(buffers);
            registered
        };
        self.ring.with(register).unwrap_or(false)
    }

    /// The next completion.
    pub fn ended(&self) -> Option<Ended> {
        let next = |ring: &mut Ring| {
            let place = self.index - 1;
            let taken = ring.owners.get_mut(place)?.ended.pop_front();
            taken.or_else(|| {
                ring.reap();
                ring.owners.get_mut(place)?.ended.pop_front()
            })
        };
        self.ring.with(next).flatten()
    }

    /// Submits added requests.
    pub fn submit(&self) {
        self.ring.with(Ring::submit);
    }
}

impl Ring {
    fn open(alone: bool) -> Option<Ring> {
        let of_one_thread = || {
            let mut one = IoUring::builder();
            one.setup_single_issuer()
                .setup_defer_taskrun()
                .setup_taskrun_flag();
            let uring = one.build(ENTRIES).ok()?;
            let issuer = Issuer::of(uring.as_raw_fd());
            Some((uring, Some(issuer)))
        };
        let of_all = || Ring::of_all().map(|uring| (uring, None));
        let (uring, issuer) = alone.then(of_one_thread).flatten().or_else(of_all)?;
        let can = uring.params();
        // A wait with a timeout, no lost completions, waiting for files without a thread: all of
        // Linux 5.11.
        let enough =
            can.is_feature_ext_arg() && can.is_feature_nodrop() && can.is_feature_fast_poll();
        // Linux before 5.15 doesn't support it, and works without.
        let _ = uring
            .submitter()
            .register_iowq_max_workers(&mut [WORKERS, 0]);
        // SAFETY: the function lives as long as the program.
        let noted = enough && unsafe { libc::pthread_atfork(None, None, Some(in_child)) } == 0;
        noted.then_some(Ring {
            uring: Arc::new(uring),
            issuer,
            starter: None,
            may_end: thread::may_end,
            is_shared: others_wait,
            polls: Vec::new(),
            owners: Vec::new(),
            overflow: VecDeque::new(),
            in_flight: 0,
            buffers: None,
            quiet: 0,
            lasts: false,
            urgent: false,
            asleep: false,
            entered: false,
        })
    }

    /// A ring that any thread may enter.
    fn of_all() -> Option<IoUring> {
        // Requests that complete while the program runs don't interrupt it: its next system call
        // handles them. Unsupported before Linux 5.19.
        let cooperative = || IoUring::builder().setup_coop_taskrun().build(ENTRIES);
        cooperative().or_else(|_| IoUring::new(ENTRIES)).ok()
    }

    /// If other threads are expected: replaces an issuer's ring by one of all threads, on the
    /// issuer, and only if the kernel has nothing of the first one.
    fn share(&mut self) {
        let is_own = |issuer: Issuer| (self.is_shared)() && issuer.is_current();
        let is_used = self.buffers.as_ref().is_some_and(|found| found.used);
        if !self.issuer.is_some_and(is_own) || self.in_flight > 0 || is_used {
            return;
        }
        let Some(uring) = Ring::of_all() else {
            return;
        };
        if self
            .buffers
            .as_ref()
            .is_some_and(|found| !found.register(&uring))
        {
            return;
        }
        self.uring = Arc::new(uring);
        self.issuer = None;
        for poll in &mut self.polls {
            poll.armed = false;
        }
    }

    /// The queue of requests that wait for the next system call.
    fn queue(&mut self) -> SubmissionQueue<'_> {
        // SAFETY: the ring is borrowed exclusively, and a sleeper doesn't change the queue.
        unsafe { self.uring.submission_shared() }
    }

    fn push(&mut self, request: &Entry) -> bool {
        self.share();
        if self.overflow.is_empty() && self.add(request) {
            return true;
        }
        self.submit();
        if self.overflow.is_empty() && self.add(request) {
            return true;
        }
        let kept = self.overflow.try_reserve(1).is_ok();
        if kept {
            self.overflow.push_back(request.clone());
        }
        kept
    }

    /// Adds a request to the queue; `false` if it is full.
    fn add(&mut self, request: &Entry) -> bool {
        // SAFETY: the memory is the caller's promise; polls have none.
        unsafe { self.queue().push(request) }.is_ok()
    }

    /// Moves overflowed requests to the queue; returns whether there were any.
    fn refill(&mut self) -> bool {
        let mut moved = false;
        while let Some(request) = self.overflow.pop_front() {
            if !self.add(&request) {
                self.overflow.push_front(request);
                break;
            }
            moved = true;
        }
        moved
    }

    /// How the current thread enters the ring.
    fn entrance(&mut self) -> Entrance {
        if let Some(issuer) = self.issuer {
            return match issuer.is_current() {
                true => Entrance::Itself,
                false => Entrance::Issuer(issuer),
            };
        }
        if !(self.may_end)() {
            return Entrance::Itself;
        }
        if !self.lasts {
            return Entrance::Briefly;
        }
        if self.starter.is_none() {
            self.starter = Starter::make(&self.uring);
        }
        // If there is no memory for one, the thread itself is better than none.
        self.starter
            .clone()
            .map_or(Entrance::Itself, Entrance::Starter)
    }

    /// Before the program resumes without a wait: submits the added requests if any of them is
    /// urgent. Otherwise they become urgent, so that they begin even in a program that never waits.
    pub fn submit_urgent(&mut self) {
        self.entered = false;
        if self.urgent {
            self.submit();
        } else {
            let queued = !self.queue().is_empty();
            self.urgent = queued;
        }
    }

    /// Submits requests added since the last system call.
    pub fn submit(&mut self) {
        self.quiet = 0;
        while !self.queue().is_empty() {
            match self.entrance() {
                // Entries that the kernel doesn't take now stay in the queue for the next call.
                Entrance::Itself | Entrance::Briefly => drop(self.uring.submitter().submit()),
                Entrance::Starter(starter) => starter.begin(),
                Entrance::Issuer(issuer) => issuer.interrupt(),
            }
            if !self.refill() {
                break;
            }
        }
        self.urgent = !self.overflow.is_empty();
    }

    /// Distributes completions to their owners; returns whether any of them may end a sleep. Does
    /// nothing while a thread sleeps.
    fn reap(&mut self) -> bool {
        if self.asleep {
            return false;
        }
        if self.drain() {
            return true;
        }
        // Once between two waits: there may always be more.
        if self.entered {
            return false;
        }
        let queue = self.queue();
        let (due, queued) = (queue.taskrun() || queue.cq_overflow(), queue.len() as u32);
        drop(queue);
        if !due {
            return false;
        }
        match self.entrance() {
            Entrance::Itself | Entrance::Briefly => {
                issuer::enter(self.uring.as_raw_fd(), queued, issuer::GET_EVENTS);
                self.quiet = 0;
                self.refill();
                self.urgent = !self.overflow.is_empty();
            }
            Entrance::Starter(_) => issuer::enter(self.uring.as_raw_fd(), 0, issuer::GET_EVENTS),
            Entrance::Issuer(_) => return false,
        }
        self.entered = true;
        self.drain()
    }

    /// Distributes the completions in the ring's memory to their owners; as [`Ring::reap`].
    fn drain(&mut self) -> bool {
        let Ring {
            uring,
            polls,
            owners,
            in_flight,
            buffers,
            ..
        } = self;
        let mut any = false;
        // SAFETY: the ring is borrowed exclusively, and a sleeper doesn't read completions.
        for entry in unsafe { uring.completion_shared() } {
            let data = entry.user_data().u64_();
            let (owner, tag) = ((data >> TAG_BITS) as usize, data & ((1 << TAG_BITS) - 1));
            if owner == POLLS {
                any = true;
                if let Some(poll) = polls.get_mut(tag as usize) {
                    poll.armed = false;
                }
            } else if let Some(share) = owners.get_mut(owner - 1) {
                *in_flight -= usize::from(!cqueue::more(entry.flags()));
                if let Some(buffers) = buffers {
                    buffers.used |= cqueue::buffer_select(entry.flags()).is_some();
                }
                any |= share.kind != Requests::Quiet;
                share.ended.push_back(Ended {
                    tag,
                    result: entry.result(),
                    flags: entry.flags(),
                });
            }
        }
        any
    }

    /// Polls a file descriptor, once.
    fn arm(&mut self, fd: i32, events: i16) {
        let found = self
            .polls
            .iter()
            .position(|poll| poll.fd == fd && poll.events == events);
        let place = found.unwrap_or(self.polls.len());
        if found.is_none() {
            self.polls.push(Poll {
                fd,
                events,
                armed: false,
            });
        }
        if self.polls.get(place).is_some_and(|poll| poll.armed) {
            return;
        }
        let request = opcode::PollAdd::new(Fd(fd), events as u32).build();
        let armed = self.push(&request.user_data(place as u64));
        if let Some(poll) = self.polls.get_mut(place) {
            poll.armed = armed;
        }
    }

    /// Prepares a sleep until a completion, or until one of `fds` is ready. Until [`Ring::finish`]
    /// other threads may add and submit requests. Only the sleeper takes completions meanwhile: it
    /// would sleep on if another took the one that is to wake it.
    pub fn prepare(&mut self, fds: &[libc::pollfd]) -> Sleep {
        self.share();
        for poll in fds {
            self.arm(poll.fd, poll.events);
        }
        // The sleep completes due work.
        self.entered = true;
        // A completion that its owner hasn't taken forbids a sleep: another owner may have reaped
        // it.
        let unseen = |share: &Share| share.kind != Requests::Quiet && !share.ended.is_empty();
        let reaped = self.reap() || self.owners.iter().any(unseen);
        self.refill();
        let mut entrance = self.entrance();
        if matches!(entrance, Entrance::Briefly) {
            self.submit();
            // Others' requests may have been among those in the way.
            entrance = self.entrance();
        }
        let queued = !self.queue().is_empty();
        self.urgent = false;
        self.asleep = true;
        Sleep {
            uring: self.uring.clone(),
            entrance,
            queued,
            // Requests of quiet owners end in this call, and must not end the wait.
            want: core::mem::take(&mut self.quiet) + 1,
            event: reaped || !self.overflow.is_empty(),
        }
    }

    /// Ends a sleep; `revents` says which of `fds` are ready. Returns whether there was a
    /// completion or an event.
    pub fn finish(&mut self, fds: &mut [libc::pollfd], sleep: Sleep) -> bool {
        self.asleep = false;
        let event = self.reap() || sleep.event;
        self.entered = false;
        for poll in fds {
            let waits = self
                .polls
                .iter()
                .any(|other| other.armed && (other.fd, other.events) == (poll.fd, poll.events));
            poll.revents = if waits { 0 } else { poll.events };
        }
        event
    }

    /// A whole sleep; returns whether there was a completion or an event.
    #[cfg(test)]
    pub fn wait(&mut self, fds: &mut [libc::pollfd], time: Option<core::time::Duration>) -> bool {
        let mut sleep = self.prepare(fds);
        sleep.sleep(time, None);
        self.finish(fds, sleep)
    }
}

#[cfg(test)]
pub(crate) mod tests;
