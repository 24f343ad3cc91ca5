//! Linux's numbers of system calls, by their names in this processor's table, and the names by
//! numbers for messages.
//!
//! Newer processors lack calls that others replace (`open`, by `openat`): such a call has a number
//! here that no program can use, so that one table of calls serves all processors.

#[cfg(any(test, target_arch = "aarch64"))]
mod aarch64;
#[cfg(any(test, target_arch = "x86_64"))]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64::NAMES;
#[cfg(target_arch = "x86_64")]
use x86_64::NAMES;

/// The names from [`COMMON_START`] on, which are the same on all processors.
const COMMON: &str = "\
    pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen \
    fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 \
    process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset \
    landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv \
    set_mempolicy_home_node";
const COMMON_START: u64 = 424;

/// The numbers of calls that this processor lacks have this bit.
const ABSENT: u64 = 1 << 63;

/// Whether this processor has the call with this number.
pub const fn exists(number: u64) -> bool {
    number & ABSENT == 0
}

/// The position of `name` in a list.
const fn position(list: &str, name: &[u8]) -> Option<u64> {
    let list = list.as_bytes();
    let (mut at, mut word) = (0, 0);
    while at < list.len() {
        let mut len = 0;
        while at + len < list.len() && list[at + len] != b' ' {
            len += 1;
        }
        let mut same = 0;
        while same < len && same < name.len() && list[at + same] == name[same] {
            same += 1;
        }
        if same == len && len == name.len() {
            return Some(word);
        }
        at += len + 1;
        word += 1;
    }
    None
}

/// The number of the call that is named by capital letters.
const fn number(capitals: &str) -> u64 {
    let mut name = [0; 32];
    let capitals = capitals.as_bytes();
    let (name, _) = name.split_at_mut(capitals.len());
    let mut at = 0;
    // FNV-1a: distinct for distinct names (else the tables of calls don't compile).
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    while at < name.len() {
        name[at] = capitals[at].to_ascii_lowercase();
        hash = (hash ^ name[at] as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    match (position(NAMES, name), position(COMMON, name)) {
        (Some(number), _) => number,
        (None, Some(number)) => COMMON_START + number,
        (None, None) => ABSENT | hash,
    }
}

/// Defines constants by their names.
macro_rules! numbers {
    ($($name:ident),* $(,)?) => {$(
        /// The number of this call.
        pub const $name: u64 = number(stringify!($name));
    )*};
}

numbers! {
    ACCEPT, ACCEPT4, ACCESS, ARCH_PRCTL, BIND, BRK, CHDIR, CHMOD, CHOWN, CLOCK_GETRES,
    CLOCK_GETTIME, CLOCK_NANOSLEEP, CLONE, CLOSE, CLOSE_RANGE, CONNECT, COPY_FILE_RANGE, CREAT, DUP,
    DUP2, DUP3, EPOLL_CREATE, EPOLL_CREATE1, EPOLL_CTL, EPOLL_PWAIT, EPOLL_PWAIT2, EPOLL_WAIT,
    EVENTFD, EVENTFD2, EXECVE, EXECVEAT, EXIT, EXIT_GROUP, FACCESSAT, FACCESSAT2, FADVISE64,
    FALLOCATE, FCHDIR, FCHMOD, FCHMODAT, FCHOWN, FCHOWNAT, FCNTL, FDATASYNC, FGETXATTR, FLISTXATTR,
    FLOCK, FORK, FREMOVEXATTR, FSETXATTR, FSTAT, FSTATFS, FSYNC, FTRUNCATE, FUTEX, GET_ROBUST_LIST,
    GETCPU, GETCWD, GETDENTS64, GETEGID, GETEUID, GETGID, GETGROUPS, GETITIMER, GETPEERNAME,
    GETPGID, GETPID, GETPPID, GETPRIORITY, GETRANDOM, GETRLIMIT, GETRUSAGE, GETSID, GETSOCKNAME,
    GETSOCKOPT, GETTID, GETTIMEOFDAY, GETUID, GETXATTR, IOCTL, KILL, LCHOWN, LGETXATTR, LINK,
    LINKAT, LISTEN, LISTXATTR, LLISTXATTR, LREMOVEXATTR, LSEEK, LSETXATTR, LSTAT, MADVISE, MKDIR,
    MKDIRAT, MLOCK, MLOCKALL, MMAP, MPROTECT, MREMAP, MSYNC, MUNLOCK, MUNLOCKALL, MUNMAP, NANOSLEEP,
    NEWFSTATAT, OPEN, OPENAT, PAUSE, PIDFD_OPEN, PIPE, PIPE2, POLL, PPOLL, PRCTL, PREAD64, PREADV,
    PREADV2, PRLIMIT64, PSELECT6, PWRITE64, PWRITEV, PWRITEV2, READ, READLINK, READLINKAT, READV,
    RECVFROM, RECVMMSG, RECVMSG, REMOVEXATTR, RENAME, RENAMEAT, RENAMEAT2, RMDIR, RT_SIGACTION,
    RT_SIGPENDING, RT_SIGPROCMASK, RT_SIGRETURN, RT_SIGSUSPEND, RT_SIGTIMEDWAIT,
    SCHED_GET_PRIORITY_MAX, SCHED_GET_PRIORITY_MIN, SCHED_GETAFFINITY, SCHED_GETPARAM,
    SCHED_GETSCHEDULER, SCHED_SETAFFINITY, SCHED_SETPARAM, SCHED_SETSCHEDULER, SCHED_YIELD, SELECT,
    SENDFILE, SENDMMSG, SENDMSG, SENDTO, SET_ROBUST_LIST, SET_TID_ADDRESS, SETGID, SETGROUPS,
    SETITIMER, SETPRIORITY, SETRLIMIT, SETSOCKOPT, SETUID, SETXATTR, SHUTDOWN, SIGALTSTACK,
    SIGNALFD, SIGNALFD4, SOCKET, SOCKETPAIR, STAT, STATFS, STATX, SYMLINK, SYMLINKAT, SYNC, SYNCFS,
    SYSINFO, TGKILL, TIME, TIMER_CREATE, TIMER_DELETE, TIMER_GETOVERRUN, TIMER_GETTIME,
    TIMER_SETTIME, TIMERFD_CREATE, TIMERFD_GETTIME, TIMERFD_SETTIME, TIMES, TKILL, TRUNCATE, UMASK,
    UNAME, UNLINK, UNLINKAT, UTIMENSAT, WRITE, WRITEV
}

/// The number of `fchmodat2` on all processors: its name would be in each image.
pub const FCHMODAT2: u64 = 452;

/// The name of system call `number`, if Linux has one.
pub fn name(number: u64) -> Option<&'static str> {
    let (names, at) = if number < COMMON_START {
        (NAMES, number)
    } else {
        (COMMON, number - COMMON_START)
    };
    let name = names.split(' ').nth(usize::try_from(at).ok()?);
    name.filter(|name| *name != "?")
}

#[cfg(test)]
mod tests;
