//! Names, errors and records: rsext4's words in ours.

use alloc::format;
use alloc::string::String;

use rsext4::error::ErrorContext;
use rsext4::{DirectoryEntryType, Ext4Error, Ext4ErrorKind, FileName, InodeFlags, InodeInfo};

use crate::{Error, Kind, Stat};

/// Bytes in a name at most.
const MAX_NAME: usize = 255;

/// `name` as rsext4 takes it.
pub(super) fn file_name(name: &str) -> Result<FileName<'_>, Error> {
    if name.len() > MAX_NAME {
        return Err(Error::NameTooLong);
    }
    FileName::new(name.as_bytes()).map_err(|_| Error::InvalidName)
}

/// What an error of rsext4 is called here.
pub(super) fn error(error: &Ext4Error) -> Error {
    match error.kind() {
        Ext4ErrorKind::Corrupted
        | Ext4ErrorKind::ChecksumMismatch
        | Ext4ErrorKind::BadSuperblock
        | Ext4ErrorKind::InvalidMagic => Error::Corrupt,
        Ext4ErrorKind::UnsupportedFeature
        | Ext4ErrorKind::UnsupportedCapability
        | Ext4ErrorKind::Unsupported => Error::Unsupported,
        Ext4ErrorKind::ReadOnly => Error::ReadOnly,
        Ext4ErrorKind::NoSpace | Ext4ErrorKind::QuotaExceeded => Error::NoSpace,
        Ext4ErrorKind::NoMemory => Error::OutOfMemory,
        Ext4ErrorKind::TooManyLinks => Error::TooManyLinks,
        Ext4ErrorKind::PermissionDenied => Error::PermissionDenied,
        Ext4ErrorKind::NotFound => Error::NotFound,
        Ext4ErrorKind::AlreadyExists => Error::Exists,
        Ext4ErrorKind::NotDirectory => Error::NotDirectory,
        Ext4ErrorKind::IsDirectory => Error::IsDirectory,
        Ext4ErrorKind::NotEmpty => Error::NotEmpty,
        Ext4ErrorKind::InvalidInput => Error::Invalid,
        Ext4ErrorKind::FileTooLarge => Error::TooLarge,
        // Numbers from the disk that no file system can mean.
        Ext4ErrorKind::Overflow => Error::Corrupt,
        Ext4ErrorKind::Busy => Error::Busy,
        Ext4ErrorKind::Io
        | Ext4ErrorKind::JournalAborted
        | Ext4ErrorKind::Timeout
        | Ext4ErrorKind::BadFileDescriptor => Error::Io,
    }
}

/// An error of rsext4 in words, with where it was found as far as it says.
pub(super) fn describe(error: &Ext4Error) -> String {
    match error.context() {
        Some(ErrorContext::Operation { op }) => format!("{} ({op})", error.kind()),
        Some(context) => format!("{} ({context})", error.kind()),
        None => format!("{}", error.kind()),
    }
}

/// File, directory or link; what is none of them (devices, pipes, sockets) is listed as a file.
pub(super) fn kind(known: &InodeInfo) -> Kind {
    match known.file_type() {
        DirectoryEntryType::Directory => Kind::Directory,
        DirectoryEntryType::Symlink => Kind::Symlink,
        _ => Kind::File,
    }
}

/// What rsext4 knows of a file, in our words. Its times are 32 bits of seconds, which count from
/// 1970 to 2106.
pub(super) fn stat(known: &InodeInfo) -> Stat {
    let kind = kind(known);
    let immutable = known.flags.contains(InodeFlags::IMMUTABLE);
    Stat {
        kind,
        size: if kind == Kind::Directory {
            0
        } else {
            known.size
        },
        modified: known.mtime.into(),
        modified_ns: 0,
        accessed: known.atime.into(),
        changed: known.ctime.into(),
        links: known.links.into(),
        inode: known.number.raw().into(),
        read_only: kind != Kind::Symlink && (known.mode & 0o222 == 0 || immutable),
    }
}
