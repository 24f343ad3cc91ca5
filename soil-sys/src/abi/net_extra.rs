//! Functions of the network that few programs call: bound TCP sockets, urgent data (RFC 9293,
//! 3.8.5), records of DNS other than addresses, echo requests and raw Ethernet frames.
//!
//! Together they are 7 KB, which programs that only connect and listen don't carry.

use crate::ffi::{Buffer, Bytes, Int, Ints, Text};
use reactor::table::Fd;
use resources::net as glue;
use resources::runtime::call;

/// Takes `endpoint` (address zero: every address; port 0: one is chosen) for
/// [`soil_tcp_listen_bound`] or [`soil_tcp_connect_bound`] and returns a descriptor of the kind of
/// listeners. `how` is as in [`soil_tcp_connect`](super::soil_tcp_connect). A SYN to it is refused.
/// Errors: as for [`soil_tcp_listen`](super::soil_tcp_listen).
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
/// the connection's, as [`soil_tcp_connect`](super::soil_tcp_connect) does. Errors: those, and
/// `Wrong_kind` for one that listens.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_connect_bound(fd: Int, endpoint: Text) -> Int {
    call(|rt| glue::bound::connect(rt, Fd::decode(fd)?, endpoint.all()))
}

/// Marks all that was written to a connection so far as urgent: the peer gets the pointer at once,
/// even if its window is closed. Errors: `Wrong_kind`, `Not_connected`.
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

/// Looks records of `name` up whose type has the number `kind` (1 A, 5 CNAME, 12 PTR, 16 TXT, 28
/// AAAA, 33 SRV) and writes as many as fit to `results`; the result is the number of bytes. Each
/// record is its time to live in seconds (4 bytes, the highest first), the length of what follows
/// (2 bytes), and: the 16 bytes of an address; a name as text; priority, weight and port (2 bytes
/// each) and a name; or strings with a byte before each that says its length. Usually `PENDING`.
/// Errors: as [`soil_dns_lookup`](super::soil_dns_lookup).
#[unsafe(no_mangle)]
pub extern "C" fn soil_dns_query(
    name: Text,
    kind: Int,
    results: Buffer,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| glue::dns::query(rt, name.utf8()?, kind, results.piece(0, len)?, token))
}

/// Sends an echo request with `len` bytes to the address of `endpoint`, whose port is of no
/// meaning; returns a descriptor that is readable once it is answered. Errors: `Invalid` (a group,
/// or no address), `Unreachable`, `Message_too_long` (more than 65 000 bytes), `Out_of_memory`
/// (more than 64 at a time).
#[unsafe(no_mangle)]
pub extern "C" fn soil_echo(endpoint: Text, len: Int) -> Int {
    call(|rt| glue::echo::send(rt, endpoint.all(), len))
}

/// Fills `into` with an `EchoReply`. `WOULD_BLOCK`. Errors: `Unreachable`, `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_echo_result(fd: Int, mut into: Ints) -> Int {
    call(|rt| {
        into.fill(&glue::echo::result(rt, Fd::decode(fd)?)?.numbers());
        Ok(0)
    })
}

/// A socket for the frames of this type on interface `interface`; returns its descriptor. Errors:
/// `Invalid` (a type of the machine's own: IPv4, IPv6, ARP, VLAN; or none), `Address_in_use`,
/// `No_device`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_ethernet_open(interface: Int, ethertype: Int) -> Int {
    call(|rt| glue::ethernet::open(rt, interface, ethertype))
}

/// Sends `from[off .. off + len]` in a frame to the 6-byte address `destination`; returns `len`.
/// `WOULD_BLOCK`. Errors: `Message_too_long`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_ethernet_send(
    fd: Int,
    destination: Text,
    mut from: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|rt| {
        glue::ethernet::send(
            rt,
            Fd::decode(fd)?,
            destination.all(),
            from.range(off, len)?,
        )
    })
}

/// Receives the payload of a frame to `into[off ..]`, cut where it doesn't fit, and writes its
/// source and destination, 6 bytes each, to the start of `addresses`; returns the number of bytes
/// written. `WOULD_BLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_ethernet_receive(
    fd: Int,
    mut addresses: Bytes,
    mut into: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|rt| {
        addresses.range(0, 12)?;
        let (n, both) = glue::ethernet::receive(rt, Fd::decode(fd)?, into.range(off, len)?)?;
        addresses.range(0, 12)?.copy_from_slice(&both);
        Ok(n)
    })
}
