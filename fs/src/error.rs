//! The errors of the crate.

use alloc::string::String;
use core::fmt;

use crate::BlockError;

/// Why an operation on a volume failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error {
    /// The caller's argument makes no sense: contradicting flags, an offset beyond any file, a
    /// directory moved into itself.
    Invalid,
    /// The handle is closed.
    Closed,
    /// No such file or directory.
    NotFound,
    /// A file or directory of that name is there already (names are compared without case).
    Exists,
    /// A directory is needed and this is a file.
    NotDirectory,
    /// A file is needed and this is a directory.
    IsDirectory,
    /// The directory still has entries.
    NotEmpty,
    /// The volume is full, or a directory of fixed size is.
    NoSpace,
    /// The volume or the device is read-only, or became so because the volume is corrupt.
    ReadOnly,
    /// The name has characters that this file system can't store.
    InvalidName,
    /// A name has more characters than this file system stores, or a path is too long.
    NameTooLong,
    /// The file would pass the largest size that this file system stores.
    TooLarge,
    /// The file system's structures contradict themselves. [`crate::Health`] says whether the
    /// volume is read-only from then on.
    Corrupt,
    /// The device failed.
    Io,
    /// The file is open, and what was asked can't be done to an open file.
    Busy,
    /// This file system can't do it.
    Unsupported,
    /// The handle wasn't opened for this, or the file is marked read-only.
    PermissionDenied,
    /// The host of a process doesn't permit it.
    Denied,
    /// There is no memory for it.
    OutOfMemory,
    /// The volume has as many open files as it can have.
    TooManyOpen,
    /// A path leads over more than 40 symbolic links, or a file has as many names as it can have.
    TooManyLinks,
    /// Two names on different volumes, which a rename or a hard link can't join.
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
        }
    }
}

/// Why a volume could not be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountError {
    /// The kind of failure.
    pub error: Error,
    /// One line without the disk's name, which the caller puts in front: what was found, and the
    /// remedy, such as "not a FAT file system: boot sector signature missing; make one with
    /// mkfs.fat".
    pub detail: String,
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl core::error::Error for MountError {}
