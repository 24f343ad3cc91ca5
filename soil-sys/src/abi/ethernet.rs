//! Raw Ethernet frames: a part of its own, so that other programs don't carry it.

use crate::ffi::{Bytes, Int, Text};
use crate::net as glue;
use crate::runtime::call;
use crate::table::Fd;

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
