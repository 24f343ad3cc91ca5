//! Linux's system calls on descriptors and paths: arguments from registers and the program's
//! memory, results to both. One table per part of images:
//!
//! - this one, which every image has: descriptors, the console, and paths of devices,
//! - `files`: calls that create and change names, files, pipes, timers and the like, and `poll`,
//! - `sockets`.
//!
//! Calls in no table are the kernel's.

mod copies;
mod events;
mod files;
mod limits;
mod locks;
mod memory;
mod poll;
mod scheduling;
mod sockets;
mod transfer;

use crate::errors::{Errno, Result};
use crate::file::{Description, Offset};
use crate::namespace;
use crate::process;
use crate::stat::Stat;
use alloc::string::String;
use kernel::arch::gates::SystemCallFrame;
use kernel::arch::numbers as n;
use kernel::extension::SystemCalls;
use memory::{bytes, bytes_mut, path, store};
use transfer::{at, at_or_position, exactly, read, vectors, write};

kernel::part! {
    static SYSTEM_CALLS: SystemCalls = answer,
    in ".soil_part.system_calls.descriptors" as "soil_with_descriptors";
}

fn answer(call: &mut SystemCallFrame) -> Option<core::result::Result<u64, kernel::errno::Errno>> {
    answer_by(dispatch, call)
}

/// Handles a system call by a function of number and arguments that returns `None` for unknown
/// ones.
fn answer_by(
    dispatch: impl FnOnce(u64, [u64; 6]) -> Option<Result<u64>>,
    call: &SystemCallFrame,
) -> Option<core::result::Result<u64, kernel::errno::Errno>> {
    let answer = dispatch(call.number(), call.arguments())?;
    Some(answer.map_err(kernel::errno::Errno::of))
}

/// The current directory, for calls without a directory's descriptor.
const HERE: u64 = libc::AT_FDCWD as u64;

/// The flags of `creat`.
const CREAT: u64 = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;

/// `RWF_NOAPPEND` of `pwritev2`.
const NO_APPEND: u32 = 0x20;

/// The result of system call `number`; `None` if it belongs to another part or the kernel.
fn dispatch(number: u64, arguments: [u64; 6]) -> Option<Result<u64>> {
    let [a, b, c, d, e, f] = arguments;
    Some(match number {
        n::READ => read(a, &[[b, c]], Offset::Position),
        n::READV => vectors(b, c).and_then(|list| read(a, list, Offset::Position)),
        n::PREAD64 => at(d).and_then(|offset| read(a, &[[b, c]], offset)),
        n::PREADV => at(d).and_then(|offset| read(a, vectors(b, c)?, offset)),
        n::WRITE => write(a, &[[b, c]], Offset::Position),
        n::WRITEV => vectors(b, c).and_then(|list| write(a, list, Offset::Position)),
        n::PWRITE64 => at(d).and_then(|offset| write(a, &[[b, c]], offset)),
        n::PWRITEV => at(d).and_then(|offset| write(a, vectors(b, c)?, offset)),
        // musl's `pwrite`, since 1.2.6.
        n::PWRITEV2 if f as u32 == NO_APPEND => {
            exactly(d).and_then(|offset| write(a, vectors(b, c)?, offset))
        }
        // Without flags, they are the calls without the 2.
        n::PREADV2 | n::PWRITEV2 if f as u32 != 0 => Err(libc::EOPNOTSUPP),
        n::PREADV2 => vectors(b, c).and_then(|list| read(a, list, at_or_position(d)?)),
        n::PWRITEV2 => vectors(b, c).and_then(|list| write(a, list, at_or_position(d)?)),
        n::LSEEK => with(a, |it| it.file().seek(b as i64, c as i32)),
        n::IOCTL => with(a, |it| device_control(it, b, c)),

        n::OPEN => openat(HERE, a, b),
        n::CREAT => openat(HERE, a, CREAT),
        n::OPENAT => openat(a, b, c),
        n::CLOSE => process::close(a),
        n::CLOSE_RANGE => process::close_range(a, b, c),
        n::DUP => process::control(a, libc::F_DUPFD as u64, 0),
        n::DUP2 if a == b => process::get(a).map(|_| b),
        n::DUP2 => process::replace(a, b, false),
        n::DUP3 if a == b || c as i32 & !libc::O_CLOEXEC != 0 => Err(libc::EINVAL),
        n::DUP3 => process::replace(a, b, c as i32 & libc::O_CLOEXEC != 0),
        n::FCNTL => process::control(a, b, c),

        n::STAT => put_stat(a, b, true),
        n::LSTAT => put_stat(a, b, false),
        n::FSTAT => with(a, |it| store(b, &it.file().stat()?.words())),
        n::NEWFSTATAT => stat_at(a, b, c, d as i32),
        n::STATX => stat_extended(a, b, c as i32, e),
        n::ACCESS => on(HERE, a, |path| access(path, b, true)),
        n::FACCESSAT => on(a, b, |path| access(path, c, true)),
        n::FACCESSAT2 => access_at(a, b, c, d as i32),
        n::READLINK => read_link(HERE, a, b, c),
        n::READLINKAT => read_link(a, b, c, d),
        n::CHDIR => on(HERE, a, namespace::change_directory),
        n::FCHDIR => with(a, |it| namespace::change_directory(it.file().directory()?)),
        n::GETCWD => current_directory(a, b),

        n::GETRLIMIT => limits::limit(0, a, 0, b),
        n::SETRLIMIT => limits::limit(0, a, b, 0),
        n::PRLIMIT64 => limits::limit(a, b, c, d),
        _ => return None,
    })
}

