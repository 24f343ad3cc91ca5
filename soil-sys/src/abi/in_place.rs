//! Files that are read where they lie: a part of its own, so that other programs don't carry it.

use crate::ffi::{Buffer, Int};
use reactor::table::Fd;
use resources::files::lease as glue;
use resources::runtime::call;

/// Lends at most `len` bytes of the file, 1 MiB at once, from byte `position` on, as they lie in
/// memory, after having read missing parts. The result is the number of the lease, at least 1,
/// or 0 at the end of the file. It has one slice or several, which [`soil_file_lease_next`] shows;
/// there may be fewer bytes than `len` in them. Errors: as `soil_file_read`, and `Out_of_memory`
/// while 256 leases, or half of the cache's memory, haven't been ended, or are ended but still
/// looked at.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_lease(fd: Int, position: Int, len: Int, token: Int) -> Int {
    call(|rt| glue::begin(rt, Fd::decode(fd)?, position, len, token))
}

/// Points `into` at the next slice of a lease; returns its length in bytes, 0 after the last one,
/// with which `into` is left alone. The first time `into` is an empty bigarray that isn't used for
/// anything else, then the same one. Errors: `Invalid` (no such lease, or it is another one's
/// bigarray).
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_lease_next(lease: Int, mut into: Buffer) -> Int {
    call(|rt| glue::next(rt, lease, &mut into.view()))
}

/// Ends a lease: `buffer`, the bigarray that showed its slices, is empty from now on. The memory is
/// used again once no part of it (`sub`) can be reached. Errors: `Invalid` (no such lease, or it is
/// another one's bigarray).
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_lease_end(lease: Int, mut buffer: Buffer) -> Int {
    call(|rt| glue::end(rt, lease, &mut buffer.view()))
}
