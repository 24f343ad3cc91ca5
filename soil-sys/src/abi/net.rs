//! TCP, UDP, names and interfaces.
//!
//! An address is 16 bytes, IPv4 in the form `::ffff:a.b.c.d`; an endpoint is an address and a port,
//! 18 bytes, the port with its high byte first. The stack and its devices start with the first call
//! of this file.

use crate::ffi::{Buffer, Bytes, Int, Ints, Text};
use platform::error::Error;
use reactor::table::Fd;
use resources::net as glue;
use resources::runtime::call;

/// 0 when an interface has an address, else `PENDING` until the first one has. Errors (also of the
/// completion): `No_network` with a detail that says what to do, `Bad_configuration`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_up(token: Int) -> Int {
    call(|rt| glue::up(rt, token))
}

/// Puts the 16-byte addresses in `addresses[0 .. len]` into the order in which to try them (RFC
/// 6724, 6); returns the number of those to which there is a route, which come first.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_sort(mut addresses: Bytes, len: Int) -> Int {
    call(|rt| glue::dns::sort(rt, addresses.range(0, len)?))
}

/// The number of interfaces. Errors: `Bad_configuration`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_interfaces() -> Int {
    call(glue::interfaces)
}

/// Copies a description of interface `index` to `into[off .. off + len]`, cut where it doesn't fit,
/// and returns its whole length: lines `name=…`, `mac=…`, `mtu=…`, `address=…/…` (any number),
/// `gateway=…`, `dns=…`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_interface(index: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::interface(rt, index, into.range(off, len)?))
}

/// Copies the table of sockets to `into[off .. off + len]`, cut where it doesn't fit, and returns
/// its whole length: a line for each, with the protocol, its own end, the other end or `-`, the
/// state (RFC 9293, 3.3.2) or `-`, the bytes received and not read (of a listener: connections not
/// accepted) and the bytes that aren't acknowledged.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_connections(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::inspect::connections(rt, into.range(off, len)?))
}

/// Copies what the network counts to `into[off .. off + len]`, cut where it doesn't fit, and
/// returns its whole length: lines `name=value`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_statistics(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::inspect::statistics(rt, into.range(off, len)?))
}

/// Puts the rules of the packet filter in `rules` in force, in place of those before. Errors:
/// `Bad_configuration` with a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_filter(rules: Text) -> Int {
    call(|rt| glue::filter::set(rt, rules.utf8()?))
}

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
    call(|rt| glue::tcp::accept(rt, Fd::decode(listener)?))
}

/// Starts a connection and returns its descriptor at once; park with `PARK_WRITE`, then ask
/// [`soil_tcp_connected`]. `how`, in bits: 0 to 7 the hop limit and 8 to 13 the DSCP, as with
/// [`soil_net_mark`]; 16 and 17 whether to ask for congestion marks (RFC 3168): 0 as configured, 1
/// no, 2 yes; 18 to 21: no timestamps, no selective acknowledgements, no window scaling, no pacing;
/// 24 to 39 as [`OPTION_MSS`](super::OPTION_MSS); 40 to 59: 0 the usual delay of acknowledgements,
/// otherwise 1 more than it in microseconds. Errors: `No_network`, `Unreachable`, `Too_many_open`,
/// `Invalid`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_connect(endpoint: Text, how: Int) -> Int {
    call(|rt| glue::tcp::connect(rt, endpoint.all(), how))
}

/// Chooses the hop limit or the DSCP, one of `MARK_*`, of what a connection or UDP socket sends
/// from now on; of a listener: for its answers and for the connections that it establishes from now
/// on. Errors: `Invalid` (no such value), `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_mark(fd: Int, what: Int, value: Int) -> Int {
    call(|rt| {
        let value = u8::try_from(value).map_err(|_| Error::Invalid)?;
        glue::mark(rt, Fd::decode(fd)?, what, value)
    })
}

/// 0 when the connection is established; `WOULD_BLOCK`. Errors: `Connection_refused`, `Timed_out`,
/// `Unreachable`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tcp_connected(fd: Int) -> Int {
    call(|rt| glue::tcp::connected(rt, Fd::decode(fd)?))
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

/// Looks the addresses of `name` up (`family` 4, 6, or 0 for both) and writes 16 bytes for each to
/// `results`; the result is their number, at most as many as fit. Usually `PENDING`. Errors:
/// `No_such_host`, `Name_server_failure`, `Timed_out`, `No_network`, `Invalid_name`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_dns_lookup(
    name: Text,
    family: Int,
    results: Buffer,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| glue::dns::lookup(rt, name.utf8()?, family, results.piece(0, len)?, token))
}
