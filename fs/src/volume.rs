//! Common interface of all file systems.

use alloc::string::String;
use alloc::vec::Vec;

use bitflags::bitflags;

use crate::{Error, Lease};

bitflags! {
    /// Flags of [`Volume::open`]. The values never change: interfaces above pass them through.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u32 {
        /// Allow reads.
        const READ = 1;
        /// Allow writes.
        const WRITE = 2;
        /// Create the file if it doesn't exist; needs `WRITE`.
        const CREATE = 4;
        /// Fail with [`Error::Exists`] if the file exists; needs `CREATE`.
        const EXCLUSIVE = 8;
        /// Truncate the file to zero bytes; needs `WRITE`.
        const TRUNCATE = 16;
        /// Append every write at the end of the file, whatever its offset; needs `WRITE`.
        const APPEND = 32;
        /// Open a directory for listing; only `READ` may be combined with it.
        const DIRECTORY = 64;
    }
}

impl OpenFlags {
    /// Fails with [`Error::Invalid`] for flags that contradict each other.
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

/// Handle of an open file or directory of one volume. Invalid forever once closed; using it then is
/// an error, never a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub(crate) u64);

/// File type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Symbolic link. Volumes never follow one: [`Volume::resolve`] returns where a path meets it.
    Symlink,
}

/// Mode of [`Volume::fallocate`]: forms of Linux's `fallocate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallocate {
    /// Allocates missing parts, which read as zeros, and extends a shorter file to the end of the
    /// range. Later writes there don't fail for lack of space.
    Allocate,
    /// As `Allocate`, but keeps the file's size (`FALLOC_FL_KEEP_SIZE`).
    KeepSize,
    /// Deallocates the range, which then reads as zeros, and keeps the size
    /// (`FALLOC_FL_PUNCH_HOLE`).
    PunchHole,
    /// Zeroes the range and allocates its missing parts; extends a shorter file to the end of the
    /// range (`FALLOC_FL_ZERO_RANGE`).
    ZeroRange,
}

/// Target of [`Volume::seek`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// Data that was written (`SEEK_DATA`).
    Data,
    /// A hole, which reads as zeros (`SEEK_HOLE`).
    Hole,
}

/// Returns the end of a range. [`Error::Invalid`] if the range is empty.
pub(crate) fn range_end(offset: u64, len: u64) -> Result<u64, Error> {
    if len == 0 {
        return Err(Error::Invalid);
    }
    offset.checked_add(len).ok_or(Error::TooLarge)
}

/// Treatment of an existing entry with the new name: the three forms of Linux's `renameat2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Renaming {
    /// Replaces it atomically: a reader finds the old file or the new one.
    #[default]
    Replace,
    /// Keeps it and fails with [`Error::Exists`] (`RENAME_NOREPLACE`).
    NoReplace,
    /// Exchanges both names atomically; the new name must exist (`RENAME_EXCHANGE`).
    Exchange,
}

/// Result of a walk along a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walk {
    /// No symbolic link on the way; the path may still be missing.
    Plain,
    /// A symbolic link.
    Link {
        /// Length of the path in bytes up to the end of the link's name.
        end: usize,
        /// Target of the link: a path, absolute or relative to the link's directory.
        target: String,
    },
}

/// Point in time. Earlier ones compare as less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that, below 1 000 000 000; 0 on a file system that stores seconds.
    pub nanoseconds: u32,
}

impl Time {
    /// Creates a time of whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }
}

/// Metadata of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// File, directory or symbolic link.
    pub kind: Kind,
    /// Size of the file, or of a link's target, in bytes; 0 for a directory.
    pub size: u64,
    /// Time of the last change of the contents (FAT stores even seconds, and nothing for its root
    /// directory: 0).
    pub modified: Time,
    /// Time of the last read of the contents, if the file system stores it; else as `modified`.
    pub accessed: Time,
    /// Time of the last change of the file or its metadata; else as `modified`.
    pub changed: Time,
    /// Number of names; 1 without hard links.
    pub links: u32,
    /// Number that is unique in the volume at any one time, or 0 where there is none.
    pub inode: u64,
    /// Whether the file is marked read-only.
    pub read_only: bool,
}

/// Entry of a directory; listings omit `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Name, without slashes.
    pub name: &'a str,
    /// File type.
    pub kind: Kind,
}

/// Position in a listing. 0 is the start; others come from [`Volume::list`].
pub type Cursor = u64;

/// Space on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Total bytes for files and directories.
    pub total: u64,
    /// Free bytes.
    pub free: u64,
    /// Free bytes that aren't reserved for an administrator (ext4's `s_r_blocks_count`). The volume
    /// decides whether the rest can be used: on a disk all of it can, in a folder of the host Linux
    /// decides for the process.
    pub available: u64,
    /// Allocation unit in bytes (the cluster or block).
    pub unit: u32,
}

