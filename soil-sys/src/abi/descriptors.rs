//! Descriptors: one table for console, pipes, connections, sockets, files and block devices; and
//! waits for those of the system.
//!
//! A descriptor is `index | generation << 20`: a closed one stays invalid although its index is
//! used again.

use crate::ffi::{Buffer, Bytes, Int, Ints};
use platform::Stream;
use platform::error::Stop;
use reactor::table::Fd;
use resources::net::requests::enter_on;
use resources::net::tcp;
use resources::runtime::{call, decode_direction, encode};
use resources::system_descriptors::await_ready;
use resources::types::records::PipeEnds;
use resources::{console, pipe};

/// Reads up to `len` bytes to `into[off ..]`; 0 is the end of input (or `len` = 0).
/// Errors: `Closed`, `Connection_reset`, `Timed_out`, `Wrong_kind`, …; `WOULD_BLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fd_read(fd: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    encode(enter_on(fd, |rt, fd| rt.read(fd, into.range(off, len)?)))
}

/// [`soil_fd_read`] into a bigarray.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fd_read_buffer(fd: Int, mut into: Buffer, off: Int, len: Int) -> Int {
    encode(enter_on(fd, |rt, fd| rt.read(fd, into.range(off, len)?)))
}

/// Writes up to `len` bytes of `from[off ..]`; returns how many were taken, at least 1 unless `len`
/// is 0. Errors: `Closed`, `Broken_pipe`, `Connection_reset`, `Not_connected`, `Wrong_kind`, …;
/// `WOULD_BLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fd_write(fd: Int, mut from: Bytes, off: Int, len: Int) -> Int {
    encode(tcp::write(fd, from.range(off, len).map(|from| &*from)))
}

/// [`soil_fd_write`] from a bigarray.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fd_write_buffer(fd: Int, mut from: Buffer, off: Int, len: Int) -> Int {
    encode(tcp::write(fd, from.range(off, len).map(|from| &*from)))
}

/// Completes `token` with 0 once the operation is worth retrying: `direction` is `PARK_READ` or
/// `PARK_WRITE`. 0: it is worth retrying now, no completion will come; else `PENDING`.
/// Closing the descriptor completes it with `Closed`. Several tokens may park on one descriptor.
/// Errors: `Closed`, `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fd_park(fd: Int, direction: Int, token: Int) -> Int {
    encode(enter_on(fd, |rt, fd| {
        rt.park(fd, decode_direction(direction)?, token)
    }))
}

/// Ends one half of a connection or pipe: 0 no more receiving, 1 no more sending (the peer reads
/// the end), 2 both.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fd_shutdown(fd: Int, how: Int) -> Int {
    call(|rt| rt.shutdown(Fd::decode(fd)?, how))
}

/// Closes it and completes what is parked on it with `Closed`. Closing a closed descriptor is 0 as
/// well.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fd_close(fd: Int) -> Int {
    call(|rt| rt.close(Fd::decode(fd)?))
}

/// The descriptor of the console: standard input when read, standard output when written. The same
/// at each call.
#[unsafe(no_mangle)]
pub extern "C" fn soil_console() -> Int {
    call(|rt| console::open(rt, Stream::Standard))
}

/// The descriptor of the error output of the console; write only.
#[unsafe(no_mangle)]
pub extern "C" fn soil_console_error() -> Int {
    call(|rt| console::open(rt, Stream::Error))
}

/// Makes a pipe that holds up to `capacity` bytes (1 … 16 MiB), and fills `ends` with its
/// `PipeEnds`. Reading an empty pipe whose writing end is closed is the
/// end of input; writing when the reading end is closed is `Broken_pipe`. Errors: `Out_of_memory`,
/// `Too_many_open`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_pipe(capacity: Int, mut ends: Ints) -> Int {
    call(|rt| {
        let (reader, writer) = pipe::open(rt, capacity)?;
        let record = PipeEnds {
            reader: reader.encode(),
            writer: writer.encode(),
        };
        ends.fill(&record.numbers());
        Ok(0)
    })
}

/// Waits for the file descriptor `fd` of Linux, or of an image's system calls, to be ready for
/// `direction` (`PARK_READ`, `PARK_WRITE`). 1: it is, or a transfer would fail at once. It
/// completes with 0 when it may have become ready: call again. Errors: `Closed` (there is no such
/// descriptor).
#[unsafe(no_mangle)]
pub extern "C" fn soil_system_descriptor_await(fd: Int, direction: Int, token: Int) -> Int {
    let direction = decode_direction(direction).map_err(Stop::Error);
    encode(direction.and_then(|direction| await_ready(fd, direction, token)))
}
