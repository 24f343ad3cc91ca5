//! The system calls on descriptors and paths: arguments from registers and the program's memory,
//! results to both.
//!
//! Calls that aren't here are the kernel's.

mod console;
mod copies;
mod events;
mod locks;
mod machine;
mod mapping;
mod memory;
mod poll;
mod sockets;

use crate::attributes::{self, Stat};
use crate::descriptors::{self, Description, Object};
use crate::directory::Listing;
use crate::errors::{Errno, Result};
use crate::io::{self, Place};
use crate::{names, open, paths};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use kernel::arch::gates::SystemCallFrame;
use memory::{bytes, bytes_mut, load, path, store};

kernel::system_call_extension!("soil_with_files", answer);

/// The kernel's extension: see `kernel::syscall::extension`.
extern "C" fn answer(
    call: &mut SystemCallFrame,
    result: &mut core::result::Result<u64, kernel::errno::Errno>,
) -> bool {
    answer_by(dispatch, call, result)
}

/// Answers a system call by a function of number and arguments that has `None` for those of others.
fn answer_by(
    dispatch: impl FnOnce(i64, [u64; 6]) -> Option<Result<u64>>,
    call: &SystemCallFrame,
    result: &mut core::result::Result<u64, kernel::errno::Errno>,
) -> bool {
    let arguments = [call.rdi, call.rsi, call.rdx, call.r10, call.r8, call.r9];
    match dispatch(call.number as i64, arguments) {
        Some(answer) => {
            *result = answer.map_err(kernel::errno::Errno::of);
            true
        }
        None => false,
    }
}

/// The current directory, for calls without a descriptor of one.
const HERE: u64 = libc::AT_FDCWD as u64;

