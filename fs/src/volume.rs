//! The one interface to every file system.

use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;

use bitflags::bitflags;

use crate::{Error, Lease, fat, lease};

bitflags! {
    /// How a file is opened. The bits never change: interfaces above pass them on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u32 {
        /// Reads are allowed.
        const READ = 1;
        /// Writes are allowed.
        const WRITE = 2;
        /// Make the file when it isn't there; needs `WRITE`.
        const CREATE = 4;
        /// Fail with [`Error::Exists`] when it is there; needs `CREATE`.
        const EXCLUSIVE = 8;
        /// Make the file empty; needs `WRITE`.
        const TRUNCATE = 16;
        /// Every write goes to the end of the file, whatever its offset; needs `WRITE`.
        const APPEND = 32;
        /// Open a directory to list it; with none of the others but `READ`.
        const DIRECTORY = 64;
    }
}

impl OpenFlags {
    /// [`Error::Invalid`] for flags that contradict each other.
    pub fn check(self) -> Result<(), Error> {
        let writes = Self::CREATE | Self::TRUNCATE | Self::APPEND;
        let directory = Self::DIRECTORY | Self::READ;
        let fits = if self.contains(Self::DIRECTORY) {
            directory.contains(self)
        } else {
            self.intersects(Self::READ | Self::WRITE)
                && (self.contains(Self::WRITE) || !self.intersects(writes))
                && (self.contains(Self::CREATE) || !self.contains(Self::EXCLUSIVE))
        };
        if fits { Ok(()) } else { Err(Error::Invalid) }
    }
}

/// An open file or directory of one volume. Never valid again once closed, and never a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub(crate) u64);

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link. Volumes never follow one: [`Volume::resolve`] says where a path meets it.
    Symlink,
}

/// What [`Volume::fallocate`] does with a range of a file: forms of Linux's `fallocate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallocate {
    /// It gets room for what isn't there yet, which reads as zeros; a file that ends before the
    /// range does grows. Writing there doesn't fail for want of room.
    Allocate,
    /// The same, but the file's size stays (`FALLOC_FL_KEEP_SIZE`).
    KeepSize,
    /// It becomes a hole: it reads as zeros and takes no room. The size stays
    /// (`FALLOC_FL_PUNCH_HOLE`).
    PunchHole,
    /// It reads as zeros and keeps its room, or gets some; a file that ends before the range does
    /// grows (`FALLOC_FL_ZERO_RANGE`).
    ZeroRange,
}

/// What [`Volume::seek`] looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// Bytes that were written (`SEEK_DATA`).
    Data,
    /// Bytes that read as zeros because there is nothing (`SEEK_HOLE`).
    Hole,
}

/// The end of a range. [`Error::Invalid`] if it is empty.
pub(crate) fn range_end(offset: u64, len: u64) -> Result<u64, Error> {
    if len == 0 {
        return Err(Error::Invalid);
    }
    offset.checked_add(len).ok_or(Error::TooLarge)
}

/// How a rename treats an entry that has the new name: the three forms of Linux's `renameat2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Renaming {
    /// It is replaced, in one step: a reader finds the old file or the new one.
    #[default]
    Replace,
    /// It stays, and the answer is [`Error::Exists`] (`RENAME_NOREPLACE`).
    NoReplace,
    /// It gets the old name, in the same step; it has to be there (`RENAME_EXCHANGE`).
    Exchange,
}

/// Where a walk along a path came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walk {
    /// No symbolic link on the way; whether there is anything is the next operation's answer.
    Plain,
    /// A symbolic link.
    Link {
        /// Bytes of the path up to the end of the link's name.
        end: usize,
        /// What the link says: a path, absolute or relative to the link's directory.
        target: String,
    },
}

/// A moment. Earlier ones compare as less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that, below 1 000 000 000; 0 where a file system keeps seconds.
    pub nanoseconds: u32,
}

impl Time {
    /// A whole second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }
}

/// What is known of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// File, directory or symbolic link.
    pub kind: Kind,
    /// Bytes in the file, or in a link's target; 0 for a directory.
    pub size: u64,
    /// When the contents last changed (FAT keeps even seconds, and nothing for its root directory:
    /// 0).
    pub modified: Time,
    /// When the contents were last read, as far as the file system notes it; else as `modified`.
    pub accessed: Time,
    /// When the file or what is known of it last changed; else as `modified`.
    pub changed: Time,
    /// Names that the file has; 1 where there are no hard links.
    pub links: u32,
    /// A number that no other file of the volume has at the same time, or 0 where there is none.
    pub inode: u64,
    /// Whether the file is marked read-only.
    pub read_only: bool,
}

/// One entry of a directory; `.` and `..` are never listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The name, without slashes.
    pub name: &'a str,
    /// What it stands for.
    pub kind: Kind,
}

