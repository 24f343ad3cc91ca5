//! UDP sockets.

use super::errors::{error, refused, stop};
use super::sockets::{close, open, ready, socket};
use super::{address, stack_for};
use crate::Operations;
use crate::Runtime;
use crate::types::Int;
use ::net::{InterfaceId, Received, Source};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use platform::error::{Answer, Error, Stop};
use reactor::table::{Fd, Kind};

static SOCKET: Operations = Operations::without_data(Kind::Udp, ready, close);

/// See `soil_udp_bind`.
pub fn bind(rt: &mut Runtime, endpoint: &[u8]) -> Answer {
    bind_family(rt, address::decode(endpoint)?, false)
}

/// Like [`bind`]; `v6_only` makes `[::]` IPv6-only.
pub fn bind_family(rt: &mut Runtime, endpoint: SocketAddr, v6_only: bool) -> Answer {
    let net = stack_for(rt, endpoint.ip())?;
    match net.stack.udp_bind_family(endpoint, v6_only) {
        Ok(handle) => open(rt, handle, &SOCKET),
        Err(failure) => rt.fail(refused(failure)),
    }
}

/// See `soil_udp_send`.
pub fn send(rt: &mut Runtime, fd: Fd, endpoint: &[u8], from: &[u8]) -> Answer {
    send_to(rt, fd, address::decode(endpoint)?, from)
}

/// Like [`send`], to an address that may have a zone.
pub fn send_to(rt: &mut Runtime, fd: Fd, endpoint: SocketAddr, from: &[u8]) -> Answer {
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    stack
        .udp_send_to(socket.handle, from, endpoint)
        .map_err(stop)?;
    Ok(from.len())
}

/// See `soil_udp_receive`.
pub fn receive(
    rt: &mut Runtime,
    fd: Fd,
    into: &mut [u8],
) -> Result<(usize, [u8; address::ENDPOINT]), Stop> {
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    let (n, from) = stack.udp_recv_from(socket.handle, into).map_err(stop)?;
    Ok((n.min(into.len()), address::encode(from)))
}

/// Bytes of `soil_udp_receive_to`'s arrival.
pub const ARRIVAL: usize = 52;
/// The number of an interface that has none, as the loopback.
const NO_INTERFACE: u16 = u16::MAX;

/// See `soil_udp_receive_to`.
pub fn receive_to(rt: &mut Runtime, fd: Fd, into: &mut [u8], arrival: &mut [u8]) -> Answer {
    let received = receive_from(rt, fd, into)?;
    let interface = super::stack(rt)?
        .interfaces
        .iter()
        .position(|interface| interface.id == received.interface);
    let number = interface.and_then(|number| u16::try_from(number).ok());
    let parts = [
        &address::encode(received.from)[..],
        &address::octets(received.to),
        &address::octets(received.local),
        &number.unwrap_or(NO_INTERFACE).to_be_bytes(),
    ];
    for (to, byte) in arrival.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *byte;
    }
    Ok(received.len.min(into.len()))
}

/// See `soil_udp_send_from`.
pub fn send_from(rt: &mut Runtime, fd: Fd, route: &[u8], from: &[u8]) -> Answer {
    let (endpoint, source) = route
        .split_at_checked(address::ENDPOINT)
        .ok_or(Error::Invalid)?;
    let (own, number) = source.split_first_chunk::<16>().ok_or(Error::Invalid)?;
    let number = number.try_into().map_err(|_| Error::Invalid)?;
    let interface = match u16::from_be_bytes(number) {
        NO_INTERFACE => None,
        number => Some(super::interface_id(rt, number as Int)?),
    };
    let own = address::from_octets(own)?;
    let source = Source {
        address: (!own.is_unspecified()).then_some(own),
        interface,
    };
    let remote = scoped(address::decode(endpoint)?, interface);
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    stack
        .udp_send_from(socket.handle, from, remote, &source)
        .map_err(stop)?;
    Ok(from.len())
}

/// The address with the zone of an interface, if it is link-local.
fn scoped(remote: SocketAddr, interface: Option<InterfaceId>) -> SocketAddr {
    match (remote, interface) {
        (SocketAddr::V6(v6), Some(interface)) if v6.ip().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, interface.to_raw() as u32).into()
        }
        _ => remote,
    }
}

