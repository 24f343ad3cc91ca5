//! Errors: Soil's as Linux's numbers.

use platform::error::Error;

/// A number of errno(3).
pub type Errno = i32;

/// `ERESTARTSYS`: a signal ended a wait, and the call restarts if the signal's handler has
/// SA_RESTART; otherwise it is EINTR. No program sees this number. Source: Linux's
/// `include/linux/errno.h`.
pub const RESTART: Errno = 512;

/// Result of an operation.
pub type Result<T> = core::result::Result<T, Errno>;

/// Linux's error number for `error`.
pub fn errno(error: Error) -> Errno {
    match error {
        Error::NotFound | Error::NoSuchHost => libc::ENOENT,
        Error::Closed => libc::EBADF,
        Error::Exists => libc::EEXIST,
        Error::NotDirectory => libc::ENOTDIR,
        Error::IsDirectory => libc::EISDIR,
        Error::NotEmpty => libc::ENOTEMPTY,
        Error::NoSpace => libc::ENOSPC,
        Error::ReadOnly => libc::EROFS,
        Error::NameTooLong => libc::ENAMETOOLONG,
        Error::TooLarge => libc::EFBIG,
        Error::Busy => libc::EBUSY,
        // No hard or symbolic links on FAT; the same number as Linux's.
        Error::Unsupported | Error::PermissionDenied => libc::EPERM,
        Error::BrokenPipe => libc::EPIPE,
        Error::NoDevice => libc::ENODEV,
        Error::OutOfMemory => libc::ENOMEM,
        Error::TooManyOpen => libc::EMFILE,
        Error::TooManyLinks => libc::ELOOP,
        Error::CrossVolume => libc::EXDEV,
        Error::AddressInUse => libc::EADDRINUSE,
        Error::AddressNotAvailable => libc::EADDRNOTAVAIL,
        Error::ConnectionRefused => libc::ECONNREFUSED,
        Error::ConnectionReset => libc::ECONNRESET,
        Error::NotConnected => libc::ENOTCONN,
        Error::Unreachable => libc::EHOSTUNREACH,
        Error::NoNetwork => libc::ENETDOWN,
        Error::MessageTooLong => libc::EMSGSIZE,
        Error::Corrupt
        | Error::Io
        | Error::NoEntropy
        | Error::TimedOut
        | Error::NameServerFailure => libc::EIO,
        _ => libc::EINVAL,
    }
}
