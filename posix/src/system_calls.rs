//! Linux's system calls: the table of all calls, by their names. A row has the order of the call
//! relative to others, and its handler, which takes the arguments from registers and from the
//! program's memory, makes one call of the kernel or of this crate, and stores the results. Each
//! subject has a file.
//!
//! Rows of [`parts`] name handlers that only some images contain. Where a part isn't linked, its
//! calls fail with ENOSYS, as unknown ones do.

mod copies;
mod descriptors;
mod events;
mod files;
mod futex;
mod locks;
mod memory;
mod parts;
mod poll;
mod process;
mod program;
mod scheduling;
mod signals;
mod sockets;
mod threads;
mod time;
mod timers;
mod transfer;

use crate::errors::Result;
use crate::file::Offset;
use crate::namespace::names;
use crate::process as state;
use descriptors::{HERE, on, with};
use kernel::arch::gates::SystemCallFrame;
use kernel::syscall::{Handler, Order, SystemCall, SystemCalls, unknown};
use program::store;
use sockets::messages;
use transfer::{at, read, vectors, write};

/// The numbers of all calls.
mod n {
    pub use crate::sockets::resolver::{EXCHANGE_DNS, RESOLVE_NAME};
    pub use kernel::arch::numbers::*;
}

kernel::part! {
    static SYSTEM_CALLS: SystemCalls = row,
    in ".soil_part.system_calls.table" as "soil_with_system_calls";
}

/// A handler that takes the arguments.
type OfArguments = fn([u64; 6]) -> Result<u64>;

/// A call that runs alone among those of this kind.
const fn serial(handler: OfArguments) -> SystemCall {
    SystemCall {
        order: Order::Serial,
        handler: Handler::Arguments(handler),
    }
}

/// The same for a handler that needs the program's registers.
const fn serial_of_frame(handler: fn(&mut SystemCallFrame) -> Result<u64>) -> SystemCall {
    SystemCall {
        order: Order::Serial,
        handler: Handler::Frame(handler),
    }
}

/// A call that runs at the same time as any other: it changes nothing that others use, and accesses
/// the program's memory by [`program::load_shared`] and [`program::store_shared`], since another
/// call may take that away.
const fn concurrent(handler: OfArguments) -> SystemCall {
    SystemCall {
        order: Order::Concurrent,
        handler: Handler::Arguments(handler),
    }
}

/// The same if the arguments meet a condition; else it is serial.
const fn concurrent_if(condition: fn([u64; 6]) -> bool, handler: OfArguments) -> SystemCall {
    SystemCall {
        order: Order::ConcurrentIf(condition),
        handler: Handler::Arguments(handler),
    }
}

/// Declares the function that finds the row of a number, and one for each part, whose rows are of
/// the part alone.
macro_rules! table {
    (
        fn $find:ident { $($($name:ident)|+ => $row:expr,)* }
        $(fn $find_of_part:ident of $part:ident {
            $($($part_name:ident)|+ => $part_row:expr,)*
        })*
    ) => {
        /// The row of a system call; `None` for an unknown one, and for one of a part that isn't
        /// linked.
        #[deny(unreachable_patterns, reason = "a number has one row")]
        fn $find(number: u64) -> Option<SystemCall> {
            Some(match number {
                $($(n::$name)|+ => $row,)*
                $($($(n::$part_name)|+)|* => return parts::$part()?.row(number),)*
                _ => return None,
            })
        }

        $(
            /// The row of a system call of this part.
            fn $find_of_part(number: u64) -> Option<SystemCall> {
                Some(match number {
                    $($(n::$part_name)|+ => $part_row,)*
                    _ => return None,
                })
            }
        )*
    };
}

