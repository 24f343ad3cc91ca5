//! The way of a datagram to its socket.

use core::net::IpAddr;

use crate::frame::{Datagram, Fragment, FragmentKey};
use crate::interface::End;
use crate::ip::{ErrorKind, IcmpError};
use crate::shared::{Core, Socket};
use crate::tcp::listener::covers;
use crate::{Error, Handle};

/// The port that a DHCP client receives on, and its server's.
const DHCP_PORTS: (u16, u16) = (68, 67);

/// Which port the fragments of a datagram belong to, known from the first of them. Eight datagrams
/// may come in pieces at a time; the oldest is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    known: [Option<(FragmentKey, Datagram)>; 8],
    next: usize,
}

impl Fragments {
    fn learn(&mut self, fragment: &Fragment) -> Option<Datagram> {
        if let Some(first) = fragment.first {
            self.known[self.next] = Some((fragment.key, first));
            self.next = (self.next + 1) % self.known.len();
            return Some(first);
        }
        let found = self
            .known
            .iter()
            .flatten()
            .find(|(key, _)| *key == fragment.key);
        found.map(|(_, datagram)| *datagram)
    }
}

impl Core {
    fn udp_for(&self, address: IpAddr, port: u16) -> Option<Handle> {
        let group = match address {
            IpAddr::V4(a) => a.is_multicast() || a.is_broadcast() || a.octets()[3] == 255,
            IpAddr::V6(a) => a.is_multicast(),
        };
        let mut found = None;
        for &handle in self.udp_ports.get(&port)? {
            if let Some(Socket::Udp(udp)) = self.sockets.get(handle) {
                let bound = udp.local.ip();
                if bound == address {
                    return Some(handle);
                }
                if covers(bound, address) || group && bound.is_ipv4() == address.is_ipv4() {
                    found = Some(handle);
                }
            }
        }
        found
    }

    /// Handles a datagram whose headers are in order; smoltcp verifies its checksum.
    pub(crate) fn udp_datagram(&mut self, end: &mut End, frame: &[u8], datagram: &Datagram) {
        if (datagram.local_port, datagram.remote_port) == DHCP_PORTS
            && let Some(mut client) = end.dhcp.take()
        {
            end.feed(self.now_ns, frame, &mut client.set);
            end.changed |= client.update();
            end.dhcp = Some(client);
            end.hurry();
            return;
        }
        let Some(handle) = self.udp_for(datagram.local, datagram.local_port) else {
            // smoltcp answers "port unreachable" where that is due.
            return end.feed_base(self.now_ns, frame);
        };
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return;
        };
        end.feed(self.now_ns, frame, &mut udp.receiver().0);
        if udp.wakes.read && udp.readiness().readable {
            udp.wakes.read = false;
            self.tell(handle);
        }
    }

    /// Handles a piece of a datagram: smoltcp's interface puts them together, and gives the whole to
    /// the set that comes with the last piece.
    pub(crate) fn udp_fragment(&mut self, end: &mut End, frame: &[u8], fragment: &Fragment) {
        match self.fragments.learn(fragment) {
            Some(datagram) => self.udp_datagram(end, frame, &datagram),
            None => end.feed_base(self.now_ns, frame),
        }
    }

    /// Tells a socket that a datagram of its reached nobody.
    pub(crate) fn udp_unreachable(&mut self, report: &IcmpError) {
        let error = match report.kind {
            ErrorKind::PortUnreachable | ErrorKind::ProtocolUnreachable => Error::ConnectionRefused,
            ErrorKind::HostUnreachable | ErrorKind::Prohibited => Error::Unreachable,
            _ => return,
        };
        let Some(handle) = self.udp_for(report.local.0, report.local.1) else {
            return;
        };
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return;
        };
        udp.error = Some(error);
        if core::mem::take(&mut udp.wakes.read) {
            self.tell(handle);
        }
    }
}
