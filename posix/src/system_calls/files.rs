//! The system calls of programs with files: a separate part, linked into programs that open files,
//! pipes, timers and the like.

use super::memory::{bytes_mut, load, path, store};
use super::{
    HERE, OF_PATH, absolute, answer_by, check_flags, copies, events, find_stat, is_of_descriptor,
    locks, on, poll, scheduling, with,
};
use crate::errors::{Errno, Result};
use crate::files::pipe;
use crate::namespace::{self, Trees, file_tree, names};
use crate::stat::set_owner;
use crate::wait::lent;
use crate::wait::signals::within_call;
use crate::{mapping, process};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::arch::gates::SystemCallFrame;
use kernel::arch::numbers as n;
use kernel::extension::SystemCalls;
use kernel::part::keep;

kernel::part! {
    static SYSTEM_CALLS: SystemCalls = answer,
    in ".soil_part.system_calls.files" as "soil_with_files";
}

kernel::part! {
    /// The tree of volumes.
    static TREE: Trees = file_tree::tree, in ".soil_part.tree.volumes";
}

fn answer(call: &mut SystemCallFrame) -> Option<core::result::Result<u64, kernel::errno::Errno>> {
    // The linker takes both or none.
    keep(&TREE);
    answer_by(dispatch, call)
}

/// Maximum time in nanoseconds that the end of a program waits for its disks: as in one that uses
/// the library `soil`.
const GRACE_NS: u64 = 10_000_000_000;

