//! Requests to a volume, performed as plain calls of [`fs::Volume`].

use crate::files::open_files::Offset;
use crate::files::records::pack;
use crate::types::Piece;
use ::fs::{
    Cursor, DirEntry, Error, Fallocate, FileId, Health, Kind, Lease, OpenFlags, Renaming, Seek,
    Space, Stat, Time, Volume, Walk,
};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use platform::error::Failure;

/// Maximum number of bytes per step of a read or write; it can be cancelled between steps.
const STEP: usize = 4 << 20;

/// A request to a volume.
pub enum Request {
    /// Mounts the volume. Every other job also mounts it if necessary.
    Mount,
    /// Makes everything durable and unmounts the volume.
    Unmount,
    /// Performs an operation on a path, unless the path contains a symbolic link.
    At {
        /// Normalised path on the volume.
        path: String,
        /// Whether a link at the end of the path is followed.
        follow: bool,
        /// Whether the path has to name a directory.
        directory: bool,
        /// The operation.
        op: Op,
    },
    /// Closes a file.
    Close(FileId),
    /// Reads from an offset.
    Read(FileId, Offset, Piece),
    /// Lends at most this many bytes from an offset, in place.
    Lend(FileId, u64, usize),
    /// Writes at an offset.
    Write(FileId, Offset, Piece),
    /// Returns the size of a file.
    Size(FileId),
    /// Sets the size of a file.
    Truncate(FileId, u64),
    /// Allocates or frees space for this many bytes from an offset.
    Allocate(FileId, Fallocate, u64, u64),
    /// Seeks data or a hole from an offset; the value is the byte after the one found, or 0.
    Seek(FileId, Seek, u64),
    /// Makes a file durable.
    SyncFile(FileId),
    /// Returns the attributes of an open file.
    StatFile(FileId),
    /// Returns the contents of a file that permanently lie in memory.
    Contents(FileId),
    /// Packs entries from a cursor on, except those with these names.
    List(FileId, Offset, Piece, Rc<[String]>),
    /// Makes everything durable.
    Sync,
    /// Makes a copy of the disk clean until the thaw.
    Freeze,
    /// Ends a freeze.
    Thaw,
}

impl Request {
    /// Returns the offset at which it begins, if that may depend on the open file's position.
    pub const fn offset_mut(&mut self) -> Option<&mut Offset> {
        match self {
            Request::Read(_, offset, _)
            | Request::Write(_, offset, _)
            | Request::List(_, offset, ..) => Some(offset),
            _ => None,
        }
    }

    /// Whether its completion guarantees that something is durable.
    pub fn is_durable(&self) -> bool {
        matches!(
            self,
            Request::Sync | Request::SyncFile(_) | Request::Unmount | Request::Freeze
        )
    }

    /// Whether it may change an open volume. Closing a file doesn't until the thaw, and the sync of
    /// a frozen volume writes nothing.
    pub fn changes(&self) -> bool {
        match self {
            Request::Write(..)
            | Request::Truncate(..)
            | Request::Allocate(..)
            | Request::Unmount => true,
            Request::At { op, .. } => op.changes(),
            _ => false,
        }
    }

    /// Returns the open file that it is about.
    pub fn file(&self) -> Option<FileId> {
        match self {
            Request::Close(file)
            | Request::Read(file, ..)
            | Request::Lend(file, ..)
            | Request::Write(file, ..)
            | Request::Size(file)
            | Request::Truncate(file, _)
            | Request::Allocate(file, ..)
            | Request::Seek(file, ..)
            | Request::SyncFile(file)
            | Request::StatFile(file)
            | Request::Contents(file)
            | Request::List(file, ..) => Some(*file),
            _ => None,
        }
    }
}

/// Operation on a path.
#[derive(Clone)]
pub enum Op {
    /// Only resolves the path.
    Locate,
    /// Only resolves the path, which has to name a directory.
    Directory,
    /// Opens a file or directory.
    Open(OpenFlags),
    /// Returns the attributes of the file or directory.
    Stat,
    /// Creates a directory.
    Mkdir,
    /// Removes a directory.
    Rmdir,
    /// Removes a file.
    Unlink,
    /// Creates a symbolic link with this target.
    Symlink(String),
    /// Returns the target of a symbolic link.
    Readlink,
    /// Renames the file or directory to this path.
    Rename(String, Renaming),
    /// Creates a hard link at this path.
    Link(String),
    /// Returns the space on the volume.
    Space,
    /// Makes everything on the volume durable.
    Sync,
    /// Sets the times of the last access and of the last change of contents.
    SetTimes([Option<Time>; 2]),
}