/// The answer of system call `number`; `None` if it is the kernel's.
fn dispatch(number: i64, arguments: [u64; 6]) -> Option<Result<u64>> {
    let [a, b, c, d, e, _] = arguments;
    Some(match number {
        libc::SYS_open => openat(HERE, a, b),
        libc::SYS_creat => openat(HERE, a, CREAT),
        libc::SYS_openat => openat(a, b, c),
        libc::SYS_close => descriptors::close(a),
        libc::SYS_read => read(a, &[[b, c]], Place::Position),
        libc::SYS_readv => vectors(b, c).and_then(|list| read(a, list, Place::Position)),
        libc::SYS_pread64 => at(d).and_then(|place| read(a, &[[b, c]], place)),
        libc::SYS_preadv => at(d).and_then(|place| read(a, vectors(b, c)?, place)),
        libc::SYS_write => write(a, &[[b, c]], Place::Position),
        libc::SYS_writev => vectors(b, c).and_then(|list| write(a, list, Place::Position)),
        libc::SYS_pwrite64 => at(d).and_then(|place| write(a, &[[b, c]], place)),
        libc::SYS_pwritev => at(d).and_then(|place| write(a, vectors(b, c)?, place)),
        // musl's `pwrite`, since 1.2.6.
        libc::SYS_pwritev2 if arguments[5] as u32 == NO_APPEND => {
            exactly(d).and_then(|place| write(a, vectors(b, c)?, place))
        }
        // Without flags, they are the calls without the 2.
        libc::SYS_preadv2 | libc::SYS_pwritev2 if arguments[5] as u32 != 0 => Err(libc::EOPNOTSUPP),
        libc::SYS_preadv2 => vectors(b, c).and_then(|list| read(a, list, at_or_position(d)?)),
        libc::SYS_pwritev2 => vectors(b, c).and_then(|list| write(a, list, at_or_position(d)?)),
        libc::SYS_sendfile => copies::send_file(a, b, c, d),
        libc::SYS_copy_file_range => copies::copy_range(arguments),
        libc::SYS_lseek => with(a, |it| io::seek(it, b as i64, c as i32)),
        libc::SYS_ftruncate => with(a, |it| io::truncate(it, b as i64)),
        libc::SYS_fallocate => with(a, |it| io::allocate(it, b as i32, c as i64, d as i64)),
        libc::SYS_fadvise64 => descriptors::get(a).map(|_| 0),
        libc::SYS_truncate => on(HERE, a, |path| io::truncate_path(path, b as i64)),
        libc::SYS_fsync | libc::SYS_fdatasync => with(a, |it| {
            mapping::flush(it)?;
            io::sync(it)
        }),
        libc::SYS_syncfs => with(a, |_| sync_all()),
        libc::SYS_sync => sync_all(),

        libc::SYS_close_range => descriptors::close_range(a, b, c),
        libc::SYS_dup => descriptors::control(a, libc::F_DUPFD as u64, 0),
        libc::SYS_dup2 if a == b => descriptors::get(a).map(|_| b),
        libc::SYS_dup2 => descriptors::replace(a, b, false),
        libc::SYS_dup3 if a == b || c as i32 & !libc::O_CLOEXEC != 0 => Err(libc::EINVAL),
        libc::SYS_dup3 => descriptors::replace(a, b, c as i32 & libc::O_CLOEXEC != 0),
        libc::SYS_fcntl => control(a, b, c),
        libc::SYS_flock => locks::flock(a, b),
        libc::SYS_ioctl => with(a, |it| device_control(it, b, c)),
        libc::SYS_pipe => pipe(a, 0),
        libc::SYS_pipe2 => pipe(a, b as i32),

        libc::SYS_stat => put_stat(HERE, a, b, true),
        libc::SYS_lstat => put_stat(HERE, a, b, false),
        libc::SYS_fstat => put_stat_open(a, b),
        libc::SYS_newfstatat => stat_at(a, b, c, d as i32),
        libc::SYS_statx => stat_extended(a, b, c as i32, e),
        libc::SYS_access => on(HERE, a, |path| attributes::access(path, b as i32, true)),
        libc::SYS_faccessat => on(a, b, |path| attributes::access(path, c as i32, true)),
        libc::SYS_faccessat2 => access_at(a, b, c as i32, d as i32),
        libc::SYS_chmod => on(HERE, a, |path| set_mode(path, b)),
        libc::SYS_fchmodat => on(a, b, |path| set_mode(path, c)),
        libc::SYS_fchmod => with(a, |it| {
            attributes::set_mode(&attributes::stat_open(it)?, b as u32)
        }),
        libc::SYS_chown => on(HERE, a, |path| set_owner(path, true, b, c)),
        libc::SYS_lchown => on(HERE, a, |path| set_owner(path, false, b, c)),
        libc::SYS_fchownat => set_owner_at(a, b, [c, d], e as i32),
        libc::SYS_fchown => with(a, |_| attributes::set_owner(b as u32, c as u32)),
        libc::SYS_utimensat => set_times(a, b, c, d as i32),
        libc::SYS_statfs => on(HERE, a, |path| store(b, &attributes::space(path)?)),
        libc::SYS_fstatfs => with(a, |it| store(b, &attributes::space(&it.path)?)),
        libc::SYS_umask => Ok(u64::from(UMASK.swap(a as u32 & 0o777, Ordering::Relaxed))),

        libc::SYS_getdents64 => with(a, |it| {
            let into = bytes_mut(b, c)?;
            let mut listing = listing(it)?.try_lock().ok_or(libc::EAGAIN)?;
            listing.fill(into).map(|len| len as u64)
        }),
        libc::SYS_mkdir => on(HERE, a, names::make_directory),
        libc::SYS_mkdirat => on(a, b, names::make_directory),
        libc::SYS_rmdir => on(HERE, a, names::remove_directory),
        libc::SYS_unlink => on(HERE, a, names::remove),
        libc::SYS_unlinkat => remove_at(a, b, c as i32),
        libc::SYS_rename => rename(HERE, a, HERE, b, 0),
        libc::SYS_renameat => rename(a, b, c, d, 0),
        libc::SYS_renameat2 => rename(a, b, c, d, e as u32),
        libc::SYS_link => link(HERE, a, HERE, b, 0),
        libc::SYS_linkat => link(a, b, c, d, e as i32),
        libc::SYS_symlink => on(HERE, b, |new| names::symlink(path(a)?, new)),
        libc::SYS_symlinkat => on(b, c, |new| names::symlink(path(a)?, new)),
        libc::SYS_readlink => on(HERE, a, |path| names::read_link(path, bytes_mut(b, c)?)),
        libc::SYS_readlinkat => on(a, b, |path| names::read_link(path, bytes_mut(c, d)?)),
        libc::SYS_chdir => on(HERE, a, paths::change_directory),
        libc::SYS_fchdir => with(a, |it| {
            listing(it)?;
            paths::change_directory(&it.path)
        }),
        libc::SYS_getcwd => current_directory(a, b),

        libc::SYS_mmap if d as i32 & libc::MAP_ANONYMOUS == 0 => mapping::map(arguments),
        libc::SYS_mmap if d as i32 & libc::MAP_FIXED != 0 && mapping::is_any() => {
            return left_to_kernel(mapping::forget(a, b));
        }
        libc::SYS_munmap if mapping::leave(a, b) => Ok(0),
        libc::SYS_munmap if mapping::is_any() => return left_to_kernel(mapping::forget(a, b)),
        libc::SYS_mremap if mapping::is_shared(a, b) => Err(libc::ENOMEM),
        libc::SYS_msync => mapping::sync(a, b, c),
        libc::SYS_rt_sigtimedwait => events::await_signal(a, b, c, d),
        libc::SYS_poll => poll::poll(arguments),
        libc::SYS_ppoll => poll::ppoll(arguments),
        libc::SYS_select => poll::select(arguments),
        libc::SYS_pselect6 => poll::pselect(arguments),
        libc::SYS_epoll_create => events::epoll_create(a),
        libc::SYS_epoll_create1 => events::epoll_create1(a),
        libc::SYS_epoll_ctl => events::epoll_ctl(a, b, c, d),
        libc::SYS_epoll_wait => events::epoll_wait(arguments),
        libc::SYS_epoll_pwait => events::epoll_pwait(arguments),
        libc::SYS_epoll_pwait2 => events::epoll_pwait2(arguments),
        libc::SYS_eventfd => events::eventfd(a, 0),
        libc::SYS_eventfd2 => events::eventfd(a, b),
        libc::SYS_timerfd_create => events::timerfd_create(a, b),
        libc::SYS_timerfd_settime => events::timerfd_settime(a, b, c, d),
        libc::SYS_timerfd_gettime => events::timerfd_gettime(a, b),
        libc::SYS_signalfd => events::signalfd(a, b, c, 0),
        libc::SYS_signalfd4 => events::signalfd(a, b, c, d),
        libc::SYS_execve | libc::SYS_execveat => Err(no_execution()),
        // The super-user stays that, in no other group.
        libc::SYS_getgroups | libc::SYS_setgroups => Ok(0),
        libc::SYS_setuid | libc::SYS_setgid => match a as u32 {
            0 => Ok(0),
            _ => Err(libc::EPERM),
        },
        libc::SYS_getpgid | libc::SYS_getsid => match a as u32 as u64 {
            0 | kernel::signals::PID => Ok(kernel::signals::PID),
            _ => Err(libc::ESRCH),
        },
        libc::SYS_getrusage => match a as i32 {
            libc::RUSAGE_SELF | libc::RUSAGE_THREAD => return None,
            libc::RUSAGE_CHILDREN => kernel::syscall::put_usage(b, 0).map_err(memory::number),
            _ => Err(libc::EINVAL),
        },
        libc::SYS_sysinfo => machine::information(a),
        libc::SYS_getrlimit => machine::limit(0, a, 0, b),
        libc::SYS_setrlimit => machine::limit(0, a, b, 0),
        libc::SYS_prlimit64 => machine::limit(a, b, c, d),
        libc::SYS_getcpu => machine::processor(a, b),
        libc::SYS_sched_setaffinity => machine::set_affinity(a, b, c),
        libc::SYS_sched_getscheduler => machine::scheduler(a, None),
        libc::SYS_sched_getparam => machine::scheduler(a, Some(b)),
        libc::SYS_sched_setscheduler => machine::set_scheduler(a, b as i32, c),
        libc::SYS_sched_setparam => machine::set_scheduler(a, libc::SCHED_OTHER, b),
        libc::SYS_sched_get_priority_min => machine::priorities(a as i32).map(|[least, _]| least),
        libc::SYS_sched_get_priority_max => machine::priorities(a as i32).map(|[_, most]| most),
        libc::SYS_mlock | libc::SYS_munlock => machine::lock(a, b),
        libc::SYS_mlockall | libc::SYS_munlockall => Ok(0),
        // No volume stores them.
        libc::SYS_setxattr
        | libc::SYS_lsetxattr
        | libc::SYS_getxattr
        | libc::SYS_lgetxattr
        | libc::SYS_listxattr
        | libc::SYS_llistxattr
        | libc::SYS_removexattr
        | libc::SYS_lremovexattr => on(HERE, a, |path| {
            attributes::stat(path, true)?;
            Err(libc::EOPNOTSUPP)
        }),
        libc::SYS_fsetxattr
        | libc::SYS_fgetxattr
        | libc::SYS_flistxattr
        | libc::SYS_fremovexattr => with(a, |_| Err(libc::EOPNOTSUPP)),
        // As `nice` has 0.
        libc::SYS_getpriority => Ok(20),
        libc::SYS_setpriority => Ok(0),
        libc::SYS_exit_group => {
            // A failure has its line in the log.
            let _ = mapping::write_back();
            console::finish();
            return None;
        }
        _ => return None,
    })
}