/// The result of system call `number`; `None` if it belongs to another part or the kernel.
fn dispatch(number: u64, arguments: [u64; 6]) -> Option<Result<u64>> {
    let [a, b, c, d, e, _] = arguments;
    if lent::is_any_pinned() {
        await_unpinned(number, arguments);
    }
    Some(match number {
        n::SENDFILE => copies::send_file(a, b, c, d),
        n::COPY_FILE_RANGE => copies::copy_range(arguments),
        n::FTRUNCATE => with(a, |it| it.truncate(b as i64).map(|()| 0)),
        n::FALLOCATE => with(a, |it| {
            it.allocate(b as i32, c as i64, d as i64).map(|()| 0)
        }),
        n::FADVISE64 => with(a, |_| Ok(0)),
        n::TRUNCATE => on(HERE, a, |path| names::truncate(path, b as i64)),
        n::FSYNC | n::FDATASYNC => with(a, |it| it.file().sync().map(|()| 0)),
        n::SYNCFS => with(a, |_| sync_all()),
        n::SYNC => sync_all(),
        n::FCNTL if locks::is_lock(b) => locks::control(a, b as i32, c),
        n::FLOCK => locks::flock(a, b),
        n::PIPE => open_pipe(a, 0),
        n::PIPE2 => open_pipe(a, b as i32),

        n::CHMOD => on(HERE, a, |path| set_mode(path, b)),
        n::FCHMODAT => on(a, b, |path| set_mode(path, c)),
        n::FCHMODAT2 => set_mode_at(a, b, c, d as i32),
        n::FCHMOD => with(a, |it| it.file().stat()?.set_mode(b as u32)),
        n::CHOWN => on(HERE, a, |path| set_owner_of(path, true, b, c)),
        n::LCHOWN => on(HERE, a, |path| set_owner_of(path, false, b, c)),
        n::FCHOWNAT => set_owner_at(a, b, [c, d], e as i32),
        n::FCHOWN => with(a, |_| set_owner(b as u32, c as u32)),
        n::UTIMENSAT => set_times(a, b, c, d as i32),
        n::STATFS => on(HERE, a, |path| store(b, &names::space(path)?)),
        n::FSTATFS => with(a, |it| {
            store(b, &names::space(it.file().path().unwrap_or_default())?)
        }),
        n::UMASK => process::with(|process| {
            let before = core::mem::replace(&mut process.umask, a as u32 & 0o777);
            Ok(u64::from(before))
        }),

        n::GETDENTS64 => with(a, |it| {
            it.file().list(bytes_mut(b, c)?).map(|len| len as u64)
        }),
        n::MKDIR => on(HERE, a, names::make_directory),
        n::MKDIRAT => on(a, b, names::make_directory),
        n::RMDIR => on(HERE, a, names::remove_directory),
        n::UNLINK => on(HERE, a, names::remove),
        n::UNLINKAT => remove_at(a, b, c as i32),
        n::RENAME => rename(HERE, a, HERE, b, 0),
        n::RENAMEAT => rename(a, b, c, d, 0),
        n::RENAMEAT2 => rename(a, b, c, d, e as u32),
        n::LINK => link(HERE, a, HERE, b, 0),
        n::LINKAT => link(a, b, c, d, e as i32),
        n::SYMLINK => on(HERE, b, |new| names::symlink(path(a)?, new)),
        n::SYMLINKAT => on(b, c, |new| names::symlink(path(a)?, new)),

        n::MMAP if d as i32 & libc::MAP_ANONYMOUS == 0 => mapping::map(arguments),
        n::MMAP if d as i32 & libc::MAP_FIXED != 0 && mapping::is_any() => {
            return left_to_kernel(mapping::forget(a, b));
        }
        n::MUNMAP if mapping::leave(a, b) => Ok(0),
        n::MUNMAP if mapping::is_any() => return left_to_kernel(mapping::forget(a, b)),
        n::MREMAP if mapping::is_shared(a, b) => Err(libc::ENOMEM),
        n::MSYNC => mapping::sync(a, b, c),
        n::RT_SIGTIMEDWAIT => events::await_signal(a, b, c, d),
        n::POLL => poll::poll(arguments),
        n::PPOLL => poll::ppoll(arguments),
        n::SELECT => poll::select(arguments),
        n::PSELECT6 => poll::pselect(arguments),
        n::EPOLL_CREATE => events::epoll_create(a),
        n::EPOLL_CREATE1 => events::epoll_create1(a),
        n::EPOLL_CTL => events::epoll_ctl(a, b, c, d),
        n::EPOLL_WAIT => events::epoll_wait(arguments),
        n::EPOLL_PWAIT => events::epoll_pwait(arguments),
        n::EPOLL_PWAIT2 => events::epoll_pwait2(arguments),
        n::EVENTFD => events::eventfd(a, 0),
        n::EVENTFD2 => events::eventfd(a, b),
        n::TIMERFD_CREATE => events::timerfd_create(a, b),
        n::TIMERFD_SETTIME => events::timerfd_settime(a, b, c, d),
        n::TIMERFD_GETTIME => events::timerfd_gettime(a, b),
        n::SIGNALFD => events::signalfd(a, b, c, 0),
        n::SIGNALFD4 => events::signalfd(a, b, c, d),
        n::EXECVE | n::EXECVEAT => Err(no_execution()),
        // The super-user remains that, without supplementary groups.
        n::GETGROUPS | n::SETGROUPS => Ok(0),
        n::SETUID | n::SETGID => match a as u32 {
            0 => Ok(0),
            _ => Err(libc::EPERM),
        },
        n::GETPGID | n::GETSID => match a as u32 as u64 {
            0 | kernel::signals::PID => Ok(kernel::signals::PID),
            _ => Err(libc::ESRCH),
        },
        n::SYSINFO => scheduling::information(a),
        n::SCHED_GETSCHEDULER => scheduling::scheduler(a, None),
        n::SCHED_GETPARAM => scheduling::scheduler(a, Some(b)),
        n::SCHED_SETSCHEDULER => scheduling::set_scheduler(a, b as i32, c),
        n::SCHED_SETPARAM => scheduling::set_scheduler(a, libc::SCHED_OTHER, b),
        n::SCHED_GET_PRIORITY_MIN => scheduling::priorities(a as i32).map(|[least, _]| least),
        n::SCHED_GET_PRIORITY_MAX => scheduling::priorities(a as i32).map(|[_, most]| most),
        n::MLOCK | n::MUNLOCK => scheduling::lock(a, b),
        n::MLOCKALL | n::MUNLOCKALL => Ok(0),
        // No volume stores them.
        n::SETXATTR
        | n::LSETXATTR
        | n::GETXATTR
        | n::LGETXATTR
        | n::LISTXATTR
        | n::LLISTXATTR
        | n::REMOVEXATTR
        | n::LREMOVEXATTR => on(HERE, a, |path| {
            namespace::stat(path, true)?;
            Err(libc::EOPNOTSUPP)
        }),
        n::FSETXATTR | n::FGETXATTR | n::FLISTXATTR | n::FREMOVEXATTR => {
            with(a, |_| Err(libc::EOPNOTSUPP))
        }
        // As `nice` has 0.
        n::GETPRIORITY => Ok(20),
        n::SETPRIORITY => Ok(0),
        n::EXIT_GROUP => {
            // A failure is logged.
            let _ = mapping::write_back();
            process::shut_down();
            let _ = within_call(false, || resources::runtime::finish(GRACE_NS));
            return None;
        }
        _ => return None,
    })
}

