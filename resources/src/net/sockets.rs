//! The table of sockets: maps a descriptor to the stack's handle, and a ready handle to the tasks
//! that wait for it.

use super::errors::error;
use super::{acceptors, address};
use crate::current::Transport;
use crate::types::Int;
use crate::types::constants::{MARK_DSCP, MARK_HOP_LIMIT};
use crate::{Operations, Runtime};
use ::net::{Handle, Readiness};
use core::net::SocketAddr;
use platform::Direction;
use platform::error::{Answer, Error, Stop};
use reactor::table::{Fd, Kind};

/// The socket of a descriptor.
pub struct Socket {
    /// Handle in the stack.
    pub handle: Handle,
    /// Index of its descriptor in the table.
    pub fd: u32,
    /// Whether the program has shut down receiving.
    pub receive_ended: bool,
    /// Whether a reader is to be woken once although there is nothing to read: for urgent data, or
    /// connections that were refused.
    pub noticed: bool,
    /// Connections that a listener has refused, since the program has asked.
    pub refused: u32,
}

/// Returns the index in a handle.
fn index_of(handle: Handle) -> usize {
    (handle.to_raw() & u64::from(u32::MAX)) as usize
}

/// Called when a socket or a lookup became ready.
pub fn event(rt: &mut Runtime, handle: Handle) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    let key = net
        .by_handle
        .get(index_of(handle))
        .copied()
        .unwrap_or(u32::MAX);
    let Some(socket) = net
        .sockets
        .get_mut(key as usize)
        .filter(|socket| socket.handle == handle)
    else {
        // The handle of a service, which polls its sockets in any case.
        return;
    };
    let fd = socket.fd;
    // The query re-arms the direction that isn't ready.
    let ready = net.stack.readiness(handle).unwrap_or_default();
    // RFC 9293, 3.8.5, MUST-32: a waiting reader learns of urgent data before that arrives.
    let urgent = net.stack.tcp_urgent(handle).is_ok_and(|left| left > 0);
    // A listener that isn't ready may have refused connections.
    let is_ready = ready != Readiness::default();
    let refused = if is_ready {
        0
    } else {
        net.stack.tcp_refused(handle).unwrap_or(0)
    };
    socket.refused = socket.refused.saturating_add(refused as u32);
    let noticed = urgent || refused > 0;
    socket.noticed |= noticed;
    if noticed || ready.hangup || ready.error {
        rt.wake(fd, Direction::Read);
    } else if ready.readable && rt.table.kind(fd) == Some(Kind::Listener) {
        acceptors::wake(rt, handle, fd);
    } else if ready.readable {
        rt.wake(fd, Direction::Read);
    }
    if ready.writable || ready.hangup || ready.error {
        rt.wake(fd, Direction::Write);
    }
}

/// Creates a descriptor for a handle; closes the handle on failure.
pub fn open(
    rt: &mut Runtime,
    handle: Handle,
    operations: &'static Operations,
) -> Result<usize, Stop> {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Err(Error::NoNetwork.into());
    };
    let key = net.sockets.insert(Socket {
        handle,
        fd: 0,
        receive_ended: false,
        noticed: false,
        refused: 0,
    });
    let inserted = rt.table.insert(operations, key as u32);
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Err(Error::NoNetwork.into());
    };
    let index = index_of(handle);
    let room = (index + 1).saturating_sub(net.by_handle.len());
    match inserted {
        Ok(fd) if net.by_handle.try_reserve(room).is_ok() => {
            if room > 0 {
                net.by_handle.resize(index + 1, u32::MAX);
            }
            if let (Some(place), Some(socket)) =
                (net.by_handle.get_mut(index), net.sockets.get_mut(key))
            {
                *place = key as u32;
                socket.fd = fd.index;
            }
            Ok(fd.encode() as usize)
        }
        other => {
            net.sockets.try_remove(key);
            // The handle is ours and open.
            let _ = net.stack.abort(handle);
            if let Ok(fd) = other {
                rt.table.remove(fd, |_| ());
            }
            Err(other.err().unwrap_or(Error::OutOfMemory).into())
        }
    }
}

/// Returns the stack and the socket of a descriptor's key.
pub fn socket(rt: &mut Runtime, key: u32) -> Result<(&mut Transport, &mut Socket), Error> {
    let net = rt.resources.net.as_deref_mut().ok_or(Error::Closed)?;
    let socket = net.sockets.get_mut(key as usize).ok_or(Error::Closed)?;
    Ok((&mut net.stack, socket))
}

/// Closes the socket of a closed descriptor.
pub fn close(rt: &mut Runtime, key: u32) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    if let Some(socket) = net.sockets.try_remove(key as usize) {
        // The handle is ours and open.
        let _ = net.stack.close(socket.handle);
    }
}

/// Whether a read or write would not block.
pub fn ready(rt: &mut Runtime, key: u32, direction: Direction) -> Result<bool, Error> {
    let (stack, socket) = socket(rt, key)?;
    let ready = stack.readiness(socket.handle).map_err(error)?;
    Ok(match direction {
        Direction::Read => {
            let noticed = core::mem::take(&mut socket.noticed);
            ready.readable || ready.hangup || ready.error || socket.receive_ended || noticed
        }
        Direction::Write => ready.writable || ready.hangup || ready.error,
    })
}

/// Returns the readiness of a socket, without the end of receiving that the program requested.
pub fn readiness(rt: &mut Runtime, fd: Fd) -> Result<Readiness, Error> {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    stack.readiness(socket.handle).map_err(error)
}

/// Returns why a connection failed, if it did; for a datagram socket, the error that its next call
/// would report.
pub fn failure(rt: &mut Runtime, fd: Fd) -> Result<Option<Error>, Error> {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    let failure = stack.socket_error(socket.handle).map_err(error)?;
    Ok(failure.map(error))
}

/// Returns the key of a descriptor of any of the three kinds.
fn any_socket(rt: &Runtime, fd: Fd) -> Result<u32, Error> {
    let (operations, key) = rt.table.get(fd)?;
    match operations.kind {
        Kind::Tcp | Kind::Listener | Kind::Udp => Ok(key),
        _ => Err(Error::WrongKind),
    }
}

/// Returns the local address of a socket.
pub fn local_address(rt: &mut Runtime, fd: Fd) -> Result<SocketAddr, Error> {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    stack.local_address(socket.handle).map_err(error)
}

/// Returns the peer's address.
pub fn peer_address(rt: &mut Runtime, fd: Fd) -> Result<SocketAddr, Error> {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    stack.peer_address(socket.handle).map_err(error)
}

/// See `soil_tcp_local`.
pub fn local(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Answer {
    into.copy_from_slice(&address::encode(local_address(rt, fd)?));
    Ok(0)
}

/// See `soil_net_mark`.
pub fn mark(rt: &mut Runtime, fd: Fd, what: Int, value: u8) -> Answer {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    let done = match what {
        MARK_HOP_LIMIT => stack.set_hop_limit(socket.handle, value),
        MARK_DSCP => stack.set_dscp(socket.handle, value),
        _ => return Err(Error::Invalid.into()),
    };
    done.map_err(error)?;
    Ok(0)
}

/// See `soil_tcp_peer`.
pub fn peer(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Answer {
    into.copy_from_slice(&address::encode(peer_address(rt, fd)?));
    Ok(0)
}
