//! Operations on sockets of every type.

use core::net::SocketAddr;

use super::Stack;
use crate::sockets::Socket;
use crate::types::{Error, Handle, Readiness, SocketKind};

/// All sockets.
impl Stack {
    /// The type of a socket; `None` if it was closed.
    pub fn kind(&self, handle: Handle) -> Option<SocketKind> {
        Some(match self.sockets.owned(handle)? {
            Socket::Listener(_) => SocketKind::Listener,
            Socket::Connection(_) => SocketKind::Connection,
            Socket::Udp(_) => SocketKind::Udp,
            Socket::Ethernet(_) => SocketKind::Ethernet,
            Socket::Ping(_) => SocketKind::Ping,
        })
    }

    /// The operations that would not block.
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

    /// Why a connection failed; `None` as long as it didn't. An orderly end is no failure.
    pub fn socket_error(&self, handle: Handle) -> Result<Option<Error>, Error> {
        match self.sockets.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.error()),
            Some(Socket::Udp(udp)) => Ok(udp.error),
            Some(_) => Ok(None),
            None => Err(Error::BadHandle),
        }
    }

    /// The address of this end; of a listener or UDP socket the one that it is bound to.
    pub fn local_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        match self.sockets.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.local),
            Some(Socket::Listener(listener)) => Ok(listener.local),
            Some(Socket::Udp(udp)) => Ok(udp.local),
            Some(Socket::Ethernet(_) | Socket::Ping(_)) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// The address of the other end; [`Error::InvalidOperation`] where there is none.
    pub fn peer_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        match self.sockets.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.remote),
            Some(Socket::Udp(udp)) => udp.peer.ok_or(Error::InvalidOperation),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Gives the handle back. Never waits, and the handle is unknown to the caller afterwards.
    ///
    /// - Connection: what was written is still delivered, then FIN, in the background, for at most
    ///   [`Config::linger_ns`](crate::Config::linger_ns). If bytes of the peer are left unread, or
    ///   come later, the peer gets an RST once everything written was acknowledged (RFC 9293,
    ///   3.10.4 and RFC 1122, 4.2.2.13).
    /// - Listener: its port is free at once; connections not accepted yet are aborted.
    /// - UDP: its port is free at once; what was queued to be sent still leaves.
    /// - Echo request: cancelled.
    /// - Raw frames: what wasn't read is lost.
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

    /// Like [`Stack::close`], but what was not sent yet is lost and the peer gets an RST.
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
