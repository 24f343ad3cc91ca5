//! Block devices as they are: sectors.

use crate::ffi::{Buffer, Buffers, Bytes, Int, Ints, Text};
use platform::error::Error;
use reactor::table::Fd;
use resources::blocks as glue;
use resources::runtime::call;

/// Opens the disk `name`, or of `DISK/NUMBER` and `DISK/LABEL` that partition; the result is its
/// descriptor. Errors: `No_device` with a detail that lists the disks there are, `Busy` when it is
/// mounted or open; `Not_found`, `Corrupt` and `Io` of a partition; `Bad_configuration`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_open(name: Text, token: Int) -> Int {
    call(|rt| glue::open(rt, name.utf8()?, token))
}

/// Fills `into` with the `BlockInfo` of a disk. Its size is read again, as it may have grown or
/// shrunk.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_info(fd: Int, mut into: Ints) -> Int {
    call(|rt| {
        into.fill(&glue::info(rt, Fd::decode(fd)?)?.numbers());
        Ok(0)
    })
}

/// How many bytes after the start of `buffer` the first multiple of `alignment` bytes, a power of
/// two, is; it need not be inside. Errors: `Invalid`.
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

/// Reads `len` bytes, a multiple of the sector size, from `sector` on to `into[off ..]`, to which
/// the device writes by itself; the result is `len`. Errors: `Invalid`; `Too_large`; `Io`, also for
/// sectors beyond the end; `Timed_out` when the device doesn't answer within
/// `SOIL_DISK_TIMEOUT` (30 s): the buffer must be kept and left alone until [`soil_block_given_up`]
/// is 0.
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

/// Writes `from[off .. off + len]`, a multiple of the sector size, from `sector` on; the result is
/// `len`. It is on the disk for good after [`soil_block_flush`]. Errors: those of
/// [`soil_block_read`], `Read_only`.
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

/// [`soil_block_read`] into several pieces, one after the other, each a multiple of the sector
/// size: `ranges` has offset and length in bytes for each of `buffers`, of which there are 1024 at
/// most.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_readv(
    fd: Int,
    sector: Int,
    buffers: Buffers,
    mut ranges: Ints,
    token: Int,
) -> Int {
    call(|rt| {
        let sector = u64::try_from(sector).map_err(|_| Error::Invalid)?;
        let into = buffers.pieces(&mut ranges)?;
        glue::scatter(rt, Fd::decode(fd)?, sector, into, token)
    })
}

/// [`soil_block_write`] of several pieces, as in [`soil_block_readv`]. With `durable` = 1 they are
/// on the disk for good when it completes. Errors: `Unsupported` for that where the device can't.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_writev(
    fd: Int,
    sector: Int,
    buffers: Buffers,
    mut ranges: Ints,
    durable: Int,
    token: Int,
) -> Int {
    call(|rt| {
        let sector = u64::try_from(sector).map_err(|_| Error::Invalid)?;
        let fd = Fd::decode(fd)?;
        let from = buffers.pieces(&mut ranges)?;
        glue::gather(rt, fd, sector, from, durable != 0, token)
    })
}

/// Does something to `count` sectors from `sector` on: 0 discards them, 1 makes them zeros, 2 does
/// so and may give up the room behind them. Errors: `Invalid`, `Read_only`, `Unsupported`, `Io`,
/// `Timed_out`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_clear(fd: Int, sector: Int, count: Int, how: Int, token: Int) -> Int {
    call(|rt| {
        let sector = u64::try_from(sector).map_err(|_| Error::Invalid)?;
        let count = u64::try_from(count).map_err(|_| Error::Invalid)?;
        glue::clear(rt, Fd::decode(fd)?, sector, count, how, token)
    })
}

/// How many requests ended with `Timed_out` that their devices still have.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_given_up() -> Int {
    call(|rt| Ok(glue::given_up(rt)))
}

/// Completes when every write that completed before is on the disk for good.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_flush(fd: Int, token: Int) -> Int {
    call(|rt| glue::flush(rt, Fd::decode(fd)?, token))
}

/// Copies the name of disk `index` (from 0) to the start of `into`, cut where it doesn't fit;
/// returns its whole length. Errors: `Not_found` after the last disk.
#[unsafe(no_mangle)]
pub extern "C" fn soil_block_name(index: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::name(rt, index, into.range(off, len)?))
}