/// The error of `execve`, which the first time is logged with its reason.
fn no_execution() -> Errno {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        log::warn!(
            "no other program can be executed: an image is one program (call a library, or a \
             server over the network)"
        );
    }
    libc::ENOSYS
}

/// The flags of `creat`.
const CREAT: u64 = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;

/// The mask of modes, which no volume stores.
static UMASK: AtomicU32 = AtomicU32::new(0o022);

/// Runs `f` on the description of a descriptor.
fn with(descriptor: u64, f: impl FnOnce(&Description) -> Result<u64>) -> Result<u64> {
    f(&*descriptors::get(descriptor)?)
}

/// Runs `f` on the absolute path of the string at `start`, beside the directory of a descriptor.
fn on(descriptor: u64, start: u64, f: impl FnOnce(&str) -> Result<u64>) -> Result<u64> {
    f(&absolute(descriptor, start)?)
}

fn absolute(descriptor: u64, start: u64) -> Result<String> {
    paths::absolute(descriptor, path(start)?)
}

fn openat(descriptor: u64, start: u64, flags: u64) -> Result<u64> {
    open::open(absolute(descriptor, start)?, flags as i32)
}

/// The place of `pread` and `pwrite`.
fn at(offset: u64) -> Result<Place> {
    if offset > i64::MAX as u64 {
        return Err(libc::EINVAL);
    }
    Ok(Place::Byte(offset))
}

