//! Ping: echo requests and their replies.

use alloc::boxed::Box;
use core::net::SocketAddr;

use super::Stack;
use crate::ping::{Ping, PingReply};
use crate::sockets::Socket;
use crate::types::{Error, Handle, scope_of};

/// Maximum number of concurrent requests.
const PINGS: usize = 64;
/// Maximum payload of a request in bytes.
const PAYLOAD_MAX: usize = 65_000;

/// Ping.
impl Stack {
    /// Sends an echo request with `len` bytes to `remote`; its port is ignored. The handle becomes
    /// readable when the reply has arrived or is known to fail. A lost request stays pending until
    /// the handle is closed.
    ///
    /// Errors: [`Error::InvalidArgument`], [`Error::Unreachable`] (no route),
    /// [`Error::OutOfMemory`] (more than 64 at a time), [`Error::MessageTooLong`] (more than 65 000
    /// bytes).
    pub fn ping(&mut self, remote: SocketAddr, len: usize) -> Result<Handle, Error> {
        let address = remote.ip();
        if address.is_multicast() || address.is_unspecified() {
            return Err(Error::InvalidArgument);
        }
        if len > PAYLOAD_MAX {
            return Err(Error::MessageTooLong);
        }
        let sockets = &mut self.sockets;
        if sockets.pings.len() >= PINGS {
            return Err(Error::OutOfMemory);
        }
        let route = self.ip.route(address, scope_of(remote), None)?;
        let mut identifier = (sockets.random)() as u16;
        while sockets.ping_of(identifier, address).is_some() {
            identifier = identifier.wrapping_add(1);
        }
        let ping = Ping::new(route, address, identifier, len);
        let handle = sockets.table.insert(Socket::Ping(Box::new(ping)));
        sockets.pings.push(handle);
        sockets.mark_dirty(handle);
        Ok(handle)
    }

    /// Returns the reply; [`Error::WouldBlock`] while there is none, [`Error::Unreachable`] if
    /// there won't be one.
    pub fn ping_result(&mut self, ping: Handle) -> Result<PingReply, Error> {
        match self.sockets.owned_mut(ping) {
            Some(Socket::Ping(ping)) => match ping.result {
                Some(result) => result,
                None => {
                    ping.wakes.read = true;
                    Err(Error::WouldBlock)
                }
            },
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }
}
