//! Delivery of a datagram to its socket.

use core::net::{IpAddr, SocketAddr};

use crate::ip::{ErrorKind, IcmpError, Net, UDP, UdpInput};
use crate::sockets::{Socket, Sockets};
use crate::types::{Error, Handle, with_scope};

impl Sockets {
    /// The socket for datagrams from `from` to our address: one with that peer before one bound to
    /// the address before one bound to all.
    fn udp_for(&self, address: IpAddr, port: u16, from: SocketAddr) -> Option<Handle> {
        let mut found = None;
        for &handle in self.udp_ports.get(&port)? {
            if let Some(Socket::Udp(udp)) = self.table.get(handle)
                && udp.accepts(from)
                && (udp.local.ip() == address || udp.binding().covers(address))
            {
                let rank = (udp.peer.is_some(), udp.local.ip() == address);
                if found.is_none_or(|(best, _)| rank > best) {
                    found = Some((rank, handle));
                }
            }
        }
        found.map(|(_, handle)| handle)
    }

    /// Handles a valid datagram.
    pub(crate) fn udp_datagram(&mut self, net: &mut Net, datagram: &UdpInput<'_>) {
        let origin = datagram.origin;
        // A reply needs the link.
        let from = with_scope(origin.remote, datagram.remote_port, origin.interface);
        let to_one = datagram
            .unicast
            .then(|| self.udp_for(origin.local, datagram.local_port, from));
        if net.tracks() {
            let now_ns = net.now_ns;
            let known = to_one.flatten().is_some_and(|handle| {
                matches!(
                    self.table.get(handle),
                    Some(Socket::Udp(udp)) if udp.expects(from, now_ns),
                )
            });
            let [a, b] = datagram.remote_port.to_be_bytes();
            let [c, d] = datagram.local_port.to_be_bytes();
            if !net.admits(&origin, UDP, &[a, b, c, d], known) {
                return;
            }
        }
        if let Some(found) = to_one {
            match found {
                Some(handle) => self.deliver(net, handle, from, datagram),
                None => net.port_unreachable(datagram),
            }
            return;
        }
        let count = self
            .udp_ports
            .get(&datagram.local_port)
            .map_or(0, alloc::vec::Vec::len);
        for n in 0..count {
            let handles = self.udp_ports.get(&datagram.local_port);
            let Some(&handle) = handles.and_then(|handles| handles.get(n)) else {
                break;
            };
            if let Some(Socket::Udp(udp)) = self.table.get(handle)
                && udp.accepts(from)
                && udp.wants(origin.interface, origin.local)
            {
                self.deliver(net, handle, from, datagram);
            }
        }
    }

    fn deliver(
        &mut self,
        net: &mut Net,
        handle: Handle,
        from: SocketAddr,
        datagram: &UdpInput<'_>,
    ) {
        let Some(Socket::Udp(udp)) = self.table.get_mut(handle) else {
            return;
        };
        if !udp.deliver(from, datagram, net.memory_short) {
            return net.queue_full();
        }
        if core::mem::take(&mut udp.wakes.read) {
            self.queue_event(handle);
        }
    }

    /// Reports an ICMP error about a datagram to its socket.
    pub(crate) fn udp_error(&mut self, net: &mut Net, report: &IcmpError) {
        let to = SocketAddr::from(report.remote);
        let Some(handle) = self.udp_for(report.local.0, report.local.1, to) else {
            return;
        };
        let error = match report.kind {
            ErrorKind::PortUnreachable | ErrorKind::ProtocolUnreachable => Error::ConnectionRefused,
            ErrorKind::HostUnreachable | ErrorKind::Prohibited => Error::Unreachable,
            ErrorKind::PacketTooBig(mtu) => {
                // A socket has sent from this port, so it may be true. The next datagrams are
                // fragmented.
                net.learn_path_mtu(report.remote.0, mtu);
                return;
            }
            ErrorKind::TimeExceeded | ErrorKind::ParameterProblem => return,
        };
        let Some(Socket::Udp(udp)) = self.table.get_mut(handle) else {
            return;
        };
        // A server without a peer would get errors that strangers cause.
        if udp.peer.is_none() {
            return;
        }
        udp.error = Some(error);
        if core::mem::take(&mut udp.wakes.read) {
            self.queue_event(handle);
        }
    }
}
