//! System calls that may block, offloaded: to the ring, or if there is none to a worker thread
//! each.
//!
//! The caller polls for the outcome after each wait; both ways end the wait.

use crate::owned_fd::OwnedFd;
use crate::ring::{Handle, Owner, Requests};
use crate::{Host, errno, thread};
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::{Cell, OnceCell, RefCell};
use core::sync::atomic::{AtomicI64, Ordering};
use platform::Wait;
use rustix_uring::opcode;
use rustix_uring::squeue::{Entry, Flags};
use rustix_uring::types::{Fd, OpenHow};
use slab::Slab;

/// Bytes of a worker's stack.
const STACK: usize = 64 << 10;
/// The call has not ended.
const PENDING: i64 = i64::MIN;

/// Result of a system call: a number, or `errno`.
pub type Outcome = Result<usize, i32>;

/// A system call.
#[derive(Clone, Copy)]
pub enum Call {
    /// pread(2).
    Read {
        /// The file.
        fd: i32,
        /// Memory for the bytes.
        start: *mut u8,
        /// Their number.
        len: usize,
        /// Offset in the file.
        offset: u64,
    },
    /// pwrite(2), which a thread of the ring performs.
    Write {
        /// The file.
        fd: i32,
        /// The bytes.
        start: *const u8,
        /// Their number.
        len: usize,
        /// Offset in the file.
        offset: u64,
    },
    /// fsync(2).
    Sync(i32),
    /// syncfs(2), which the ring doesn't support.
    SyncAll(i32),
    /// openat2(2): folder, path and how.
    Open(i32, *const libc::c_char, *const libc::open_how),
}

impl Call {
    /// As a request of the ring.
    fn entry(self) -> Option<Entry> {
        // The kernel accepts 32 bits; the rest is another request.
        let short = |len: usize| u32::try_from(len).unwrap_or(1 << 30);
        Some(match self {
            Call::Read {
                fd,
                start,
                len,
                offset,
            } => opcode::Read::new(Fd(fd), start, short(len))
                .offset(offset)
                .build(),
            Call::Write {
                fd,
                start,
                len,
                offset,
            } => opcode::Write::new(Fd(fd), start, short(len))
                .offset(offset)
                .build()
                .flags(Flags::ASYNC),
            Call::Sync(fd) => opcode::Fsync::new(Fd(fd)).build(),
            Call::SyncAll(_) => return None,
            Call::Open(folder, path, how) => {
                opcode::OpenAt2::new(Fd(folder), path, how.cast::<OpenHow>()).build()
            }
        })
    }

    /// Performs it now.
    ///
    /// # Safety
    /// The memory that the call points to is valid.
    unsafe fn perform(self) -> Outcome {
        // SAFETY: the caller's promise.
        let result = unsafe {
            match self {
                Call::Read {
                    fd,
                    start,
                    len,
                    offset,
                } => libc::pread(fd, start.cast(), len, offset as i64) as i64,
                Call::Write {
                    fd,
                    start,
                    len,
                    offset,
                } => libc::pwrite(fd, start.cast(), len, offset as i64) as i64,
                Call::Sync(fd) => i64::from(libc::fsync(fd)),
                Call::SyncAll(fd) => i64::from(libc::syncfs(fd)),
                Call::Open(folder, path, how) => {
                    let size = size_of::<libc::open_how>();
                    libc::syscall(libc::SYS_openat2, folder, path, how, size)
                }
            }
        };
        usize::try_from(result).map_err(|_| errno())
    }
}

struct State {
    ring: Handle,
    owner: OnceCell<Option<Owner>>,
    /// An eventfd that workers make readable at their end, and the number of forks before it: that
    /// of a parent isn't a child's, which would take the wake-ups from it.
    event: RefCell<Option<(u32, Arc<OwnedFd>)>>,
    /// Number of workers whose end was not seen.
    threads: Cell<usize>,
    /// Calls on the ring, each with its outcome until its caller takes that.
    under_way: RefCell<Slab<Option<Outcome>>>,
    /// A caller that polled for its own outcome took another's from the ring, which therefore no
    /// longer reports that one.
    found: Cell<bool>,
}

/// Offloads system calls that may block. Clones share their state.
#[derive(Clone)]
pub struct Offload(Rc<State>);

/// The call of a worker.
struct Work {
    call: Call,
    /// The eventfd that signals its end.
    event: Arc<OwnedFd>,
    /// Its result, or -`errno`.
    outcome: AtomicI64,
}

