//! UDP of the socket table: ports, queues, turns to send.

mod input;

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use super::{Socket, Sockets, Turn};
use crate::ip::Ip;
use crate::types::{Binding, Error, Handle, InterfaceId};
use crate::udp::{MAX_PAYLOAD_V4, MAX_PAYLOAD_V6, Outgoing, Received, Udp};

impl Sockets {
    pub(crate) fn bind(
        &mut self,
        ip: &Ip,
        local: SocketAddr,
        v6_only: bool,
        queue: usize,
    ) -> Result<Handle, Error> {
        if ip.net.memory_short {
            return Err(Error::OutOfMemory);
        }
        let address = local.ip();
        let group = address.is_multicast();
        if !address.is_unspecified() && !group && !ip.net.has_address(address) {
            return Err(Error::AddressNotAvailable);
        }
        let port = match local.port() {
            0 => self.ephemeral_udp()?,
            port => port,
        };
        let binding = Binding { address, v6_only };
        let taken = self
            .udp_ports
            .get(&port)
            .into_iter()
            .flatten()
            .any(|other| {
                matches!(self.table.get(*other), Some(Socket::Udp(udp))
                if udp.binding().conflicts(binding))
            });
        if taken {
            return Err(Error::AddressInUse);
        }
        let mut udp = Udp::new(SocketAddr::new(address, port), queue);
        udp.v6_only = v6_only;
        let handle = self.table.insert(Socket::Udp(Box::new(udp)));
        self.udp_ports.entry(port).or_default().push(handle);
        Ok(handle)
    }

    /// Frees the port and leaves the groups; queued datagrams are still sent.
    pub(crate) fn close_udp(&mut self, ip: &mut Ip, handle: Handle) {
        let Some(Socket::Udp(udp)) = self.table.get_mut(handle) else {
            return;
        };
        let port = udp.local.port();
        udp.closing = true;
        udp.clear();
        for (interface, group) in core::mem::take(&mut udp.groups) {
            ip.net.leave(interface, group);
        }
        if udp.outgoing.is_empty() {
            self.table.remove(handle);
        } else {
            self.mark_dirty(handle);
        }
        if let Some(handles) = self.udp_ports.get_mut(&port) {
            handles.retain(|other| *other != handle);
            if handles.is_empty() {
                self.udp_ports.remove(&port);
            }
        }
    }

    pub(crate) fn send_to(
        &mut self,
        ip: &Ip,
        handle: Handle,
        data: &[u8],
        remote: SocketAddr,
        scope: u32,
        own: Option<IpAddr>,
    ) -> Result<(), Error> {
        let udp = self.udp_mut(handle)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(Error::InvalidArgument);
        }
        let bound = udp.local.ip();
        if bound.is_ipv4() && remote.is_ipv6() {
            return Err(Error::InvalidArgument);
        }
        let source = (!bound.is_unspecified() && !bound.is_multicast()).then_some(bound);
        let source = own.or(source);
        if source.is_some_and(|source| source.is_ipv4() != remote.is_ipv4()) {
            return Err(Error::InvalidArgument);
        }
        let largest = match remote {
            SocketAddr::V4(_) => MAX_PAYLOAD_V4,
            SocketAddr::V6(_) => MAX_PAYLOAD_V6,
        };
        if data.len() > largest || data.len() > udp.queue {
            return Err(Error::MessageTooLong);
        }
        if !udp.has_room() {
            udp.wakes.write = true;
            self.mark_dirty(handle);
            return Err(Error::WouldBlock);
        }
        let route = ip.route(remote.ip(), scope, source)?;
        if ip.net.tracks() {
            udp.asks(remote, ip.net.now_ns);
        }
        let mut header_fields = udp.header_fields;
        if remote.ip().is_multicast() {
            header_fields.hop_limit = udp.group_hops.max(1);
        }
        udp.outgoing_bytes += data.len();
        udp.outgoing.push_back(Outgoing {
            route,
            remote,
            header_fields,
            data: data.to_vec(),
        });
        self.mark_dirty(handle);
        Ok(())
    }

    /// Takes the oldest datagram; `local` is its destination, whichever kind of address that is.
    pub(crate) fn recv_from(
        &mut self,
        handle: Handle,
        buffer: &mut [u8],
    ) -> Result<Received, Error> {
        let udp = self.udp_mut(handle)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        match udp.take() {
            Some(arrived) => {
                for (to, byte) in buffer.iter_mut().zip(&arrived.data) {
                    *to = *byte;
                }
                Ok(Received {
                    len: arrived.data.len(),
                    from: arrived.from,
                    to: arrived.to,
                    local: arrived.to,
                    interface: InterfaceId(arrived.interface as usize),
                })
            }
            None => {
                udp.wakes.read = true;
                Err(Error::WouldBlock)
            }
        }
    }

    pub(crate) fn udp_mut(&mut self, handle: Handle) -> Result<&mut Udp, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Udp(udp)) => Ok(udp),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Sends a socket's queued datagrams.
    pub(crate) fn send_datagrams(&mut self, ip: &mut Ip, handle: Handle) -> Turn {
        let Some(Socket::Udp(udp)) = self.table.get_mut(handle) else {
            return Turn::Done(0);
        };
        let (sent, full) = udp.turn(ip, handle);
        self.work += u64::from(sent);
        let wake = udp.wakes.write && udp.has_room();
        udp.wakes.write &= !wake;
        let over = udp.closing && udp.outgoing.is_empty();
        let more = !full && !udp.waiting && !udp.outgoing.is_empty();
        if over {
            self.table.remove(handle);
        } else if wake {
            self.queue_event(handle);
        }
        match (full, more) {
            (true, _) => Turn::Blocked(sent),
            (false, true) => Turn::More(sent),
            (false, false) => Turn::Done(sent),
        }
    }
}
