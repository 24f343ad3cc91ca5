//! Errors of the crate.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::BlockError;

/// Why an operation on a volume failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error {
    /// Invalid argument: contradicting flags, an offset beyond any file, a directory moved into
    /// itself.
    Invalid,
    /// The handle is closed.
    Closed,
    /// No such file or directory.
    NotFound,
    /// A file or directory of that name exists (names are compared without case).
    Exists,
    /// A file where a directory is needed.
    NotDirectory,
    /// A directory where a file is needed.
    IsDirectory,
    /// The directory still has entries.
    NotEmpty,
    /// The volume is full, or a directory of fixed size is, or the storage behind its device.
    NoSpace,
    /// The volume or the device is read-only, or became so because the volume is corrupt.
    ReadOnly,
    /// The name has characters that this file system can't store.
    InvalidName,
    /// A name has more characters than this file system stores, or a path is too long.
    NameTooLong,
    /// The file would pass the largest size that this file system stores.
    TooLarge,
    /// The structures of the file system are inconsistent. [`crate::Health`] says whether the
    /// volume is read-only from then on.
    Corrupt,
    /// The device failed.
    Io,
    /// The file is open, and the operation isn't possible on an open file.
    Busy,
    /// The file system doesn't support the operation.
    Unsupported,
    /// The handle wasn't opened for this access, or the file is marked read-only.
    PermissionDenied,
    /// The host doesn't permit the operation to the process.
    Denied,
    /// Memory is exhausted.
    OutOfMemory,
    /// The volume has the maximum number of open files.
    TooManyOpen,
    /// A path crosses more than 40 symbolic links, or a file has the maximum number of names.
    TooManyLinks,
    /// Two names on different volumes, which neither a rename nor a hard link can span.
    CrossVolume,
}

impl Error {
    const fn text(self) -> &'static str {
        match self {
            Self::Invalid => "invalid argument",
            Self::Closed => "already closed",
            Self::NotFound => "no such file or directory",
            Self::Exists => "exists already",
            Self::NotDirectory => "not a directory",
            Self::IsDirectory => "is a directory",
            Self::NotEmpty => "directory not empty",
            Self::NoSpace => "no space left on the volume",
            Self::ReadOnly => "read-only volume",
            Self::InvalidName => "name has characters that the file system can't store",
            Self::NameTooLong => "name too long",
            Self::TooLarge => "file too large for the file system",
            Self::Corrupt => "file system is corrupt: check it with fsck",
            Self::Io => "input/output error",
            Self::Busy => "file is open",
            Self::Unsupported => "not supported by the file system",
            Self::PermissionDenied => "permission denied",
            Self::Denied => "permission denied by the host",
            Self::OutOfMemory => "out of memory",
            Self::TooManyOpen => "too many open files",
            Self::TooManyLinks => "too many links",
            Self::CrossVolume => "not on the same volume",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Error {}

impl From<BlockError> for Error {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Io | BlockError::OutOfRange | BlockError::Unsupported => Self::Io,
            BlockError::ReadOnly => Self::ReadOnly,
            BlockError::NoSpace => Self::NoSpace,
        }
    }
}

/// Why a volume could not be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountError {
    /// The kind of failure.
    pub error: Error,
    /// One line without the disk's name, which the caller puts in front: the finding and the
    /// remedy, such as "not a FAT file system: boot sector signature missing; make one with
    /// mkfs.fat".
    pub detail: String,
}

impl MountError {
    /// The `detail` of an error of this kind.
    pub fn new(error: Error, detail: impl Into<String>) -> MountError {
        let detail = detail.into();
        MountError { error, detail }
    }

    /// The disk failed a read of `what`.
    pub(crate) fn unreadable(what: impl fmt::Display, error: BlockError) -> MountError {
        let detail = format!("{what} can't be read: {error}; check the disk");
        MountError::new(error.into(), detail)
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl core::error::Error for MountError {}