// SAFETY: the pointers of the call are the thread's until it has ended, by the promise to `begin`;
// the rest is atomic.
unsafe impl Send for Work {}
// SAFETY: as above: only that thread follows them.
unsafe impl Sync for Work {}

enum Way {
    Ring(usize),
    Thread(Arc<Work>),
    Done(Outcome),
}

/// A call in progress. It has to be polled until it has ended, since its memory is in use until
/// then.
pub struct Begun {
    offload: Offload,
    way: Way,
}

impl Offload {
    /// On this ring, if it can be opened, from the first call on.
    pub fn new(ring: Handle) -> Offload {
        Offload(Rc::new(State {
            ring,
            owner: OnceCell::new(),
            event: RefCell::new(None),
            threads: Cell::new(0),
            under_way: RefCell::new(Slab::new()),
            found: Cell::new(false),
        }))
    }

    fn owner(&self) -> Option<&Owner> {
        let State { ring, owner, .. } = &*self.0;
        owner.get_or_init(|| ring.open(Requests::Lasting)).as_ref()
    }

    /// Begins a call with the program's next wait, or at once. Without a ring and threads it is
    /// performed here.
    ///
    /// Without `on_ring` a worker thread performs it: on some file systems (FUSE without a page
    /// cache, Linux 6.18) the ring blocks when it begins a read, or, if a thread of its own begins
    /// it, returns the bytes before a file's end twice.
    ///
    /// # Safety
    /// The memory that `call` points to stays valid, and its descriptor open, until it has ended.
    pub unsafe fn begin(&self, call: Call, on_ring: bool) -> Begun {
        // SAFETY: the caller's promise, as below.
        let submit_to_ring = || unsafe { self.submit_to_ring(call) };
        // SAFETY: as above.
        let submit_to_thread = || unsafe { self.submit_to_thread(call) };
        let way = on_ring
            .then(submit_to_ring)
            .flatten()
            .or_else(submit_to_thread);
        Begun {
            offload: self.clone(),
            // SAFETY: as above.
            way: way.unwrap_or_else(|| Way::Done(unsafe { call.perform() })),
        }
    }

    /// # Safety
    /// As for [`Offload::begin`].
    unsafe fn submit_to_ring(&self, call: Call) -> Option<Way> {
        let entry = call.entry()?;
        let owner = self.owner()?;
        let mut under_way = self.0.under_way.borrow_mut();
        let key = under_way.insert(None);
        // SAFETY: the caller's promise.
        if unsafe { owner.push(entry, key as u64, true) } {
            return Some(Way::Ring(key));
        }
        under_way.remove(key);
        None
    }

    /// The same on a worker thread.
    ///
    /// # Safety
    /// As for [`Offload::begin`].
    unsafe fn submit_to_thread(&self, call: Call) -> Option<Way> {
        let event = self.own_event();
        let work = Arc::new(Work {
            call,
            event: event.clone(),
            outcome: AtomicI64::new(PENDING),
        });
        let argument = Arc::into_raw(work.clone());
        if event.0 >= 0 && thread::make(run, argument.cast_mut().cast(), STACK) == 0 {
            self.0.threads.set(self.0.threads.get() + 1);
            return Some(Way::Thread(work));
        }
        // SAFETY: no thread was created, so the reference is still this function's.
        drop(unsafe { Arc::from_raw(argument) });
        None
    }

    /// The eventfd of this process's workers.
    fn own_event(&self) -> Arc<OwnedFd> {
        let State { event, threads, .. } = &*self.0;
        let forks = Host::forks();
        let mut event = event.borrow_mut();
        match &*event {
            Some((of, event)) if *of == forks => event.clone(),
            _ => {
                // SAFETY: a plain call.
                let new = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
                let new = Arc::new(OwnedFd(new));
                *event = Some((forks, new.clone()));
                // Those of the parent don't end here.
                threads.set(0);
                new
            }
        }
    }

    /// Readable when a worker has ended; `None` while there are none.
    pub fn event(&self) -> Option<i32> {
        let State { event, threads, .. } = &*self.0;
        let event = event.borrow();
        let (forks, event) = event.as_ref()?;
        (*forks == Host::forks() && threads.get() > 0).then_some(event.0)
    }

    /// After a wait, before all callers are polled: workers that end from now on end the next one.
    pub fn clear_event(&self) {
        let mut counter = 0u64;
        if let Some(event) = self.event() {
            // SAFETY: an eventfd yields 8 bytes; it doesn't block.
            unsafe { libc::read(event, (&raw mut counter).cast(), size_of::<u64>()) };
        }
    }

