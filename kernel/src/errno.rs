//! Linux's error numbers, as far as they are answered. Source: `asm-generic/errno-base.h` and
//! `errno.h`.

/// An error of a system call.
#[allow(clippy::upper_case_acronyms, reason = "the names of C")]
#[allow(missing_docs, reason = "errno(3) is the documentation")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    EINTR = 4,
    EIO = 5,
    EBADF = 9,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EEXIST = 17,
    ENODEV = 19,
    EINVAL = 22,
    ENOTTY = 25,
    ESPIPE = 29,
    ERANGE = 34,
    ENAMETOOLONG = 36,
    ENOSYS = 38,
    ETIMEDOUT = 110,
    /// A signal ended a wait which begins again if its handler has SA_RESTART, and is EINTR
    /// otherwise: no program sees this number, see [`crate::signals`]. Source: Linux's
    /// `include/linux/errno.h`.
    ERESTARTSYS = 512,
}