/// `RWF_NOAPPEND` of `pwritev2`.
const NO_APPEND: u32 = 0x20;

/// Its place, or the position.
fn exactly(offset: u64) -> Result<Place> {
    Ok(match at_or_position(offset)? {
        Place::Byte(at) => Place::Exact(at),
        place => place,
    })
}

/// That of `preadv2` and `pwritev2`, where -1 is the position.
fn at_or_position(offset: u64) -> Result<Place> {
    match offset as i64 {
        -1 => Ok(Place::Position),
        _ => at(offset),
    }
}

fn vectors<'a>(start: u64, count: u64) -> Result<&'a [[u64; 2]]> {
    kernel::memory::vectors(start, count).map_err(memory::number)
}

/// Transfers one piece of memory after the other, until one isn't done whole. An error after the
/// first is that of the next call.
fn transfer(
    pieces: &[[u64; 2]],
    mut place: Place,
    mut one: impl FnMut(u64, u64, Place) -> Result<usize>,
) -> Result<u64> {
    /// The most bytes of one call (Linux's `MAX_RW_COUNT`).
    const MAX_TRANSFER: u64 = 0x7fff_f000;
    let mut total = 0;
    for [start, len] in pieces {
        let len = (*len).min(MAX_TRANSFER - total);
        let done = match one(*start, len, place) {
            Ok(done) => done as u64,
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        };
        total += done;
        place = place.after(done);
        if done < len {
            break;
        }
    }
    Ok(total)
}

fn read(descriptor: u64, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    let description = descriptors::get(descriptor)?;
    match description.object {
        Object::Console(stream) => console::read(&description, stream, pieces, place),
        Object::Terminal => console::read(&description, 0, pieces, place),
        Object::Random => transfer(pieces, place, |start, len, _| {
            let into = bytes_mut(start, len)?;
            if kernel::random::fill(into) {
                Ok(into.len())
            } else {
                Err(libc::EIO)
            }
        }),
        Object::Socket(_) if place != Place::Position => Err(libc::ESPIPE),
        Object::Socket(ref socket) => {
            let flags = io::message_flags(&description);
            let received = sockets::receive(&**socket, pieces, flags, None)?;
            Ok(received.len as u64)
        }
        _ => {
            if mapping::is_any() {
                mapping::flush(&description)?;
            }
            let mut is_first = true;
            transfer(pieces, place, |start, len, place| {
                if len > 0 && !core::mem::take(&mut is_first) && !io::has_more(&description) {
                    return Ok(0);
                }
                io::read(&description, bytes_mut(start, len)?, place)
            })
        }
    }
}