    /// Whether a caller has taken another's outcome from the ring since the last call of this: the
    /// other caller must be polled before a sleep.
    pub fn take_found(&self) -> bool {
        self.0.found.take()
    }

    /// Records ended calls, for the caller that polls for `wanted`.
    fn collect(&self, wanted: usize) {
        let mut under_way = self.0.under_way.borrow_mut();
        while let Some(ended) = self.owner().and_then(Owner::ended) {
            let key = ended.tag as usize;
            if let Some(place) = under_way.get_mut(key) {
                self.0.found.set(self.0.found.get() || key != wanted);
                let result = ended.result.map(|n| n as usize);
                *place = Some(result.map_err(rustix_uring::Errno::raw_os_error));
            }
        }
    }
}

/// The worker.
extern "C" fn run(argument: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: what `submit_to_thread` gave.
    let work = unsafe { Arc::from_raw(argument.cast_const().cast::<Work>()) };
    // SAFETY: the promise to `begin`.
    let outcome = unsafe { work.call.perform() };
    let number = outcome.map_or_else(|errno| -i64::from(errno), |n| n as i64);
    // Release: the caller's memory is written before the outcome is seen.
    work.outcome.store(number, Ordering::Release);
    let one = 1u64;
    // SAFETY: write(2) of 8 bytes, to an eventfd that is open as long as the work.
    unsafe { libc::write(work.event.0, (&raw const one).cast(), size_of::<u64>()) };
    core::ptr::null_mut()
}

