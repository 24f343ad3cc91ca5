//! Names of system calls, for reports.

use alloc::format;
use alloc::string::String;

/// What a test has in place of signals to other processes, and of those that stop the sender.
const SIGNAL: &str = "a signal to another process, or one that stops it: use Soil_sim.Faults";

/// Calls with an effect or an answer outside of the process, and what programs use in their place.
const CALLS: &[(i64, &str, &str)] = &[
    (libc::SYS_socket, "socket", "use Soil.Tcp and Soil.Udp"),
    (libc::SYS_socketpair, "socketpair", "use Soil.pipe"),
    (
        libc::SYS_clone,
        "clone",
        "a thread or a process: use Soil.Task",
    ),
    (
        libc::SYS_clone3,
        "clone3",
        "a thread or a process: use Soil.Task",
    ),
    (libc::SYS_fork, "fork", "a process: use Soil.Task"),
    (libc::SYS_vfork, "vfork", "a process: use Soil.Task"),
    (
        libc::SYS_execve,
        "execve",
        "another program: make it a node",
    ),
    (libc::SYS_kill, "kill", SIGNAL),
    (libc::SYS_tkill, "tkill", SIGNAL),
    (libc::SYS_tgkill, "tgkill", SIGNAL),
    (libc::SYS_poll, "poll", "use Soil.Task"),
    (libc::SYS_ppoll, "ppoll", "use Soil.Task"),
    (libc::SYS_select, "select", "use Soil.Task"),
    (libc::SYS_pselect6, "pselect6", "use Soil.Task"),
    (libc::SYS_epoll_create1, "epoll_create1", "use Soil.Task"),
    (libc::SYS_epoll_wait, "epoll_wait", "use Soil.Task"),
    (libc::SYS_epoll_pwait, "epoll_pwait", "use Soil.Task"),
    (libc::SYS_setitimer, "setitimer", "use Soil.Clock"),
    (libc::SYS_timer_create, "timer_create", "use Soil.Clock"),
    (libc::SYS_timerfd_create, "timerfd_create", "use Soil.Clock"),
    (libc::SYS_alarm, "alarm", "use Soil.Clock"),
    (libc::SYS_pause, "pause", "use Soil.Task"),
    (libc::SYS_unlink, "unlink", "use Soil.Fs"),
    (libc::SYS_unlinkat, "unlinkat", "use Soil.Fs"),
    (libc::SYS_rename, "rename", "use Soil.Fs"),
    (libc::SYS_renameat, "renameat", "use Soil.Fs"),
    (libc::SYS_renameat2, "renameat2", "use Soil.Fs"),
    (libc::SYS_mkdir, "mkdir", "use Soil.Fs"),
    (libc::SYS_mkdirat, "mkdirat", "use Soil.Fs"),
    (libc::SYS_rmdir, "rmdir", "use Soil.Fs"),
    (libc::SYS_getdents64, "getdents64", "use Soil.Fs"),
    (libc::SYS_getcwd, "getcwd", "use absolute paths"),
    (libc::SYS_chdir, "chdir", "use absolute paths"),
    (libc::SYS_wait4, "wait4", "a process: make it a node"),
    (libc::SYS_inotify_init1, "inotify_init1", "use Soil.Fs"),
    (libc::SYS_sendfile, "sendfile", "use Soil.Flow"),
    (libc::SYS_io_setup, "io_setup", "use Soil.Fs"),
    (libc::SYS_memfd_create, "memfd_create", "use Bytes"),
    (
        libc::SYS_getcpu,
        "getcpu",
        "the processor differs in each run",
    ),
    (libc::SYS_statfs, "statfs", "use Soil.Fs.space"),
    (
        libc::SYS_sched_setaffinity,
        "sched_setaffinity",
        "a node has one thread",
    ),
];

/// The name of a call with its remedy.
pub fn describe(number: i64) -> String {
    match CALLS.iter().find(|(call, ..)| *call == number) {
        Some((_, name, remedy)) => format!("{name}: {remedy}"),
        None => format!("system call {number}"),
    }
}
