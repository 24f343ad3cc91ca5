//! Descriptors and paths that the kernel itself serves: the console, random bytes, and the root
//! directory.

use super::{random, wait_for_console};
use crate::console::{self, Stream};
use crate::errno::Errno;
use crate::memory::{bytes, bytes_mut, path, store};
use crate::wait::For;
use crate::{signals, wait};
use core::sync::atomic::{AtomicU8, Ordering};

/// One bit for each of the descriptors 0 to 2 that was closed. Set by system calls.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// One bit for each of the console's descriptors that is open.
pub(super) fn open_set() -> u64 {
    7 & !u64::from(CLOSED.load(Ordering::Relaxed))
}

/// Whether `descriptor` is one of the console's.
///
/// # Errors
/// EBADF where it isn't, or was closed.
pub(super) fn standard(descriptor: u64) -> Result<(), Errno> {
    if descriptor < 3 && open_set() & 1 << descriptor != 0 {
        Ok(())
    } else {
        Err(Errno::EBADF)
    }
}

/// Writes bytes in order to the console: waits while it is full, and ends with a shorter count when
/// a signal is to be handled.
///
/// # Errors
/// ERESTARTSYS when a signal comes before the first byte is written.
pub fn write(descriptor: u64, pieces: &[[u64; 2]]) -> Result<u64, Errno> {
    standard(descriptor)?;
    let stream = match descriptor {
        1 => Stream::Output,
        2 => Stream::Error,
        _ => return Err(Errno::EBADF),
    };
    let mut total = 0;
    for [start, len] in pieces {
        let written = match bytes(*start, *len) {
            Ok(piece) => write_console(stream, piece) as u64,
            // As on Linux: report the bytes written first. The next call begins with the error.
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        };
        total += written;
        if written < *len {
            if total == 0 {
                return Err(Errno::ERESTARTSYS);
            }
            break;
        }
    }
    Ok(total)
}

/// Writes `bytes`: waits halted while the transmitter is full, and ticks go on. Returns how many
/// were written: fewer than all when a signal is to be handled.
fn write_console(stream: Stream, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        rest = rest
            .get(console::try_write(stream, rest)..)
            .unwrap_or_default();
        if rest.is_empty() || signals::is_ready() {
            return bytes.len() - rest.len();
        }
        wait_for_console();
    }
}

/// Waits for at least one byte from the console, or the end of its input.
///
/// # Errors
/// ERESTARTSYS when a signal comes first.
pub fn read(descriptor: u64, pieces: &[[u64; 2]]) -> Result<u64, Errno> {
    if descriptor != random::DESCRIPTOR {
        standard(descriptor)?;
        if descriptor != 0 {
            return Err(Errno::EBADF);
        }
    }
    let Some([start, len]) = pieces.iter().find(|[_, len]| *len > 0) else {
        return Ok(0);
    };
    if descriptor == random::DESCRIPTOR {
        return random::fill(*start, *len);
    }
    loop {
        // Another thread may have unmapped it meanwhile.
        let buffer = bytes_mut(*start, *len)?;
        if let Some(count) = console::try_read(buffer) {
            return Ok(count as u64);
        }
        if signals::is_ready() {
            return Err(Errno::ERESTARTSYS);
        }
        wait::pause_until(For::Interrupt, None);
    }
}

pub(super) fn open(start: u64) -> Result<u64, Errno> {
    match path(start)? {
        b"/dev/urandom" | b"/dev/random" => Ok(random::DESCRIPTOR),
        _ => Err(Errno::ENOENT),
    }
}

pub(super) fn close(descriptor: u64) -> Result<u64, Errno> {
    if descriptor != random::DESCRIPTOR {
        standard(descriptor)?;
        CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
    }
    Ok(0)
}

const DIRECTORY: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_666;

/// The mode of the file that `path` names: only the root directory exists.
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
    standard(descriptor)?;
    put_stat(result, CHARACTER_DEVICE)
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
    standard(descriptor)?;
    match command {
        GETFL => Ok(READ_WRITE),
        1 | 2 | 4 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