fn write(descriptor: u64, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    let description = descriptors::get(descriptor)?;
    match description.object {
        Object::Console(stream) => console::write(stream, pieces, place),
        Object::Terminal => console::write(1, pieces, place),
        Object::Socket(_) if place != Place::Position => Err(libc::ESPIPE),
        Object::Socket(ref socket) => {
            let flags = io::message_flags(&description);
            sockets::send(&**socket, pieces, None, flags).map(|len| len as u64)
        }
        Object::Pipe(_) if pieces.len() > 1 => write_together(&description, pieces, place),
        _ => write_settled(&description, place, || {
            transfer(pieces, place, |start, len, place| {
                io::write(&description, bytes(start, len)?, place)
            })
        }),
    }
}

/// Writes pieces to a pipe, which keeps few bytes together.
fn write_together(description: &Description, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    let mut all = Vec::new();
    for [start, len] in pieces {
        let piece = bytes(*start, *len)?;
        if all.len() + piece.len() > io::ATOMIC {
            return transfer(pieces, place, |start, len, place| {
                io::write(description, bytes(start, len)?, place)
            });
        }
        all.try_reserve(piece.len()).map_err(|_| libc::ENOMEM)?;
        all.extend_from_slice(piece);
    }
    io::write(description, &all, place).map(|len| len as u64)
}

/// Runs `write`, which writes at `place` of a description, and brings mappings of the file up to
/// date if there are any.
fn write_settled(
    description: &Description,
    place: Place,
    write: impl FnOnce() -> Result<u64>,
) -> Result<u64> {
    if !matches!(description.object, Object::File(_)) || !mapping::is_any() {
        return write();
    }
    mapping::flush(description)?;
    let done = write()?;
    let end = match place {
        Place::Byte(at) | Place::Exact(at) => at + done,
        Place::Position => io::seek(description, 0, libc::SEEK_CUR)?,
    };
    mapping::refresh(description, end, done)?;
    Ok(done)
}

/// `sync`: of mappings, and of everything on all volumes.
fn sync_all() -> Result<u64> {
    mapping::write_back()?;
    io::sync_all()
}

/// The answer where a call that may go on is the kernel's.
fn left_to_kernel(checked: Result<()>) -> Option<Result<u64>> {
    checked.err().map(Err)
}

/// `fcntl`.
fn control(descriptor: u64, command: u64, argument: u64) -> Result<u64> {
    match command as i32 {
        command @ (libc::F_GETLK
        | libc::F_SETLK
        | libc::F_SETLKW
        | libc::F_OFD_GETLK
        | libc::F_OFD_SETLK
        | libc::F_OFD_SETLKW) => locks::control(descriptor, command, argument),
        // What is written at an offset would be appended.
        libc::F_SETFL
            if argument as i32 & libc::O_APPEND != 0 && mapping::writes_by(descriptor) =>
        {
            Err(libc::EINVAL)
        }
        _ => descriptors::control(descriptor, command, argument),
    }
}

