//! UDP sockets.

use super::{address, close, error, open, ready, socket, stack, stop};
use crate::abi::KIND_UDP;
use crate::error::{Answer, Stop};
use crate::runtime::Runtime;
use crate::table::{Fd, Operations, cannot_read, cannot_shut_down, cannot_write};
use alloc::format;

static SOCKET: Operations = Operations {
    kind: KIND_UDP,
    read: cannot_read,
    write: cannot_write,
    ready,
    shutdown: cannot_shut_down,
    close,
};

/// See `soil_udp_bind`.
pub fn bind(rt: &mut Runtime, endpoint: &[u8]) -> Answer {
    let endpoint = address::decode(endpoint)?;
    match stack(rt)?.stack.udp_bind(endpoint) {
        Ok(handle) => open(rt, handle, &SOCKET),
        Err(failure) => rt.fail(error(failure), &format!("bind to {endpoint}: {failure}")),
    }
}

/// See `soil_udp_send`.
pub fn send(rt: &mut Runtime, fd: Fd, endpoint: &[u8], from: &[u8]) -> Answer {
    let endpoint = address::decode(endpoint)?;
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
