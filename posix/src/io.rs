//! Reading, writing, positions and lengths.

use crate::blocking::{self, at_once, block, now, number};
use crate::descriptors::{Description, Object};
use crate::errors::{RESTART, Result, errno};
use crate::open::decode;
use crate::{readiness, signal};
use alloc::string::String;
use core::ptr::NonNull;
use platform::Direction;
use reactor::table::Fd;
use resources::types::constants as c;
use resources::types::{Int, Piece};
use resources::{Runtime, files, pipe};

/// The bytes of a pipe, as Linux's.
const PIPE_CAPACITY: Int = 64 << 10;

/// The most bytes that a write to a pipe keeps together (`PIPE_BUF`).
pub const ATOMIC: usize = resources::pipe::ATOMIC;

/// The memory of a system call as the operations take it. The system call waits for the operation's
/// end, and so keeps it.
pub fn piece(bytes: &mut [u8]) -> Piece {
    // SAFETY: `block` doesn't return before the operation has ended.
    unsafe { Piece::new(NonNull::from(&mut *bytes).cast(), bytes.len()) }
}

/// As [`piece`], for memory that the operation only reads.
fn read_only(bytes: &[u8]) -> Piece {
    // SAFETY: as above; a write reads the memory of its piece and doesn't change it.
    unsafe { Piece::new(NonNull::from(bytes).cast(), bytes.len()) }
}

/// Where a transfer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the description's position, which moves on.
    Position,
    /// At this byte of the file. With `O_APPEND` a write goes to the end all the same, as Linux's
    /// `pwrite`.
    Byte(u64),
    /// At this byte, with `O_APPEND` as well (`RWF_NOAPPEND`).
    Exact(u64),
}

impl Place {
    fn encode(self) -> Result<Int> {
        match self {
            Place::Position => Ok(-1),
            Place::Byte(at) | Place::Exact(at) => Int::try_from(at).map_err(|_| libc::EINVAL),
        }
    }

    /// The place after `len` more bytes.
    pub fn after(self, len: u64) -> Place {
        match self {
            Place::Position => Place::Position,
            Place::Byte(at) => Place::Byte(at.saturating_add(len)),
            Place::Exact(at) => Place::Exact(at.saturating_add(len)),
        }
    }
}

/// `read` and `pread`, of all but the console, random bytes and sockets.
pub fn read(description: &Description, into: &mut [u8], place: Place) -> Result<usize> {
    description.check_readable()?;
    match &description.object {
        Object::File(fd) => {
            let (at, piece) = (place.encode()?, piece(into));
            block(|rt, token| files::read(rt, *fd, piece, at, token))
        }
        Object::Directory(_) => Err(libc::EISDIR),
        Object::Pipe(_) if place != Place::Position => Err(libc::ESPIPE),
        Object::Pipe(fd) => read_pipe(description, *fd, into),
        Object::Text(text) => Ok(text.read(
            into,
            match place {
                Place::Position => None,
                Place::Byte(at) | Place::Exact(at) => Some(at),
            },
        )),
        Object::Null => Ok(0),
        Object::Zero => {
            into.fill(0);
            Ok(into.len())
        }
        Object::Counter(counter) => await_change(description, |rt| {
            let read = counter.read(into)?;
            read.inspect(|_| rt.wake_watchers());
            Ok(read)
        }),
        Object::Timer(timer) => await_change(description, |rt| {
            // Tells the wait when it expires.
            readiness::of(rt, description);
            timer.read(into)
        }),
        Object::Signals(signals) => await_change(description, |rt| {
            readiness::of(rt, description);
            signals.read(into)
        }),
        Object::Console(_)
        | Object::Terminal
        | Object::Random
        | Object::Socket(_)
        | Object::Epoll(_) => Err(libc::EINVAL),
    }
}

