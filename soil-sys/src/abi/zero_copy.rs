//! TCP without copies between the program and the stack: a part of its own, so that other programs
//! don't carry it.

use crate::ffi::{Buffer, Int};
use reactor::table::Fd;
use resources::net::zero_copy as glue;
use resources::runtime::call;

/// Takes received bytes of a connection, at least one, and points `into`, an empty bigarray that
/// isn't used for anything else, at them as they lie in the stack's memory; returns the number of
/// the lease, at least 1, or 0 at the end of input, with which `into` is left alone. Errors: as
/// `soil_fd_read`, and `Out_of_memory` while 256 leases haven't been ended, or are ended but still
/// looked at.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_lease(fd: Int, mut into: Buffer) -> Int {
    call(|rt| glue::lease::begin(rt, Fd::decode(fd)?, &mut into.view()))
}

/// Ends a lease: `buffer`, the bigarray that it began with, is empty from now on. The memory is
/// used again once no part of it (`sub`) can be reached. Errors: `Invalid` (no such lease, or it is
/// another one's bigarray).
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_lease_end(lease: Int, mut buffer: Buffer) -> Int {
    call(|rt| glue::lease::end(rt, lease, &mut buffer.view()))
}

/// Sends `from[off .. off + len]` without copying it: `PENDING`; it completes with `len` when the
/// peer has acknowledged all of it, and not before the stack has given the buffer back, which must
/// not be changed until then. Cancelling gives the buffer back at once; what the stack had taken of
/// it is still sent. Errors (also of the completion): as `soil_fd_write`, `Too_many_open` (more
/// than 1024 at a time), `Closed` (before all was taken).
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_send_shared(
    fd: Int,
    from: Buffer,
    off: Int,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| glue::lend::send(rt, Fd::decode(fd)?, from.piece(off, len)?, token))
}
