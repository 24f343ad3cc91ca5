//! The process: Linux through the C library that OCaml links anyway.

mod aside;
mod beside;
mod disk;
mod host;
mod links;
mod passt;
mod recording;
mod ring;
mod signals;
mod tap;
mod thread;

pub use aside::Aside;
pub use disk::{Disk, Slice};
pub use links::LinkWake;

use crate::console::Which;
use crate::disks;
use crate::error::{Answer, Error, Failure, Stop};
use crate::ffi::Int;
use crate::net::Device;
use crate::platform::{Platform, Woken};
use crate::runtime::Runtime;
use crate::table::Direction;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::CStr;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use core::time::Duration;

/// The most bytes written to a console at once: what a pipe or terminal that `poll` calls writable
/// takes without blocking (POSIX `PIPE_BUF`), because the descriptor is shared with other processes
/// and can't be made non-blocking.
const CONSOLE_CHUNK: usize = 4096;

/// By how much our time of day differs from the host's, in nanoseconds.
static WALL_OFFSET: AtomicI64 = AtomicI64::new(0);

/// See the head of this file.
pub struct Linux;

/// The number of the last failure of the C library.
pub fn errno() -> i32 {
    // SAFETY: the C library gives every thread its own.
    unsafe { *libc::__errno_location() }
}

/// The nearest code for an `errno`.
pub fn error(errno: i32) -> Error {
    match errno {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => Error::NotFound,
        libc::EACCES | libc::EPERM => Error::PermissionDenied,
        libc::EBUSY => Error::Busy,
        libc::EEXIST => Error::Exists,
        libc::ENOSPC => Error::NoSpace,
        libc::EROFS => Error::ReadOnly,
        libc::ENOMEM => Error::OutOfMemory,
        libc::EMFILE | libc::ENFILE => Error::TooManyOpen,
        libc::EPIPE => Error::BrokenPipe,
        libc::EINVAL => Error::Invalid,
        _ => Error::Io,
    }
}

/// The answer of a C function that says -1 and `errno`.
pub fn check(result: isize) -> Answer {
    if let Ok(n) = usize::try_from(result) {
        return Ok(n);
    }
    match errno() {
        libc::EAGAIN | libc::EINTR => Err(Stop::WouldBlock),
        errno => Err(error(errno).into()),
    }
}

/// What [`Linux::wait`] waits for.
pub struct Interest {
    fds: Vec<libc::pollfd>,
    /// Links and their places in `fds`.
    links: Vec<(usize, LinkWake)>,
    immediate: bool,
    /// The ring, from the first device on that may use one.
    ring: Option<ring::Handle>,
    aside: Option<Aside>,
}

impl Default for Interest {
    fn default() -> Interest {
        Interest::new()
    }
}

impl Interest {
    /// Nothing.
    pub const fn new() -> Interest {
        Interest {
            fds: Vec::new(),
            links: Vec::new(),
            immediate: false,
            ring: None,
            aside: None,
        }
    }

    /// For calls that may take long.
    pub fn aside(&mut self) -> Aside {
        let ring = self.ring();
        self.aside.get_or_insert_with(|| Aside::new(ring)).clone()
    }

    /// The ring for a device to open.
    fn ring(&mut self) -> ring::Handle {
        self.ring.get_or_insert_with(ring::Handle::new).clone()
    }

    /// Makes the next wait one on the ring.
    #[cfg(test)]
    pub fn open_ring(&mut self) -> Option<ring::Owner> {
        self.ring().open(false)
    }

    /// Before the caller goes on without a sleep: begins what the devices were asked for.
    pub fn submit(&mut self) {
        if let Some(ring) = &self.ring {
            ring.with(ring::Ring::go_on);
        }
    }

    /// The same for who looks only now and then.
    pub fn submit_all(&mut self) {
        if let Some(ring) = &self.ring {
            ring.with(ring::Ring::submit);
        }
    }

    /// Nothing but a request to stop.
    pub fn clear(&mut self) {
        self.fds.clear();
        self.links.clear();
        self.immediate = self.aside.as_ref().is_some_and(Aside::take_found);
        self.fd(signals::event(), libc::POLLIN);
        if let Some(event) = self.aside.as_ref().and_then(Aside::event) {
            self.fd(event, libc::POLLIN);
        }
    }

    /// Adds a file descriptor.
    pub fn fd(&mut self, fd: i32, events: i16) {
        if fd >= 0 && self.fds.try_reserve(1).is_ok() {
            self.fds.push(libc::pollfd {
                fd,
                events,
                revents: 0,
            });
        }
    }

    /// Says that something has happened already.
    pub fn immediately(&mut self) {
        self.immediate = true;
    }

    /// Adds requests for a report, which the event of the signals tells.
    pub fn report(&mut self) {}

