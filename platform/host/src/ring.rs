//! One `io_uring` (io_uring(7)) for the devices of the process and for its wait: what the devices
//! asked for since the last system call begins with the next one, which waits as well; what has
//! ended is read from memory that the kernel shares.
//!
//! Where the kernel has none that is recent enough (5.11) or forbids it
//! (`kernel.io_uring_disabled`, the seccomp profiles of containers), [`Handle::open`] gives
//! nothing, and the devices make ordinary system calls.

use crate::{Host, thread, wait};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use platform::Wait;
use rustix::fd::AsRawFd;
use rustix_uring::cqueue::Flags;
use rustix_uring::squeue::{Entry, SubmissionQueue};
use rustix_uring::types::{Fd, SubmitArgs, Timespec};
use rustix_uring::{Errno, IoUring, opcode};

/// Places for requests that wait for the next system call; more only cost a call of their own.
const ENTRIES: u32 = 256;
/// Threads that Linux may make for requests that block. Those on one disk that doesn't answer would
/// otherwise, at eight on two processors, keep all other disks waiting.
const WORKERS: u32 = 1024;
/// Owner of [`Ring::polls`].
const POLLS: usize = 0;
/// Bits of a request's tag; the rest says whose it is.
const TAG_BITS: u32 = 48;

/// The tag of a request whose end no owner looks at.
const NO_TAG: u64 = (1 << TAG_BITS) - 1;

/// An answer to a request, which ends it unless [`Ended::flags`] has [`Flags::MORE`].
pub struct Ended {
    pub tag: u64,
    /// What the system call of its kind would have answered.
    pub result: Result<u32, Errno>,
    pub flags: Flags,
}

/// A file descriptor that is waited for.
struct Poll {
    fd: i32,
    events: i16,
    /// The kernel has the request.
    armed: bool,
}

/// An owner's part of the ring.
struct Share {
    /// Requests that have ended, until the owner asks.
    ended: VecDeque<Ended>,
    quiet: bool,
}

/// The process's `io_uring`.
pub struct Ring {
    /// Shared with a sleeper and the starter, which only call the kernel.
    uring: Arc<IoUring>,
    /// Begins requests for threads that may end.
    starter: Option<Arc<Starter>>,
    /// Whether the current thread may end before the process.
    may_end: fn() -> bool,
    polls: Vec<Poll>,
    owners: Vec<Share>,
    /// Requests of quiet owners that the next system call begins, and ends.
    quiet: usize,
    /// Something was added that should begin before the program goes on.
    urgent: bool,
    /// A thread sleeps, which sees what has ended.
    asleep: bool,
}

enum State {
    Untried,
    Forbidden,
    Open(Box<Ring>),
}

/// This is the child of a fork: the ring is its parent's, who shares the memory of it, and would
/// never hear of what ended here.
static INHERITED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    INHERITED.store(true, Ordering::Relaxed);
}

/// The ring, which the first device that asks for it opens. Clones are the same ring.
#[derive(Clone)]
pub struct Handle(Rc<RefCell<State>>);

impl Default for Handle {
    fn default() -> Handle {
        Handle(Rc::new(RefCell::new(State::Untried)))
    }
}

impl Handle {
    /// A ring that the kernel forbids, as tests of other crates want one.
    pub fn forbidden() -> Handle {
        Handle(Rc::new(RefCell::new(State::Forbidden)))
    }