/// `ioctl`.
fn device_control(description: &Description, request: u64, argument: u64) -> Result<u64> {
    match request {
        libc::FIONREAD => {
            let count = io::available(description)?.min(i32::MAX as u64) as u32;
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

fn pipe(result: u64, flags: i32) -> Result<u64> {
    if flags & !(libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
        return Err(libc::EINVAL);
    }
    let into = bytes_mut(result, 8)?;
    let (reader, writer) = io::pipe()?;
    let kept = flags & libc::O_NONBLOCK;
    let close_on_exec = flags & libc::O_CLOEXEC != 0;
    let end = |fd, access| Description::new(Object::Pipe(fd), String::new(), access | kept);
    let (reading, writing) = (end(reader, libc::O_RDONLY), end(writer, libc::O_WRONLY));
    let first = descriptors::insert(reading, 0, close_on_exec)?;
    let second = descriptors::insert(writing, 0, close_on_exec).inspect_err(|_| {
        let _ = descriptors::close(first);
    })?;
    for (into, number) in into.chunks_exact_mut(4).zip([first, second]) {
        into.copy_from_slice(&(number as u32).to_le_bytes());
    }
    Ok(0)
}

fn put_stat(descriptor: u64, start: u64, result: u64, follow: bool) -> Result<u64> {
    on(descriptor, start, |path| {
        store(result, &attributes::stat(path, follow)?.words())
    })
}

fn put_stat_open(descriptor: u64, result: u64) -> Result<u64> {
    with(descriptor, |it| {
        store(result, &attributes::stat_open(it)?.words())
    })
}

/// Flags of most calls that take a directory and a path.
const OF_PATH: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;

/// Fails where a call is given flags that it hasn't.
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

/// The attributes that `newfstatat` and `statx` ask for.
fn find_stat(descriptor: u64, start: u64, flags: i32) -> Result<Stat> {
    if is_of_descriptor(start, flags) {
        return if descriptor as i32 == libc::AT_FDCWD {
            attributes::stat(&paths::current(), true)
        } else {
            attributes::stat_open(&*descriptors::get(descriptor)?)
        };
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    attributes::stat(&absolute(descriptor, start)?, follow)
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

fn set_mode(path: &str, mode: u64) -> Result<u64> {
    let stat: Stat = attributes::stat(path, true)?;
    attributes::set_mode(&stat, mode as u32)
}

fn set_owner(path: &str, follow: bool, user: u64, group: u64) -> Result<u64> {
    attributes::stat(path, follow)?;
    attributes::set_owner(user as u32, group as u32)
}

fn access_at(descriptor: u64, start: u64, mode: i32, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH | libc::AT_EACCESS)?;
    if is_of_descriptor(start, flags) {
        return with(descriptor, |it| attributes::access(&it.path, mode, true));
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    on(descriptor, start, |path| {
        attributes::access(path, mode, follow)
    })
}

fn set_owner_at(descriptor: u64, start: u64, [user, group]: [u64; 2], flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH)?;
    if is_of_descriptor(start, flags) {
        return with(descriptor, |_| {
            attributes::set_owner(user as u32, group as u32)
        });
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    on(descriptor, start, |path| {
        set_owner(path, follow, user, group)
    })
}

fn remove_at(descriptor: u64, start: u64, flags: i32) -> Result<u64> {
    check_flags(flags, libc::AT_REMOVEDIR)?;
    let remove = match flags {
        0 => names::remove,
        _ => names::remove_directory,
    };
    on(descriptor, start, remove)
}

fn set_times(descriptor: u64, start: u64, times: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH)?;
    let now = kernel::time::wall_ns();
    let now = [(now / 1_000_000_000) as i64, (now % 1_000_000_000) as i64];
    let time = |[seconds, ns]: [u64; 2]| match ns as i64 {
        libc::UTIME_NOW => Some(now),
        libc::UTIME_OMIT => None,
        ns => Some([seconds as i64, ns]),
    };
    let times = match times {
        0 => [Some(now); 2],
        start => {
            let [a, b, c, d] = load(start)?;
            [time([a, b]), time([c, d])]
        }
    };
    if times == [None; 2] {
        // Linux doesn't even look for the file.
        return Ok(0);
    }
    if start == 0 || is_of_descriptor(start, flags) {
        return with(descriptor, |it| {
            attributes::set_times(&it.path, times, true)
        });
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    on(descriptor, start, |path| {
        attributes::set_times(path, times, follow)
    })
}

fn listing(description: &Description) -> Result<&spin::Mutex<Listing>> {
    match &description.object {
        Object::Directory(listing) => Ok(listing),
        _ => Err(libc::ENOTDIR),
    }
}

fn rename(from: u64, old: u64, to: u64, new: u64, flags: u32) -> Result<u64> {
    let from = absolute(from, old)?;
    on(to, new, |to| names::rename(&from, to, flags))
}

fn link(from: u64, old: u64, to: u64, new: u64, flags: i32) -> Result<u64> {
    check_flags(flags, libc::AT_SYMLINK_FOLLOW)?;
    let mut from = absolute(from, old)?;
    if flags & libc::AT_SYMLINK_FOLLOW != 0 {
        from = paths::real(&from)?;
    }
    on(to, new, |to| names::link(&from, to))
}

fn current_directory(result: u64, room: u64) -> Result<u64> {
    let mut path = paths::current().into_bytes();
    path.push(0);
    let copied = kernel::memory::copy_out(result, room, &path);
    copied.map(|()| path.len() as u64).map_err(memory::number)
}

/// The error that stands for one of the kernel's.
fn from_kernel(errno: kernel::errno::Errno) -> Errno {
    errno as Errno
}