/// Whether a volume is writable, and the reason if it isn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The volume is writable.
    Writable,
    /// Writable, but damaged: the superblock asks to continue. The text describes the last damage
    /// and its location.
    Damaged(String),
    /// Changes wait for a commit that the device refused, and that each of them repeats; the text
    /// says so.
    Waiting(String),
    /// Mounted read-only, or the device is read-only.
    ReadOnly,
    /// Corrupt, and no longer written. The text describes the damage and its location.
    Corrupt(String),
}

impl Health {
    /// Whether the volume is writable at present.
    pub fn is_writable(&self) -> bool {
        matches!(self, Self::Writable | Self::Damaged(_))
    }
}

/// Mounted file system.
///
/// Paths are relative to the volume's root, normalised ([`crate::path::normalise`]): names with
/// single slashes between them, no `.` or `..`, a leading slash allowed; empty is the root.
/// The file system decides whether case matters.
///
/// Runs one operation at a time; each returns when it is complete. No operation keeps a caller's
/// buffer, panics on the contents of the disk, or runs forever, whatever the disk holds. Changes
/// are durable when [`sync`](Self::sync) or [`sync_file`](Self::sync_file) has returned, and may be
/// earlier.
///
/// Errors of any operation: [`Error::Io`], [`Error::Corrupt`], [`Error::OutOfMemory`], for changes
/// [`Error::ReadOnly`] and [`Error::NoSpace`], for paths [`Error::NotFound`],
/// [`Error::NotDirectory`], [`Error::InvalidName`], [`Error::NameTooLong`], and for handles
/// [`Error::Closed`].
pub trait Volume: Send {
    /// Opens a file, or with [`OpenFlags::DIRECTORY`] a directory.
    ///
    /// Fails with [`Error::IsDirectory`] for a directory without that flag, [`Error::Exists`],
    /// [`Error::Invalid`] for flags that contradict each other, [`Error::TooManyOpen`], and
    /// [`Error::PermissionDenied`] for writing to a file marked read-only.
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId, Error>;

    /// Closes a handle. Closing it twice fails with [`Error::Closed`] and is harmless. Written data
    /// stays, but closing doesn't make it durable.
    fn close(&mut self, file: FileId) -> Result<(), Error>;

    /// Reads from byte `offset` on. Fills `buf` except at the end of the file: fewer bytes, 0 at or
    /// past it. [`Error::PermissionDenied`] without [`OpenFlags::READ`].
    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize, Error>;

    /// Writes at byte `offset` (with [`OpenFlags::APPEND`] at the end; [`size`](Self::size) returns
    /// that position) and returns the number of written bytes: all, or those before the volume was
    /// full or the file reached its maximum size. A gap between the old end and `offset` reads as
    /// zeros. [`Error::TooLarge`], [`Error::NoSpace`] when nothing could be written,
    /// [`Error::PermissionDenied`] without [`OpenFlags::WRITE`].
    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize, Error>;

    /// Returns the size of the file in bytes.
    fn size(&mut self, file: FileId) -> Result<u64, Error>;

    /// Truncates the file, or extends it with zeros. [`Error::TooLarge`].
    fn truncate(&mut self, file: FileId, size: u64) -> Result<(), Error>;

    /// Allocates or deallocates `len` bytes of the file from `offset` on. [`Error::NoSpace`], which
    /// leaves the file unchanged unless the volume was almost full, [`Error::TooLarge`],
    /// [`Error::Invalid`] for no bytes, [`Error::PermissionDenied`] without [`OpenFlags::WRITE`].
    ///
    /// The default is for files without holes: it allocates by growing, and fails with
    /// [`Error::Unsupported`] otherwise.
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

    /// Returns the first byte at `offset` or after it that is data, or in a hole; `None` if there
    /// is none before the file's end. The end counts as a hole unless `offset` is at or past it. A
    /// volume may report holes as data.
    fn seek(&mut self, file: FileId, to: Seek, offset: u64) -> Result<Option<u64>, Error> {
        let size = self.size(file)?;
        let found = match to {
            Seek::Data => offset,
            Seek::Hole => size,
        };
        Ok((offset < size).then_some(found))
    }

    /// Returns the metadata of an open file or directory.
    fn stat_file(&mut self, file: FileId) -> Result<Stat, Error>;

    /// Returns the metadata of the file or directory at `path`.
    fn stat(&mut self, path: &str) -> Result<Stat, Error>;

    /// Passes entries of a directory from `from` on to `visit`, until `visit` returns `false` (that
    /// entry counts as not visited) or the volume stops after some entries to let other operations
    /// run. Returns the next position, `None` at the end. Returns each entry that exists during the
    /// whole listing exactly once; others may appear.
    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>, Error>;

    /// Creates a directory. [`Error::Exists`].
    fn mkdir(&mut self, path: &str) -> Result<(), Error>;

    /// Removes an empty directory; one that is open stays empty until it is closed.
    /// [`Error::NotEmpty`], [`Error::NotDirectory`], [`Error::Busy`] for the root, and on FAT while
    /// it is open.
    fn rmdir(&mut self, path: &str) -> Result<(), Error>;

    /// Removes a file. [`Error::IsDirectory`], and [`Error::Busy`] while it is open: FAT can't
    /// store a file without a name.
    fn unlink(&mut self, path: &str) -> Result<(), Error>;

