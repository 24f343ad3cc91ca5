//! The Linux system calls that musl and OCaml's runtime make.
//!
//! Descriptors 0 to 2 are the console, there is no file, one process and one thread. A descriptor table that knows more
//! registers itself with [`set_descriptors`] and is asked first. What isn't known is ENOSYS, said once for each name.
//! Source: Linux's manual pages, section 2; musl's `src/internal/syscall.h`.

use crate::errno::Errno;
use crate::memory::{self, MapError, PROGRAM};
use crate::{console, power, random, signals, syscall_names, time, wait};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The registers of a system call, as its entry saved them.
#[repr(C)]
pub struct Call {
    number: u64,
    r9: u64,
    r8: u64,
    r10: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    rflags: u64,
    rip: u64,
    rsp: u64,
}

impl Call {
    /// The arguments in order.
    fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// Serves system calls on descriptors and paths in the kernel's place.
pub trait Descriptors: Sync {
    /// The result of system call `number` (minus an errno for an error), or `None` where the kernel is to answer.
    /// Pointers among the arguments are the program's, unchecked.
    fn system_call(&self, number: u64, arguments: &[u64; 6]) -> Option<i64>;
}

/// A pointer to the registered table, itself a fat pointer.
static DESCRIPTORS: AtomicPtr<&'static dyn Descriptors> = AtomicPtr::new(core::ptr::null_mut());

/// Asks `descriptors` first from now on.
pub fn set_descriptors(descriptors: &'static &'static dyn Descriptors) {
    let pointer: *const &'static dyn Descriptors = descriptors;
    DESCRIPTORS.store(pointer.cast_mut(), Ordering::Release);
}

/// The entry of all system calls, on the kernel's stack. The result goes to `rax`.
pub extern "C" fn enter(call: &mut Call) -> i64 {
    let arguments = call.arguments();
    let table = DESCRIPTORS.load(Ordering::Acquire);
    // SAFETY: only `set_descriptors` writes it, with a reference that lives for ever.
    if let Some(table) = unsafe { table.as_ref() }
        && let Some(result) = table.system_call(call.number, &arguments)
    {
        return result;
    }
    let result = match dispatch(call.number, arguments, call.rip) {
        Ok(value) => value as i64,
        Err(errno) => -(errno as i64),
    };
    signals::deliver(&mut call.rip, &mut call.rsp, result)
}

/// The numbers of the system calls that are served.
mod nr {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const OPEN: u64 = 2;
    pub const CLOSE: u64 = 3;
    pub const STAT: u64 = 4;
    pub const FSTAT: u64 = 5;
    pub const LSTAT: u64 = 6;
    pub const POLL: u64 = 7;
    pub const LSEEK: u64 = 8;
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const MUNMAP: u64 = 11;
    pub const BRK: u64 = 12;
    pub const RT_SIGACTION: u64 = 13;
    pub const RT_SIGPROCMASK: u64 = 14;
    pub const RT_SIGRETURN: u64 = 15;
    pub const IOCTL: u64 = 16;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const ACCESS: u64 = 21;
    pub const SELECT: u64 = 23;
    pub const SCHED_YIELD: u64 = 24;
    pub const MREMAP: u64 = 25;
    pub const MADVISE: u64 = 28;
    pub const NANOSLEEP: u64 = 35;
    pub const GETPID: u64 = 39;
    pub const CLONE: u64 = 56;
    pub const FORK: u64 = 57;
    pub const EXIT: u64 = 60;
    pub const KILL: u64 = 62;
    pub const UNAME: u64 = 63;
    pub const FCNTL: u64 = 72;
    pub const GETCWD: u64 = 79;
    pub const CHDIR: u64 = 80;
    pub const READLINK: u64 = 89;
    pub const GETTIMEOFDAY: u64 = 96;
    pub const GETRLIMIT: u64 = 97;
    pub const GETRUSAGE: u64 = 98;
    pub const TIMES: u64 = 100;
    pub const GETUID: u64 = 102;
    pub const GETGID: u64 = 104;
    pub const GETEUID: u64 = 107;
    pub const GETEGID: u64 = 108;
    pub const GETPPID: u64 = 110;
    pub const SIGALTSTACK: u64 = 131;
    pub const ARCH_PRCTL: u64 = 158;
    pub const GETTID: u64 = 186;
    pub const TKILL: u64 = 200;
    pub const TIME: u64 = 201;
    pub const FUTEX: u64 = 202;
    pub const SCHED_GETAFFINITY: u64 = 204;
    pub const SET_TID_ADDRESS: u64 = 218;
    pub const CLOCK_GETTIME: u64 = 228;
    pub const CLOCK_GETRES: u64 = 229;
    pub const CLOCK_NANOSLEEP: u64 = 230;
    pub const EXIT_GROUP: u64 = 231;
    pub const TGKILL: u64 = 234;
    pub const OPENAT: u64 = 257;
    pub const NEWFSTATAT: u64 = 262;
    pub const READLINKAT: u64 = 267;
    pub const FACCESSAT: u64 = 269;
    pub const PSELECT6: u64 = 270;
    pub const PPOLL: u64 = 271;
    pub const SET_ROBUST_LIST: u64 = 273;
    pub const PRLIMIT64: u64 = 302;
    pub const GETRANDOM: u64 = 318;
    pub const STATX: u64 = 332;
}

/// The process number, of the only process.
const PID: u64 = 1;
/// What `brk` answers: there is no such heap, musl's allocator falls back to `mmap`.
const NO_BREAK: u64 = 0x1000;

fn dispatch(number: u64, arguments: [u64; 6], caller: u64) -> Result<u64, Errno> {
    use nr as n;
    let [a, b, c, d, e, _] = arguments;
    match number {
        n::READ => read(a, &[(b, c)]),
        n::READV => read(a, vectors(b, c)?),
        n::WRITE => write(a, &[(b, c)]),
        n::WRITEV => write(a, vectors(b, c)?),
        n::OPEN => open(a),
        n::OPENAT => open(b),
        n::CLOSE => {
            if a < 3 {
                Ok(0)
            } else {
                close(a)
            }
        }
        n::STAT | n::LSTAT => stat_path(a, b),
        n::NEWFSTATAT => {
            if is_empty(b) {
                stat_descriptor(a, c)
            } else {
                stat_path(b, c)
            }
        }
        n::STATX => Err(Errno::ENOSYS),
        n::FSTAT => stat_descriptor(a, b),
        n::ACCESS => path_kind(a).map(|_| 0),
        n::FACCESSAT => path_kind(b).map(|_| 0),
        n::READLINK | n::READLINKAT => Err(Errno::ENOENT),
        n::LSEEK => Err(if a < 3 { Errno::ESPIPE } else { Errno::EBADF }),
        n::IOCTL => Err(if a < 3 { Errno::ENOTTY } else { Errno::EBADF }),
        n::FCNTL => fcntl(a, b),
        n::GETCWD => copy_out(a, b, b"/\0").map(|()| 2),
        n::CHDIR => path_kind(a).map(|_| 0),
        n::POLL | n::PPOLL => poll(number, arguments),
        n::SELECT | n::PSELECT6 => select(number, arguments),

        n::MMAP => map(arguments),
        n::MUNMAP => memory::unmap(a, b).map(|()| 0).map_err(Errno::from),
        n::MPROTECT => memory::protect(a, b, memory::protection(c))
            .map(|()| 0)
            .map_err(Errno::from),
        n::MREMAP => remap(a, b, c, d),
        n::MADVISE => advise(a, b, c),
        n::BRK => Ok(NO_BREAK),

        n::RT_SIGACTION => signals::set_action(a, b, c),
        n::RT_SIGPROCMASK => signals::set_mask(a, b, c),
        n::RT_SIGRETURN => Err(Errno::ENOSYS),
        n::SIGALTSTACK => Ok(0),
        n::KILL => signals::send_to(a, PID, b, caller),
        n::TKILL => signals::send_to(a, PID, b, caller),
        n::TGKILL => signals::send_to(b, PID, c, caller),

        n::EXIT | n::EXIT_GROUP => exit(a as u8),
        n::GETPID | n::GETTID | n::SET_TID_ADDRESS => Ok(PID),
        n::GETPPID | n::GETUID | n::GETEUID | n::GETGID | n::GETEGID => Ok(0),
        n::SET_ROBUST_LIST | n::SCHED_YIELD => Ok(0),
        n::ARCH_PRCTL => set_thread_pointer(a, b),
        n::CLONE | n::FORK => Err(no_threads(number)),
        n::FUTEX => futex(b),
        n::SCHED_GETAFFINITY => copy_out(c, b, &1u64.to_le_bytes()).map(|()| 8),
        n::UNAME => uname(a),
        n::GETRLIMIT => limits(a, b),
        n::PRLIMIT64 => {
            if d == 0 {
                Ok(0)
            } else {
                limits(b, d)
            }
        }

        n::CLOCK_GETTIME => clock(a).and_then(|now| put_timespec(b, now)),
        n::CLOCK_GETRES => clock(a).and_then(|_| if b == 0 { Ok(0) } else { put_timespec(b, 1) }),
        n::GETTIMEOFDAY => {
            let now = time::wall_ns();
            store(a, &[now / 1_000_000_000, now / 1000 % 1_000_000])
        }
        n::TIME => {
            let now = time::wall_ns() / 1_000_000_000;
            if a != 0 {
                store(a, &[now])?;
            }
            Ok(now)
        }
        n::NANOSLEEP => sleep(time::monotonic_ns().saturating_add(timespec(a)?)),
        n::CLOCK_NANOSLEEP => clock_sleep(a, b, c),
        n::GETRUSAGE => usage(b),
        n::TIMES => times(a),
        n::GETRANDOM => random::fill_for_program(a, b),
        _ => {
            let _ = e;
            Err(unknown(number))
        }
    }
}

/// One bit for each system call whose absence was mentioned.
static MENTIONED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// True the first time it is asked about `number`.
fn first_time(number: u64) -> bool {
    let bit = 1 << (number % 64);
    let word = MENTIONED.get((number / 64) as usize);
    word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
}

fn unknown(number: u64) -> Errno {
    if first_time(number) {
        let name = syscall_names::name(number).unwrap_or("?");
        console::line(format_args!(
            "system call {name} ({number}) isn't there: ENOSYS"
        ));
    }
    Errno::ENOSYS
}

fn no_threads(number: u64) -> Errno {
    if first_time(number) {
        console::line(format_args!(
            "threads, domains and processes can't be created in an image; use Soil.Task"
        ));
    }
    Errno::ENOSYS
}

/// # Errors
/// EFAULT where the range can't be the program's.
fn user(start: u64, len: u64) -> Result<*mut u8, Errno> {
    let end = start.checked_add(len).ok_or(Errno::EFAULT)?;
    let all = memory::image::all();
    let inside = |range: &core::ops::Range<u64>| range.start <= start && end <= range.end;
    if inside(&PROGRAM) || inside(&all) {
        Ok(start as *mut u8)
    } else {
        Err(Errno::EFAULT)
    }
}

fn bytes<'a>(start: u64, len: u64) -> Result<&'a [u8], Errno> {
    let pointer = user(start, len)?;
    // SAFETY: addresses that may be the program's; a page that isn't there is a crash with a report, as it would be
    // in the program. The slice is gone when the system call returns.
    Ok(unsafe { core::slice::from_raw_parts(pointer, len as usize) })
}

/// The program's buffer of `len` bytes at `start`, for the time of a system call.
pub fn bytes_mut<'a>(start: u64, len: u64) -> Result<&'a mut [u8], Errno> {
    let pointer = user(start, len)?;
    // SAFETY: as for `bytes`; the program waits for the system call and doesn't look.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer, len as usize) })
}

/// The zero-terminated string at `start`, with its length limited as paths are.
fn path<'a>(start: u64) -> Result<&'a [u8], Errno> {
    const PATH_MAX: u64 = 4096;
    for len in 0..PATH_MAX {
        if bytes(start.wrapping_add(len), 1)? == [0] {
            return bytes(start, len);
        }
    }
    Err(Errno::ENAMETOOLONG)
}

fn is_empty(start: u64) -> bool {
    path(start).is_ok_and(<[u8]>::is_empty)
}

/// Copies `data` to the program's buffer of `room` bytes at `start`.
fn copy_out(start: u64, room: u64, data: &[u8]) -> Result<(), Errno> {
    if room < data.len() as u64 {
        return Err(Errno::ERANGE);
    }
    bytes_mut(start, data.len() as u64)?.copy_from_slice(data);
    Ok(())
}

/// Stores words at `start`.
pub fn store(start: u64, words: &[u64]) -> Result<u64, Errno> {
    let target = bytes_mut(start, words.len() as u64 * 8)?;
    for (slot, word) in target.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    Ok(0)
}

/// Loads the `N` words at `start`.
pub fn load<const N: usize>(start: u64) -> Result<[u64; N], Errno> {
    let source = bytes(start, N as u64 * 8)?;
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(source.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
    }
    Ok(words)
}

/// The `count` pairs of `struct iovec` at `start`.
fn vectors<'a>(start: u64, count: u64) -> Result<&'a [(u64, u64)], Errno> {
    const IOV_MAX: u64 = 1024;
    if count > IOV_MAX || !start.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let pointer = user(start, count * 16)?;
    // SAFETY: as for `bytes`, aligned, and a pair of words has no invalid value. Two `u64` in a tuple are laid out in
    // order, like `struct iovec`.
    Ok(unsafe { core::slice::from_raw_parts(pointer.cast(), count as usize) })
}

fn write(descriptor: u64, pieces: &[(u64, u64)]) -> Result<u64, Errno> {
    if !(1..3).contains(&descriptor) {
        return Err(Errno::EBADF);
    }
    let mut total = 0;
    for (start, len) in pieces {
        console::write(bytes(*start, *len)?);
        total += len;
    }
    Ok(total)
}

/// Waits for at least one byte from the console; the end of input is Ctrl-D at the start of a read.
fn read(descriptor: u64, pieces: &[(u64, u64)]) -> Result<u64, Errno> {
    if descriptor != 0 && descriptor != random::DESCRIPTOR {
        return Err(Errno::EBADF);
    }
    let Some((start, len)) = pieces.iter().find(|(_, len)| *len > 0) else {
        return Ok(0);
    };
    if descriptor == random::DESCRIPTOR {
        return random::fill_for_program(*start, *len);
    }
    let buffer = bytes_mut(*start, *len)?;
    Ok(console::read_line(buffer) as u64)
}

fn open(start: u64) -> Result<u64, Errno> {
    match path(start)? {
        b"/dev/urandom" | b"/dev/random" => Ok(random::DESCRIPTOR),
        _ => Err(Errno::ENOENT),
    }
}

fn close(descriptor: u64) -> Result<u64, Errno> {
    if descriptor == random::DESCRIPTOR {
        Ok(0)
    } else {
        Err(Errno::EBADF)
    }
}

const DIRECTORY: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_666;

/// The mode of what `path` names: only the root directory is there.
fn path_kind(start: u64) -> Result<u32, Errno> {
    match path(start)? {
        b"/" | b"." | b"./" | b"/." => Ok(DIRECTORY),
        _ => Err(Errno::ENOENT),
    }
}

fn stat_path(start: u64, result: u64) -> Result<u64, Errno> {
    put_stat(result, path_kind(start)?)
}

fn stat_descriptor(descriptor: u64, result: u64) -> Result<u64, Errno> {
    if descriptor < 3 {
        put_stat(result, CHARACTER_DEVICE)
    } else {
        Err(Errno::EBADF)
    }
}

/// `struct stat`: device, inode, links, mode and owner, and zeros.
fn put_stat(result: u64, mode: u32) -> Result<u64, Errno> {
    let mut words = [0; 18];
    words[1] = u64::from(mode);
    words[2] = 1;
    words[3] = u64::from(mode);
    words[7] = 4096;
    store(result, &words)
}

fn fcntl(descriptor: u64, command: u64) -> Result<u64, Errno> {
    const GETFL: u64 = 3;
    const READ_WRITE: u64 = 2;
    match (descriptor, command) {
        (0..3, GETFL) => Ok(READ_WRITE),
        (0..3, 1 | 2 | 4) => Ok(0),
        (0..3, _) => Err(Errno::EINVAL),
        _ => Err(Errno::EBADF),
    }
}

fn map([address, len, protection, flags, descriptor, _]: [u64; 6]) -> Result<u64, Errno> {
    const FIXED: u64 = 0x10;
    const ANONYMOUS: u64 = 0x20;
    const FIXED_NO_REPLACE: u64 = 0x10_0000;
    if flags & ANONYMOUS == 0 {
        return Err(if descriptor < 3 {
            Errno::ENODEV
        } else {
            Errno::EBADF
        });
    }
    if flags & FIXED_NO_REPLACE != 0 && !memory::is_free(address, len) {
        return Err(Errno::EEXIST);
    }
    let fixed = (flags & (FIXED | FIXED_NO_REPLACE) != 0).then_some(address);
    Ok(memory::map(fixed, len, memory::protection(protection))?)
}

fn remap(start: u64, old_len: u64, new_len: u64, flags: u64) -> Result<u64, Errno> {
    const MAY_MOVE: u64 = 1;
    if flags & !MAY_MOVE != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(memory::remap(
        start,
        old_len,
        new_len,
        flags & MAY_MOVE != 0,
    )?)
}

fn advise(start: u64, len: u64, advice: u64) -> Result<u64, Errno> {
    const DONT_NEED: u64 = 4;
    const FREE: u64 = 8;
    if matches!(advice, DONT_NEED | FREE) {
        memory::discard(start, len)?;
    }
    Ok(0)
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Invalid => Self::EINVAL,
            MapError::OutOfMemory | MapError::NotMapped => Self::ENOMEM,
        }
    }
}