    /// Adds a network device; `blocked`: frames wait for it to have room.
    pub fn link(&mut self, wake: &LinkWake, blocked: bool) {
        let output = if blocked { libc::POLLOUT } else { 0 };
        let place = self.fds.len();
        self.fd(wake.fd(), libc::POLLIN | output);
        if self.fds.len() > place && self.links.try_reserve(1).is_ok() {
            self.links.push((place, wake.clone()));
        }
    }

    /// Adds the console.
    pub fn console(&mut self, which: Which, direction: Direction) {
        let (fd, events) = console(which, direction);
        self.fd(fd, events);
    }
}

/// The file descriptor and the event of a use of the console.
fn console(which: Which, direction: Direction) -> (i32, i16) {
    match (which, direction) {
        (_, Direction::Read) => (libc::STDIN_FILENO, libc::POLLIN),
        (Which::Standard, Direction::Write) => (libc::STDOUT_FILENO, libc::POLLOUT),
        (Which::Error, Direction::Write) => (libc::STDERR_FILENO, libc::POLLOUT),
    }
}

/// Nanoseconds of one of the C library's clocks.
fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to `time` only.
    unsafe { libc::clock_gettime(id, &mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

#[cfg(feature = "process")]
mod ocaml {
    unsafe extern "C" {
        /// Lets other OCaml threads run; unlike the one without `no_pending` it runs no signal
        /// handler of OCaml's.
        pub fn caml_enter_blocking_section_no_pending();
        /// Takes the OCaml runtime back.
        pub fn caml_leave_blocking_section();
    }
}

impl Platform for Linux {
    const ON_VM: bool = false;
    const SUBMIT_WIDE: crate::disks::SubmitWide = disk::submit_wide;
    const NO_ENTROPY: &str = "no random numbers: getrandom(2) fails";
    const NO_NETWORK: &str =
        "no network interface: SOIL_NET is none: give user, tap=DEVICE or passt=SOCKET";

    fn start() {
        signals::install();
    }

    fn exit(status: u8) -> ! {
        // SAFETY: ends the process without running anything of it.
        unsafe { libc::_exit(i32::from(status)) }
    }

    fn reboot() {}

    fn monotonic_ns() -> u64 {
        clock(libc::CLOCK_MONOTONIC)
    }

    fn wall_ns() -> u64 {
        clock(libc::CLOCK_REALTIME).wrapping_add_signed(WALL_OFFSET.load(Ordering::Relaxed))
    }

    fn adjust_wall(offset_ns: i64) {
        WALL_OFFSET.fetch_add(offset_ns, Ordering::Relaxed);
    }

    fn memory() -> [u64; 4] {
        // SAFETY: plain queries of the C library; `usage` is written by the call that gets it.
        let (page, total, free, usage) = unsafe {
            let mut usage: libc::rusage = core::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            let pages = |name| libc::sysconf(name) as u64;
            (
                pages(libc::_SC_PAGESIZE),
                pages(libc::_SC_PHYS_PAGES),
                pages(libc::_SC_AVPHYS_PAGES),
                usage,
            )
        };
        let resident = resident_pages().unwrap_or(0);
        [
            total * page,
            resident * page,
            free * page,
            usage.ru_maxrss as u64 * 1024,
        ]
    }

    fn memory_short() -> bool {
        // Linux gives memory as long as there is any, and then ends somebody.
        false
    }

    fn promise_memory(_: usize) {}

    fn cpus() -> usize {
        // SAFETY: a plain query.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1)
    }

    fn devices() -> String {
        "a Linux process".to_string()
    }

    fn variable(name: &str) -> Option<String> {
        let name = CString::new(name).ok()?;
        // SAFETY: `name` ends with a zero byte; the result is copied before anything can change the
        // environment.
        let value = unsafe {
            let value = libc::getenv(name.as_ptr());
            if value.is_null() {
                return None;
            }
            CStr::from_ptr(value)
        };
        super::value(value.to_bytes())
    }

    fn random(into: &mut [u8]) -> Answer {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            // SAFETY: writes within `rest`.
            let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
            match check(n) {
                Ok(n) => done += n,
                Err(Stop::WouldBlock) => (),
                Err(_) => return Err(Error::NoEntropy.into()),
            }
        }
        Ok(done)
    }

    fn snapshots() -> u32 {
        0
    }

    fn seed(_: &mut Runtime, _: Int) -> Answer {
        Ok(0)
    }

    fn console_read(into: &mut [u8]) -> Answer {
        if into.is_empty() {
            return Ok(0);
        }
        if !Linux::console_ready(Which::Standard, Direction::Read) {
            return Err(Stop::WouldBlock);
        }
        // SAFETY: writes within `into`.
        check(unsafe { libc::read(libc::STDIN_FILENO, into.as_mut_ptr().cast(), into.len()) })
    }

    fn console_write(which: Which, from: &[u8]) -> Answer {
        if !Linux::console_ready(which, Direction::Write) {
            return Err(Stop::WouldBlock);
        }
        let (fd, _) = console(which, Direction::Write);
        let len = from.len().min(CONSOLE_CHUNK);
        // SAFETY: reads within `from`.
        check(unsafe { libc::write(fd, from.as_ptr().cast(), len) })
    }

    fn console_ready(which: Which, direction: Direction) -> bool {
        let (fd, events) = console(which, direction);
        let mut poll = libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        // SAFETY: one element, and no waiting.
        unsafe { libc::poll(&mut poll, 1, 0) > 0 }
    }

    fn log(line: &[u8]) {
        // SAFETY: reads within `line`. What can't be written is lost: there is nowhere to say so.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }

    fn stop_requests() -> usize {
        signals::count()
    }

    fn take_report_requests() {
        signals::take_report_requests();
    }

    fn report_requested() -> bool {
        signals::report_requested()
    }

    fn links(rt: &mut Runtime) -> Result<Vec<Device>, Failure> {
        links::open(&rt.interest.ring())
    }

    fn recording(target: &str) -> Result<services::capture::Sink, Failure> {
        recording::open(target)
    }

    const FOLDERS: Option<crate::files::drivers::FileSystem> = Some(host::HOST);

    fn disks(rt: &mut Runtime) -> Result<Vec<(String, Box<dyn disks::Device>)>, Failure> {
        Ok(disk::all(&rt.interest.ring()))
    }

    fn stack(len: usize) -> Option<NonNull<u8>> {
        // SAFETY: new memory, whose lowest page is made unreachable.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let start = libc::mmap(core::ptr::null_mut(), page + len, protection, flags, -1, 0);
            if start == libc::MAP_FAILED || libc::mprotect(start, page, libc::PROT_NONE) < 0 {
                return None;
            }
            NonNull::new(start.cast::<u8>().add(page + len))
        }
    }

    fn resume(_: u64) {
        beside::resume();
    }

    fn look_beside(look: fn()) {
        beside::start(look);
    }

    fn thread() -> usize {
        // SAFETY: it asks for nothing.
        unsafe { libc::pthread_self() as usize }
    }

    fn await_change(word: &AtomicU32, value: u32) {
        let forever = core::ptr::null::<libc::timespec>();
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: futex(2) on a word that lives during the call.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, forever) };
    }

    fn wake(word: &AtomicU32) {
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
    }

    fn wait(interest: &mut Interest, until: Option<u64>) -> Woken {
        let until = if interest.immediate { Some(0) } else { until };
        let left =
            || until.map(|until| Duration::from_nanos(until.saturating_sub(Linux::monotonic_ns())));
        let time = left();
        beside::sleeps();
        // SAFETY: this thread holds the OCaml runtime, having been called from OCaml, and touches
        // nothing of OCaml's in between.
        #[cfg(feature = "process")]
        unsafe {
            ocaml::caml_enter_blocking_section_no_pending();
        }
        let Interest {
            fds,
            links,
            ring,
            aside,
            ..
        } = interest;
        let on_ring = |ring: &mut ring::Handle| ring.with(|ring| ring.wait(fds, time));
        let interrupted = match ring.as_mut().and_then(on_ring) {
            // The ring doesn't tell a signal from the time that is over.
            Some(waited) => waited == ring::Waited::Nothing && left() != Some(Duration::ZERO),
            None => poll(fds, time),
        };
        for (place, wake) in links {
            wake.note_readiness(fds.get(*place).is_some_and(|found| found.revents != 0));
        }
        // SAFETY: see above.
        #[cfg(feature = "process")]
        unsafe {
            ocaml::caml_leave_blocking_section();
        }
        signals::clear_event();
        if let Some(aside) = aside {
            aside.clear_event();
        }
        if interrupted {
            Woken::Interrupted
        } else {
            Woken::Event
        }
    }
}

/// Waits as ppoll(2) does; whether a signal ended it.
fn poll(fds: &mut [libc::pollfd], time: Option<Duration>) -> bool {
    let timeout = time.map(|time| libc::timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    let timeout = timeout
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: `fds` and `timeout` are valid; the signal mask is left alone.
    let n = unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            fds.len() as libc::nfds_t,
            timeout,
            core::ptr::null(),
        )
    };
    n < 0 && errno() == libc::EINTR
}

/// Pages of memory that the process occupies (the second number of `/proc/self/statm`, proc(5)).
fn resident_pages() -> Option<u64> {
    let mut text = [0u8; 128];
    // SAFETY: the name ends with a zero byte; reading stays within `text`; the descriptor is closed
    // again.
    let n = unsafe {
        let fd = libc::open(
            c"/proc/self/statm".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        );
        if fd < 0 {
            return None;
        }
        let n = libc::read(fd, text.as_mut_ptr().cast(), text.len());
        libc::close(fd);
        n
    };
    let text = core::str::from_utf8(text.get(..usize::try_from(n).ok()?)?).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}
