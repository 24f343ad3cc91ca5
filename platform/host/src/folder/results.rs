//! Conversion of the C library's results to those of a volume.

use crate::errno;
use fs::Error;

/// The code of the last failure.
pub fn failed() -> Error {
    code(errno())
}

/// The code of a failure.
pub fn code(errno: i32) -> Error {
    match errno {
        libc::ENOENT => Error::NotFound,
        libc::EEXIST => Error::Exists,
        libc::ENOTDIR => Error::NotDirectory,
        libc::EISDIR => Error::IsDirectory,
        libc::ENOTEMPTY => Error::NotEmpty,
        libc::ENOSPC | libc::EDQUOT => Error::NoSpace,
        libc::EROFS => Error::ReadOnly,
        libc::EACCES | libc::EPERM => Error::Denied,
        libc::ENAMETOOLONG => Error::NameTooLong,
        libc::EFBIG | libc::EOVERFLOW => Error::TooLarge,
        libc::EBUSY | libc::ETXTBSY => Error::Busy,
        libc::EMFILE | libc::ENFILE => Error::TooManyOpen,
        libc::EMLINK | libc::ELOOP => Error::TooManyLinks,
        libc::EXDEV => Error::CrossVolume,
        libc::ENOMEM => Error::OutOfMemory,
        libc::EINVAL => Error::Invalid,
        libc::EILSEQ => Error::InvalidName,
        libc::ENOSYS | libc::EOPNOTSUPP => Error::Unsupported,
        _ => Error::Io,
    }
}

/// A result of the C library.
pub fn done(result: libc::c_int) -> Result<(), Error> {
    if result < 0 { Err(failed()) } else { Ok(()) }
}

/// A number of bytes; `None`: interrupted, to be retried.
pub fn count(result: isize) -> Result<Option<usize>, Error> {
    match usize::try_from(result) {
        Ok(n) => Ok(Some(n)),
        Err(_) if errno() == libc::EINTR => Ok(None),
        Err(_) => Err(failed()),
    }
}