/// Runs `f` on the description of a descriptor.
fn with(descriptor: u64, f: impl FnOnce(&Description) -> Result<u64>) -> Result<u64> {
    f(&*process::get(descriptor)?)
}

/// Runs `f` on the absolute path for the string at `start`, relative to the directory of a
/// descriptor.
fn on(descriptor: u64, start: u64, f: impl FnOnce(&str) -> Result<u64>) -> Result<u64> {
    f(&absolute(descriptor, start)?)
}

fn absolute(descriptor: u64, start: u64) -> Result<String> {
    namespace::absolute(descriptor, path(start)?)
}

fn openat(descriptor: u64, start: u64, flags: u64) -> Result<u64> {
    let flags = flags as i32;
    let opened = namespace::open(absolute(descriptor, start)?, flags)?;
    process::install(opened, flags)
}

fn read_link(descriptor: u64, start: u64, into: u64, room: u64) -> Result<u64> {
    on(descriptor, start, |path| {
        namespace::read_link(path, bytes_mut(into, room)?)
    })
}

/// `ioctl`.
fn device_control(description: &Description, request: u64, argument: u64) -> Result<u64> {
    match request {
        libc::FIONREAD => {
            let count = description.file().available()?.min(i32::MAX as u64) as u32;
            bytes_mut(argument, 4)?.copy_from_slice(&count.to_le_bytes());
            Ok(0)
        }
        libc::FIONBIO => {
            let [on, ..] = *bytes(argument, 4)?.first_chunk::<4>().ok_or(libc::EFAULT)?;
            let others = description.flags() & !libc::O_NONBLOCK;
            let flag = if on == 0 { 0 } else { libc::O_NONBLOCK };
            description.set_flags(others | flag);
            Ok(0)
        }
        _ => Err(libc::ENOTTY),
    }
}

fn put_stat(start: u64, result: u64, follow: bool) -> Result<u64> {
    on(HERE, start, |path| {
        store(result, &namespace::stat(path, follow)?.words())
    })
}

/// Flags of most calls that take a directory and a path.
const OF_PATH: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;

/// Fails if a call has unknown flags.
fn check_flags(flags: i32, known: i32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        _ => Err(libc::EINVAL),
    }
}

/// Whether a call is about the descriptor itself: it has an empty path.
fn is_of_descriptor(start: u64, flags: i32) -> bool {
    flags & libc::AT_EMPTY_PATH != 0 && memory::is_empty(start)
}

/// The attributes that `newfstatat` and `statx` request.
fn find_stat(descriptor: u64, start: u64, flags: i32) -> Result<Stat> {
    if is_of_descriptor(start, flags) {
        return if descriptor as i32 == libc::AT_FDCWD {
            namespace::stat(&namespace::current()?, true)
        } else {
            process::get(descriptor)?.file().stat()
        };
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    namespace::stat(&absolute(descriptor, start)?, follow)
}

fn stat_at(descriptor: u64, start: u64, result: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH | libc::AT_NO_AUTOMOUNT)?;
    store(result, &find_stat(descriptor, start, flags)?.words())
}

fn stat_extended(descriptor: u64, start: u64, flags: i32, result: u64) -> Result<u64> {
    const OF_STATX: i32 = libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC;
    check_flags(flags, OF_PATH | libc::AT_NO_AUTOMOUNT | OF_STATX)?;
    store(result, &find_stat(descriptor, start, flags)?.extended())
}

fn access(path: &str, mode: u64, follow: bool) -> Result<u64> {
    namespace::stat(path, follow)?.access(mode as i32)
}

fn access_at(descriptor: u64, start: u64, mode: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH | libc::AT_EACCESS)?;
    find_stat(descriptor, start, flags)?.access(mode as i32)
}

fn current_directory(result: u64, room: u64) -> Result<u64> {
    let mut path = namespace::current()?.into_bytes();
    path.push(0);
    let copied = kernel::memory::copy_out(result, room, &path);
    copied.map(|()| path.len() as u64).map_err(memory::number)
}

/// The error for one of the kernel's.
fn from_kernel(errno: kernel::errno::Errno) -> Errno {
    errno as Errno
}