fn exit(status: u8) -> ! {
    /// What OCaml exits with after an exception that nobody handled.
    const UNCAUGHT_EXCEPTION: u8 = 2;
    if status == UNCAUGHT_EXCEPTION && memory::was_refused() {
        console::line(format_args!(
            "a request for memory was refused before this end: give the machine more (soil run --mem)"
        ));
    }
    power::exit(status)
}

fn set_thread_pointer(code: u64, address: u64) -> Result<u64, Errno> {
    const SET_FS: u64 = 0x1002;
    if code != SET_FS {
        return Err(Errno::EINVAL);
    }
    let address = x86_64::VirtAddr::try_new(address).map_err(|_| Errno::EPERM)?;
    x86_64::registers::model_specific::FsBase::write(address);
    Ok(0)
}

/// One thread: nobody waits, nobody wakes.
fn futex(operation: u64) -> Result<u64, Errno> {
    match operation & 0x7f {
        1 => Ok(0),
        // Waiting could never end, so it is refused; musl and OCaml then look again at what they wait for.
        0 => Err(Errno::EAGAIN),
        _ => Err(Errno::ENOSYS),
    }
}

/// `struct utsname`: six fields of 65 bytes.
fn uname(result: u64) -> Result<u64, Errno> {
    let fields: [&[u8]; 6] = [
        b"Linux",
        b"soil",
        b"6.0.0-soil",
        b"Soil",
        b"x86_64",
        b"(none)",
    ];
    let target = bytes_mut(result, 6 * 65)?;
    target.fill(0);
    for (slot, text) in target.chunks_exact_mut(65).zip(fields) {
        slot[..text.len()].copy_from_slice(text);
    }
    Ok(0)
}

