//! Block devices as they are: sectors.

use crate::blocks as glue;
use crate::error::Error;
use crate::runtime::call;
use crate::table::Fd;
use crate::ty::{Buffer, Bytes, Int, Ints, Text};

/// Opens the disk `name`; the result is its descriptor. Errors: `No_device` with a detail that lists the disks there are, `Busy` when
/// it is mounted.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_open(name: Text, token: Int) -> Int {
    call(|rt| glue::open(rt, name.utf8()?, token))
}

/// Fills `into` with sector size in bytes, number of sectors, 1 if read only, most sectors in one request.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_info(fd: Int, mut into: Ints) -> Int {
    call(|rt| {
        into.fill(&glue::info(rt, Fd::decode(fd)?)?);
        Ok(0)
    })
}

/// How many bytes after the start of `buffer` the first multiple of `alignment` bytes, a power of two, is; it need not be inside.
/// Errors: `Invalid`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_skew(buffer: Buffer, alignment: Int) -> Int {
    call(|_| {
        let alignment = usize::try_from(alignment).map_err(|_| Error::Invalid)?;
        if !alignment.is_power_of_two() {
            return Err(Error::Invalid.into());
        }
        let start = buffer.piece(0, 0)?.start().addr().get();
        Ok(start.next_multiple_of(alignment) - start)
    })
}

/// Reads `len` bytes, a multiple of the sector size, from `sector` on to `into[off ..]`, to which the device writes by itself; the
/// result is `len`. Errors: `Invalid`, `Too_large`, `Io`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_read(
    fd: Int,
    sector: Int,
    into: Buffer,
    off: Int,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| {
        let sector = u64::try_from(sector).map_err(|_| Error::Invalid)?;
        glue::read(rt, Fd::decode(fd)?, sector, into.piece(off, len)?, token)
    })
}

/// Writes `from[off .. off + len]`, a multiple of the sector size, from `sector` on; the result is `len`. It is on the disk for good
/// after [`soil_block_flush`]. Errors: `Invalid`, `Too_large`, `Read_only`, `Io`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_write(
    fd: Int,
    sector: Int,
    from: Buffer,
    off: Int,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| {
        let sector = u64::try_from(sector).map_err(|_| Error::Invalid)?;
        glue::write(rt, Fd::decode(fd)?, sector, from.piece(off, len)?, token)
    })
}

/// Completes when every write that completed before is on the disk for good.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_flush(fd: Int, token: Int) -> Int {
    call(|rt| glue::flush(rt, Fd::decode(fd)?, token))
}

/// Copies the name of disk `index` (from 0) to the start of `into`, cut where it doesn't fit; returns its whole length.
/// Errors: `Not_found` after the last disk.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_name(index: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::name(rt, index, into.range(off, len)?))
}
