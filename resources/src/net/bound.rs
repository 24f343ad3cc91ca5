//! TCP sockets that are bound before they connect or listen.

use super::errors::{error, refused};
use super::sockets::{open, socket};
use super::tcp::{CONNECTION, LISTENER, backlog_of, bind_with};
use super::{address, stack_for};
use crate::Runtime;
use crate::types::Int;
use core::net::SocketAddr;
use platform::error::Answer;
use reactor::table::Fd;

/// See `soil_tcp_bind`.
pub fn bind(rt: &mut Runtime, endpoint: &[u8], how: Int) -> Answer {
    let handle = bind_with(rt, endpoint, how)?;
    open(rt, handle, &LISTENER)
}

/// See `soil_tcp_listen_bound`.
pub fn listen(rt: &mut Runtime, fd: Fd, backlog: Int) -> Answer {
    let backlog = backlog_of(backlog)?;
    let key = rt.table.key_of(fd, &LISTENER)?;
    let (stack, socket) = socket(rt, key)?;
    stack
        .tcp_listen_bound(socket.handle, backlog)
        .map_err(error)?;
    Ok(0)
}

/// See `soil_tcp_connect_bound`.
pub fn connect(rt: &mut Runtime, fd: Fd, endpoint: &[u8]) -> Answer {
    connect_to(rt, fd, address::decode(endpoint)?)
}

/// [`connect`] to an address that may have a zone.
pub fn connect_to(rt: &mut Runtime, fd: Fd, endpoint: SocketAddr) -> Answer {
    stack_for(rt, endpoint.ip())?;
    let key = rt.table.key_of(fd, &LISTENER)?;
    let (stack, socket) = socket(rt, key)?;
    match stack.tcp_connect_bound(socket.handle, endpoint) {
        Ok(handle) => {
            // The stack has closed the bound socket.
            rt.close(fd)?;
            open(rt, handle, &CONNECTION)
        }
        Err(failure) => rt.fail(refused(failure)),
    }
}