impl Op {
    fn changes(&self) -> bool {
        match self {
            Op::Open(flags) => flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE),
            Op::Mkdir
            | Op::Rmdir
            | Op::Unlink
            | Op::Symlink(_)
            | Op::Rename(..)
            | Op::Link(_)
            | Op::SetTimes(_) => true,
            Op::Locate | Op::Directory | Op::Stat | Op::Readlink | Op::Space | Op::Sync => false,
        }
    }
}

/// Result of a job.
pub enum Value {
    /// A number, usually of bytes.
    Number(u64),
    /// Bytes read or written, and the offset after the last one.
    Transferred(usize, u64),
    /// An open file or directory.
    File(FileId),
    /// Attributes of a name.
    Stat(Stat),
    /// Space on the volume, and its health.
    Space(Space, Health),
    /// Number of bytes packed, and the cursor to continue with.
    Listed(usize, Option<Cursor>),
    /// Contents that are never freed.
    Contents(Option<&'static [u8]>),
    /// Contents that stay valid while these leases exist.
    Leases(Vec<Lease>),
    /// Target of a link.
    Text(String),
    /// The path stays on this volume: the value of [`Op::Locate`] and [`Op::Directory`].
    Plain,
    /// The path's first bytes are a link: their number, and the target.
    Link(usize, String),
    /// The same for the old path of [`Op::Rename`] or [`Op::Link`].
    OldLink(usize, String),
}

/// Result of a request.
pub type Outcome = Result<Value, Failure>;

/// Performs a request. Long ones check `cancelled` between steps.
pub fn perform(
    volume: &mut dyn Volume,
    request: Request,
    cancelled: &Cell<bool>,
) -> Result<Value, Error> {
    let done = |()| Value::Number(0);
    match request {
        Request::Mount | Request::Unmount => Ok(Value::Number(0)),
        Request::At {
            path,
            follow,
            directory,
            op,
        } => at(volume, &path, follow, directory, op),
        Request::Close(file) => volume.close(file).map(done),
        Request::Read(file, offset, into) => {
            // SAFETY: the operation that owns the piece completes after this.
            let into = unsafe { into.as_mut_slice() };
            let start = start(volume, file, offset)?;
            let total = transfer(into.chunks_mut(STEP), cancelled, |done, part| {
                let read = volume.read_at(file, start.saturating_add(done), part);
                Ok((read?, part.len()))
            });
            // The descriptor isn't open for reading; the file itself isn't read-only.
            let denied = |error| match error {
                Error::PermissionDenied => Error::Denied,
                error => error,
            };
            let total = total.map_err(denied)?;
            Ok(Value::Transferred(
                total,
                start.saturating_add(total as u64),
            ))
        }
        Request::Write(file, offset, from) => {
            // SAFETY: as above.
            let from = unsafe { from.as_mut_slice() };
            let start = start(volume, file, offset)?;
            let total = transfer(from.chunks(STEP), cancelled, |done, part| {
                let written = volume.write_at(file, start.saturating_add(done), part);
                Ok((written?, part.len()))
            })?;
            let end = match offset {
                // Another process may have appended to a file of the host meanwhile.
                Offset::End => volume.size(file)?,
                _ => start.saturating_add(total as u64),
            };
            Ok(Value::Transferred(total, end))
        }
        Request::Lend(file, offset, len) => {
            let mut lent = Vec::new();
            volume.lend(file, offset, len, &mut lent)?;
            Ok(Value::Leases(lent))
        }
        Request::Size(file) => volume.size(file).map(Value::Number),
        Request::Truncate(file, size) => volume.truncate(file, size).map(done),
        Request::Allocate(file, how, offset, len) => {
            volume.fallocate(file, how, offset, len).map(done)
        }
        Request::Seek(file, to, offset) => {
            let found = volume.seek(file, to, offset)?;
            Ok(Value::Number(found.map_or(0, |found| found + 1)))
        }
        Request::SyncFile(file) => volume.sync_file(file).map(done),
        Request::StatFile(file) => volume.stat_file(file).map(Value::Stat),
        Request::Contents(file) => volume.contents(file).map(Value::Contents),
        Request::List(file, from, into, without) => match from {
            Offset::At(cursor) => list(volume, file, cursor, into, &without),
            Offset::End => Ok(Value::Listed(0, None)),
            Offset::Position(_) => Err(Error::Closed),
        },
        Request::Sync => volume.sync().map(done),
        Request::Freeze => volume.freeze().map(done),
        Request::Thaw => volume.thaw().map(done),
    }
}

/// Returns the offset at which a transfer begins. `Position` was resolved when the job started,
/// unless its descriptor was closed by then.
fn start(volume: &mut dyn Volume, file: FileId, offset: Offset) -> Result<u64, Error> {
    match offset {
        Offset::At(offset) => Ok(offset),
        Offset::End => volume.size(file),
        Offset::Position(_) => Err(Error::Closed),
    }
}

/// Transfers part after part, until one fails, is short, or the job is cancelled; returns the
/// bytes. `one` gets the bytes done before, and returns those of its part that it did, and their
/// maximum. A failure after the first part isn't reported: the next transfer meets it.
fn transfer<P>(
    parts: impl Iterator<Item = P>,
    cancelled: &Cell<bool>,
    mut one: impl FnMut(u64, P) -> Result<(usize, usize), Error>,
) -> Result<usize, Error> {
    let mut total = 0;
    for part in parts {
        let (n, len) = match one(total as u64, part) {
            Err(_) if total > 0 => break,
            done => done?,
        };
        total += n;
        if n < len || cancelled.get() {
            break;
        }
    }
    Ok(total)
}

/// See [`Request::At`].
fn at(
    volume: &mut dyn Volume,
    path: &str,
    follow: bool,
    directory: bool,
    op: Op,
) -> Result<Value, Error> {
    let done = |()| Value::Number(0);
    if let Op::Rename(old, _) | Op::Link(old) = &op
        && let Walk::Link { end, target } = volume.resolve(old, false)?
    {
        return Ok(Value::OldLink(end, target));
    }
    if let Walk::Link { end, target } = volume.resolve(path, follow)? {
        return Ok(Value::Link(end, target));
    }
    let is_made_or_removed = matches!(op, Op::Mkdir | Op::Rmdir | Op::Rename(..) | Op::Locate);
    if directory && !is_made_or_removed && volume.stat(path)?.kind != Kind::Directory {
        return Err(Error::NotDirectory);
    }
    match op {
        Op::Locate => Ok(Value::Plain),
        Op::Directory if path == "/" => Ok(Value::Plain),
        Op::Directory => match volume.stat(path)?.kind {
            Kind::Directory => Ok(Value::Plain),
            _ => Err(Error::NotDirectory),
        },
        Op::Open(flags) => volume.open(path, flags).map(Value::File),
        Op::Stat => volume.stat(path).map(Value::Stat),
        // The sync itself is a job that others are merged with. It makes the removal of a name
        // durable, too: the directory is enough to find the volume.
        Op::Sync => match volume.stat(path) {
            Err(Error::NotFound) => volume.stat(parent(path)).map(Value::Stat),
            found => found.map(Value::Stat),
        },
        Op::Mkdir => volume.mkdir(path).map(done),
        Op::Rmdir => volume.rmdir(path).map(done),
        Op::Unlink => volume.unlink(path).map(done),
        Op::Symlink(target) => volume.symlink(&target, path).map(done),
        Op::Readlink => match volume.resolve(path, true)? {
            Walk::Link { target, .. } => Ok(Value::Text(target)),
            Walk::Plain => Err(volume.stat(path).err().unwrap_or(Error::Invalid)),
        },
        Op::Rename(from, how) => volume.rename_as(&from, path, how).map(done),
        Op::Link(from) => volume.link(&from, path).map(done),
        Op::SetTimes([accessed, modified]) => volume.set_times(path, accessed, modified).map(done),
        Op::Space => {
            let space = volume.space()?;
            Ok(Value::Space(space, volume.health()))
        }
    }
}

/// Returns the directory of a normalised path on the volume.
fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}

