//! Sockets to the machine's host: virtio-vsock, or Linux's `AF_VSOCK`.

use crate::ffi::{Bytes, Int};
use reactor::table::Fd;
use resources::runtime::call;
use resources::vsock as glue;

/// This machine's CID. Errors: `No_device` with a detail that says what to do.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_cid() -> Int {
    call(glue::cid)
}

/// Listens at `port` (2^32 - 1: a free one) of `cid` (2^32 - 1: each of this machine), with up to
/// `backlog` connections waiting to be accepted; returns the listener's descriptor. Errors:
/// `Address_in_use`, `Address_not_available`, `No_device`, `Permission_denied`, `Too_many_open`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_listen(cid: Int, port: Int, backlog: Int) -> Int {
    call(|rt| glue::listen(rt, cid, port, backlog))
}

/// Takes an established connection from the listener and returns its descriptor; `WOULD_BLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_accept(listener: Int) -> Int {
    call(|rt| glue::accept(rt, Fd::decode(listener)?))
}

/// Starts a connection and returns its descriptor at once; park with `PARK_WRITE`, then ask
/// [`soil_vsock_connected`]. Errors: `No_device`, `Too_many_open`, `Unreachable`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_connect(cid: Int, port: Int) -> Int {
    call(|rt| glue::connect(rt, cid, port))
}

/// 0 when the connection is established; `WOULD_BLOCK`. Errors: `Connection_refused`, `Timed_out`,
/// `Unreachable`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_connected(fd: Int) -> Int {
    call(|rt| glue::connected(rt, Fd::decode(fd)?))
}

/// Closes the descriptor, and ends the connection with a reset: what was not sent yet is lost.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_abort(fd: Int) -> Int {
    call(|rt| glue::abort(rt, Fd::decode(fd)?))
}

/// Writes the local address of a connection or listener, CID and port, as two little-endian numbers
/// of 4 bytes, to the start of `into`. Errors: `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_local(fd: Int, mut into: Bytes) -> Int {
    call(|rt| glue::local(rt, Fd::decode(fd)?, into.range(0, 8)?))
}

/// Writes the peer's address likewise. Errors: `Wrong_kind`, `Not_connected`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_vsock_peer(fd: Int, mut into: Bytes) -> Int {
    call(|rt| glue::peer(rt, Fd::decode(fd)?, into.range(0, 8)?))
}
