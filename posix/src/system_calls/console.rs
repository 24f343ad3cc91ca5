//! Descriptors of the console beside others: reading and writing; the program's end.

use super::memory::number;
use crate::descriptors::{self, Description};
use crate::errors::Result;
use crate::io::{Place, message_flags};
use crate::readiness;
use crate::signal::within_call;
use kernel::syscall;
use platform::{Console, Direction, Stream};
use resources::current::Current;

/// How long the end of a program waits for its disks, in nanoseconds: as the end of one that uses
/// the library `soil`.
const GRACE_NS: u64 = 10_000_000_000;

/// Reads from a standard stream that a description stands for.
pub fn read(
    description: &Description,
    stream: u64,
    pieces: &[[u64; 2]],
    place: Place,
) -> Result<u64> {
    let has_input = || Current::console_ready(Stream::Standard, Direction::Read);
    match place {
        Place::Position if message_flags(description) != 0 && !has_input() => Err(libc::EAGAIN),
        Place::Position => {
            readiness::console_read();
            syscall::read_console(stream, pieces).map_err(number)
        }
        Place::Byte(_) | Place::Exact(_) => Err(libc::ESPIPE),
    }
}

/// Writes to a standard stream.
pub fn write(stream: u64, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    match place {
        Place::Position => syscall::write_console(stream, pieces).map_err(number),
        Place::Byte(_) | Place::Exact(_) => Err(libc::ESPIPE),
    }
}

/// Before the machine ends: writes back all volumes.
pub fn finish() {
    descriptors::close_sockets();
    // A failure has its line in the log.
    let _ = within_call(false, || resources::runtime::finish(GRACE_NS));
}
