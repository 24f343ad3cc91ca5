//! Descriptors, and paths without files: the calls that every image has.

use super::program::{self, bytes, bytes_mut, copy_out, path, store};
use super::{locks, parts, signals};
use crate::errors::Result;
use crate::file::Description;
use crate::namespace;
use crate::process;
use crate::sockets::resolver;
use crate::stat::Stat;
use alloc::string::String;
use kernel::arch::numbers as n;
use kernel::syscall::unknown;

/// The current directory, for calls without a directory's descriptor.
pub const HERE: u64 = libc::AT_FDCWD as u64;

/// The flags of `creat`.
pub const CREAT: u64 = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;

/// Runs `f` on the description of a descriptor.
pub fn with(descriptor: u64, f: impl FnOnce(&Description) -> Result<u64>) -> Result<u64> {
    f(&*process::get(descriptor)?)
}

/// Runs `f` on the absolute path for the string at `start`, relative to the directory of a
/// descriptor.
pub fn on(descriptor: u64, start: u64, f: impl FnOnce(&str) -> Result<u64>) -> Result<u64> {
    f(&absolute(descriptor, start)?)
}

pub fn absolute(descriptor: u64, start: u64) -> Result<String> {
    namespace::absolute(descriptor, path(start)?)
}

/// `openat`.
pub fn open(descriptor: u64, start: u64, flags: u64) -> Result<u64> {
    let flags = flags as i32;
    if let Some(sockets) = parts::sockets()
        && path(start) == Ok(resolver::PATH.as_bytes())
    {
        sockets.update_resolver();
    }
    let opened = namespace::open(absolute(descriptor, start)?, flags)?;
    process::install(opened, flags)
}

/// `readlinkat`.
pub fn read_link(descriptor: u64, start: u64, into: u64, room: u64) -> Result<u64> {
    on(descriptor, start, |path| {
        namespace::read_link(path, bytes_mut(into, room)?)
    })
}

/// `ioctl`.
pub fn device_control(description: &Description, request: u64, argument: u64) -> Result<u64> {
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

/// `stat`, and `lstat` if `follow` is false.
pub fn stat(start: u64, result: u64, follow: bool) -> Result<u64> {
    on(HERE, start, |path| {
        store(result, &namespace::stat(path, follow)?.words())
    })
}

/// Flags of most calls that take a directory and a path.
pub const OF_PATH: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;

/// Fails if a call has unknown flags.
pub fn check_flags(flags: i32, known: i32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        _ => Err(libc::EINVAL),
    }
}

/// Whether a call is about the descriptor itself: it has an empty path.
pub fn is_of_descriptor(start: u64, flags: i32) -> bool {
    flags & libc::AT_EMPTY_PATH != 0 && program::is_empty(start)
}

/// The attributes that `newfstatat` and `statx` request.
pub fn find_stat(descriptor: u64, start: u64, flags: i32) -> Result<Stat> {
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

/// `newfstatat`.
pub fn stat_at(descriptor: u64, start: u64, result: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH | libc::AT_NO_AUTOMOUNT)?;
    store(result, &find_stat(descriptor, start, flags)?.words())
}

/// `statx`.
pub fn stat_extended(descriptor: u64, start: u64, flags: i32, result: u64) -> Result<u64> {
    const OF_STATX: i32 = libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC;
    check_flags(flags, OF_PATH | libc::AT_NO_AUTOMOUNT | OF_STATX)?;
    store(result, &find_stat(descriptor, start, flags)?.extended())
}

/// `faccessat`.
pub fn access(descriptor: u64, start: u64, mode: u64) -> Result<u64> {
    on(descriptor, start, |path| {
        namespace::stat(path, true)?.access(mode as i32)
    })
}

/// `faccessat2`.
pub fn access_at(descriptor: u64, start: u64, mode: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH | libc::AT_EACCESS)?;
    find_stat(descriptor, start, flags)?.access(mode as i32)
}

/// `getcwd`.
pub fn current_directory(result: u64, room: u64) -> Result<u64> {
    let mut path = namespace::current()?.into_bytes();
    path.push(0);
    copy_out(result, room, &path)?;
    Ok(path.len() as u64)
}

/// `dup2`.
pub fn dup2(old: u64, new: u64) -> Result<u64> {
    if old == new {
        return process::get(old).map(|_| new);
    }
    process::replace(old, new, false)
}

/// `dup3`.
pub fn dup3(old: u64, new: u64, flags: i32) -> Result<u64> {
    if old == new || flags & !libc::O_CLOEXEC != 0 {
        return Err(libc::EINVAL);
    }
    process::replace(old, new, flags & libc::O_CLOEXEC != 0)
}

/// `fcntl`.
pub fn control(descriptor: u64, command: u64, argument: u64) -> Result<u64> {
    match parts::files() {
        Some(files) if locks::is_lock(command) => files.lock(descriptor, command as i32, argument),
        _ => process::control(descriptor, command, argument),
    }
}

/// `ppoll`. Without files it is the `pause` of a C library whose processor lacks that call.
pub fn poll(arguments: [u64; 6]) -> Result<u64> {
    let [_, count, timeout, mask, ..] = arguments;
    match parts::files() {
        Some(files) => files.poll(arguments),
        None if !n::exists(n::PAUSE) && [count, timeout, mask] == [0; 3] => signals::pause(),
        None => Err(unknown(n::PPOLL)),
    }
}
