//! Sending: from a route and a [`packet`] to a frame in the device's buffer, or in a [`queue`]
//! beside the link.

pub(super) mod queue;

use core::net::IpAddr;

use super::drops::DropReason;
use super::filter::{FilterDirection, PacketFields};
use super::neighbor::Known;
use super::packet::{Offload, Packet, TcpSegment, ethertype, tcp_packet};
use super::wire::header::{Framing, IP_MAX, Mac};
use super::{Ip, LOOPBACK, Net, Origin, Route};
use crate::types::{LinkCapabilities, TxMeta};
use queue::{MTU_MIN, count_sent};

/// The result of sending a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The link has it, or it is queued for an unresolved neighbor.
    Sent,
    /// The link has no room: retry when it has ([`Ip::take_unblocked`]).
    Full,
    /// The neighbor is being resolved: retry when it is ([`Net::take_resolved`]).
    Resolving,
    /// No route, or the neighbor doesn't reply.
    Unreachable,
    /// Larger than the path's MTU, and must not be fragmented.
    TooLong,
}

impl Net {
    /// The Ethernet address that packets of a route are sent to now.
    pub(crate) fn next_mac(&mut self, route: &mut Route) -> Result<Mac, Outcome> {
        if !self.refresh(route) {
            return Err(Outcome::Unreachable);
        }
        if route.interface == LOOPBACK {
            return Ok([0; 6]);
        }
        let now_ns = self.now_ns;
        let Some(interface) = self.interfaces.get_mut(route.interface) else {
            return Err(Outcome::Unreachable);
        };
        if !interface.is_ready(route.source) {
            return Err(if interface.has_address(route.source) {
                Outcome::Resolving
            } else {
                Outcome::Unreachable
            });
        }
        if let Some(mac) = route.group {
            return Ok(mac);
        }
        match interface
            .neighbors
            .lookup(route.next_hop, &mut route.slot, now_ns)
        {
            Known::At(mac) => Ok(mac),
            Known::Gone => Err(Outcome::Unreachable),
            Known::Asking(now) => {
                if now {
                    self.solicit_neighbor(route.interface, route.next_hop, None);
                }
                Err(Outcome::Resolving)
            }
        }
    }

    /// Solicits a neighbor: by multicast, or at its last address.
    pub(crate) fn solicit_neighbor(
        &mut self,
        interface: usize,
        neighbor: IpAddr,
        mac: Option<Mac>,
    ) {
        let now_ns = self.now_ns;
        let source = self.interfaces.get(interface).and_then(|i| {
            let source = i.source_for(neighbor, now_ns)?;
            i.is_ready(source).then_some(source)
        });
        match (source, neighbor) {
            (Some(IpAddr::V4(source)), IpAddr::V4(neighbor)) => {
                self.arp_request(interface, source, neighbor, mac);
            }
            (Some(IpAddr::V6(source)), IpAddr::V6(neighbor)) => {
                self.solicit(interface, source, neighbor, mac);
            }
            _ => {}
        }
    }

    /// Queues a packet that the filter passes until its neighbor is resolved.
    pub(super) fn hold(&mut self, route: &Route, packet: &Packet<'_>) -> Outcome {
        let ready = |i: &super::Interface| i.is_ready(route.source);
        if !self.interfaces.get(route.interface).is_some_and(ready) {
            return Outcome::Resolving;
        }
        if !self.may_leave(route.interface, packet) {
            return Outcome::Sent;
        }
        let Some(interface) = self.interfaces.get_mut(route.interface) else {
            return Outcome::Unreachable;
        };
        if !interface.neighbors.hold(route.next_hop, packet.to_vec()) {
            self.drops.count(DropReason::NeighborQueueFull);
        }
        Outcome::Sent
    }

    /// Queues a segment until its neighbor is resolved.
    pub(crate) fn hold_tcp(&mut self, route: &Route, segment: &TcpSegment<'_>) -> Outcome {
        let packet = tcp_packet(route.source, route.destination, segment, route.hop_limit);
        self.hold(route, &packet)
    }