fn limits(resource: u64, result: u64) -> Result<u64, Errno> {
    const STACK: u64 = 3;
    const OPEN_FILES: u64 = 7;
    let limit = match resource {
        STACK => memory::STACK_SIZE,
        OPEN_FILES => 1 << 16,
        _ => u64::MAX,
    };
    store(result, &[limit, limit])
}

fn clock(which: u64) -> Result<u64, Errno> {
    match which {
        0 | 5 => Ok(time::wall_ns()),
        1..=4 | 6 | 7 => Ok(time::monotonic_ns()),
        _ => Err(Errno::EINVAL),
    }
}

fn put_timespec(result: u64, ns: u64) -> Result<u64, Errno> {
    store(result, &[ns / 1_000_000_000, ns % 1_000_000_000])
}

/// The `struct timespec` at `start` in nanoseconds; one too large for that is the largest there is.
fn timespec(start: u64) -> Result<u64, Errno> {
    let [seconds, ns] = load(start)?;
    if seconds > i64::MAX as u64 || ns >= 1_000_000_000 {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(ns))
}

fn sleep(deadline: u64) -> Result<u64, Errno> {
    while time::monotonic_ns() < deadline {
        wait::pause_until(Some(deadline));
    }
    Ok(0)
}

fn clock_sleep(which: u64, flags: u64, request: u64) -> Result<u64, Errno> {
    const ABSOLUTE: u64 = 1;
    let span = timespec(request)?;
    let now = clock(which)?;
    let left = if flags & ABSOLUTE != 0 {
        span.saturating_sub(now)
    } else {
        span
    };
    sleep(time::monotonic_ns().saturating_add(left))
}

