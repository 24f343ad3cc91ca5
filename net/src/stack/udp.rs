//! Operations on UDP sockets.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Stack;
use crate::types::{Error, Handle, scope_of};
use crate::udp::{Received, Source};

/// UDP.
impl Stack {
    /// Opens a UDP socket. An unspecified address receives on all interfaces (`[::]` for both
    /// families), a group address receives only datagrams to the group; port 0 selects an ephemeral
    /// port.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        self.udp_bind_family(local, false)
    }

    /// Like [`Stack::udp_bind`]; `[::]` is for IPv6 alone if `v6_only` (RFC 3493, 5.3).
    pub fn udp_bind_family(&mut self, local: SocketAddr, v6_only: bool) -> Result<Handle, Error> {
        let queue = self.sockets.config.udp_queue;
        self.sockets.bind(&self.ip, local, v6_only, queue)
    }

    /// Sets the only peer that the socket receives from and that [`Stack::udp_send`] sends to;
    /// `None` removes it. ICMP errors are reported for this peer only. Received datagrams stay.
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

    /// Takes the ICMP error that the next call on the socket would report.
    pub fn udp_take_error(&mut self, socket: Handle) -> Result<Option<Error>, Error> {
        Ok(self.sockets.udp_mut(socket)?.error.take())
    }

    /// Queues one datagram; it leaves with the next [`Stack::poll`], in fragments if it exceeds the
    /// path MTU.
    ///
    /// Errors: [`Error::WouldBlock`] (queue full), [`Error::MessageTooLong`],
    /// [`Error::Unreachable`] (no route), [`Error::InvalidArgument`]. A connected socket also
    /// returns, once, the ICMP error about an earlier datagram ([`Error::ConnectionRefused`],
    /// [`Error::Unreachable`]).
    pub fn udp_send_to(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), Error> {
        let scope = scope_of(remote);
        self.sockets
            .send_to(&self.ip, socket, data, remote, scope, None)
    }

    /// Like [`Stack::udp_send_to`], from an address or a link that [`Stack::udp_receive`] has
    /// returned. Also [`Error::AddressNotAvailable`] if the address isn't ours.
    pub fn udp_send_from(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
        source: &Source,
    ) -> Result<(), Error> {
        let own = source.address;
        if own.is_some_and(|own| !self.ip.net.has_address(own)) {
            return Err(Error::AddressNotAvailable);
        }
        let scope = source.interface.map(|link| link.0 as u32);
        let scope = scope.unwrap_or(scope_of(remote));
        self.sockets
            .send_to(&self.ip, socket, data, remote, scope, own)
    }

    /// Like [`Stack::udp_send_to`], to the peer of [`Stack::udp_connect`]; [`Error::NotConnected`]
    /// if there is none.
    pub fn udp_send(&mut self, socket: Handle, data: &[u8]) -> Result<(), Error> {
        let peer = self
            .sockets
            .udp_mut(socket)?
            .peer
            .ok_or(Error::NotConnected)?;
        self.udp_send_to(socket, data, peer)
    }

    /// Queues several datagrams; returns the number of those that fit. Fails with the error of the
    /// first one if none does.
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

    /// Takes the oldest datagram. Returns its full length (larger than `buffer` if the datagram was
    /// truncated; the rest is lost) and its sender. [`Error::WouldBlock`] if there is none; ICMP
    /// errors as for [`Stack::udp_send_to`].
    pub fn udp_recv_from(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), Error> {
        let received = self.sockets.recv_from(socket, buffer)?;
        Ok((received.len, received.from))
    }

    /// Like [`Stack::udp_recv_from`], with the destination address and the receiving interface (RFC
    /// 1122, 4.1.3.5).
    pub fn udp_receive(&mut self, socket: Handle, buffer: &mut [u8]) -> Result<Received, Error> {
        let mut received = self.sockets.recv_from(socket, buffer)?;
        let (to, from) = (received.to, received.from.ip());
        let local = self.ip.net.own_address(received.interface.0, to, from);
        received.local = local.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        Ok(received)
    }

    /// Passes up to `most` datagrams to `f` in place, oldest first; returns their number, which
    /// isn't 0. Errors as for [`Stack::udp_recv_from`].
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