    pub(super) fn mtu_towards(&self, interface: usize, remote: IpAddr) -> usize {
        let link = self
            .interfaces
            .get(interface)
            .map_or(1280, |interface| interface.mtu_for(remote));
        match self.path_mtus.get(remote, self.now_ns) {
            Some(path) if interface != LOOPBACK => link.min(path as usize),
            _ => link,
        }
    }

    /// The path MTU of a route, as far as known.
    pub(crate) fn path_mtu(&self, route: &Route) -> usize {
        self.mtu_towards(route.interface, route.destination)
    }

    /// A router reported that packets to `remote` may have at most `mtu` bytes. For TCP, call this
    /// once the connection has verified the report. Returns whether the path MTU has changed.
    pub(crate) fn learn_path_mtu(&mut self, remote: IpAddr, mtu: u32) -> bool {
        let now_ns = self.now_ns;
        let Ok(route) = self.route(remote, 0, None) else {
            return false;
        };
        let sent = self.path_mtu(&route) as u32;
        self.path_mtus.learn(remote, mtu, sent, now_ns)
    }

    /// The largest payload of a TCP segment from one of our addresses over an interface (RFC 6691).
    pub(crate) fn mss(&self, interface: usize, local: IpAddr) -> u16 {
        let headers = if local.is_ipv4() { 40 } else { 60 };
        let mtu = self
            .interfaces
            .get(interface)
            .map_or(MTU_MIN, |interface| interface.mtu_for(local));
        mtu.saturating_sub(headers).clamp(1, 0xffff) as u16
    }

    /// The same, limited by the path MTU to `remote`.
    pub(crate) fn path_mss(&self, interface: usize, remote: IpAddr) -> u16 {
        let headers = if remote.is_ipv4() { 40 } else { 60 };
        let mtu = self.mtu_towards(interface, remote);
        mtu.saturating_sub(headers).clamp(1, 0xffff) as u16
    }

    /// A handshake confirmed that packets to `origin` reach the end of `route` (RFC 4861, 7.3.1),
    /// so an unresolved neighbor needs no solicitation. This holds for on-link peers only:
    /// otherwise a host that forges addresses could redirect packets meant for a router.
    pub(crate) fn reached(&mut self, route: &Route, origin: &Origin) {
        let now_ns = self.now_ns;
        if route.interface == origin.interface
            && route.next_hop == origin.remote
            && route.interface != LOOPBACK
            && let Some(interface) = self.interfaces.get_mut(route.interface)
        {
            interface
                .neighbors
                .reached(route.next_hop, origin.mac, now_ns);
        }
    }

    /// Packets over this route remain unanswered: probes its neighbor (RFC 1122, 2.3.2.1: negative
    /// advice from the transport layer).
    pub(crate) fn negative_advice(&mut self, route: &Route) {
        if let Some(interface) = self.interfaces.get_mut(route.interface) {
            interface
                .neighbors
                .negative_advice(route.next_hop, self.now_ns);
        }
    }

    /// Whether the filter passes an outgoing packet.
    fn may_leave(&mut self, interface: usize, packet: &Packet<'_>) -> bool {
        if !self.filter.watches(FilterDirection::Out) {
            return true;
        }
        let fields = PacketFields {
            direction: FilterDirection::Out,
            interface,
            protocol: packet.header.protocol,
            remote: packet.header.destination,
            transport: packet.transport,
            known: None,
        };
        let allowed = self.filter.allows(&fields, self.now_ns);
        if !allowed {
            self.drops.count(DropReason::Filtered);
        }
        allowed
    }
}

impl Ip {
    /// The largest IP packet that [`Ip::send_tcp`] accepts with a `segment_size`; `None` if the
    /// route's device doesn't segment.
    pub(crate) fn segmentation(&self, route: &Route) -> Option<usize> {
        let port = self.net.interfaces.get(route.interface)?.port;
        let LinkCapabilities {
            tx_checksum,
            tso4,
            tso6,
            ..
        } = self.ports.get(port)?.capabilities;
        let cuts = match route.destination {
            IpAddr::V4(_) => tso4,
            IpAddr::V6(_) => tso6,
        };
        (cuts && tx_checksum).then_some(IP_MAX)
    }