/// Packs as many entries as fit.
fn list(
    volume: &mut dyn Volume,
    file: FileId,
    from: Cursor,
    into: Piece,
    without: &[String],
) -> Result<Value, Error> {
    // SAFETY: the operation that owns the piece completes after this.
    let into = unsafe { into.as_mut_slice() };
    let mut packed = 0;
    let mut full = false;
    let mut next = Some(from);
    while let Some(cursor) = next
        && packed == 0
        && !full
    {
        next = volume.list(file, cursor, &mut |entry| {
            let DirEntry { name, kind } = entry;
            if without.iter().any(|other| other == name) {
                return true;
            }
            let n = pack(into.get_mut(packed..).unwrap_or_default(), name, *kind);
            packed += n.unwrap_or(0);
            full = n.is_none();
            !full
        })?;
    }
    if full && packed == 0 {
        Err(Error::Invalid)
    } else {
        Ok(Value::Listed(packed, next))
    }
}

/// Returns the volume's description of its state, for an error caused by that state.
pub fn detail(volume: &dyn Volume, error: Error) -> String {
    match volume.health() {
        Health::Corrupt(text) if matches!(error, Error::Corrupt | Error::ReadOnly) => text,
        Health::Waiting(text) if matches!(error, Error::Io | Error::NoSpace) => text,
        Health::Damaged(text) if error == Error::Corrupt => text,
        _ => "".to_string(),
    }
}