    /// Creates an owner of requests; `None` where the kernel offers no ring. The requests of a
    /// `quiet` owner end in the system call that begins them, and don't end a sleep.
    pub fn open(&self, quiet: bool) -> Option<Owner> {
        let mut state = self.0.borrow_mut();
        if matches!(*state, State::Untried) {
            *state = Ring::open().map_or(State::Forbidden, |ring| State::Open(Box::new(ring)));
        }
        let State::Open(ring) = &mut *state else {
            return None;
        };
        if INHERITED.load(Ordering::Relaxed) {
            return None;
        }
        ring.owners.push(Share {
            ended: VecDeque::new(),
            quiet,
        });
        Some(Owner {
            ring: self.clone(),
            index: ring.owners.len(),
            quiet,
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

/// A device's share of the ring. It is never given back: devices live as long as the program.
pub struct Owner {
    ring: Handle,
    /// Its share has the number before; 0 is [`POLLS`].
    index: usize,
    quiet: bool,
}

impl Owner {
    /// Adds a request, which begins at the next system call of the ring: an `urgent` one before the
    /// program goes on, others when it waits. False if there is no room.
    ///
    /// # Safety
    /// The request's memory stays valid and untouched until the request has ended.
    pub unsafe fn push(&self, request: Entry, tag: u64, urgent: bool) -> bool {
        let data = (self.index as u64) << TAG_BITS | tag & ((1 << TAG_BITS) - 1);
        let push = |ring: &mut Ring| {
            ring.urgent |= urgent;
            let pushed = ring.push(&request.user_data(data));
            ring.quiet += usize::from(pushed && self.quiet);
            pushed
        };
        self.ring.with(push).unwrap_or(false)
    }

    /// Cancels the request with this tag, if it is under way, at the next system call of the ring.
    /// It ends then, with an error unless it had an answer before. `false` if there is no room.
    pub fn cancel(&self, tag: u64) -> bool {
        let owner = (self.index as u64) << TAG_BITS;
        let request = opcode::AsyncCancel::new((owner | tag).into()).build();
        // SAFETY: the request has no memory.
        unsafe { self.push(request, NO_TAG, true) }
    }

    /// Gives the kernel a ring of `count` buffers for requests that name `group`; whether it took
    /// it (since Linux 5.19).
    ///
    /// # Safety
    /// `start` begins pages with room for the ring's entries. They and the buffers in them stay for
    /// as long as the program lives.
    pub unsafe fn register_buffers(&self, start: NonNull<u8>, count: u16, group: u16) -> bool {
        let start = start.as_ptr().cast();
        let register = |ring: &mut Ring| {
            let submitter = ring.uring.submitter();
            // SAFETY: the caller's promise.
            unsafe { submitter.register_buf_ring(start, count, group) }.is_ok()
        };
        self.ring.with(register).unwrap_or(false)
    }

    /// The next request that has ended.
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

    /// Begins what was added.
    pub fn submit(&self) {
        self.ring.with(Ring::submit);
    }
}

impl Ring {
    fn open() -> Option<Ring> {
        // Requests that end while the program runs don't interrupt it: its next system call sees to
        // them. Linux before 5.19 doesn't know it.
        let cooperative = IoUring::builder().setup_coop_taskrun().build(ENTRIES);
        let uring = cooperative.or_else(|_| IoUring::new(ENTRIES)).ok()?;
        let can = uring.params();
        // A wait with a time, no lost completions, waiting for files without a thread: all of Linux
        // 5.11.
        let enough =
            can.is_feature_ext_arg() && can.is_feature_nodrop() && can.is_feature_fast_poll();
        // Linux before 5.15 doesn't know it, and does without.
        let _ = uring
            .submitter()
            .register_iowq_max_workers(&mut [WORKERS, 0]);
        // SAFETY: the function lives as long as the program.
        let noted = enough && unsafe { libc::pthread_atfork(None, None, Some(in_child)) } == 0;
        noted.then_some(Ring {
            uring: Arc::new(uring),
            starter: None,
            may_end: thread::may_end,
            polls: Vec::new(),
            owners: Vec::new(),
            quiet: 0,
            urgent: false,
            asleep: false,
        })
    }

    /// The queue of requests that wait for the next system call.
    fn queue(&mut self) -> SubmissionQueue<'_> {
        // SAFETY: the ring is borrowed exclusively, and a sleeper doesn't change the queue.
        unsafe { self.uring.submission_shared() }
    }

    fn push(&mut self, request: &Entry) -> bool {
        // SAFETY: the memory is the caller's promise; requests for readiness have none.
        if unsafe { self.queue().push(request) }.is_ok() {
            return true;
        }
        self.submit();
        while self.starter.is_some() && self.queue().is_full() {
            // SAFETY: a plain call.
            unsafe { libc::sched_yield() };
        }
        // SAFETY: as above.
        unsafe { self.queue().push(request) }.is_ok()
    }

    /// The starter, if the current thread needs it.
    fn starter(&mut self) -> Option<Arc<Starter>> {
        if !(self.may_end)() {
            return None;
        }
        if self.starter.is_none() {
            self.starter = Starter::make(&self.uring);
        }
        self.starter.clone()
    }

    /// Before the program goes on without a wait: begins the added requests if any of them is
    /// urgent. Otherwise they become urgent, so that they begin even in a program that never waits.
    pub fn go_on(&mut self) {
        if self.urgent {
            self.submit();
        } else {
            let queued = !self.queue().is_empty();
            self.urgent = queued;
        }
    }

    /// Begins what was added since the last system call.
    pub fn submit(&mut self) {
        self.urgent = false;
        self.quiet = 0;
        if !self.queue().is_empty() {
            match self.starter() {
                Some(starter) => starter.begin(),
                // Entries that the kernel doesn't take now stay in the queue for the next call.
                None => drop(self.uring.submitter().submit()),
            }
        }
    }

    /// Gives ended requests to their owners; returns whether any of them may end a sleep. Nothing
    /// while a thread sleeps.
    fn reap(&mut self) -> bool {
        if self.asleep {
            return false;
        }
        let Ring {
            uring,
            polls,
            owners,
            ..
        } = self;
        let mut any = false;
        // SAFETY: the ring is borrowed exclusively, and a sleeper doesn't look at completions.
        for entry in unsafe { uring.completion_shared() } {
            let data = entry.user_data().u64_();
            let (owner, tag) = ((data >> TAG_BITS) as usize, data & ((1 << TAG_BITS) - 1));
            if owner == POLLS {
                any = true;
                if let Some(poll) = polls.get_mut(tag as usize) {
                    poll.armed = false;
                }
            } else if let Some(share) = owners.get_mut(owner - 1) {
                any |= !share.quiet;
                share.ended.push_back(Ended {
                    tag,
                    result: entry.result(),
                    flags: entry.flags(),
                });
            }
        }
        any
    }

    /// Wants to be woken by a file descriptor, once.
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

    /// Prepares a sleep until something has ended or one of `fds` is ready. Until
    /// [`Ring::finish`] other threads may add and begin requests. What ends meanwhile is the
    /// sleeper's to see: it would sleep on if another took the completion that is to wake it.
    pub fn prepare(&mut self, fds: &[libc::pollfd]) -> Sleep {
        for poll in fds {
            self.arm(poll.fd, poll.events);
        }
        // A request that has ended and that its owner hasn't seen forbids a sleep: another owner's
        // look at the ring may have reaped it.
        let unseen = |share: &Share| !share.quiet && !share.ended.is_empty();
        let event = self.reap() || self.owners.iter().any(unseen);
        self.urgent = false;
        self.asleep = true;
        Sleep {
            uring: self.uring.clone(),
            starter: self.starter(),
            // Requests of quiet owners end in this call, and must not end the wait.
            want: core::mem::take(&mut self.quiet) + 1,
            event,
        }
    }

    /// Ends a sleep; `revents` says which of `fds` are ready. Whether something has ended or
    /// happened.
    pub fn finish(&mut self, fds: &mut [libc::pollfd], sleep: Sleep) -> bool {
        self.asleep = false;
        let event = self.reap() || sleep.event;
        for poll in fds {
            let waits = self
                .polls
                .iter()
                .any(|other| other.armed && (other.fd, other.events) == (poll.fd, poll.events));
            poll.revents = if waits { 0 } else { poll.events };
        }
        event
    }

    /// A whole sleep; whether something has ended or happened.
    #[cfg(test)]
    pub fn wait(&mut self, fds: &mut [libc::pollfd], time: Option<Duration>) -> bool {
        let mut sleep = self.prepare(fds);
        sleep.sleep(time);
        self.finish(fds, sleep)
    }
}

/// A sleep that was prepared.
pub struct Sleep {
    uring: Arc<IoUring>,
    /// Of a thread that may end.
    starter: Option<Arc<Starter>>,
    /// Completions that end it.
    want: usize,
    /// Something has ended or happened.
    event: bool,
}

impl Sleep {
    /// Begins what was added and waits until something has ended, or `time` is over (`None` = for
    /// ever): one system call.
    pub fn sleep(&mut self, time: Option<Duration>) {
        let time = if self.event {
            Some(Duration::ZERO)
        } else {
            time
        };
        let time_given = time.map(Timespec::from);
        let arguments = SubmitArgs::new();
        let submitter = self.uring.submitter();
        // SAFETY: only the length is read, from memory that the kernel shares.
        let queued = unsafe { !self.uring.submission_shared().is_empty() };
        if let Some(starter) = &self.starter {
            if queued {
                starter.begin();
            }
            // The ring is readable when something has ended.
            let mut fds = [libc::pollfd {
                fd: self.uring.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            }];
            wait::poll(&mut fds, time);
            return;
        }
        let answer = match &time_given {
            _ if time == Some(Duration::ZERO) => {
                if queued {
                    let _ = submitter.submit();
                }
                Ok(0)
            }
            Some(time) => submitter.submit_with_args(self.want, &arguments.timespec(time)),
            None => submitter.submit_with_args(self.want, &arguments),
        };
        // A kernel out of memory: let the program go round.
        self.event |= !matches!(answer, Ok(_) | Err(Errno::TIME | Errno::INTR));
    }
}

/// A thread that begins requests: Linux cancels those that a thread has begun when it ends.
struct Starter {
    uring: Arc<IoUring>,
    /// Changes when there are requests to begin.
    turn: AtomicU32,
}

impl Starter {
    /// Bytes of the thread's stack.
    const STACK: usize = 64 << 10;

    fn make(uring: &Arc<IoUring>) -> Option<Arc<Starter>> {
        let starter = Arc::new(Starter {
            uring: uring.clone(),
            turn: AtomicU32::new(0),
        });
        let argument = Arc::into_raw(starter.clone());
        if thread::make(Starter::run, argument.cast_mut().cast(), Starter::STACK) == 0 {
            return Some(starter);
        }
        // SAFETY: no thread was created, so the reference is still this function's.
        drop(unsafe { Arc::from_raw(argument) });
        None
    }

    /// Begins what was added to the ring, soon.
    fn begin(&self) {
        self.turn.fetch_add(1, Ordering::Release);
        Host::wake(&self.turn);
    }

    extern "C" fn run(argument: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: what `make` gave.
        let starter = unsafe { Arc::from_raw(argument.cast_const().cast::<Starter>()) };
        loop {
            let turn = starter.turn.load(Ordering::Acquire);
            let _ = starter.uring.submitter().submit();
            Host::await_change(&starter.turn, turn, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Handle, Owner};
    use core::time::Duration;
    use rustix_uring::{Errno, opcode, types::Fd};
    use std::time::Instant;

    fn pipe() -> [i32; 2] {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for both.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        ends
    }

    fn put(fd: i32) {
        // SAFETY: reads one byte.
        assert_eq!(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }, 1);
    }

    /// The next answer with its tag.
    fn ended(owner: &Owner) -> Option<(u64, Result<u32, Errno>)> {
        owner.ended().map(|ended| (ended.tag, ended.result))
    }

    #[test]
    fn waits_for_descriptors_requests_and_the_time() {
        let handle = Handle::default();
        let Some(owner) = handle.open(false) else {
            return println!("this kernel has no io_uring for us: not tested");
        };
        let wait = |fds: &mut [libc::pollfd], ms| {
            let time = Duration::from_millis(ms);
            handle.with(|ring| ring.wait(fds, Some(time)))
        };
        let [reader, writer] = pipe();
        let mut fds = [libc::pollfd {
            fd: reader,
            events: libc::POLLIN,
            revents: 0,
        }];
        let start = Instant::now();
        assert_eq!(wait(&mut fds, 20), Some(false));
        assert!(start.elapsed() >= Duration::from_millis(20));
        // The request of the first wait is still there, and does for the second.
        assert_eq!(fds[0].revents, 0);
        put(writer);
        assert_eq!(wait(&mut fds, 10_000), Some(true));
        assert_eq!(fds[0].revents, libc::POLLIN);
        // It is ready still.
        assert_eq!(wait(&mut fds, 10_000), Some(true));

        let mut byte = 0u8;
        let read = opcode::Read::new(Fd(reader), &raw mut byte, 1).build();
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { owner.push(read, 7, false) });
        assert_eq!(ended(&owner), None);
        assert_eq!(wait(&mut [], 10_000), Some(true));
        assert_eq!((ended(&owner), ended(&owner)), (Some((7, Ok(1))), None));
        assert_eq!(byte, b'x');
        // Descriptors were armed once for each of the three waits at most.
        assert_eq!(wait(&mut [], 0), Some(false));
    }
    /// A read of one byte.
    fn read_of(fd: i32, byte: &mut u8) -> rustix_uring::squeue::Entry {
        opcode::Read::new(Fd(fd), byte, 1).build()
    }

    #[test]
    fn a_child_leaves_its_parents_ring_alone() {
        let handle = Handle::default();
        let Some(owner) = handle.open(false) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        put(writer);
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, true) });
        handle.with(super::Ring::go_on);
        // SAFETY: the child calls nothing that another thread's locks could stop, and ends.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let left_alone = ended(&owner).is_none() && handle.open(false).is_none();
                libc::_exit(i32::from(!left_alone));
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0);
        }
        assert_eq!(ended(&owner), Some((1, Ok(1))));
    }

    #[test]
    fn what_is_not_urgent_begins_with_the_second_chance() {
        let handle = Handle::default();
        let Some(owner) = handle.open(false) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        put(writer);
        for urgent in [true, false] {
            // SAFETY: `byte` lives until the end of the test, and the requests end before.
            assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, urgent) });
            handle.with(super::Ring::go_on);
            if !urgent {
                assert_eq!(ended(&owner), None);
                handle.with(super::Ring::go_on);
            }
            assert_eq!(ended(&owner), Some((1, Ok(1))), "urgent: {urgent}");
            put(writer);
        }
    }

    #[test]
    fn nobody_sleeps_on_what_another_has_found() {
        let handle = Handle::default();
        let (Some(one), Some(other)) = (handle.open(false), handle.open(false)) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        put(writer);
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { one.push(read_of(reader, &mut byte), 1, true) });
        handle.with(super::Ring::go_on);
        assert_eq!(ended(&other), None);
        let start = Instant::now();
        let time = Duration::from_secs(20);
        let waited = handle.with(|ring| ring.wait(&mut [], Some(time)));
        assert_eq!(waited, Some(true));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(ended(&one), Some((1, Ok(1))));
    }

    #[test]
    fn what_ends_at_once_ends_no_wait() {
        let handle = Handle::default();
        let (Some(quiet), Some(loud)) = (handle.open(true), handle.open(false)) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        let wait = |ms| {
            let time = Duration::from_millis(ms);
            handle.with(|ring| ring.wait(&mut [], Some(time)))
        };
        for _ in 0..3 {
            let write = opcode::Write::new(Fd(writer), b"x".as_ptr(), 1).build();
            // SAFETY: static memory.
            assert!(unsafe { quiet.push(write, 5, true) });
            let start = Instant::now();
            assert_eq!(wait(20), Some(false));
            assert!(start.elapsed() >= Duration::from_millis(20));
            assert_eq!(ended(&quiet), Some((5, Ok(1))));
        }
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { loud.push(read_of(reader, &mut byte), 1, false) });
        assert_eq!(wait(20_000), Some(true));
    }

    /// Used by one thread at a time.
    struct Passed(Handle);

    // SAFETY: the test's threads use it one after the other.
    unsafe impl Send for Passed {}

    #[test]
    fn a_request_outlives_the_thread_that_began_it() {
        let handle = Handle::default();
        let Some(owner) = handle.open(false) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, true) });
        handle.with(|ring| ring.may_end = || std::thread::current().name() == Some("ends"));
        let passed = Passed(handle.clone());
        let begin = move || {
            let passed = passed;
            let time = Some(Duration::from_millis(50));
            passed.0.with(|ring| ring.wait(&mut [], time))
        };
        let ends = std::thread::Builder::new().name("ends".into());
        let waited = ends
            .spawn(begin)
            .expect("a thread")
            .join()
            .expect("no panic");
        assert_eq!(waited, Some(false));
        put(writer);
        let time = Some(Duration::from_secs(20));
        assert_eq!(handle.with(|ring| ring.wait(&mut [], time)), Some(true));
        assert_eq!(ended(&owner), Some((1, Ok(1))));
    }
}
