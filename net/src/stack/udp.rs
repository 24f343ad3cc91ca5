//! Operations on UDP sockets.

use core::net::SocketAddr;

use super::Stack;
use crate::types::{Error, Handle, InterfaceId, scope_of};
use crate::udp::Received;

/// UDP.
impl Stack {
    /// A UDP socket. An unspecified address receives on all interfaces (`[::]` of both families), a
    /// group's only what is sent to it; port 0 takes an ephemeral one.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        let queue = self.sockets.config.udp_queue;
        self.sockets.bind(&self.ip, local, queue)
    }

    /// Chooses the only peer that is heard and that [`Stack::udp_send`] sends to; `None` for all
    /// again. ICMP errors are told about this peer only. What was received stays.
    ///
    /// Errors: [`Error::InvalidArgument`], [`Error::Unreachable`] (no route).
    pub fn udp_connect(&mut self, socket: Handle, peer: Option<SocketAddr>) -> Result<(), Error> {
        if let Some(peer) = peer {
            if peer.port() == 0 {
                return Err(Error::InvalidArgument);
            }
            self.ip.route(peer.ip(), scope_of(peer), None)?;
        }
        self.sockets.udp_mut(socket)?.peer = peer;
        Ok(())
    }

    /// Queues one datagram; it leaves with the next [`Stack::poll`], in fragments if the path
    /// doesn't carry it whole.
    ///
    /// Errors: [`Error::WouldBlock`] (queue full), [`Error::MessageTooLong`],
    /// [`Error::Unreachable`] (no route), [`Error::InvalidArgument`]; and of a connected socket,
    /// once, what ICMP said about an earlier datagram ([`Error::ConnectionRefused`],
    /// [`Error::Unreachable`]).
    pub fn udp_send_to(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), Error> {
        self.sockets
            .send_to(&self.ip, socket, data, remote, scope_of(remote))
    }

    /// The same, where `interface` says on which link a group or link-local address is meant.
    pub fn udp_send_on(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
        interface: InterfaceId,
    ) -> Result<(), Error> {
        let scope = interface.0 as u32;
        self.sockets.send_to(&self.ip, socket, data, remote, scope)
    }

    /// The same to the peer of [`Stack::udp_connect`]; [`Error::NotConnected`] if there is none.
    pub fn udp_send(&mut self, socket: Handle, data: &[u8]) -> Result<(), Error> {
        let peer = self
            .sockets
            .udp_mut(socket)?
            .peer
            .ok_or(Error::NotConnected)?;
        self.sockets
            .send_to(&self.ip, socket, data, peer, scope_of(peer))
    }

    /// Queues several datagrams; gives the number of those that fitted. The error of the first one
    /// otherwise.
    pub fn udp_send_batch(
        &mut self,
        socket: Handle,
        batch: &[(&[u8], SocketAddr)],
    ) -> Result<usize, Error> {
        for (count, (data, remote)) in batch.iter().enumerate() {
            match self.udp_send_to(socket, data, *remote) {
                Ok(()) => {}
                Err(error) if count == 0 => return Err(error),
                Err(_) => return Ok(count),
            }
        }
        Ok(batch.len())
    }

    /// Takes the oldest datagram: its whole length (which is more than what was copied if `buffer`
    /// was too small; the rest is lost) and its sender. [`Error::WouldBlock`] if there is none;
    /// ICMP errors as for [`Stack::udp_send_to`].
    pub fn udp_recv_from(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), Error> {
        let received = self.sockets.recv_from(socket, buffer)?;
        Ok((received.len, received.from))
    }

    /// The same, with where the datagram was sent to and the interface that it came by (RFC 1122,
    /// 4.1.3.5).
    pub fn udp_receive(&mut self, socket: Handle, buffer: &mut [u8]) -> Result<Received, Error> {
        self.sockets.recv_from(socket, buffer)
    }

    /// Gives `f` up to `most` datagrams, oldest first, in place; gives their number, which isn't 0.
    /// Errors as for [`Stack::udp_recv_from`].
    pub fn udp_recv_batch(
        &mut self,
        socket: Handle,
        most: usize,
        f: &mut dyn FnMut(&[u8], SocketAddr),
    ) -> Result<usize, Error> {
        let udp = self.sockets.udp_mut(socket)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        let mut count = 0;
        while count < most
            && let Some(datagram) = udp.take()
        {
            f(&datagram.data, datagram.from);
            count += 1;
        }
        if count == 0 {
            udp.wakes.read = true;
            return Err(Error::WouldBlock);
        }
        Ok(count)
    }
}