/// `write` and `pwrite`, to all but the console.
pub fn write(description: &Description, from: &[u8], place: Place) -> Result<usize> {
    description.check_writable()?;
    match &description.object {
        Object::File(fd) => {
            let (at, piece) = (place.encode()?, read_only(from));
            match place {
                Place::Exact(_) => {
                    block(|rt, token| files::write_at(rt, *fd, piece, at, false, token))
                }
                _ => block(|rt, token| files::write(rt, *fd, piece, at, token)),
            }
        }
        Object::Directory(_) => Err(libc::EISDIR),
        Object::Pipe(_) if place != Place::Position => Err(libc::ESPIPE),
        Object::Pipe(fd) => write_pipe(description, *fd, from),
        Object::Socket(_) if place != Place::Position => Err(libc::ESPIPE),
        Object::Socket(socket) => socket.send(from, None, message_flags(description)),
        Object::Null | Object::Zero | Object::Random => Ok(from.len()),
        Object::Counter(counter) => await_change(description, |rt| {
            let written = counter.write(from)?;
            written.inspect(|_| rt.wake_watchers());
            Ok(written)
        }),
        Object::Console(_)
        | Object::Terminal
        | Object::Timer(_)
        | Object::Signals(_)
        | Object::Text(_)
        | Object::Epoll(_) => Err(libc::EINVAL),
    }
}

/// The flags of `send` and `recv` that `read` and `write` of a socket stand for.
pub fn message_flags(description: &Description) -> i32 {
    match description.flags() & libc::O_NONBLOCK {
        0 => 0,
        _ => libc::MSG_DONTWAIT,
    }
}

/// Repeats `attempt` until it has a result, unless the description isn't to be waited for.
fn await_change<T>(
    description: &Description,
    mut attempt: impl FnMut(&mut Runtime) -> Result<Option<T>>,
) -> Result<T> {
    let done = now(&mut attempt)?;
    if done.is_some() || description.flags() & libc::O_NONBLOCK != 0 {
        return done.ok_or(libc::EAGAIN);
    }
    readiness::wait_for(None, RESTART, attempt)?.ok_or(libc::EAGAIN)
}

/// Waits until a pipe's end is worth a try.
fn park(description: &Description, fd: Fd, direction: Direction) -> Result<()> {
    if description.flags() & libc::O_NONBLOCK != 0 {
        return Err(libc::EAGAIN);
    }
    blocking::park(fd, direction, None)
}

fn read_pipe(description: &Description, fd: Fd, into: &mut [u8]) -> Result<usize> {
    loop {
        match at_once(|rt| rt.read(fd, into)) {
            Err(libc::EAGAIN) => park(description, fd, Direction::Read)?,
            done => return done,
        }
    }
}

/// Writes up to [`ATOMIC`] bytes at once or not at all, and more in parts: all, if the pipe is to
/// be waited for, else as much as there is room for.
fn write_pipe(description: &Description, fd: Fd, from: &[u8]) -> Result<usize> {
    let written = match from.len() {
        0 => Ok(0),
        len if len <= ATOMIC => await_change(description, |rt| {
            let pipe = pipe::state(rt, fd).map_err(errno)?;
            if pipe.has_peer && pipe.room < len {
                return Ok(None);
            }
            rt.write(fd, from).map(Some).map_err(number)
        }),
        _ => write_in_parts(description, fd, from),
    };
    if written == Err(libc::EPIPE) {
        signal::raise(libc::SIGPIPE);
    }
    written
}

