//! The answers to trapped system calls.

use super::files::{self, Place};
use super::signals::{self, PROCESS};
use super::{counter, names};
use crate::node;
use crate::stub::{self, Call};
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

/// The program's stack for handlers, as sigaltstack(2) has it: address, flags, bytes.
static STACK: [AtomicUsize; 3] = [
    AtomicUsize::new(0),
    AtomicUsize::new(libc::SS_DISABLE as usize),
    AtomicUsize::new(0),
];
const SECOND: u64 = 1_000_000_000;

/// The parent's.
const PARENT: isize = 1;
/// A terminal's attributes are asked for.
const TCGETS: usize = 0x5401;

/// Minus an error number.
fn error(number: i32) -> isize {
    -(number as isize)
}

/// Writes a value where the program's argument says, unless it is null.
fn store<T>(address: usize, value: T) {
    let to = with_exposed_provenance_mut::<T>(address);
    if !to.is_null() {
        // SAFETY: an argument of the program's call, with room for the value.
        unsafe { to.write_unaligned(value) };
    }
}

/// Reads a value where the program's argument says.
fn load<T: Copy>(address: usize) -> T {
    // SAFETY: an argument of the program's call, with such a value.
    unsafe { with_exposed_provenance::<T>(address).read_unaligned() }
}

fn pair(ns: u64, unit: u64) -> [i64; 2] {
    [(ns / SECOND) as i64, (ns % SECOND / unit) as i64]
}

fn monotonic() -> u64 {
    node::monotonic_ns().unwrap_or(0)
}

/// The time of one of the C library's clocks.
fn clock(id: usize) -> u64 {
    match id as i32 {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => {
            node::wall_ns().unwrap_or(0)
        }
        _ => monotonic(),
    }
}

/// Sleeps; events of devices don't end it.
fn sleep_until(until: u64) -> isize {
    while monotonic() < until {
        node::wait(Some(until));
    }
    0
}

fn nanoseconds(time: [i64; 2]) -> u64 {
    let [seconds, nanoseconds] = time.map(|part| u64::try_from(part).unwrap_or(0));
    seconds.saturating_mul(SECOND).saturating_add(nanoseconds)
}

/// A wait for descriptors: without any it is a sleep.
fn wait(call: &Call, descriptors: usize, timeout: Option<u64>) -> isize {
    match timeout {
        Some(timeout) if descriptors == 0 => sleep_until(monotonic().saturating_add(timeout)),
        _ => unowned(call),
    }
}

/// sigaltstack(2): the program's stack is remembered and not used, because it may be too small for
/// the handlers of the traps, which have their own ([`super`]).
fn change_stack(new: usize, old: usize) -> isize {
    let [start, flags, len] = STACK.each_ref().map(|word| word.load(Ordering::Relaxed));
    store(old, [start, flags, len]);
    if new != 0 {
        let [start, flags, len]: [usize; 3] = load(new);
        for (word, value) in STACK.iter().zip([start, flags as u32 as usize, len]) {
            word.store(value, Ordering::Relaxed);
        }
    }
    0
}

fn unowned(call: &Call) -> isize {
    node::unowned(&names::describe(call.number));
    match call.number {
        libc::SYS_socket | libc::SYS_socketpair => error(libc::EAFNOSUPPORT),
        libc::SYS_clone | libc::SYS_clone3 | libc::SYS_fork | libc::SYS_vfork => {
            error(libc::EAGAIN)
        }
        _ => error(libc::ENOSYS),
    }
}

/// A call with a path, which is argument `which`.
fn with_path(call: &Call, name: &str, which: usize) -> isize {
    let path = files::text(call.arguments[which]);
    // Of a descriptor, with AT_EMPTY_PATH.
    if path.is_empty() {
        return stub::pass(call);
    }
    match files::place(path) {
        Place::Readable => stub::pass(call),
        Place::Absent => error(libc::ENOENT),
        Place::Random => match call.number {
            libc::SYS_open | libc::SYS_openat => open_random(),
            _ => stub::pass(call),
        },
        Place::Unowned => {
            files::report(name, path);
            error(libc::ENOENT)
        }
    }
}

/// A descriptor of its own for random numbers.
fn open_random() -> isize {
    let path = c"/dev/null".as_ptr().expose_provenance();
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let arguments = [libc::AT_FDCWD as usize, path, flags, 0, 0, 0];
    // SAFETY: a valid path.
    files::add_random(unsafe { stub::call(libc::SYS_openat, arguments) })
}

/// Output to a descriptor, if that is the console; whether it is.
fn print(fd: usize, address: usize, len: usize) -> bool {
    if !matches!(fd as i32, libc::STDOUT_FILENO | libc::STDERR_FILENO) || len == 0 {
        return false;
    }
    // SAFETY: an argument of the program's call, with `len` bytes.
    let bytes = unsafe { core::slice::from_raw_parts(with_exposed_provenance(address), len) };
    node::console(fd as u8, bytes)
}

fn write_vector(call: &Call) -> isize {
    let [fd, vector, count, ..] = call.arguments;
    if !matches!(fd as i32, libc::STDOUT_FILENO | libc::STDERR_FILENO) {
        return stub::pass(call);
    }
    let mut total = 0;
    for i in 0..count.min(1024) {
        let [start, len]: [usize; 2] = load(vector + i * size_of::<[usize; 2]>());
        print(fd, start, len);
        total += len;
    }
    total as isize
}

/// What sysinfo(2) says of the simulated machine.
fn system_information(address: usize) -> isize {
    // SAFETY: numbers, of which 0 is valid.
    let mut information: libc::sysinfo = unsafe { core::mem::zeroed() };
    information.uptime = (monotonic() / SECOND) as i64;
    information.totalram = node::total_memory().unwrap_or(0);
    information.freeram = information.totalram / 2;
    information.mem_unit = 1;
    store(address, information);
    0
}

