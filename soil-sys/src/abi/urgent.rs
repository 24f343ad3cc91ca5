//! Urgent data of TCP (RFC 9293, 3.8.5): a part of its own, since hardly any program has a use for
//! it.

use crate::ffi::Int;
use crate::net as glue;
use crate::runtime::call;
use crate::table::Fd;

/// Marks all that was written to a connection so far as urgent: the peer is told at once, even if
/// its window is closed. Errors: `Wrong_kind`, `Not_connected`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_send_urgent(fd: Int) -> Int {
    call(|rt| glue::urgent::send(rt, Fd::decode(fd)?))
}

/// The number of bytes from the next one to be read to the last that the peer calls urgent, come or
/// still to come; 0: none. The last `back` bytes that were read count as not read.
/// [`soil_fd_park`](super::soil_fd_park) with `PARK_READ` ends when there are more, too. Errors:
/// `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_urgent(fd: Int, back: Int) -> Int {
    call(|rt| glue::urgent::left(rt, Fd::decode(fd)?, back))
}
