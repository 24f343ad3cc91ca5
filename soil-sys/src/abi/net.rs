//! The network but for its sockets: interfaces, routes, names, echo requests, Ethernet frames.
//!
//! An address is 16 bytes, IPv4 in the form `::ffff:a.b.c.d`; an endpoint is an address and a port,
//! 18 bytes, the port with its high byte first. The stack and its devices start with the first call
//! of this file or of those of TCP and UDP.

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

/// Adds an interface for VLAN `id` (1 to 4094) of interface `parent`, with the addresses in
/// `addresses` and the gateways in `gateways` (both separated by `,`; without addresses it asks
/// DHCP and listens to routers); returns its number. Errors: `Invalid`, `No_device`,
/// `Bad_configuration` with a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_vlan(parent: Int, id: Int, addresses: Text, gateways: Text) -> Int {
    call(|rt| glue::interfaces::vlan(rt, parent, id, addresses.utf8()?, gateways.utf8()?))
}

/// Adds a route to `network` (`10.1.0.0/16`) over an interface, by way of `gateway` or, if that is
/// empty, on the link itself; or takes it away (`add` = 0), whatever its gateway. Errors: `Invalid`
/// (no network, mixed families, more than 64), `No_device`, `Not_found` (no such route to take
/// away).
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_route(add: Int, network: Text, interface: Int, gateway: Text) -> Int {
    call(|rt| glue::interfaces::route(rt, add != 0, network.utf8()?, interface, gateway.utf8()?))
}

/// Copies the table of routes to `into[off .. off + len]`, cut where it doesn't fit, and returns
/// its whole length: a line for each, with the network, the number of the interface and the gateway
/// or `-`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_routes(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::interfaces::routes(rt, into.range(off, len)?))
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

/// Puts the 16-byte addresses in `addresses[0 .. len]` into the order in which to try them (RFC
/// 6724, 6); returns the number of those to which there is a route, which come first.
#[unsafe(no_mangle)]
pub extern "C" fn soil_net_sort(mut addresses: Bytes, len: Int) -> Int {
    call(|rt| glue::dns::sort(rt, addresses.range(0, len)?))
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

/// Looks records of `name` up whose type has the number `kind` (1 A, 5 CNAME, 12 PTR, 16 TXT, 28
/// AAAA, 33 SRV) and writes as many as fit to `results`; the result is the number of bytes. Each
/// record is its time to live in seconds (4 bytes, the highest first), the length of what follows
/// (2 bytes), and: the 16 bytes of an address; a name as text; priority, weight and port (2 bytes
/// each) and a name; or strings with a byte before each that says its length. Usually `PENDING`.
/// Errors: as [`soil_dns_lookup`].
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

/// Copies the name servers of lookups to `into[0 .. len]`, cut where they don't fit, and returns
/// the length: text such as `10.0.0.1:53, [fd00::1]:53`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_dns_servers(mut into: Bytes, len: Int) -> Int {
    call(|rt| glue::dns::servers(rt, into.range(0, len)?))
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
