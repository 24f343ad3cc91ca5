//! UDP: sockets, groups, and batches of datagrams.

use crate::ffi::{Buffer, Bytes, Int, Ints, Text};
use platform::error::Error;
use reactor::table::Fd;
use resources::net as glue;
use resources::runtime::call;

/// A UDP socket at `endpoint` (address zero: every address; port 0: one is chosen). Errors: as
/// [`soil_tcp_listen`](super::soil_tcp_listen).
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_bind(endpoint: Text) -> Int {
    call(|rt| glue::udp::bind(rt, endpoint.all()))
}

/// Sends `from[off .. off + len]` as one datagram to `endpoint`; returns `len`. `WOULD_BLOCK`.
/// Errors: `Message_too_long`, `Unreachable`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_send(
    fd: Int,
    endpoint: Text,
    mut from: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|rt| glue::udp::send(rt, Fd::decode(fd)?, endpoint.all(), from.range(off, len)?))
}

/// Receives one datagram to `into[off ..]`, cut where it doesn't fit, and writes its sender's 18
/// bytes to the start of `endpoint`; returns the number of bytes written. `WOULD_BLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_receive(
    fd: Int,
    mut endpoint: Bytes,
    mut into: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|rt| {
        endpoint.range(0, 18)?;
        let (n, from) = glue::udp::receive(rt, Fd::decode(fd)?, into.range(off, len)?)?;
        endpoint.range(0, 18)?.copy_from_slice(&from);
        Ok(n)
    })
}

/// [`soil_udp_receive`] that also writes where the datagram was sent to: the 52 bytes of `arrival`
/// are its sender's endpoint, its destination's address, the address to answer from (`::` if there
/// is none), and the number of its interface, in network byte order (65535: none).
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_receive_to(
    fd: Int,
    mut arrival: Bytes,
    mut into: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|rt| {
        let arrival = arrival.range(0, glue::udp::ARRIVAL as Int)?;
        glue::udp::receive_to(rt, Fd::decode(fd)?, into.range(off, len)?, arrival)
    })
}

/// [`soil_udp_send`] with a source: the 36 bytes of `route` are the destination's endpoint, an
/// address of this machine (`::`: whichever suits), and the number of the interface for a group or
/// a link-local destination, in network byte order (65535: whichever suits). Errors: also
/// `Address_not_available`, `No_device`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_send_from(
    fd: Int,
    route: Text,
    mut from: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|rt| glue::udp::send_from(rt, Fd::decode(fd)?, route.all(), from.range(off, len)?))
}

/// Restricts the socket to this peer, for datagrams and errors; port 0: any peer. Errors:
/// `Unreachable`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_connect(fd: Int, endpoint: Text) -> Int {
    call(|rt| glue::udp::connect(rt, Fd::decode(fd)?, endpoint.all()))
}

/// Joins (`join` 1) or leaves (0) the group with this 16-byte address on interface `interface` (-1:
/// whichever suits). Errors: `Invalid` (no group, or not joined), `Unreachable`, `Out_of_memory`
/// (too many groups).
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_group(fd: Int, group: Text, interface: Int, join: Int) -> Int {
    call(|rt| glue::udp::group(rt, Fd::decode(fd)?, group.all(), interface, join != 0))
}

/// How many routers what is sent to groups may pass, 0 … 255; 1, the value of a new socket, stays
/// on the link.
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_multicast_hops(fd: Int, hops: Int) -> Int {
    call(|rt| {
        let hops = u8::try_from(hops).map_err(|_| Error::Invalid)?;
        glue::udp::multicast_hops(rt, Fd::decode(fd)?, hops)
    })
}

/// Receives up to as many datagrams as `lengths` has places: number `i` to `into[i * slot ..]`, cut
/// where it doesn't fit, its sender's 18 bytes to `endpoints[18 * i ..]`, and the number of bytes
/// to `lengths[i]`; returns how many. `WOULD_BLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_receive_batch(
    fd: Int,
    mut into: Buffer,
    slot: Int,
    mut endpoints: Bytes,
    mut lengths: Ints,
) -> Int {
    call(|rt| {
        let lengths = lengths.all();
        let total = (lengths.len() as Int).checked_mul(slot);
        let into = into.range(0, total.ok_or(Error::Invalid)?)?;
        let endpoints = endpoints.range(0, lengths.len() as Int * 18)?;
        glue::udp::receive_batch(rt, Fd::decode(fd)?, into, slot, endpoints, lengths)
    })
}

/// Sends as many datagrams as `lengths` has places: number `i` is `from[i * slot .. i * slot +
/// lengths[i]]` to the endpoint in `endpoints[18 * i ..]`; returns how many were taken, at least
/// one. `WOULD_BLOCK`. Errors: of the first, as [`soil_udp_send`].
#[unsafe(no_mangle)]
pub extern "C" fn soil_udp_send_batch(
    fd: Int,
    mut from: Buffer,
    slot: Int,
    endpoints: Text,
    mut lengths: Ints,
) -> Int {
    call(|rt| {
        let lengths = lengths.all();
        let total = (lengths.len() as Int).checked_mul(slot);
        let from = from.range(0, total.ok_or(Error::Invalid)?)?;
        glue::udp::send_batch(rt, Fd::decode(fd)?, from, slot, endpoints.all(), lengths)
    })
}