/// Sets the times of what `path` names, on a volume of any kind: [`Volume::set_times`].
pub fn set_times(
    volume: &mut dyn Volume,
    path: &str,
    accessed: Option<Time>,
    modified: Option<Time>,
) -> Result<(), Error> {
    match fat::set_times(volume, path, accessed, modified) {
        Some(set) => set,
        None => volume.set_times(path, accessed, modified),
    }
}

/// A place in a listing. 0 is the start; others come from [`Volume::list`].
pub type Cursor = u64;

/// The room on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes for files and directories in all.
    pub total: u64,
    /// Bytes not in use.
    pub free: u64,
    /// Those of them that aren't reserved for an administrator (ext4's `s_r_blocks_count`). Whether
    /// the rest can be used is the volume's affair: here all of it can, in a folder of the host
    /// what Linux lets the process have.
    pub available: u64,
    /// Bytes that are given to a file at a time (the cluster).
    pub unit: u32,
}

/// Whether a volume takes writes, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes them.
    Writable,
    /// It takes them, but was found damaged, and goes on because its superblock says so. The text
    /// says what was found last, and where.
    Damaged(String),
    /// It was mounted read-only, or its device is.
    ReadOnly,
    /// It contradicts itself, and is left as it is. The text says what was found, and where.
    Corrupt(String),
}

impl Health {
    /// Whether it takes writes.
    pub fn is_writable(&self) -> bool {
        matches!(self, Self::Writable | Self::Damaged(_))
    }
}

/// A mounted file system.
///
/// Paths are relative to the volume's root, normalised ([`crate::path::normalise`]): names with
/// single slashes between them, no `.` or `..`, a leading slash allowed; empty is the root.
/// Whether case matters is the file system's affair.
///
/// One operation at a time; each returns when it is done. Nothing keeps a caller's buffer. No
/// operation panics on what it finds on the disk, and each ends, whatever the disk holds. Changes
/// are durable when [`sync`](Self::sync) or [`sync_file`](Self::sync_file) has returned, and may
/// be before.
///
/// Errors that any of them can give: [`Error::Io`], [`Error::Corrupt`], [`Error::OutOfMemory`],
/// for changes [`Error::ReadOnly`] and [`Error::NoSpace`], for paths [`Error::NotFound`],
/// [`Error::NotDirectory`], [`Error::InvalidName`], [`Error::NameTooLong`], and for handles
/// [`Error::Closed`].
pub trait Volume: Send {
    /// Opens a file, or with [`OpenFlags::DIRECTORY`] a directory.
    ///
    /// [`Error::IsDirectory`] for a directory without that flag, [`Error::Exists`],
    /// [`Error::Invalid`] for flags that contradict each other, [`Error::TooManyOpen`],
    /// [`Error::PermissionDenied`] for writing to a file marked read-only.
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId, Error>;

    /// Closes a handle. Closing twice is [`Error::Closed`] and harmless. What was written stays
    /// written, but isn't made durable by it.
    fn close(&mut self, file: FileId) -> Result<(), Error>;

    /// Reads from byte `offset` on. Fills `buf` except at the end of the file: fewer bytes, 0 at
    /// or past it. [`Error::PermissionDenied`] without [`OpenFlags::READ`].
    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize, Error>;

    /// Writes at byte `offset` (with [`OpenFlags::APPEND`] at the end, see
    /// [`size`](Self::size) for where that was), and gives the number of bytes written: all, or
    /// those before the volume was full or the file as large as can be. A gap between the old end
    /// and `offset` reads as zeros. [`Error::TooLarge`], [`Error::NoSpace`] when nothing could be
    /// written, [`Error::PermissionDenied`] without [`OpenFlags::WRITE`].
    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize, Error>;

    /// Bytes in the file.
    fn size(&mut self, file: FileId) -> Result<u64, Error>;

    /// Cuts the file, or extends it with zeros. [`Error::TooLarge`].
    fn truncate(&mut self, file: FileId, size: u64) -> Result<(), Error>;

    /// Gives `len` bytes of the file from `offset` on room, or takes it away. [`Error::NoSpace`],
    /// which leaves the file as it was unless the volume was all but full, [`Error::TooLarge`],
    /// [`Error::Invalid`] for no bytes, [`Error::PermissionDenied`] without [`OpenFlags::WRITE`].
    ///
    /// Files that have no holes can only be allocated, by growing; the rest is
    /// [`Error::Unsupported`]. That is what is done here.
    fn fallocate(
        &mut self,
        file: FileId,
        how: Fallocate,
        offset: u64,
        len: u64,
    ) -> Result<(), Error> {
        let end = range_end(offset, len)?;
        if how != Fallocate::Allocate {
            return Err(Error::Unsupported);
        }
        let size = self.size(file)?;
        self.truncate(file, size.max(end))
    }

    /// The first byte at `offset` or after it that is data, or in a hole; `None` if there is none
    /// before the file's end, which counts as a hole unless `offset` is there or past it. A volume
    /// may take holes for data.
    fn seek(&mut self, file: FileId, to: Seek, offset: u64) -> Result<Option<u64>, Error> {
        let size = self.size(file)?;
        let found = match to {
            Seek::Data => offset,
            Seek::Hole => size,
        };
        Ok((offset < size).then_some(found))
    }

