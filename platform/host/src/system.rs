//! Time, memory, random numbers and the process itself.

use crate::thread::{self, Permanent};
use crate::{Host, check, crash, signals, sleep};
use alloc::ffi::CString;
use alloc::string::{String, ToString};
use core::ffi::CStr;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use platform::error::{Answer, Error, Failure, Stop};
use platform::{Clock, Entropy, Memory, Simulation, System};

mod limit;

#[cfg(feature = "ocaml")]
mod ocaml {
    /// The value `()`.
    pub const UNIT: usize = 1;

    unsafe extern "C" {
        /// `Domain.self`.
        pub fn caml_ml_domain_index(unit: usize) -> usize;
    }
}

/// Offset of our time of day from the host's, in nanoseconds.
static WALL_OFFSET: AtomicI64 = AtomicI64::new(0);

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

/// A setting of the system, by the C library's number.
pub fn setting(name: i32) -> u64 {
    // SAFETY: a plain query of the C library.
    unsafe { libc::sysconf(name) as u64 }
}

impl Clock for Host {
    fn monotonic_ns() -> u64 {
        sim::monotonic_ns().unwrap_or_else(|| clock(libc::CLOCK_MONOTONIC))
    }

    fn wall_ns() -> u64 {
        sim::wall_ns()
            .unwrap_or_else(|| clock(libc::CLOCK_REALTIME))
            .wrapping_add_signed(WALL_OFFSET.load(Ordering::Relaxed))
    }

    fn adjust_wall(offset_ns: i64) {
        WALL_OFFSET.fetch_add(offset_ns, Ordering::Relaxed);
    }
}

impl Memory for Host {
    fn memory() -> [u64; 4] {
        // How much of it is in use differs between runs.
        if let Some(total) = sim::total_memory() {
            return [total, 0, total, 0];
        }
        // SAFETY: a plain query of the C library, which writes `usage`.
        let usage = unsafe {
            let mut usage: libc::rusage = core::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage
        };
        let page = setting(libc::_SC_PAGESIZE);
        [
            Host::total_memory(),
            resident_pages().unwrap_or(0) * page,
            free_memory().min(Host::total_memory()),
            usage.ru_maxrss as u64 * 1024,
        ]
    }

    fn total_memory() -> u64 {
        static TOTAL: AtomicU64 = AtomicU64::new(0);
        if let Some(total) = sim::total_memory() {
            return total;
        }
        match TOTAL.load(Ordering::Relaxed) {
            0 => {
                let physical = setting(libc::_SC_PHYS_PAGES) * setting(libc::_SC_PAGESIZE);
                let total = limit::of_process().min(physical);
                TOTAL.store(total, Ordering::Relaxed);
                total
            }
            total => total,
        }
    }

    fn memory_short() -> bool {
        // Linux grants memory until there is none, and then the OOM killer ends a process.
        false
    }

    fn promise_memory(_: usize) {}

    fn stack(len: usize) -> Option<NonNull<u8>> {
        // SAFETY: new memory, whose lowest page is made inaccessible.
        unsafe {
            let page = setting(libc::_SC_PAGESIZE) as usize;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let start = libc::mmap(core::ptr::null_mut(), page + len, protection, flags, -1, 0);
            if start == libc::MAP_FAILED || libc::mprotect(start, page, libc::PROT_NONE) < 0 {
                return None;
            }
            NonNull::new(start.cast::<u8>().add(page + len))
        }
    }
}

impl Entropy for Host {
    const NO_ENTROPY: &str = "no random numbers: getrandom(2) fails";

    fn random(into: &mut [u8]) -> Answer {
        if sim::random(into) {
            return Ok(into.len());
        }
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
}

impl System for Host {
    const ON_VM: bool = false;

    fn start() {
        signals::install();
        if !sim::is_simulated() {
            crash::install();
        }
        sleep::count_forks();
        thread::mark_permanent(Permanent::Main);
    }

    fn exit(status: u8) -> ! {
        // SAFETY: ends the process without running any more of its code.
        unsafe { libc::_exit(i32::from(status)) }
    }

    fn reboot() {}

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
        platform::value(value.to_bytes())
    }