fn write_in_parts(description: &Description, fd: Fd, from: &[u8]) -> Result<usize> {
    let mut done = 0;
    while done < from.len() {
        let rest = from.get(done..).unwrap_or_default();
        let written = match at_once(|rt| rt.write(fd, rest)) {
            Err(libc::EAGAIN) => park(description, fd, Direction::Write).map(|()| 0),
            written => written,
        };
        match written {
            Ok(n) => done += n,
            Err(libc::EPIPE) if done > 0 => {
                signal::raise(libc::SIGPIPE);
                break;
            }
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// Whether `readv` goes on with its next piece of memory after it has filled one: it waits for the
/// first bytes alone.
pub fn has_more(description: &Description) -> bool {
    match &description.object {
        Object::Pipe(_) => available(description).is_ok_and(|count| count > 0),
        Object::Counter(_) | Object::Timer(_) | Object::Signals(_) => false,
        _ => true,
    }
}

/// `pipe2`: the ends to read and to write.
pub fn pipe() -> Result<(Fd, Fd)> {
    let mut ends = None;
    at_once(|rt| {
        ends = Some(pipe::open(rt, PIPE_CAPACITY)?);
        Ok(0)
    })?;
    ends.ok_or(libc::EMFILE)
}

/// Number of bytes that can be read at once, for `FIONREAD`.
pub fn available(description: &Description) -> Result<u64> {
    match &description.object {
        Object::File(_) => {
            let here = seek(description, 0, libc::SEEK_CUR)?;
            Ok(size(description)?.saturating_sub(here))
        }
        Object::Pipe(fd) => {
            let len = at_once(|rt| Ok(pipe::state(rt, *fd)?.len))?;
            Ok(len as u64)
        }
        Object::Socket(socket) => socket.available().map(|count| count as u64),
        _ => Err(libc::ENOTTY),
    }
}

/// The file's size in bytes.
pub fn size(description: &Description) -> Result<u64> {
    let Object::File(fd) = &description.object else {
        return Err(libc::EINVAL);
    };
    block(|rt, token| files::size(rt, *fd, token)).map(|size| size as u64)
}

/// `lseek`.
pub fn seek(description: &Description, offset: i64, whence: i32) -> Result<u64> {
    let fd = match &description.object {
        Object::File(fd) => *fd,
        Object::Directory(listing) => {
            let mut listing = listing.try_lock().ok_or(libc::EAGAIN)?;
            return listing.seek(&description.path, offset, whence);
        }
        Object::Text(text) => return text.seek(offset, whence),
        Object::Null
        | Object::Zero
        | Object::Random
        | Object::Counter(_)
        | Object::Timer(_)
        | Object::Signals(_)
        | Object::Epoll(_) => return Ok(0),
        Object::Console(_) | Object::Terminal | Object::Pipe(_) | Object::Socket(_) => {
            return Err(libc::ESPIPE);
        }
    };
    let position = match whence {
        libc::SEEK_SET | libc::SEEK_CUR | libc::SEEK_END => {
            block(|rt, token| files::seek(rt, fd, offset as Int, whence as Int, token))?
        }
        libc::SEEK_DATA | libc::SEEK_HOLE => {
            let hole = whence == libc::SEEK_HOLE;
            let next = block(|rt, token| files::next(rt, fd, offset as Int, hole, token))?;
            let found = next.checked_sub(1).ok_or(libc::ENXIO)?;
            block(|rt, token| files::seek(rt, fd, found as Int, 0, token))?
        }
        _ => return Err(libc::EINVAL),
    };
    Ok(position as u64)
}

/// `ftruncate`.
pub fn truncate(description: &Description, size: i64) -> Result<u64> {
    let size = u64::try_from(size).map_err(|_| libc::EINVAL)?;
    let Object::File(fd) = &description.object else {
        return Err(libc::EINVAL);
    };
    description.check_writable().map_err(|_| libc::EINVAL)?;
    block(|rt, token| files::truncate(rt, *fd, size, token))?;
    Ok(0)
}

/// `fallocate`: takes room for, or with flags of its own removes or zeroes, `len` bytes from
/// `offset` on. EOPNOTSUPP for other flags, and where the file system has no such thing.
pub fn allocate(description: &Description, mode: i32, offset: i64, len: i64) -> Result<u64> {
    const PUNCH_HOLE: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // The numbers of `soil_file_allocate`.
    let how = match mode {
        0 => 0,
        libc::FALLOC_FL_KEEP_SIZE => 1,
        PUNCH_HOLE => 2,
        libc::FALLOC_FL_ZERO_RANGE => 3,
        _ => return Err(libc::EOPNOTSUPP),
    };
    let Object::File(fd) = &description.object else {
        return Err(libc::ENODEV);
    };
    description.check_writable()?;
    if offset < 0 || len <= 0 {
        return Err(libc::EINVAL);
    }
    let range = (offset as Int, len as Int);
    block(|rt, token| files::allocate(rt, *fd, how, range, token))?;
    Ok(0)
}

/// `truncate` of an absolute path.
pub fn truncate_path(path: &str, size: i64) -> Result<u64> {
    let size = u64::try_from(size).map_err(|_| libc::EINVAL)?;
    let opened = block(|rt, token| files::open(rt, path, c::OPEN_WRITE, token))?;
    let fd = decode(opened)?;
    let done = block(|rt, token| files::truncate(rt, fd, size, token));
    at_once(|rt| rt.close(fd))?;
    done.map(|_| 0)
}

/// `fsync` and `fdatasync`.
pub fn sync(description: &Description) -> Result<u64> {
    match &description.object {
        Object::File(fd) => block(|rt, token| files::file_sync(rt, *fd, token))?,
        Object::Directory(_) => {
            let path: &String = &description.path;
            block(|rt, token| files::sync_volume(rt, path, token))?
        }
        _ => return Err(libc::EINVAL),
    };
    Ok(0)
}

/// `sync`: everything on all volumes.
pub fn sync_all() -> Result<u64> {
    block(files::sync)?;
    Ok(0)
}
