//! Descriptors of the console beside others: reading and writing; the program's end.

use super::memory::number;
use crate::descriptors;
use crate::errors::Result;
use crate::io::Place;
use crate::signal::within_call;
use kernel::syscall;

/// How long the end of a program waits for its disks, in nanoseconds: as the end of one that uses
/// the library `soil`.
const GRACE_NS: u64 = 10_000_000_000;

/// Reads from a standard stream.
pub fn read(stream: u64, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    match place {
        Place::Position => syscall::read_console(stream, pieces).map_err(number),
        Place::Byte(_) => Err(libc::ESPIPE),
    }
}

/// Writes to a standard stream.
pub fn write(stream: u64, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    match place {
        Place::Position => syscall::write_console(stream, pieces).map_err(number),
        Place::Byte(_) => Err(libc::ESPIPE),
    }
}

/// Before the machine ends: writes back all volumes.
pub fn finish() {
    descriptors::close_sockets();
    // A failure has its line in the log.
    let _ = within_call(false, || resources::runtime::finish(GRACE_NS));
}