    /// Renames a file or directory, also into another directory. A file replaces a file and a
    /// directory an empty directory; [`Error::IsDirectory`] and [`Error::NotDirectory`] for
    /// mixtures, [`Error::NotEmpty`], [`Error::Invalid`] for a directory into itself,
    /// [`Error::Busy`] when the replaced entry is open. Handles of open files stay valid.
    ///
    /// Exchanges any two entries, of any kind, open or not; [`Error::Invalid`] where one is in the
    /// other, [`Error::Unsupported`] on FAT.
    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<(), Error>;

    /// As [`rename_as`](Self::rename_as) with [`Renaming::Replace`].
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        self.rename_as(from, to, Renaming::Replace)
    }

    /// Adds the name `new` to the file `path`, on the same volume. [`Error::Exists`],
    /// [`Error::IsDirectory`], [`Error::TooManyLinks`]; [`Error::Unsupported`] without hard links.
    fn link(&mut self, path: &str, new: &str) -> Result<(), Error> {
        let _ = (path, new);
        Err(Error::Unsupported)
    }

    /// Creates the symbolic link `path` to `target`, which isn't checked. [`Error::Exists`];
    /// [`Error::Unsupported`] without symbolic links.
    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Error> {
        let _ = (target, path);
        Err(Error::Unsupported)
    }

    /// Sets the times of the last read and of the last change of contents of the file, directory or
    /// symbolic link `path`; `None` leaves a time unchanged. The time of the last change of
    /// metadata becomes now. Clamps a time to the range of the file system. [`Error::Unsupported`].
    fn set_times(
        &mut self,
        path: &str,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<(), Error> {
        let _ = (path, accessed, modified);
        Err(Error::Unsupported)
    }

    /// Returns where `path` first meets a symbolic link; its last name counts only if `last` is
    /// set. Missing names count as plain. The default is for volumes without symbolic links.
    fn resolve(&mut self, path: &str, last: bool) -> Result<Walk, Error> {
        let _ = (path, last);
        Ok(Walk::Plain)
    }

    /// Returns the contents of a whole file that stay in memory while the program runs, for reading
    /// without a copy; `None` if they don't.
    fn contents(&mut self, file: FileId) -> Result<Option<&'static [u8]>, Error> {
        let _ = file;
        Ok(None)
    }

    /// Lends at most `len` bytes of a file from byte `offset` on in place, after reading those that
    /// aren't in memory. Appends them to `out` in order; adds nothing at or past the end of the
    /// file. May lend fewer than `len`, but at least one before the end. Copies bytes that have no
    /// memory to lend: zeros of a hole, or contents that the cache doesn't keep. The default copies
    /// all.
    ///
    /// Lent bytes never change, whatever happens to the file. Errors are those of
    /// [`Volume::read_at`].
    fn lend(
        &mut self,
        file: FileId,
        offset: u64,
        len: usize,
        out: &mut Vec<Lease>,
    ) -> Result<(), Error> {
        lend_copy(self, file, offset, len, out)
    }

    /// Makes all changes durable.
    fn sync(&mut self) -> Result<(), Error>;

    /// Makes the contents and the size of one file durable, and possibly more.
    fn sync_file(&mut self, file: FileId) -> Result<(), Error>;

    /// Makes all changes durable, and leaves a file system on the device that needs no replay: a
    /// copy of the device is clean. It stays so until [`thaw`](Self::thaw): before it, only
    /// operations that change nothing may be called, [`close`](Self::close) and
    /// [`sync`](Self::sync). Files that are open and have no name remain on it.
    ///
    /// The default is for volumes that a sync leaves so.
    fn freeze(&mut self) -> Result<(), Error> {
        self.sync()
    }

    /// Ends what [`freeze`](Self::freeze) began; no effect otherwise.
    fn thaw(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the space on the volume. May read all of the file system's tables the first time.
    fn space(&mut self) -> Result<Space, Error>;

    /// Whether the volume is writable, and the reason if it isn't.
    fn health(&self) -> Health;
}

/// Source of the time of day, for the times that a volume stores.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: fn() -> Time,
}

impl Clock {
    /// Creates a clock that calls `now`. Volumes keep a `&'static Clock`.
    pub const fn new(now: fn() -> Time) -> Self {
        Self { now }
    }

    /// Returns the current time; 1970 without a clock.
    pub(crate) fn time(clock: Option<&Self>) -> Time {
        clock.map_or(Time::default(), |clock| (clock.now)())
    }
}

/// Default of [`Volume::lend`]: copies the bytes, unless `out` holds some already.
pub(crate) fn lend_copy<V: Volume + ?Sized>(
    volume: &mut V,
    file: FileId,
    offset: u64,
    len: usize,
    out: &mut Vec<Lease>,
) -> Result<(), Error> {
    if out.is_empty() {
        let copy = Lease::copied(len, |bytes| volume.read_at(file, offset, bytes))?;
        if !copy.is_empty() {
            out.push(copy);
        }
    }
    Ok(())
}
