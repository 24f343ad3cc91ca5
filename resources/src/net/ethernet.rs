//! Raw Ethernet frames.

use super::errors::stop;
use super::sockets::{close, open as open_descriptor, ready, socket};
use super::{interface_id, needs_stack, stack};
use crate::Operations;
use crate::Runtime;
use crate::types::Int;
use platform::error::{Answer, Error, Stop};
use reactor::table::{Fd, Kind};

static SOCKET: Operations = Operations::without_data(Kind::Ethernet, ready, close);

/// See `soil_ethernet_open`.
pub fn open(rt: &mut Runtime, interface: Int, ethertype: Int) -> Answer {
    let ethertype = u16::try_from(ethertype).map_err(|_| Error::Invalid)?;
    needs_stack(rt, "Ethernet frames")?;
    let interface = interface_id(rt, interface)?;
    let handle = stack(rt)?.stack.ethernet_open(interface, ethertype);
    open_descriptor(rt, handle.map_err(stop)?, &SOCKET)
}

/// See `soil_ethernet_send`.
pub fn send(rt: &mut Runtime, fd: Fd, destination: &[u8], from: &[u8]) -> Answer {
    let destination = destination.try_into().map_err(|_| Error::Invalid)?;
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    let sent = stack.ethernet_send(socket.handle, destination, from);
    sent.map(|()| from.len()).map_err(stop)
}

/// See `soil_ethernet_receive`.
pub fn receive(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Result<(usize, [u8; 12]), Stop> {
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    let (len, source, destination) = stack.ethernet_recv(socket.handle, into).map_err(stop)?;
    let mut both = [0; 12];
    let (first, second) = both.split_at_mut(6);
    first.copy_from_slice(&source);
    second.copy_from_slice(&destination);
    Ok((len.min(into.len()), both))
}
