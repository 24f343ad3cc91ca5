//! `read`, `write` and their forms: pieces of the program's memory to and from a file.

use super::program::{bytes, bytes_mut};
use crate::blocking::signals;
use crate::errors::Result;
use crate::file::{Description, Offset, Pieces};
use crate::process;
use alloc::vec::Vec;

/// Maximum number of bytes of one call (Linux's `MAX_RW_COUNT`).
const MAX_TRANSFER: u64 = 0x7fff_f000;

/// Address of a piece of memory, and its length in bytes.
pub type Piece = [u64; 2];

/// The list of `readv` and `writev`.
pub fn vectors<'a>(start: u64, count: u64) -> Result<&'a [Piece]> {
    Ok(kernel::memory::vectors(start, count)?)
}

/// The offset of `pread` and `pwrite`.
pub fn at(offset: u64) -> Result<Offset> {
    if offset > i64::MAX as u64 {
        return Err(libc::EINVAL);
    }
    Ok(Offset::At(offset))
}

/// The offset of `preadv2` and `pwritev2`, where -1 is the position.
pub fn at_or_position(offset: u64) -> Result<Offset> {
    match offset as i64 {
        -1 => Ok(Offset::Position),
        _ => at(offset),
    }
}

/// The offset of `pwritev2` with `RWF_NOAPPEND`.
pub fn exactly(offset: u64) -> Result<Offset> {
    Ok(match at_or_position(offset)? {
        Offset::At(at) => Offset::Exactly(at),
        offset => offset,
    })
}

/// Number of bytes of all pieces.
pub fn total(pieces: &[Piece]) -> u64 {
    let add = |sum: u64, [_, len]: &Piece| sum.saturating_add(*len);
    pieces.iter().fold(0, add)
}

/// The bytes of all pieces, if they are at most `limit`; else `None`.
pub fn gather(pieces: &[Piece], limit: usize) -> Result<Option<Vec<u8>>> {
    let len = total(pieces);
    if len > limit as u64 {
        return Ok(None);
    }
    let mut all = Vec::new();
    all.try_reserve(len as usize).map_err(|_| libc::ENOMEM)?;
    for [start, len] in pieces {
        all.extend_from_slice(bytes(*start, *len)?);
    }
    Ok(Some(all))
}

/// Memory for a message that is received into pieces, at most `limit` bytes.
pub fn room_for(pieces: &[Piece], limit: usize) -> Result<Vec<u8>> {
    let len = total(pieces).min(limit as u64) as usize;
    let mut room = Vec::new();
    room.try_reserve(len).map_err(|_| libc::ENOMEM)?;
    room.resize(len, 0);
    Ok(room)
}

/// Copies a message into pieces.
pub fn scatter(mut rest: &[u8], pieces: &[Piece]) -> Result<()> {
    for [start, len] in pieces {
        let (now, later) = rest.split_at(rest.len().min(*len as usize));
        bytes_mut(*start, now.len() as u64)?.copy_from_slice(now);
        rest = later;
    }
    Ok(())
}

/// Transfers one piece of memory after another, until one isn't completed. An error after the first
/// is reported by the next call.
fn each(
    pieces: &[Piece],
    mut offset: Offset,
    mut one: impl FnMut(u64, u64, Offset) -> Result<usize>,
) -> Result<u64> {
    let mut total = 0;
    for [start, len] in pieces {
        let len = (*len).min(MAX_TRANSFER - total);
        let done = match one(*start, len, offset) {
            Ok(done) => done as u64,
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        };
        total += done;
        offset = offset.after(done);
        if done < len {
            break;
        }
    }
    Ok(total)
}

/// `read` and its forms.
pub fn read(descriptor: u64, pieces: &[Piece], offset: Offset) -> Result<u64> {
    let description = process::get(descriptor)?;
    let file = description.file();
    if let (Pieces::Message(limit), [_, _, ..]) = (file.pieces(), pieces) {
        let mut message = room_for(pieces, limit)?;
        let len = description.read(&mut message, offset)?;
        scatter(message.get(..len).unwrap_or_default(), pieces)?;
        return Ok(len as u64);
    }
    file.flush_mappings()?;
    let mut is_first = true;
    each(pieces, offset, |start, len, offset| {
        if len > 0 && !core::mem::take(&mut is_first) && !file.has_more() {
            return Ok(0);
        }
        description.read(bytes_mut(start, len)?, offset)
    })
}

/// `write` and its forms.
pub fn write(descriptor: u64, pieces: &[Piece], offset: Offset) -> Result<u64> {
    let description = process::get(descriptor)?;
    let file = description.file();
    let whole = |all: Vec<u8>| description.write(&all, offset).map(|len| len as u64);
    let written = match (file.pieces(), pieces) {
        (Pieces::Message(limit), [_, _, ..]) => {
            gather(pieces, limit)?.ok_or(libc::EMSGSIZE).and_then(whole)
        }
        (Pieces::Atomic(limit), [_, _, ..]) => match gather(pieces, limit)? {
            Some(all) => whole(all),
            None => write_each(&description, pieces, offset),
        },
        _ => write_each(&description, pieces, offset),
    };
    written.inspect_err(|errno| signal_broken_pipe(&description, *errno))
}

fn write_each(description: &Description, pieces: &[Piece], offset: Offset) -> Result<u64> {
    update_mappings(description, offset, || {
        each(pieces, offset, |start, len, offset| {
            description.write(bytes(start, len)?, offset)
        })
    })
}

/// Sends SIGPIPE if a failed write requires it.
pub fn signal_broken_pipe(description: &Description, errno: i32) {
    if errno == libc::EPIPE && description.file().signals_broken_pipe() {
        signals::raise(libc::SIGPIPE);
    }
}

/// Runs `write`, which writes at an offset of a file, and updates shared mappings of the file.
pub fn update_mappings(
    description: &Description,
    offset: Offset,
    write: impl FnOnce() -> Result<u64>,
) -> Result<u64> {
    let file = description.file();
    if !file.is_mapped() {
        return write();
    }
    file.flush_mappings()?;
    let done = write()?;
    let end = match offset.byte() {
        Some(at) => at + done,
        None => file.seek(0, libc::SEEK_CUR)?,
    };
    file.refresh_mappings(end, done)?;
    Ok(done)
}

/// `RWF_NOAPPEND` of `pwritev2`.
const NO_APPEND: u32 = 0x20;

/// `preadv2`. Without flags it is `preadv`.
pub fn preadv2([it, list, count, offset, _, flags]: [u64; 6]) -> Result<u64> {
    if flags as u32 != 0 {
        return Err(libc::EOPNOTSUPP);
    }
    let list = vectors(list, count)?;
    read(it, list, at_or_position(offset)?)
}

/// `pwritev2`. Without flags it is `pwritev`.
pub fn pwritev2([it, list, count, offset, _, flags]: [u64; 6]) -> Result<u64> {
    match flags as u32 {
        0 => {
            let list = vectors(list, count)?;
            write(it, list, at_or_position(offset)?)
        }
        // musl's `pwrite`, since 1.2.6.
        NO_APPEND => {
            let offset = exactly(offset)?;
            write(it, vectors(list, count)?, offset)
        }
        _ => Err(libc::EOPNOTSUPP),
    }
}