fn names_of_system(address: usize) -> isize {
    // SAFETY: arrays of characters, of which 0 is valid.
    let mut names: libc::utsname = unsafe { core::mem::zeroed() };
    let fields = [
        (&mut names.sysname, "Linux"),
        (&mut names.nodename, "node"),
        (&mut names.release, "6.1.0"),
        (&mut names.version, "soil simulate"),
        (&mut names.machine, "x86_64"),
    ];
    for (field, text) in fields {
        for (to, from) in field.iter_mut().zip(text.bytes()) {
            *to = from as libc::c_char;
        }
    }
    store(address, names);
    0
}

/// Answers a call: its result, or minus an error number.
pub fn answer(call: &Call) -> isize {
    let [a, b, c, ..] = call.arguments;
    match call.number {
        libc::SYS_read if a == 0 => 0,
        libc::SYS_read if files::is_random(a) => files::fill(b, c),
        libc::SYS_write if print(a, b, c) => c as isize,
        libc::SYS_read | libc::SYS_write => stub::pass(call),
        libc::SYS_close => {
            files::forget(a);
            stub::pass(call)
        }
        libc::SYS_writev => write_vector(call),
        libc::SYS_clock_gettime => {
            store(b, pair(clock(a), 1));
            0
        }
        libc::SYS_gettimeofday => {
            store(a, pair(node::wall_ns().unwrap_or(0), 1000));
            0
        }
        libc::SYS_time => {
            let seconds = (node::wall_ns().unwrap_or(0) / SECOND) as isize;
            store(a, seconds);
            seconds
        }
        libc::SYS_nanosleep => sleep_until(monotonic().saturating_add(nanoseconds(load(a)))),
        libc::SYS_clock_nanosleep if b as i32 & libc::TIMER_ABSTIME == 0 => {
            sleep_until(monotonic().saturating_add(nanoseconds(load(c))))
        }
        libc::SYS_clock_nanosleep => {
            let left = nanoseconds(load(c)).saturating_sub(clock(a));
            sleep_until(monotonic().saturating_add(left))
        }
        libc::SYS_getrandom => files::fill(a, b),
        libc::SYS_getpid | libc::SYS_gettid => PROCESS,
        libc::SYS_getppid => PARENT,
        libc::SYS_getuid | libc::SYS_geteuid | libc::SYS_getgid | libc::SYS_getegid => PROCESS,
        libc::SYS_exit_group | libc::SYS_exit => {
            node::ends(a as u8);
            stub::pass(call)
        }
        libc::SYS_kill | libc::SYS_tkill | libc::SYS_tgkill => {
            signals::send(call).unwrap_or_else(|| unowned(call))
        }
        libc::SYS_rt_sigaction if a as i32 == libc::SIGSEGV => counter::action(b, c),
        libc::SYS_rt_sigaction if a as i32 == libc::SIGSYS => 0,
        libc::SYS_rt_sigaction => stub::pass(call),
        libc::SYS_rt_sigprocmask => signals::change_mask(call),
        libc::SYS_sigaltstack => change_stack(a, b),
        libc::SYS_poll => {
            let timeout = u64::try_from(c as i32).ok().map(|ms| ms * 1_000_000);
            wait(call, b, timeout)
        }
        libc::SYS_ppoll => wait(call, b, (c != 0).then(|| nanoseconds(load(c)))),
        libc::SYS_select => {
            let timeout = (fifth(call) != 0).then(|| {
                let [seconds, micros]: [i64; 2] = load(fifth(call));
                nanoseconds([seconds, micros.saturating_mul(1000)])
            });
            wait(call, a, timeout)
        }
        libc::SYS_pselect6 => {
            let timeout = (fifth(call) != 0).then(|| nanoseconds(load(fifth(call))));
            wait(call, a, timeout)
        }
        libc::SYS_ioctl if a <= 2 && b == TCGETS => error(libc::ENOTTY),
        libc::SYS_ioctl => stub::pass(call),
        libc::SYS_getrusage => {
            // SAFETY: numbers, of which 0 is valid.
            let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
            let [seconds, micros] = pair(monotonic(), 1000);
            usage.ru_utime = libc::timeval {
                tv_sec: seconds,
                tv_usec: micros,
            };
            store(b, usage);
            0
        }
        libc::SYS_times => {
            let ticks = (monotonic() / (SECOND / 100)) as i64;
            store(a, [ticks, 0, 0, 0]);
            ticks as isize
        }
        libc::SYS_sysinfo => system_information(a),
        libc::SYS_uname => names_of_system(a),
        // One processor, in a mask of 8 bytes.
        libc::SYS_sched_getaffinity => {
            store(c, 1u64);
            8
        }
        libc::SYS_prctl => stub::pass(call),
        // The runtime does without.
        libc::SYS_io_uring_setup => error(libc::ENOSYS),
        libc::SYS_open => with_path(call, "open", 0),
        libc::SYS_openat => with_path(call, "openat", 1),
        libc::SYS_stat => with_path(call, "stat", 0),
        libc::SYS_lstat => with_path(call, "lstat", 0),
        libc::SYS_newfstatat => with_path(call, "newfstatat", 1),
        libc::SYS_statx => with_path(call, "statx", 1),
        libc::SYS_access => with_path(call, "access", 0),
        libc::SYS_faccessat | libc::SYS_faccessat2 => with_path(call, "faccessat", 1),
        libc::SYS_readlink => with_path(call, "readlink", 0),
        libc::SYS_readlinkat => with_path(call, "readlinkat", 1),
        _ => unowned(call),
    }
}

/// The fifth argument.
fn fifth(call: &Call) -> usize {
    call.arguments[4]
}