/// `struct rusage`: all time is the program's.
fn usage(result: u64) -> Result<u64, Errno> {
    let now = time::monotonic_ns();
    let mut words = [0; 18];
    words[0] = now / 1_000_000_000;
    words[1] = now / 1000 % 1_000_000;
    words[4] = memory::statistics().in_use / 1024;
    store(result, &words)
}

fn times(result: u64) -> Result<u64, Errno> {
    let ticks = time::monotonic_ns() / 10_000_000;
    if result != 0 {
        store(result, &[ticks, 0, 0, 0])?;
    }
    Ok(ticks)
}

/// Waits until the console has input (if `for_input`) or the deadline; whether there is input.
fn wait_for_console(for_input: bool, deadline: Option<u64>) -> bool {
    loop {
        if for_input && console::has_input() {
            return true;
        }
        if deadline.is_some_and(|deadline| time::monotonic_ns() >= deadline) {
            return false;
        }
        console::wait_for_input(deadline);
    }
}

fn poll(number: u64, [list, count, timeout, ..]: [u64; 6]) -> Result<u64, Errno> {
    const IN: u16 = 1;
    const OUT: u16 = 4;
    const INVALID: u16 = 0x20;
    let deadline = match number {
        nr::PPOLL if timeout == 0 => None,
        nr::PPOLL => Some(time::monotonic_ns().saturating_add(timespec(timeout)?)),
        _ if (timeout as i32) < 0 => None,
        _ => Some(time::monotonic_ns() + u64::from(timeout as u32) * 1_000_000),
    };
    let entries = bytes_mut(list, count.checked_mul(8).ok_or(Errno::EINVAL)?)?;
    let mut for_input = false;
    let mut ready = 0;
    loop {
        for entry in entries.chunks_exact_mut(8) {
            let descriptor = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let wanted = u16::from_le_bytes([entry[4], entry[5]]);
            for_input |= descriptor == 0 && wanted & IN != 0;
            let found = match descriptor {
                ..0 => 0,
                0 if console::has_input() => wanted & (IN | OUT),
                0..3 => wanted & OUT,
                _ => INVALID,
            };
            ready += u64::from(found != 0);
            entry[6..8].copy_from_slice(&found.to_le_bytes());
        }
        if ready > 0 || !wait_for_console(for_input, deadline) {
            return Ok(ready);
        }
    }
}

