//! Operations on sockets of every type.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Stack;
use crate::sockets::Socket;
use crate::tcp::connection::Phase;
use crate::types::{Error, Handle, Readiness, SocketKind};

/// All sockets.
impl Stack {
    /// Returns the type of a socket; `None` if it is closed.
    pub fn kind(&self, handle: Handle) -> Option<SocketKind> {
        Some(match self.sockets.owned(handle)? {
            Socket::Listener(_) => SocketKind::Listener,
            Socket::Connection(_) => SocketKind::Connection,
            Socket::Udp(_) => SocketKind::Udp,
            Socket::Ethernet(_) => SocketKind::Ethernet,
            Socket::Ping(_) => SocketKind::Ping,
        })
    }

    /// Returns the operations that wouldn't block.
    pub fn readiness(&mut self, handle: Handle) -> Result<Readiness, Error> {
        let (ready, wakes) = match self.sockets.owned_mut(handle) {
            Some(Socket::Connection(connection)) => (connection.readiness(), &mut connection.wakes),
            Some(Socket::Listener(listener)) => {
                let readable = !listener.queue.is_empty();
                (
                    Readiness {
                        readable,
                        ..Default::default()
                    },
                    &mut listener.wakes,
                )
            }
            Some(Socket::Udp(udp)) => (udp.readiness(), &mut udp.wakes),
            Some(Socket::Ethernet(ethernet)) => (ethernet.readiness(), &mut ethernet.wakes),
            Some(Socket::Ping(ping)) => (ping.readiness(), &mut ping.wakes),
            None => return Err(Error::BadHandle),
        };
        wakes.read |= !ready.readable;
        wakes.write |= !ready.writable;
        Ok(ready)
    }

    /// Returns the error of a failed connection; `None` if it hasn't failed. An orderly close is no
    /// failure.
    pub fn socket_error(&self, handle: Handle) -> Result<Option<Error>, Error> {
        match self.sockets.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.error()),
            Some(Socket::Udp(udp)) => Ok(udp.error),
            Some(_) => Ok(None),
            None => Err(Error::BadHandle),
        }
    }

    /// Returns the local address; for a listener or UDP socket, the bound one.
    pub fn local_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        match self.sockets.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.local),
            Some(Socket::Listener(listener)) => Ok(listener.local),
            Some(Socket::Udp(udp)) => Ok(udp.local),
            Some(Socket::Ethernet(_) | Socket::Ping(_)) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Returns the peer's address; [`Error::InvalidOperation`] if there is none.
    pub fn peer_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        match self.sockets.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.remote),
            Some(Socket::Udp(udp)) => udp.peer.ok_or(Error::InvalidOperation),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Closes the handle, which is invalid afterwards. Never blocks.
    ///
    /// - Connection: delivers the written data and then a FIN in the background, for at most
    ///   [`Config::linger_ns`](crate::Config::linger_ns). If data of the peer is unread, or arrives
    ///   later, the peer gets an RST once it has acknowledged everything written (RFC 9293, 3.10.4
    ///   and RFC 1122, 4.2.2.13).
    /// - Listener: frees its port at once and aborts connections that aren't accepted yet.
    /// - UDP: frees its port at once; queued datagrams are still sent.
    /// - Echo request: cancels it.
    /// - Raw frames: discards unread frames.
    pub fn close(&mut self, handle: Handle) -> Result<(), Error> {
        match self.kind(handle).ok_or(Error::BadHandle)? {
            SocketKind::Listener => self.sockets.close_listener(handle),
            SocketKind::Connection => self.sockets.close_connection(handle),
            SocketKind::Udp => self.sockets.close_udp(&mut self.ip, handle),
            SocketKind::Ethernet => self.sockets.close_ethernet(&mut self.ip.net, handle),
            SocketKind::Ping => self.sockets.close_ping(handle),
        }
        Ok(())
    }

    /// Closes all listeners and aborts all connections but closed ones, before shutdown: the peers
    /// get an RST, as from a system whose program ended, and don't wait for a machine that is off.
    pub fn abort_all(&mut self) {
        let handles: Vec<Handle> = self.sockets.table.handles().collect();
        for handle in handles {
            match self.sockets.table.get(handle) {
                Some(Socket::Connection(connection)) if connection.phase != Phase::Orphan => {
                    self.sockets.abort_connection(handle);
                }
                Some(Socket::Listener(_)) => self.sockets.close_listener(handle),
                _ => {}
            }
        }
    }

    /// Like [`Stack::close`], but discards unsent data and sends an RST to the peer.
    pub fn abort(&mut self, handle: Handle) -> Result<(), Error> {
        match self.kind(handle) {
            Some(SocketKind::Connection) => {
                self.sockets.abort_connection(handle);
                Ok(())
            }
            _ => self.close(handle),
        }
    }
}
