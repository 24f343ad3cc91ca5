//! Requests with several slices of memory, or with none.

use super::{Raw, Wanted, submit};
use crate::Runtime;
use crate::disks::{Clear, Request, Slice};
use crate::types::{Int, Piece};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use platform::error::{Answer, Error};
use reactor::table::Fd;

/// Maximum number of slices in a request, as in Linux (`UIO_MAXIOV`).
const MAX_SLICES: usize = 1024;

/// Returns the slices of these pieces, and their total length in bytes.
fn slices(
    pieces: impl ExactSizeIterator<Item = Result<Piece, Error>>,
) -> Result<(Box<[Slice]>, usize), Error> {
    if pieces.len() > MAX_SLICES {
        return Err(Error::TooLarge);
    }
    let (mut list, mut bytes) = (Vec::new(), 0usize);
    list.try_reserve_exact(pieces.len())
        .map_err(|_| Error::OutOfMemory)?;
    for piece in pieces {
        let piece = piece?;
        if !piece.is_empty() {
            bytes = bytes.checked_add(piece.len()).ok_or(Error::TooLarge)?;
            list.push(Slice {
                start: piece.start(),
                len: piece.len(),
            });
        }
    }
    Ok((list.into_boxed_slice(), bytes))
}

/// Returns the disk or partition of a descriptor.
fn raw(rt: &Runtime, fd: Fd) -> Result<&Raw, Error> {
    let key = rt.table.key_of(fd, &super::BLOCK)? as usize;
    rt.resources.blocks.get(key).ok_or(Error::Closed)
}

fn transfer(
    rt: &mut Runtime,
    fd: Fd,
    sector: u64,
    (mut slices, len): (Box<[Slice]>, usize),
    write: bool,
    token: Int,
    make: impl FnOnce(u64, NonNull<[Slice]>) -> Request,
) -> Answer {
    let geometry = raw(rt, fd)?.geometry;
    if len > geometry.max_bytes {
        return Err(Error::TooLarge.into());
    }
    if slices
        .iter()
        .any(|s| !s.len.is_multiple_of(geometry.sector_size))
    {
        return Err(Error::Invalid.into());
    }
    // Moving the box doesn't move the list in memory.
    let list = NonNull::from(&mut *slices);
    let wanted = Wanted {
        sector,
        len: len as u64,
        write,
        slices: Some(slices),
    };
    submit(rt, fd, token, wanted, |sector| make(sector, list))
}

/// See `soil_block_readv`.
pub fn scatter(
    rt: &mut Runtime,
    fd: Fd,
    sector: u64,
    into: impl ExactSizeIterator<Item = Result<Piece, Error>>,
    token: Int,
) -> Answer {
    let into = slices(into)?;
    transfer(rt, fd, sector, into, false, token, |sector, slices| {
        Request::Scatter { sector, slices }
    })
}

/// See `soil_block_writev`.
pub fn gather(
    rt: &mut Runtime,
    fd: Fd,
    sector: u64,
    from: impl ExactSizeIterator<Item = Result<Piece, Error>>,
    durable: bool,
    token: Int,
) -> Answer {
    let from = slices(from)?;
    if durable && !raw(rt, fd)?.capabilities.durable {
        return Err(Error::Unsupported.into());
    }
    transfer(rt, fd, sector, from, true, token, |sector, slices| {
        Request::Gather {
            sector,
            slices,
            durable,
        }
    })
}

/// See `soil_block_clear`.
pub fn clear(rt: &mut Runtime, fd: Fd, sector: u64, count: u64, how: Int, token: Int) -> Answer {
    let Raw {
        geometry,
        capabilities,
        ..
    } = raw(rt, fd)?;
    let (how, offered) = match how {
        0 => (Clear::Discard, capabilities.discard),
        1 | 2 => (Clear::Zeroes { unmap: how == 2 }, capabilities.write_zeroes),
        _ => return Err(Error::Invalid.into()),
    };
    if !offered {
        return Err(Error::Unsupported.into());
    }
    let len = count.checked_mul(geometry.sector_size as u64);
    let wanted = Wanted {
        sector,
        len: len.ok_or(Error::Invalid)?,
        write: true,
        slices: None,
    };
    submit(rt, fd, token, wanted, |sector| Request::Clear {
        sector,
        count,
        how,
    })
}