/// Receives the oldest datagram. Returns its full length, which may exceed the buffer.
pub fn receive_from(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Result<Received, Stop> {
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    stack.udp_receive(socket.handle, into).map_err(stop)
}

/// Returns the error of an earlier datagram, once.
pub fn take_failure(rt: &mut Runtime, fd: Fd) -> Option<Error> {
    let key = rt.table.key_of(fd, &SOCKET).ok()?;
    let (stack, socket) = socket(rt, key).ok()?;
    stack.udp_take_error(socket.handle).ok()?.map(error)
}

/// Returns the source address of datagrams to `remote`.
pub fn source_address(rt: &mut Runtime, remote: SocketAddr) -> Result<IpAddr, Stop> {
    let net = stack_for(rt, remote.ip())?;
    net.stack.source_address(remote.ip()).map_err(stop)
}

/// See `soil_udp_connect`.
pub fn connect(rt: &mut Runtime, fd: Fd, endpoint: &[u8]) -> Answer {
    let endpoint = address::decode(endpoint)?;
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    let peer = (endpoint.port() != 0).then_some(endpoint);
    stack
        .udp_connect(socket.handle, peer)
        .map(|()| 0)
        .map_err(stop)
}

/// See `soil_udp_group`.
pub fn group(rt: &mut Runtime, fd: Fd, group: &[u8], interface: Int, join: bool) -> Answer {
    let group = address::from_octets(group)?;
    let interface = match interface {
        -1 => None,
        index => Some(super::interface_id(rt, index)?),
    };
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    let done = match join {
        true => stack.udp_join(socket.handle, group, interface),
        false => stack.udp_leave(socket.handle, group, interface),
    };
    done.map(|()| 0).map_err(stop)
}

/// See `soil_udp_multicast_hops`.
pub fn multicast_hops(rt: &mut Runtime, fd: Fd, hops: u8) -> Answer {
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    let done = stack.udp_set_multicast_hops(socket.handle, hops);
    done.map(|()| 0).map_err(stop)
}

/// See `soil_udp_receive_batch`.
pub fn receive_batch(
    rt: &mut Runtime,
    fd: Fd,
    into: &mut [u8],
    slot: Int,
    endpoints: &mut [u8],
    lengths: &mut [Int],
) -> Answer {
    let slot = usize::try_from(slot).map_err(|_| Error::Invalid)?;
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    let most = lengths.len();
    let mut places = into.chunks_exact_mut(slot.max(1));
    let mut ends = endpoints.chunks_exact_mut(address::ENDPOINT);
    let mut lengths = lengths.iter_mut();
    let mut take = |data: &[u8], from| {
        let (place, end, length) = (places.next(), ends.next(), lengths.next());
        let (Some(place), Some(end), Some(length)) = (place, end, length) else {
            return;
        };
        for (to, byte) in place.iter_mut().zip(data) {
            *to = *byte;
        }
        end.copy_from_slice(&address::encode(from));
        *length = data.len().min(slot) as Int;
    };
    stack
        .udp_recv_batch(socket.handle, most, &mut take)
        .map_err(stop)
}

/// See `soil_udp_send_batch`.
pub fn send_batch(
    rt: &mut Runtime,
    fd: Fd,
    from: &[u8],
    slot: Int,
    endpoints: &[u8],
    lengths: &[Int],
) -> Answer {
    let slot = usize::try_from(slot).map_err(|_| Error::Invalid)?;
    let mut batch = Vec::new();
    let places = from.chunks_exact(slot.max(1));
    let ends = endpoints.chunks_exact(address::ENDPOINT);
    for ((place, end), length) in places.zip(ends).zip(lengths) {
        let length = usize::try_from(*length).map_err(|_| Error::Invalid)?;
        let data = place.get(..length).ok_or(Error::Invalid)?;
        batch.push((data, address::decode(end)?));
    }
    if batch.len() != lengths.len() || batch.is_empty() {
        return Err(Error::Invalid.into());
    }
    let key = rt.table.key_of(fd, &SOCKET)?;
    let (stack, socket) = socket(rt, key)?;
    stack.udp_send_batch(socket.handle, &batch).map_err(stop)
}