table! {
    fn row {
        // Process.
        EXIT => serial(|[status, ..]| process::exit(status)),
        EXIT_GROUP => serial(|[status, ..]| process::exit_group(status)),
        FORK => serial(|_| Err(process::no_process())),
        // The C library has its name.
        PIDFD_OPEN => serial(|_| Err(unknown(n::PIDFD_OPEN))),
        GETPID => concurrent(|_| Ok(process::PID)),
        GETPPID | GETUID | GETEUID | GETGID | GETEGID => serial(|_| Ok(0)),
        UNAME => serial(|[to, ..]| process::uname(to)),
        GETRUSAGE => serial(|[of, to, ..]| process::usage(of, to)),
        GETRANDOM => serial(|[to, len, ..]| process::random(to, len)),
        GETRLIMIT => serial(|[resource, to, ..]| process::limit(0, resource, 0, to)),
        SETRLIMIT => serial(|[resource, from, ..]| process::limit(0, resource, from, 0)),
        PRLIMIT64 => serial(|[of, resource, from, to, ..]| process::limit(of, resource, from, to)),

        // Memory.
        MMAP => serial(memory::map),
        MUNMAP => serial(|[start, len, ..]| memory::unmap(start, len)),
        MPROTECT => serial(|[start, len, protection, ..]| memory::protect(start, len, protection)),
        MREMAP => serial(|[start, old, new, flags, ..]| memory::remap(start, old, new, flags)),
        MADVISE => serial(|[start, len, advice, ..]| memory::advise(start, len, advice)),
        BRK => serial(|_| Ok(memory::NO_BREAK)),

        // Threads.
        CLONE => serial_of_frame(threads::clone),
        SET_TID_ADDRESS => concurrent(|[at, ..]| Ok(threads::set_clear_at_exit(at))),
        SET_ROBUST_LIST => concurrent(|[head, ..]| Ok(threads::set_robust_list(head))),
        GET_ROBUST_LIST => serial(|[of, head, size, ..]| threads::robust_list(of, head, size)),
        GETTID => concurrent(|_| Ok(threads::number())),
        ARCH_PRCTL => serial(|[code, address, ..]| threads::set_pointer(code, address)),
        PRCTL => serial(|[option, at, ..]| threads::control(option, at)),
        FUTEX => concurrent_if(futex::has_no_timeout, futex::call),
        SCHED_YIELD => concurrent(|_| Ok(threads::yield_now())),
        GETCPU => serial(|[number, node, ..]| threads::processor(number, node)),
        SCHED_SETAFFINITY => serial(|[thread, len, set, ..]| {
            threads::set_affinity(thread, len, set)
        }),
        SCHED_GETAFFINITY => serial(|[thread, room, set, ..]| threads::affinity(thread, room, set)),

        // Signals.
        RT_SIGACTION => serial(|[signal, new, old, size, ..]| {
            signals::action(signal, new, old, size)
        }),
        RT_SIGPROCMASK => concurrent(|[how, new, old, size, ..]| {
            signals::mask(how, new, old, size)
        }),
        RT_SIGPENDING => serial(|[to, size, ..]| signals::pending(to, size)),
        RT_SIGSUSPEND => serial(|[mask, size, ..]| signals::suspend(mask, size)),
        PAUSE => serial(|_| signals::pause()),
        RT_SIGRETURN => concurrent(|[mask, ..]| Ok(signals::end_handler(mask))),
        SIGALTSTACK => serial_of_frame(signals::stack),
        KILL => serial(|[process, signal, ..]| signals::kill(process, signal)),
        TKILL => concurrent(|[thread, signal, ..]| signals::kill_thread(thread, signal)),
        TGKILL => concurrent(|[process, thread, signal, ..]| {
            signals::kill_thread_of(process, thread, signal)
        }),

        // Time.
        CLOCK_GETTIME => concurrent_if(time::is_shared, |[clock, to, ..]| time::clock(clock, to)),
        CLOCK_GETRES => serial(|[clock, to, ..]| time::resolution(clock, to)),
        GETTIMEOFDAY => concurrent_if(time::is_wall_shared, |[to, ..]| time::of_day(to)),
        TIME => serial(|[to, ..]| time::seconds(to)),
        NANOSLEEP => concurrent(|[span, rest, ..]| time::sleep(time::MONOTONIC, 0, span, rest)),
        CLOCK_NANOSLEEP => concurrent_if(time::is_shared, |[clock, flags, span, rest, ..]| {
            time::sleep(clock, flags, span, rest)
        }),
        TIMES => serial(|[to, ..]| time::used(to)),
        SETITIMER => serial(|[which, new, old, ..]| timers::set_interval(which, new, old)),
        GETITIMER => serial(|[which, to, ..]| timers::interval(which, to)),
        TIMER_CREATE => serial(|[clock, event, to, ..]| timers::create(clock, event, to)),
        TIMER_SETTIME => serial(|[timer, flags, new, old, ..]| timers::set(timer, flags, new, old)),
        TIMER_GETTIME => serial(|[timer, to, ..]| timers::get(timer, to)),
        TIMER_GETOVERRUN => serial(|[timer, ..]| timers::overrun(timer)),
        TIMER_DELETE => serial(|[timer, ..]| timers::delete(timer)),

        // Descriptors.
        READ => serial(|[it, to, len, ..]| read(it, &[[to, len]], Offset::Position)),
        READV => serial(|[it, list, count, ..]| read(it, vectors(list, count)?, Offset::Position)),
        PREAD64 => serial(|[it, to, len, offset, ..]| read(it, &[[to, len]], at(offset)?)),
        PREADV => serial(|[it, list, count, offset, ..]| {
            let offset = at(offset)?;
            read(it, vectors(list, count)?, offset)
        }),
        PREADV2 => serial(transfer::preadv2),
        WRITE => serial(|[it, from, len, ..]| write(it, &[[from, len]], Offset::Position)),
        WRITEV => serial(|[it, list, count, ..]| {
            write(it, vectors(list, count)?, Offset::Position)
        }),
        PWRITE64 => serial(|[it, from, len, offset, ..]| write(it, &[[from, len]], at(offset)?)),
        PWRITEV => serial(|[it, list, count, offset, ..]| {
            let offset = at(offset)?;
            write(it, vectors(list, count)?, offset)
        }),
        PWRITEV2 => serial(transfer::pwritev2),
        LSEEK => serial(|[it, offset, whence, ..]| {
            with(it, |it| it.file().seek(offset as i64, whence as i32))
        }),
        IOCTL => serial(|[it, request, argument, ..]| {
            with(it, |it| descriptors::device_control(it, request, argument))
        }),
        OPEN => serial(|[path, flags, ..]| descriptors::open(HERE, path, flags)),
        CREAT => serial(|[path, ..]| descriptors::open(HERE, path, descriptors::CREAT)),
        OPENAT => serial(|[folder, path, flags, ..]| descriptors::open(folder, path, flags)),
        CLOSE => serial(|[it, ..]| state::close(it)),
        CLOSE_RANGE => serial(|[first, last, flags, ..]| state::close_range(first, last, flags)),
        DUP => serial(|[it, ..]| state::control(it, libc::F_DUPFD as u64, 0)),
        DUP2 => serial(|[old, new, ..]| descriptors::dup2(old, new)),
        DUP3 => serial(|[old, new, flags, ..]| descriptors::dup3(old, new, flags as i32)),
        FCNTL => serial(|[it, command, argument, ..]| descriptors::control(it, command, argument)),
        STAT => serial(|[path, to, ..]| descriptors::stat(path, to, true)),
        LSTAT => serial(|[path, to, ..]| descriptors::stat(path, to, false)),
        FSTAT => serial(|[it, to, ..]| with(it, |it| store(to, &it.file().stat()?.words()))),
        NEWFSTATAT => serial(|[folder, path, to, flags, ..]| {
            descriptors::stat_at(folder, path, to, flags as i32)
        }),
        STATX => serial(|[folder, path, flags, _, to, _]| {
            descriptors::stat_extended(folder, path, flags as i32, to)
        }),
        ACCESS => serial(|[path, mode, ..]| descriptors::access(HERE, path, mode)),
        FACCESSAT => serial(|[folder, path, mode, ..]| descriptors::access(folder, path, mode)),
        FACCESSAT2 => serial(|[folder, path, mode, flags, ..]| {
            descriptors::access_at(folder, path, mode, flags as i32)
        }),
        READLINK => serial(|[path, to, room, ..]| descriptors::read_link(HERE, path, to, room)),
        READLINKAT => serial(|[folder, path, to, room, ..]| {
            descriptors::read_link(folder, path, to, room)
        }),
        CHDIR => serial(|[path, ..]| on(HERE, path, crate::namespace::change_directory)),
        FCHDIR => serial(|[it, ..]| {
            with(it, |it| crate::namespace::change_directory(it.file().directory()?))
        }),
        GETCWD => serial(|[to, room, ..]| descriptors::current_directory(to, room)),
        // A program without files pauses by it on processors that lack `pause`.
        PPOLL => serial(descriptors::poll),
    }

    fn row_of_files of files {
        // Contents of files.
        SENDFILE => serial(|[to, from, offset, len, ..]| copies::send_file(to, from, offset, len)),
        COPY_FILE_RANGE => serial(copies::copy_range),
        FTRUNCATE => serial(|[it, len, ..]| with(it, |it| it.truncate(len as i64).map(|()| 0))),
        FALLOCATE => serial(|[it, mode, start, len, ..]| {
            with(it, |it| it.allocate(mode as i32, start as i64, len as i64).map(|()| 0))
        }),
        FADVISE64 => serial(|[it, ..]| with(it, |_| Ok(0))),
        TRUNCATE => serial(|[path, len, ..]| {
            on(HERE, path, |path| names::truncate(path, len as i64))
        }),
        FSYNC | FDATASYNC => serial(|[it, ..]| with(it, |it| it.file().sync().map(|()| 0))),
        SYNCFS => serial(|[it, ..]| with(it, |_| files::sync_all())),
        SYNC => serial(|_| files::sync_all()),
        FLOCK => serial(|[it, operation, ..]| locks::flock(it, operation)),
        PIPE => serial(|[to, ..]| files::open_pipe(to, 0)),
        PIPE2 => serial(|[to, flags, ..]| files::open_pipe(to, flags as i32)),
        MSYNC => serial(|[start, len, flags, ..]| crate::mapping::sync(start, len, flags)),

        // Attributes of files.
        CHMOD => serial(|[path, mode, ..]| files::set_mode(HERE, path, mode)),
        FCHMODAT => serial(|[folder, path, mode, ..]| files::set_mode(folder, path, mode)),
        FCHMODAT2 => serial(|[folder, path, mode, flags, ..]| {
            files::set_mode_at(folder, path, mode, flags as i32)
        }),
        FCHMOD => serial(|[it, mode, ..]| with(it, |it| it.file().stat()?.set_mode(mode as u32))),
        CHOWN => serial(|[path, user, group, ..]| files::set_owner_of(path, true, user, group)),
        LCHOWN => serial(|[path, user, group, ..]| files::set_owner_of(path, false, user, group)),
        FCHOWNAT => serial(|[folder, path, user, group, flags, _]| {
            files::set_owner_at(folder, path, [user, group], flags as i32)
        }),
        FCHOWN => serial(|[it, user, group, ..]| {
            with(it, |_| crate::stat::set_owner(user as u32, group as u32))
        }),
        UTIMENSAT => serial(|[folder, path, times, flags, ..]| {
            files::set_times(folder, path, times, flags as i32)
        }),
        STATFS => serial(|[path, to, ..]| on(HERE, path, |path| store(to, &names::space(path)?))),
        FSTATFS => serial(|[it, to, ..]| {
            with(it, |it| store(to, &names::space(it.file().path().unwrap_or_default())?))
        }),
        UMASK => serial(|[mask, ..]| Ok(files::set_mask(mask))),
        // No volume stores them.
        SETXATTR | LSETXATTR | GETXATTR | LGETXATTR | LISTXATTR | LLISTXATTR | REMOVEXATTR
            | LREMOVEXATTR => serial(|[path, ..]| files::no_attributes(path)),
        FSETXATTR | FGETXATTR | FLISTXATTR | FREMOVEXATTR => serial(|[it, ..]| {
            with(it, |_| Err(libc::EOPNOTSUPP))
        }),

        // Directories and names.
        GETDENTS64 => serial(|[it, to, room, ..]| files::list(it, to, room)),
        MKDIR => serial(|[path, ..]| on(HERE, path, names::make_directory)),
        MKDIRAT => serial(|[folder, path, ..]| on(folder, path, names::make_directory)),
        RMDIR => serial(|[path, ..]| on(HERE, path, names::remove_directory)),
        UNLINK => serial(|[path, ..]| on(HERE, path, names::remove)),
        UNLINKAT => serial(|[folder, path, flags, ..]| {
            files::remove_at(folder, path, flags as i32)
        }),
        RENAME => serial(|[old, new, ..]| files::rename(HERE, old, HERE, new, 0)),
        RENAMEAT => serial(|[from, old, to, new, ..]| files::rename(from, old, to, new, 0)),
        RENAMEAT2 => serial(|[from, old, to, new, flags, _]| {
            files::rename(from, old, to, new, flags as u32)
        }),
        LINK => serial(|[old, new, ..]| files::link(HERE, old, HERE, new, 0)),
        LINKAT => serial(|[from, old, to, new, flags, _]| {
            files::link(from, old, to, new, flags as i32)
        }),
        SYMLINK => serial(|[target, new, ..]| files::symlink(target, HERE, new)),
        SYMLINKAT => serial(|[target, folder, new, ..]| files::symlink(target, folder, new)),

        // Waits for several descriptors or signals.
        POLL => serial(poll::poll),
        SELECT => serial(poll::select),
        PSELECT6 => serial(poll::pselect),
        EPOLL_CREATE => serial(|[size, ..]| events::epoll_create(size)),
        EPOLL_CREATE1 => serial(|[flags, ..]| events::epoll_create1(flags)),
        EPOLL_CTL => serial(|[set, operation, it, event, ..]| {
            events::epoll_ctl(set, operation, it, event)
        }),
        EPOLL_WAIT => serial(events::epoll_wait),
        EPOLL_PWAIT => serial(events::epoll_pwait),
        EPOLL_PWAIT2 => serial(events::epoll_pwait2),
        EVENTFD => serial(|[value, ..]| events::eventfd(value, 0)),
        EVENTFD2 => serial(|[value, flags, ..]| events::eventfd(value, flags)),
        TIMERFD_CREATE => serial(|[clock, flags, ..]| events::timerfd_create(clock, flags)),
        TIMERFD_SETTIME => serial(|[it, flags, new, old, ..]| {
            events::timerfd_settime(it, flags, new, old)
        }),
        TIMERFD_GETTIME => serial(|[it, to, ..]| events::timerfd_gettime(it, to)),
        SIGNALFD => serial(|[it, mask, size, ..]| events::signalfd(it, mask, size, 0)),
        SIGNALFD4 => serial(|[it, mask, size, flags, ..]| events::signalfd(it, mask, size, flags)),
        RT_SIGTIMEDWAIT => serial(|[mask, to, timeout, size, ..]| {
            events::await_signal(mask, to, timeout, size)
        }),

        // The process, as programs with files use it.
        EXECVE | EXECVEAT => serial(|_| Err(files::no_execution())),
        // The super-user remains that, without supplementary groups.
        GETGROUPS | SETGROUPS => serial(|_| Ok(0)),
        SETUID | SETGID => serial(|[id, ..]| scheduling::set_identity(id)),
        GETPGID | GETSID => serial(|[of, ..]| scheduling::group_of(of)),
        SYSINFO => serial(|[to, ..]| scheduling::information(to)),
        SCHED_GETSCHEDULER => serial(|[of, ..]| scheduling::scheduler(of, None)),
        SCHED_GETPARAM => serial(|[of, to, ..]| scheduling::scheduler(of, Some(to))),
        SCHED_SETSCHEDULER => serial(|[of, policy, from, ..]| {
            scheduling::set_scheduler(of, policy as i32, from)
        }),
        SCHED_SETPARAM => serial(|[of, from, ..]| {
            scheduling::set_scheduler(of, libc::SCHED_OTHER, from)
        }),
        SCHED_GET_PRIORITY_MIN => serial(|[policy, ..]| {
            scheduling::priorities(policy as i32).map(|[least, _]| least)
        }),
        SCHED_GET_PRIORITY_MAX => serial(|[policy, ..]| {
            scheduling::priorities(policy as i32).map(|[_, most]| most)
        }),
        MLOCK | MUNLOCK => serial(|[start, len, ..]| scheduling::lock(start, len)),
        MLOCKALL | MUNLOCKALL => serial(|_| Ok(0)),
        // As `nice` has 0.
        GETPRIORITY => serial(|_| Ok(20)),
        SETPRIORITY => serial(|_| Ok(0)),
    }

    fn row_of_sockets of sockets {
        SOCKET => serial(|[domain, kind, protocol, ..]| {
            sockets::create(domain as i32, kind as i32, protocol as i32)
        }),
        SOCKETPAIR => serial(|[domain, kind, protocol, to, ..]| {
            sockets::pair(domain as i32, kind as i32, protocol as i32, to)
        }),
        BIND => serial(|[it, name, len, ..]| sockets::bind(it, name, len)),
        LISTEN => serial(|[it, most, ..]| sockets::listen(it, most as i32)),
        ACCEPT => serial(|[it, to, len, ..]| sockets::accept(it, to, len, 0)),
        ACCEPT4 => serial(|[it, to, len, flags, ..]| sockets::accept(it, to, len, flags as i32)),
        CONNECT => serial(|[it, name, len, ..]| sockets::connect(it, name, len)),
        SENDTO => serial(sockets::send_to),
        RECVFROM => serial(sockets::receive_from),
        SENDMSG => serial(|[it, header, flags, ..]| {
            sockets::messages(it, flags, |it, flags| messages::send(it, header, flags))
        }),
        RECVMSG => serial(|[it, header, flags, ..]| {
            sockets::messages(it, flags, |it, flags| messages::receive(it, header, flags))
        }),
        SENDMMSG => serial(|[it, list, count, flags, ..]| {
            sockets::messages(it, flags, |it, flags| messages::send_many(it, list, count, flags))
        }),
        RECVMMSG => serial(|[it, list, count, flags, timeout, _]| {
            sockets::messages(it, flags, |it, flags| {
                messages::receive_many(it, list, count, flags, timeout)
            })
        }),
        SHUTDOWN => serial(|[it, how, ..]| sockets::shut_down(it, how as i32)),
        GETSOCKNAME => serial(|[it, to, len, ..]| sockets::local_name(it, to, len)),
        GETPEERNAME => serial(|[it, to, len, ..]| sockets::peer_name(it, to, len)),
        SETSOCKOPT => serial(|[it, level, option, from, len, _]| {
            sockets::set_option(it, level as i32, option as i32, from, len)
        }),
        GETSOCKOPT => serial(|[it, level, option, to, len, _]| {
            sockets::option(it, level as i32, option as i32, to, len)
        }),
        // Soil's own calls, for the C library's names of hosts.
        RESOLVE_NAME => serial(|[name, len, family, to, room, _]| {
            sockets::resolve(name, len, family as i32, to, room)
        }),
        EXCHANGE_DNS => serial(|[query, len, to, room, ..]| {
            sockets::exchange(query, len, to, room)
        }),
    }
}