/// Descriptors above 2 aren't there, so the sets are one word each.
fn select(number: u64, [_, reads, writes, exceptions, timeout, _]: [u64; 6]) -> Result<u64, Errno> {
    let word = |set: u64| {
        if set == 0 {
            Ok(0)
        } else {
            load(set).map(|[word]| word)
        }
    };
    let (wanted_reads, wanted_writes) = (word(reads)?, word(writes)?);
    if (wanted_reads | wanted_writes) & !7 != 0 {
        return Err(Errno::EBADF);
    }
    let deadline = match (number, timeout) {
        (_, 0) => None,
        (nr::SELECT, _) => {
            let [seconds, us] = load(timeout)?;
            let span = seconds
                .saturating_mul(1_000_000)
                .saturating_add(us)
                .saturating_mul(1000);
            Some(time::monotonic_ns().saturating_add(span))
        }
        _ => Some(time::monotonic_ns().saturating_add(timespec(timeout)?)),
    };
    let found_writes = wanted_writes & 6;
    let for_input = wanted_reads & 1 != 0;
    let input = if found_writes != 0 {
        for_input && console::has_input()
    } else {
        wait_for_console(for_input, deadline)
    };
    let found_reads = u64::from(input);
    for (set, found) in [
        (reads, found_reads),
        (writes, found_writes),
        (exceptions, 0),
    ] {
        if set != 0 {
            store(set, &[found])?;
        }
    }
    Ok(u64::from(
        found_reads.count_ones() + found_writes.count_ones(),
    ))
}
