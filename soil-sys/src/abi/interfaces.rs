//! Interfaces and routes that the program adds: a part of its own, so that other programs don't
//! carry it.

use crate::ffi::{Bytes, Int, Text};
use resources::net as glue;
use resources::runtime::call;

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