    fn each_variable(each: &mut dyn FnMut(&str)) {
        unsafe extern "C" {
            static environ: *const *const libc::c_char;
        }
        // SAFETY: a pointer of the C library, which nothing changes meanwhile.
        let mut at = unsafe { environ };
        if at.is_null() {
            return;
        }
        // SAFETY: the array ends with a null pointer.
        while let variable = unsafe { *at }
            && !variable.is_null()
        {
            // SAFETY: each element ends with a zero byte.
            let variable = unsafe { CStr::from_ptr(variable) }.to_bytes();
            let name = variable.split(|byte| *byte == b'=').next();
            if let Ok(name) = core::str::from_utf8(name.unwrap_or_default()) {
                each(name);
            }
            // SAFETY: within the array, whose end isn't reached.
            at = unsafe { at.add(1) };
        }
    }

    fn thread() -> usize {
        // SAFETY: it has no preconditions.
        unsafe { libc::pthread_self() as usize }
    }

    fn domain() -> usize {
        // SAFETY: it reads the index of this thread's domain, an OCaml `int`.
        #[cfg(feature = "ocaml")]
        return unsafe { ocaml::caml_ml_domain_index(ocaml::UNIT) >> 1 };
        #[cfg(not(feature = "ocaml"))]
        0
    }

    fn stop_requests() -> usize {
        signals::count() + sim::stops()
    }
}

impl Simulation for Host {
    fn attach(fd: i32) -> Result<(), Failure> {
        crash::remove();
        sim::attach(fd)
    }

    fn note(bytes: &[u8]) -> bool {
        sim::note(bytes)
    }

    fn is_simulated() -> bool {
        sim::is_simulated()
    }

    fn choose(bound: usize) -> usize {
        sim::choose(bound)
    }
}

/// The times, in nanoseconds, at which the C library's heap gives back what it has free.
struct Trims {
    next: AtomicU64,
}

impl Trims {
    /// At most once in this time.
    const PAUSE: u64 = 1_000_000_000;
    /// At most this part of the time.
    const SHARE: u64 = 50;

    /// Whether the caller is to do it now: when less than half of the memory is free.
    fn begin(&self, now: u64, free: u64, total: u64) -> bool {
        let next = self.next.load(Ordering::Relaxed);
        let later = now + Self::PAUSE;
        let relaxed = Ordering::Relaxed;
        free < total / 2
            && now >= next
            && self
                .next
                .compare_exchange(next, later, relaxed, relaxed)
                .is_ok()
    }

    /// The caller has done it.
    fn end(&self, begun: u64, now: u64) {
        let pause = Self::PAUSE.max(Self::SHARE * now.saturating_sub(begun));
        self.next.store(now + pause, Ordering::Relaxed);
    }
}

/// What Linux can still give this process, after [`Trims`].
fn free_memory() -> u64 {
    static TRIMS: Trims = Trims {
        next: AtomicU64::new(0),
    };
    let free = limit::free();
    let begun = clock(libc::CLOCK_MONOTONIC);
    if !TRIMS.begin(begun, free, Host::total_memory()) {
        return free;
    }
    // SAFETY: gives back pages that no allocation uses.
    unsafe { libc::malloc_trim(0) };
    TRIMS.end(begun, clock(libc::CLOCK_MONOTONIC));
    limit::free()
}

/// Pages of memory that the process occupies (the second number of `/proc/self/statm`, proc(5)).
fn resident_pages() -> Option<u64> {
    let mut text = [0u8; 128];
    limit::contents(c"/proc/self/statm", &mut text)?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::Trims;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn the_heap_is_trimmed_once_a_second_for_a_fiftieth_of_the_time() {
        const SECOND: u64 = Trims::PAUSE;
        let trims = Trims {
            next: AtomicU64::new(0),
        };
        assert!(!trims.begin(5, 50, 100), "half is free");
        assert!(trims.begin(5, 49, 100));
        assert!(!trims.begin(6, 49, 100), "another thread does it");
        assert!(!trims.begin(SECOND + 4, 49, 100));
        trims.end(5, 15);
        assert!(!trims.begin(SECOND + 14, 49, 100));
        assert!(trims.begin(SECOND + 15, 49, 100), "a second after its end");
        trims.end(2 * SECOND, 3 * SECOND);
        assert!(!trims.begin(53 * SECOND - 1, 49, 100), "it took a second");
        assert!(trims.begin(53 * SECOND, 49, 100));
    }
}