impl Begun {
    /// Returns the result of the call, once it has ended.
    pub fn ended(&mut self) -> Option<Outcome> {
        match &self.way {
            Way::Done(outcome) => Some(*outcome),
            Way::Thread(work) => {
                // Acquire: pairs with the worker's store.
                let number = work.outcome.load(Ordering::Acquire);
                if number == PENDING {
                    return None;
                }
                let outcome = usize::try_from(number).map_err(|_| -number as i32);
                self.way = Way::Done(outcome);
                let threads = &self.offload.0.threads;
                threads.set(threads.get().saturating_sub(1));
                Some(outcome)
            }
            Way::Ring(key) => {
                self.offload.collect(*key);
                let mut under_way = self.offload.0.under_way.borrow_mut();
                let outcome = under_way.get(*key).copied().flatten()?;
                under_way.remove(*key);
                self.way = Way::Done(outcome);
                Some(outcome)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Begun, Call, Offload, Outcome};
    use crate::ring::{Handle, Requests, Ring};
    use crate::sleep::count_forks;
    use crate::sleep::tests::{in_child, is_readable};
    use std::time::{Duration, Instant};
    use std::{env, fs, thread};

    /// Maximum duration of a call: a disk that other programs use may take seconds for a flush.
    const LONG: Duration = Duration::from_secs(190);

    fn end(begun: &mut Begun, handle: &Handle) -> Outcome {
        let start = Instant::now();
        loop {
            if let Some(outcome) = begun.ended() {
                return outcome;
            }
            assert!(start.elapsed() < LONG, "it never ends");
            handle.with(Ring::submit);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Begins `slow`, and then another call, which doesn't wait for the first.
    fn is_overtaken(slow: Call, handle: &Handle, unblock: impl FnOnce()) -> Outcome {
        let offload = Offload::new(handle.clone());
        // SAFETY: the callers keep what it points to.
        let (mut slow, mut other) = unsafe {
            (
                offload.begin(slow, true),
                offload.begin(Call::Sync(-1), true),
            )
        };
        assert_eq!(end(&mut other, handle), Err(libc::EBADF));
        assert_eq!(slow.ended(), None);
        unblock();
        let outcome = end(&mut slow, handle);
        // It stays so.
        assert_eq!(slow.ended(), Some(outcome));
        outcome
    }

    /// A read of an empty pipe waits for a write.
    #[test]
    fn the_ring_does_what_takes_long() {
        let (handle, mut ends, mut byte) = (Handle::default(), [0; 2], 0u8);
        if handle.open(Requests::Lasting).is_none() {
            return std::println!("this kernel has no io_uring for us: not tested");
        }
        // SAFETY: room for both ends.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        let read = Call::Read {
            fd: ends[0],
            start: &raw mut byte,
            len: 1,
            offset: 0,
        };
        let outcome = is_overtaken(read, &handle, || {
            // SAFETY: reads a byte.
            assert_eq!(unsafe { libc::write(ends[1], b"x".as_ptr().cast(), 1) }, 1);
        });
        assert_eq!((outcome, byte), (Ok(1), b'x'));
    }

    /// An outcome that another caller took from the ring is reported before a sleep: the ring no
    /// longer reports it.
    #[test]
    fn outcomes_taken_by_another_are_reported() {
        let handle = Handle::default();
        if handle.open(Requests::Lasting).is_none() {
            return std::println!("this kernel has no io_uring for us: not tested");
        }
        let offload = Offload::new(handle.clone());
        // SAFETY: they refer to no memory.
        let [mut first, mut second] =
            [(); 2].map(|()| unsafe { offload.begin(Call::Sync(-1), true) });
        let start = Instant::now();
        while !offload.0.found.get() {
            assert!(start.elapsed() < LONG, "nothing is found");
            handle.with(Ring::submit);
            let _ = second.ended();
        }
        assert!(offload.take_found() && !offload.take_found());
        assert_eq!(first.ended(), Some(Err(libc::EBADF)));
    }

    /// Opening a named pipe for reading blocks until it is opened for writing.
    #[test]
    fn a_thread_does_what_takes_long() {
        let path = env::temp_dir().join(std::format!("soil-offload-pipe-{}", std::process::id()));
        let text = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no zero byte");
        // SAFETY: a path with its zero byte; zeros are a structure.
        let mut how: libc::open_how = unsafe {
            assert_eq!(libc::mkfifo(text.as_ptr(), 0o600), 0);
            core::mem::zeroed()
        };
        how.flags = libc::O_RDONLY as u64;
        let open = Call::Open(libc::AT_FDCWD, text.as_ptr(), &raw const how);
        let mut writer = None;
        let outcome = is_overtaken(open, &Handle::forbidden(), || {
            writer = Some(fs::File::options().write(true).open(&path).expect("opens"));
        });
        // SAFETY: a new descriptor that only this test uses.
        assert_eq!(unsafe { libc::close(outcome.expect("opens") as i32) }, 0);
        fs::remove_file(&path).expect("removes");
    }

    /// A child of a fork doesn't take the wake-ups of its parent's workers, and gets those of its
    /// own.
    #[test]
    fn a_child_has_its_own_workers() {
        count_forks();
        let offload = Offload::new(Handle::forbidden());
        // SAFETY: it refers to no memory.
        let sync = || unsafe { offload.begin(Call::Sync(-1), true) };
        let mut ours = sync();
        let event = offload.event().expect("a worker");
        assert!(is_readable(event, -1));
        let child = || {
            let inherited = offload.event().is_some();
            offload.clear_event();
            let mut own = sync();
            let woken = offload.event().is_some_and(|event| is_readable(event, -1));
            offload.clear_event();
            !inherited && woken && own.ended() == Some(Err(libc::EBADF))
        };
        assert!(in_child(child));
        assert!(is_readable(event, 0));
        assert_eq!(end(&mut ours, &Handle::forbidden()), Err(libc::EBADF));
    }

    #[test]
    fn reads_writes_and_syncs() {
        for handle in [Handle::default(), Handle::forbidden()] {
            use std::os::fd::AsRawFd;
            let path = env::temp_dir().join(std::format!("soil-offload-{}", std::process::id()));
            let open = fs::File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path);
            let file = open.expect("opens");
            let (fd, offload) = (file.as_raw_fd(), Offload::new(handle.clone()));
            let mut back = [0u8; 8];
            // SAFETY: the memory stays until the calls have ended.
            let call = |call| end(&mut unsafe { offload.begin(call, true) }, &handle);
            let write = Call::Write {
                fd,
                start: b"text".as_ptr(),
                len: 4,
                offset: 2,
            };
            assert_eq!(call(write), Ok(4));
            assert_eq!(
                (call(Call::Sync(fd)), call(Call::SyncAll(fd))),
                (Ok(0), Ok(0))
            );
            let read = Call::Read {
                fd,
                start: back.as_mut_ptr(),
                len: 8,
                offset: 0,
            };
            assert_eq!(call(read), Ok(6));
            assert_eq!(&back, b"\0\0text\0\0");
            let read = Call::Read {
                fd,
                start: back.as_mut_ptr(),
                len: 8,
                offset: 3,
            };
            assert_eq!(call(read), Ok(3));
            assert_eq!(&back, b"extext\0\0");
            fs::remove_file(&path).expect("removes");
        }
    }
}
