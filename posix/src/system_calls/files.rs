//! The system calls of programs with files: a separate part, linked into programs that open files,
//! pipes, timers and the like.

use super::memory::{bytes_mut, load, path, store};
use super::{
    HERE, OF_PATH, absolute, answer_by, check_flags, copies, events, is_of_descriptor, locks, on,
    poll, scheduling, with,
};
use crate::errors::{Errno, Result};
use crate::files::pipe;
use crate::namespace::{self, names, volumes};
use crate::stat::set_owner;
use crate::wait::signals::within_call;
use crate::{mapping, process};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::arch::gates::SystemCallFrame;

kernel::system_call_extension!("soil_with_files", answer);

core::arch::global_asm!(
    ".pushsection .soil_tree, \"a\", @progbits",
    ".balign 8",
    "soil_tree:",
    ".quad {}",
    ".popsection",
    // The extension refers to it, so that the linker takes both or none.
    ".pushsection .soil_extensions.soil_with_files, \"a\", @progbits",
    ".reloc ., BFD_RELOC_NONE, soil_tree",
    ".popsection",
    sym volumes::tree,
);

/// The kernel's extension: see `kernel::extension`.
extern "C" fn answer(
    call: &mut SystemCallFrame,
    result: &mut core::result::Result<u64, kernel::errno::Errno>,
) -> bool {
    answer_by(dispatch, call, result)
}

/// Maximum time in nanoseconds that the end of a program waits for its disks: as in one that uses
/// the library `soil`.
const GRACE_NS: u64 = 10_000_000_000;

/// The result of system call `number`; `None` if it belongs to another part or the kernel.
fn dispatch(number: i64, arguments: [u64; 6]) -> Option<Result<u64>> {
    let [a, b, c, d, e, _] = arguments;
    Some(match number {
        libc::SYS_sendfile => copies::send_file(a, b, c, d),
        libc::SYS_copy_file_range => copies::copy_range(arguments),
        libc::SYS_ftruncate => with(a, |it| it.truncate(b as i64).map(|()| 0)),
        libc::SYS_fallocate => with(a, |it| {
            it.allocate(b as i32, c as i64, d as i64).map(|()| 0)
        }),
        libc::SYS_fadvise64 => with(a, |_| Ok(0)),
        libc::SYS_truncate => on(HERE, a, |path| names::truncate(path, b as i64)),
        libc::SYS_fsync | libc::SYS_fdatasync => with(a, |it| it.file().sync().map(|()| 0)),
        libc::SYS_syncfs => with(a, |_| sync_all()),
        libc::SYS_sync => sync_all(),
        libc::SYS_fcntl if locks::is_lock(b) => locks::control(a, b as i32, c),
        libc::SYS_flock => locks::flock(a, b),
        libc::SYS_pipe => open_pipe(a, 0),
        libc::SYS_pipe2 => open_pipe(a, b as i32),

        libc::SYS_chmod => on(HERE, a, |path| set_mode(path, b)),
        libc::SYS_fchmodat => on(a, b, |path| set_mode(path, c)),
        libc::SYS_fchmod => with(a, |it| it.file().stat()?.set_mode(b as u32)),
        libc::SYS_chown => on(HERE, a, |path| set_owner_of(path, true, b, c)),
        libc::SYS_lchown => on(HERE, a, |path| set_owner_of(path, false, b, c)),
        libc::SYS_fchownat => set_owner_at(a, b, [c, d], e as i32),
        libc::SYS_fchown => with(a, |_| set_owner(b as u32, c as u32)),
        libc::SYS_utimensat => set_times(a, b, c, d as i32),
        libc::SYS_statfs => on(HERE, a, |path| store(b, &names::space(path)?)),
        libc::SYS_fstatfs => with(a, |it| {
            store(b, &names::space(it.file().path().unwrap_or_default())?)
        }),
        libc::SYS_umask => process::with(|process| {
            let before = core::mem::replace(&mut process.umask, a as u32 & 0o777);
            Ok(u64::from(before))
        }),

        libc::SYS_getdents64 => with(a, |it| {
            it.file().list(bytes_mut(b, c)?).map(|len| len as u64)
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
        // The super-user remains that, without supplementary groups.
        libc::SYS_getgroups | libc::SYS_setgroups => Ok(0),
        libc::SYS_setuid | libc::SYS_setgid => match a as u32 {
            0 => Ok(0),
            _ => Err(libc::EPERM),
        },
        libc::SYS_getpgid | libc::SYS_getsid => match a as u32 as u64 {
            0 | kernel::signals::PID => Ok(kernel::signals::PID),
            _ => Err(libc::ESRCH),
        },
        libc::SYS_sysinfo => scheduling::information(a),
        libc::SYS_getcpu => scheduling::processor(a, b),
        libc::SYS_sched_setaffinity => scheduling::set_affinity(a, b, c),
        libc::SYS_sched_getscheduler => scheduling::scheduler(a, None),
        libc::SYS_sched_getparam => scheduling::scheduler(a, Some(b)),
        libc::SYS_sched_setscheduler => scheduling::set_scheduler(a, b as i32, c),
        libc::SYS_sched_setparam => scheduling::set_scheduler(a, libc::SCHED_OTHER, b),
        libc::SYS_sched_get_priority_min => {
            scheduling::priorities(a as i32).map(|[least, _]| least)
        }
        libc::SYS_sched_get_priority_max => scheduling::priorities(a as i32).map(|[_, most]| most),
        libc::SYS_mlock | libc::SYS_munlock => scheduling::lock(a, b),
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
            namespace::stat(path, true)?;
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
            // A failure is logged.
            let _ = mapping::write_back();
            process::shut_down();
            let _ = within_call(false, || resources::runtime::finish(GRACE_NS));
            return None;
        }
        _ => return None,
    })
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
