//! `sendfile` and `copy_file_range`.

use super::program::{load, store};
use super::transfer::{signal_broken_pipe, update_mappings};
use crate::errors::Result;
use crate::file::{Description, Offset};
use crate::process;
use alloc::vec::Vec;

/// Bytes copied at once.
const CHUNK: u64 = 64 << 10;

/// `sendfile`.
pub fn send_file(to: u64, from: u64, offset: u64, len: u64) -> Result<u64> {
    let (to, from) = (process::get(to)?, process::get(from)?);
    from.check_readable()?;
    to.check_writable()?;
    if !from.file().is_regular() || to.flags() & libc::O_APPEND != 0 {
        return Err(libc::EINVAL);
    }
    let start = place(&from, offset)?;
    let done = copy(&from, start, &to, Offset::Position, len)
        .inspect_err(|errno| signal_broken_pipe(&to, *errno))?;
    leave(&from, offset, start + done)?;
    Ok(done)
}

/// `copy_file_range`.
pub fn copy_range([from, from_at, to, to_at, len, flags]: [u64; 6]) -> Result<u64> {
    let (from, to) = (process::get(from)?, process::get(to)?);
    for description in [&from, &to] {
        if description.file().directory().is_ok() {
            return Err(libc::EISDIR);
        }
        // A text of `/proc` isn't a file of a volume.
        if !description.file().is_regular() || description.file().id()?.is_none() {
            return Err(libc::EINVAL);
        }
    }
    from.check_readable()?;
    to.check_writable()?;
    if to.flags() & libc::O_APPEND != 0 {
        return Err(libc::EBADF);
    }
    if flags as u32 != 0 {
        return Err(libc::EINVAL);
    }
    let (start, into) = (place(&from, from_at)?, place(&to, to_at)?);
    let overlap = start < into.saturating_add(len) && into < start.saturating_add(len);
    if overlap && from.file().id()? == to.file().id()? {
        return Err(libc::EINVAL);
    }
    let done = copy(&from, start, &to, Offset::At(into), len)?;
    leave(&from, from_at, start + done)?;
    leave(&to, to_at, into + done)?;
    Ok(done)
}

/// The start of a copy: the offset at `at`, or the description's position if that is null.
fn place(description: &Description, at: u64) -> Result<u64> {
    if at == 0 {
        return description.file().seek(0, libc::SEEK_CUR);
    }
    match load(at)? {
        [offset] if offset <= i64::MAX as u64 => Ok(offset),
        _ => Err(libc::EINVAL),
    }
}

/// Stores the end of a copy, see [`place`].
fn leave(description: &Description, at: u64, end: u64) -> Result<()> {
    match at {
        0 => description.file().seek(end as i64, libc::SEEK_SET)?,
        at => store(at, &[end])?,
    };
    Ok(())
}

/// Copies up to `len` bytes; returns their number. An error after the first is reported by the next
/// call.
fn copy(from: &Description, start: u64, to: &Description, into: Offset, len: u64) -> Result<u64> {
    from.file().flush_mappings()?;
    let mut chunk = Vec::new();
    let room = len.min(CHUNK) as usize;
    chunk.try_reserve_exact(room).map_err(|_| libc::ENOMEM)?;
    chunk.resize(room, 0);
    let mut done = 0;
    while done < len {
        let wanted = (len - done).min(CHUNK) as usize;
        let read = match from.read(&mut chunk[..wanted], Offset::At(start + done)) {
            Ok(0) => break,
            Ok(read) => read,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        };
        let offset = into.after(done);
        let write = || to.write(&chunk[..read], offset).map(|len| len as u64);
        match update_mappings(to, offset, write) {
            Ok(written) => {
                done += written;
                if written < read as u64 {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}
