//! Descriptors and paths where nobody else serves them: the console, random bytes, and the root directory.

use super::program::{bytes, bytes_mut, path, store};
use crate::console::{self, Stream};
use crate::errno::Errno;
use crate::random;

pub(super) fn write(descriptor: u64, pieces: &[[u64; 2]]) -> Result<u64, Errno> {
    let stream = match descriptor {
        1 => Stream::Output,
        2 => Stream::Error,
        _ => return Err(Errno::EBADF),
    };
    let mut total = 0;
    for [start, len] in pieces {
        match bytes(*start, *len) {
            Ok(piece) => console::write(stream, piece),
            // What was written is said first, as on Linux; the next call begins with the error.
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        }
        total += len;
    }
    Ok(total)
}

/// Waits for at least one byte from the console, or the end of its input.
pub(super) fn read(descriptor: u64, pieces: &[[u64; 2]]) -> Result<u64, Errno> {
    if descriptor != 0 && descriptor != random::DESCRIPTOR {
        return Err(Errno::EBADF);
    }
    let Some([start, len]) = pieces.iter().find(|[_, len]| *len > 0) else {
        return Ok(0);
    };
    if descriptor == random::DESCRIPTOR {
        return random::fill_for_program(*start, *len);
    }
    let buffer = bytes_mut(*start, *len)?;
    Ok(console::read(buffer) as u64)
}

pub(super) fn open(start: u64) -> Result<u64, Errno> {
    match path(start)? {
        b"/dev/urandom" | b"/dev/random" => Ok(random::DESCRIPTOR),
        _ => Err(Errno::ENOENT),
    }
}

pub(super) fn close(descriptor: u64) -> Result<u64, Errno> {
    if descriptor == random::DESCRIPTOR {
        Ok(0)
    } else {
        Err(Errno::EBADF)
    }
}

const DIRECTORY: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_666;

/// The mode of what `path` names: only the root directory is there.
pub(super) fn path_kind(start: u64) -> Result<u32, Errno> {
    match path(start)? {
        b"/" | b"." | b"./" | b"/." => Ok(DIRECTORY),
        _ => Err(Errno::ENOENT),
    }
}

pub(super) fn stat_path(start: u64, result: u64) -> Result<u64, Errno> {
    put_stat(result, path_kind(start)?)
}

pub(super) fn stat_descriptor(descriptor: u64, result: u64) -> Result<u64, Errno> {
    if descriptor < 3 {
        put_stat(result, CHARACTER_DEVICE)
    } else {
        Err(Errno::EBADF)
    }
}

/// `struct stat`: device, inode, links, mode and owner, and zeros.
fn put_stat(result: u64, mode: u32) -> Result<u64, Errno> {
    let mut words = [0; 18];
    words[1] = u64::from(mode);
    words[2] = 1;
    words[3] = u64::from(mode);
    words[7] = 4096;
    store(result, &words)
}

pub(super) fn fcntl(descriptor: u64, command: u64) -> Result<u64, Errno> {
    const GETFL: u64 = 3;
    const READ_WRITE: u64 = 2;
    match (descriptor, command) {
        (0..3, GETFL) => Ok(READ_WRITE),
        (0..3, 1 | 2 | 4) => Ok(0),
        (0..3, _) => Err(Errno::EINVAL),
        _ => Err(Errno::EBADF),
    }
}
