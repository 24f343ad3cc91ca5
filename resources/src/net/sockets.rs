//! The table of sockets: from a descriptor to the stack's handle, and from a handle that has become
//! ready to the tasks that wait.

use super::address;
use super::errors::error;
use crate::current::Transport;
use crate::types::Int;
use crate::types::constants::{KIND_LISTENER, KIND_TCP, KIND_UDP, MARK_DSCP, MARK_HOP_LIMIT};
use crate::{Operations, Runtime};
use ::net::{Handle, Readiness};
use core::net::SocketAddr;
use platform::Direction;
use platform::error::{Answer, Error, Stop};
use reactor::table::Fd;

/// The socket of a descriptor.
pub struct Socket {
    /// The stack's name for it.
    pub handle: Handle,
    /// The place of its descriptor in the table.
    pub fd: u32,
    /// The reader has said that it wants no more.
    pub receive_ended: bool,
    /// There is urgent data that a reader wasn't told of.
    pub urgent: bool,
}

/// The index in a handle.
fn index_of(handle: Handle) -> usize {
    (handle.to_raw() & u64::from(u32::MAX)) as usize
}

/// A socket or a lookup became ready for something.
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
        // Of a service, which looks at its sockets in any case.
        return;
    };
    let fd = socket.fd;
    // Asking re-arms the direction that isn't ready.
    let ready = net.stack.readiness(handle).unwrap_or_default();
    // RFC 9293, 3.8.5, MUST-32: who waits to read hears of urgent data before it is there.
    let urgent = net.stack.tcp_urgent(handle).is_ok_and(|left| left > 0);
    socket.urgent |= urgent;
    if ready.readable || ready.hangup || ready.error || urgent {
        rt.wake(fd, Direction::Read);
    }
    if ready.writable || ready.hangup || ready.error {
        rt.wake(fd, Direction::Write);
    }
}

/// Makes a descriptor for a handle; on failure the handle is closed.
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
        urgent: false,
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
            // It is ours and open.
            let _ = net.stack.abort(handle);
            if let Ok(fd) = other {
                rt.table.remove(fd, |_| ());
            }
            Err(other.err().unwrap_or(Error::OutOfMemory).into())
        }
    }
}

/// The stack and the socket of a descriptor's key.
pub fn socket(rt: &mut Runtime, key: u32) -> Result<(&mut Transport, &mut Socket), Error> {
    let net = rt.resources.net.as_deref_mut().ok_or(Error::Closed)?;
    let socket = net.sockets.get_mut(key as usize).ok_or(Error::Closed)?;
    Ok((&mut net.stack, socket))
}

/// Gives the object of a closed descriptor up.
pub fn close(rt: &mut Runtime, key: u32) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    if let Some(socket) = net.sockets.try_remove(key as usize) {
        // It is ours and open.
        let _ = net.stack.close(socket.handle);
    }
}

/// Whether trying is worthwhile.
pub fn ready(rt: &mut Runtime, key: u32, direction: Direction) -> Result<bool, Error> {
    let (stack, socket) = socket(rt, key)?;
    let ready = stack.readiness(socket.handle).map_err(error)?;
    Ok(match direction {
        Direction::Read => {
            let urgent = core::mem::take(&mut socket.urgent);
            ready.readable || ready.hangup || ready.error || socket.receive_ended || urgent
        }
        Direction::Write => ready.writable || ready.hangup || ready.error,
    })
}

/// The events of a socket, without the end of receiving that the program has asked for.
pub fn readiness(rt: &mut Runtime, fd: Fd) -> Result<Readiness, Error> {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    stack.readiness(socket.handle).map_err(error)
}

/// Why a connection has failed, if it has; of a datagram socket, the error that its next call
/// reports.
pub fn failure(rt: &mut Runtime, fd: Fd) -> Result<Option<Error>, Error> {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    let failure = stack.socket_error(socket.handle).map_err(error)?;
    Ok(failure.map(error))
}

/// The key of a descriptor of any of the three kinds.
fn any_socket(rt: &Runtime, fd: Fd) -> Result<u32, Error> {
    let (operations, key) = rt.table.get(fd)?;
    match operations.kind {
        KIND_TCP | KIND_LISTENER | KIND_UDP => Ok(key),
        _ => Err(Error::WrongKind),
    }
}

/// The local address of a socket.
pub fn local_address(rt: &mut Runtime, fd: Fd) -> Result<SocketAddr, Error> {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    stack.local_address(socket.handle).map_err(error)
}

/// The peer's address.
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
