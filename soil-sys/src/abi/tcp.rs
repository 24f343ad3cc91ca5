//! TCP: listeners, connections, urgent data (RFC 9293, 3.8.5), and transfers without copies.

use crate::ffi::{Buffer, Bytes, Int, Ints, Text};
use platform::error::Error;
use reactor::table::Fd;
use resources::net as glue;
use resources::net::requests::enter_on;
use resources::runtime::{call, encode};

/// Listens at `endpoint` (address zero: at every address; port 0: one is chosen), with up to
/// `backlog` connections waiting to be accepted; returns the listener's descriptor. `how` is as
/// in [`soil_tcp_connect`], without the congestion marks, and is what the listener's connections
/// begin with. Errors: `Address_in_use`, `Address_not_available`, `No_network`, `Too_many_open`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_listen(endpoint: Text, backlog: Int, how: Int) -> Int {
    call(|rt| glue::tcp::listen(rt, endpoint.all(), backlog, how))
}

/// Takes an established connection from the listener and returns its descriptor; `WOULD_BLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_accept(listener: Int) -> Int {
    encode(enter_on(listener, glue::tcp::accept))
}

/// The number of connections of the listener that weren't established since the last call, because
/// others hold all memory of TCP, or the machine is short of memory; their peers try again. Parking
/// the listener with `PARK_READ` ends when there are more. 0 in the process on the host's sockets.
/// Errors: `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_refused(listener: Int) -> Int {
    call(|rt| glue::tcp::refused_of(rt, Fd::decode(listener)?))
}

/// Starts a connection and returns its descriptor at once; park with `PARK_WRITE`, then ask
/// [`soil_tcp_connected`]. `how`, in bits: 0 to 7 the hop limit and 8 to 13 the DSCP, as with
/// [`soil_net_mark`](super::soil_net_mark); 16 and 17 whether to ask for congestion marks (RFC
/// 3168): 0 as configured, 1 no, 2 yes; 18 to 21: no timestamps, no selective acknowledgements, no
/// window scaling, no pacing; 24 to 39 as [`OPTION_MSS`](super::OPTION_MSS); 40 to 59: 0 the usual
/// delay of acknowledgements, otherwise 1 more than it in microseconds. Errors: `No_network`,
/// `Unreachable`, `Too_many_open`, `Invalid`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_connect(endpoint: Text, how: Int) -> Int {
    call(|rt| glue::tcp::connect(rt, endpoint.all(), how))
}

/// 0 when the connection is established; `WOULD_BLOCK`. Errors: `Connection_refused`, `Timed_out`,
/// `Unreachable`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_connected(fd: Int) -> Int {
    call(|rt| glue::tcp::connected(rt, Fd::decode(fd)?))
}

/// Takes `endpoint` (address zero: every address; port 0: one is chosen) for
/// [`soil_tcp_listen_bound`] or [`soil_tcp_connect_bound`] and returns a descriptor of the kind of
/// listeners. `how` is as in [`soil_tcp_connect`]. A SYN to it is refused. Errors: as for
/// [`soil_tcp_listen`].
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_bind(endpoint: Text, how: Int) -> Int {
    call(|rt| glue::bound::bind(rt, endpoint.all(), how))
}

/// Listens at what was bound, with up to `backlog` connections waiting to be accepted. Errors:
/// `Wrong_kind`, `Closed`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_listen_bound(fd: Int, backlog: Int) -> Int {
    call(|rt| glue::bound::listen(rt, Fd::decode(fd)?, backlog))
}

/// Starts a connection from what was bound, whose descriptor is closed unless this fails; returns
/// the connection's, as [`soil_tcp_connect`] does. Errors: those, and `Wrong_kind` for one that
/// listens.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_connect_bound(fd: Int, endpoint: Text) -> Int {
    call(|rt| glue::bound::connect(rt, Fd::decode(fd)?, endpoint.all()))
}

/// Writes the 18 bytes of the local endpoint of a connection, listener or UDP socket to the start
/// of `into`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_local(fd: Int, mut into: Bytes) -> Int {
    call(|rt| glue::local(rt, Fd::decode(fd)?, into.range(0, 18)?))
}

/// Writes the 18 bytes of the peer's endpoint to the start of `into`. Errors: `Not_connected`,
/// `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_peer(fd: Int, mut into: Bytes) -> Int {
    call(|rt| glue::peer(rt, Fd::decode(fd)?, into.range(0, 18)?))
}

/// Sets an option of a connection, or of a listener for its connections, one of `OPTION_*`, to
/// `value`. Errors: `Invalid` (no such option or value), `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_set(fd: Int, option: Int, value: Int) -> Int {
    call(|rt| {
        let value = u64::try_from(value).map_err(|_| Error::Invalid)?;
        glue::tcp::set(rt, Fd::decode(fd)?, option, value)
    })
}

/// Probes a connection after `idle` nanoseconds without a word of the peer, 0: never (the state of
/// a new one), and then every `interval` nanoseconds; the peer is gone (`Timed_out`) when `count`
/// probes, 1 to 255, were not answered. Errors: `Invalid`, `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_keepalive(fd: Int, idle: Int, interval: Int, count: Int) -> Int {
    call(|rt| glue::tcp::keepalive(rt, Fd::decode(fd)?, idle, interval, count))
}

/// Fills `into` with the `TcpInfo` of a connection. Errors: `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_info(fd: Int, mut into: Ints) -> Int {
    call(|rt| {
        into.fill(&glue::tcp::info(rt, Fd::decode(fd)?)?.numbers());
        Ok(0)
    })
}

/// Closes the descriptor, and ends the connection with RST: what was not sent yet is lost.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_abort(fd: Int) -> Int {
    call(|rt| glue::tcp::abort(rt, Fd::decode(fd)?))
}

/// Marks all that was written to a connection so far and the next `len` bytes as urgent, to be
/// called before they are written: the peer gets the pointer at once, even if its window is closed.
/// Errors: `Wrong_kind`, `Not_connected`, `Invalid` for a negative `len`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_send_urgent(fd: Int, len: Int) -> Int {
    call(|rt| glue::urgent::send(rt, Fd::decode(fd)?, len))
}

/// The number of bytes from the next one to be read to the last that the peer calls urgent, come or
/// still to come; 0: none. The last `back` bytes that were read count as not read.
/// [`soil_fd_park`](super::soil_fd_park) with `PARK_READ` ends when there are more, too. Errors:
/// `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_urgent(fd: Int, back: Int) -> Int {
    call(|rt| glue::urgent::left(rt, Fd::decode(fd)?, back))
}

/// Takes received bytes of a connection, at least one, and points `into`, an empty bigarray that
/// isn't used for anything else, at them as they lie in the stack's memory; returns the number of
/// the lease, at least 1, or 0 at the end of input, with which `into` is left alone. Errors: as
/// `soil_fd_read`, and `Out_of_memory` while 256 leases haven't been ended, or are ended but still
/// looked at.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_lease(fd: Int, mut into: Buffer) -> Int {
    call(|rt| glue::zero_copy::lease::begin(rt, Fd::decode(fd)?, &mut into.view()))
}

/// Ends a lease: `buffer`, the bigarray that it began with, is empty from now on. The memory is
/// used again once no part of it (`sub`) can be reached. Errors: `Invalid` (no such lease, or it is
/// another one's bigarray).
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_lease_end(lease: Int, mut buffer: Buffer) -> Int {
    call(|rt| glue::zero_copy::lease::end(rt, lease, &mut buffer.view()))
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
    call(|rt| glue::zero_copy::lend::send(rt, Fd::decode(fd)?, from.piece(off, len)?, token))
}