    /// Sends a TCP segment; to `mac`, if [`Net::next_mac`] has just returned it.
    pub(crate) fn send_tcp(
        &mut self,
        route: &mut Route,
        mac: Option<Mac>,
        segment: &TcpSegment<'_>,
    ) -> Outcome {
        let mac = match mac.map_or_else(|| self.net.next_mac(route), Ok) {
            Ok(mac) => mac,
            Err(outcome) => return outcome,
        };
        let packet = tcp_packet(route.source, route.destination, segment, route.hop_limit);
        if !self.net.may_leave(route.interface, &packet) {
            return Outcome::Sent;
        }
        let len = packet.len();
        let limit = match segment.segment_size {
            Some(_) => self.segmentation(route).unwrap_or(0),
            None => self
                .net
                .interfaces
                .get(route.interface)
                .map_or(0, |interface| interface.mtu_for(route.destination)),
        };
        if len > limit {
            // The link's MTU has decreased since the connection began: until the connection has
            // learned of it, its segments are fragmented.
            return self.send_in_fragments(route.interface, mac, &packet);
        }
        self.transmit(route.interface, mac, &packet, segment.segment_size)
    }

    /// Sends a packet of another protocol, in fragments if necessary; queues one whose neighbor
    /// isn't resolved.
    pub(crate) fn send(&mut self, route: &mut Route, packet: &Packet<'_>) -> Outcome {
        let mac = match self.net.next_mac(route) {
            Ok(mac) => mac,
            Err(Outcome::Resolving) => return self.net.hold(route, packet),
            Err(outcome) => return outcome,
        };
        if packet.len() > IP_MAX {
            return Outcome::TooLong;
        }
        if !self.net.may_leave(route.interface, packet) {
            return Outcome::Sent;
        }
        if packet.len() <= self.net.path_mtu(route) {
            return self.transmit(route.interface, mac, packet, None);
        }
        self.send_in_fragments(route.interface, mac, packet)
    }

    fn send_in_fragments(&mut self, interface: usize, mac: Mac, packet: &Packet<'_>) -> Outcome {
        let Some(port) = self.net.interfaces.get(interface).map(|i| i.port) else {
            return Outcome::Unreachable;
        };
        // All fragments fit into the empty queue.
        if !self.drain(port) {
            return Outcome::Full;
        }
        self.net.stage_any_size(interface, mac, packet);
        self.drain(port);
        Outcome::Sent
    }

    /// Writes a packet into the device's own buffer.
    fn transmit(
        &mut self,
        interface: usize,
        mac: Mac,
        packet: &Packet<'_>,
        segment_size: Option<u16>,
    ) -> Outcome {
        let port = self.net.interfaces.get(interface).map(|i| i.port);
        let how = Offload {
            checksum: port
                .and_then(|port| self.ports.get(port))
                .is_some_and(|port| port.capabilities.tx_checksum),
            segment_size,
        };
        let ethertype = ethertype(packet.header.destination);
        self.write(
            interface,
            mac,
            ethertype,
            packet.len(),
            &mut |buffer, before| packet.write(buffer, before, how),
        )
    }

    fn write(
        &mut self,
        interface: usize,
        mac: Mac,
        ethertype: u16,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8], usize) -> TxMeta,
    ) -> Outcome {
        let Some(interface) = self.net.interfaces.get_mut(interface) else {
            return Outcome::Unreachable;
        };
        let (Some(port), Some(queue)) = (
            self.ports.get_mut(interface.port),
            self.net.queues.get_mut(interface.port),
        ) else {
            return Outcome::Unreachable;
        };
        if !port.drain(queue) || !port.link.can_transmit() {
            return Outcome::Full;
        }
        let framing: Framing = interface.framing;
        let before = framing.header_len();
        let sent = port.link.transmit(before + len, &mut |buffer| {
            framing.write(buffer, mac, ethertype);
            fill(buffer.get_mut(before..).unwrap_or_default(), before)
        });
        if !sent {
            return Outcome::Full;
        }
        queue.dirty = true;
        count_sent(interface, before + len);
        Outcome::Sent
    }

    /// Passes the finished frames of a port to its link; `false` if some remain.
    pub(crate) fn drain(&mut self, port: usize) -> bool {
        match (self.ports.get_mut(port), self.net.queues.get_mut(port)) {
            (Some(port), Some(queue)) => port.drain(queue),
            _ => true,
        }
    }
}
