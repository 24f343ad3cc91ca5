//! TCP sockets that are bound before they connect or listen: a part of its own, since few programs
//! have a use for it.

use crate::ffi::{Int, Text};
use crate::net as glue;
use crate::runtime::call;
use crate::table::Fd;

/// Takes `endpoint` (address zero: every address; port 0: one is chosen) for
/// [`soil_tcp_listen_bound`] or [`soil_tcp_connect_bound`] and returns a descriptor of the kind of
/// listeners. `how` is as in [`soil_tcp_connect`](super::soil_tcp_connect). A SYN to it is refused.
/// Errors: as for [`soil_tcp_listen`](super::soil_tcp_listen).
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_bind(endpoint: Text, how: Int) -> Int {
    call(|rt| glue::bound::bind(rt, endpoint.all(), how))
}

/// Listens at what was bound, keeping up to `backlog` connections that nobody has accepted. Errors:
/// `Wrong_kind`, `Closed`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_listen_bound(fd: Int, backlog: Int) -> Int {
    call(|rt| glue::bound::listen(rt, Fd::decode(fd)?, backlog))
}

/// Starts a connection from what was bound, whose descriptor is closed unless this fails; returns
/// the connection's, as [`soil_tcp_connect`](super::soil_tcp_connect) does. Errors: those, and
/// `Wrong_kind` for one that listens.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_connect_bound(fd: Int, endpoint: Text) -> Int {
    call(|rt| glue::bound::connect(rt, Fd::decode(fd)?, endpoint.all()))
}