    /// What is known of an open file or directory.
    fn stat_file(&mut self, file: FileId) -> Result<Stat, Error>;

    /// What is known of the file or directory of that name.
    fn stat(&mut self, path: &str) -> Result<Stat, Error>;

    /// Gives entries of a directory from `from` on to `visit`, until it returns `false` (that
    /// entry counts as not taken) or some were given and the volume wants to let others in.
    /// Returns where to go on, `None` at the end. An entry that is there during the whole of a
    /// listing is given once; others may be.
    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>, Error>;

    /// Makes a directory. [`Error::Exists`].
    fn mkdir(&mut self, path: &str) -> Result<(), Error>;

    /// Removes an empty directory. [`Error::NotEmpty`], [`Error::NotDirectory`], and
    /// [`Error::Busy`] while it is open or for the root.
    fn rmdir(&mut self, path: &str) -> Result<(), Error>;

    /// Removes a file. [`Error::IsDirectory`], and [`Error::Busy`] while it is open: FAT has
    /// nowhere to keep a file without a name.
    fn unlink(&mut self, path: &str) -> Result<(), Error>;

    /// Gives a file or directory another name, in another directory if need be. A file replaces
    /// a file and a directory an empty directory; [`Error::IsDirectory`] and
    /// [`Error::NotDirectory`] for mixtures, [`Error::NotEmpty`], [`Error::Invalid`] for a
    /// directory into itself, [`Error::Busy`] when what is replaced is open. Open files keep their
    /// handles.
    ///
    /// Exchanges any two entries, of any kind, open or not; [`Error::Invalid`]
    /// where one is in the other, [`Error::Unsupported`] on FAT.
    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<(), Error>;

    /// [`rename_as`](Self::rename_as), which replaces what is there.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        self.rename_as(from, to, Renaming::Replace)
    }

    /// Gives the file `path` a second name, `new`, on the same volume. [`Error::Exists`],
    /// [`Error::IsDirectory`], [`Error::TooManyLinks`]; [`Error::Unsupported`] without hard links.
    fn link(&mut self, path: &str, new: &str) -> Result<(), Error> {
        let _ = (path, new);
        Err(Error::Unsupported)
    }

    /// Makes the symbolic link `path`, which says `target`; that isn't looked at.
    /// [`Error::Exists`]; [`Error::Unsupported`] without symbolic links.
    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Error> {
        let _ = (target, path);
        Err(Error::Unsupported)
    }

    /// Sets when the file, directory or symbolic link `path` was last read and its contents last
    /// changed; what is `None` stays. When it last changed otherwise is now. A moment that the file
    /// system can't say becomes the nearest that it can. [`Error::Unsupported`].
    ///
    /// [`crate::set_times`] is what to call: FAT isn't in this table of functions.
    fn set_times(
        &mut self,
        path: &str,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<(), Error> {
        let _ = (path, accessed, modified);
        Err(Error::Unsupported)
    }

    /// Where `path` first meets a symbolic link; its last name counts only if `last` is set. Names
    /// that aren't there are plain. Volumes without symbolic links have nothing to look for.
    fn resolve(&mut self, path: &str, last: bool) -> Result<Walk, Error> {
        let _ = (path, last);
        Ok(Walk::Plain)
    }

    /// The contents of a whole file that lie in memory for as long as the program runs, for reading
    /// without a copy; `None` where they don't.
    fn contents(&mut self, file: FileId) -> Result<Option<&'static [u8]>, Error> {
        let _ = file;
        Ok(None)
    }

    /// A file system's part of `crate::lease`, which is what to call; without it all is copied.
    fn lend(
        &mut self,
        file: FileId,
        offset: u64,
        len: usize,
        out: &mut Vec<Lease>,
    ) -> Result<(), Error> {
        lease::or_copy(self, file, offset, len, out)
    }

    /// The volume itself where lending is in no table of functions: FAT, which programs that lend
    /// nothing carry, too.
    fn as_any(&mut self) -> Option<&mut dyn Any> {
        None
    }

    /// Makes everything durable.
    fn sync(&mut self) -> Result<(), Error>;

    /// Makes the contents and the size of one file durable (and possibly more).
    fn sync_file(&mut self, file: FileId) -> Result<(), Error>;

    /// The room on the volume. May read all of the file system's tables the first time.
    fn space(&mut self) -> Result<Space, Error>;

    /// Whether the volume takes writes, and if not, why.
    fn health(&self) -> Health;
}

/// The time of day, for the times that a volume stores.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: fn() -> Time,
}

impl Clock {
    /// A clock that asks `now`. Volumes keep a `&'static Clock`.
    pub const fn new(now: fn() -> Time) -> Self {
        Self { now }
    }

    /// What it says; 1970 without one.
    pub(crate) fn time(clock: Option<&Self>) -> Time {
        clock.map_or(Time::default(), |clock| (clock.now)())
    }
}