/// A call that takes memory away waits until no disk uses it for another call.
#[cold]
fn await_unpinned(number: u64, [start, len, _, flags, ..]: [u64; 6]) {
    match number {
        n::MUNMAP | n::MPROTECT | n::MREMAP | n::MADVISE => {}
        n::MMAP if flags as i32 & libc::MAP_FIXED != 0 => {}
        _ => return,
    }
    lent::await_unpinned(start, len);
}

/// The error of `execve`, whose first use is logged with its reason.
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

/// `sync`: of mappings, and of everything on all volumes.
fn sync_all() -> Result<u64> {
    mapping::write_back()?;
    names::sync()
}

/// `None`, with which the kernel continues the call, if the checks have passed.
fn left_to_kernel(checked: Result<()>) -> Option<Result<u64>> {
    checked.err().map(Err)
}

fn open_pipe(result: u64, flags: i32) -> Result<u64> {
    if flags & !(libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
        return Err(libc::EINVAL);
    }
    let into = bytes_mut(result, 8)?;
    let [reader, writer] = pipe::open(flags)?;
    let first = process::install(reader, flags)?;
    let second = process::install(writer, flags).inspect_err(|_| {
        let _ = process::close(first);
    })?;
    for (into, number) in into.chunks_exact_mut(4).zip([first, second]) {
        into.copy_from_slice(&(number as u32).to_le_bytes());
    }
    Ok(0)
}

fn set_mode(path: &str, mode: u64) -> Result<u64> {
    namespace::stat(path, true)?.set_mode(mode as u32)
}

/// `fchmodat` with flags; symbolic links have no modes in Linux.
fn set_mode_at(descriptor: u64, start: u64, mode: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH)?;
    let stat = find_stat(descriptor, start, flags)?;
    match stat.is_link() {
        true => Err(libc::EOPNOTSUPP),
        false => stat.set_mode(mode as u32),
    }
}

fn set_owner_of(path: &str, follow: bool, user: u64, group: u64) -> Result<u64> {
    namespace::stat(path, follow)?;
    set_owner(user as u32, group as u32)
}

fn set_owner_at(descriptor: u64, start: u64, [user, group]: [u64; 2], flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH)?;
    if is_of_descriptor(start, flags) {
        return with(descriptor, |_| set_owner(user as u32, group as u32));
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    on(descriptor, start, |path| {
        set_owner_of(path, follow, user, group)
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
        // Linux doesn't even look up the file.
        return Ok(0);
    }
    if start == 0 || is_of_descriptor(start, flags) {
        return with(descriptor, |it| {
            names::set_times(it.file().path().unwrap_or_default(), times, true)
        });
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    on(descriptor, start, |path| {
        names::set_times(path, times, follow)
    })
}

fn rename(from: u64, old: u64, to: u64, new: u64, flags: u32) -> Result<u64> {
    let from = absolute(from, old)?;
    on(to, new, |to| names::rename(&from, to, flags))
}

fn link(from: u64, old: u64, to: u64, new: u64, flags: i32) -> Result<u64> {
    check_flags(flags, libc::AT_SYMLINK_FOLLOW)?;
    let mut from = absolute(from, old)?;
    if flags & libc::AT_SYMLINK_FOLLOW != 0 {
        from = namespace::real(&from)?;
    }
    on(to, new, |to| names::link(&from, to))
}
