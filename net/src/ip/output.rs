//! Sending: from a route and the pieces of a packet to a finished frame.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::drops::Drop;
use super::filter::{Facts, FilterDirection};
use super::header::{
    DF, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Framing, ICMP, ICMPV6, IGMP, IPV4_LEN, IPV6_LEN, IpHeader,
    Mac, TCP, UDP, put, v4, v6,
};
use super::neighbor::Known;
use super::{Ip, LOOPBACK, Net, Origin, Route};
use crate::Handle;
use crate::checksum;
use crate::link::{LinkCapabilities, PartialChecksum, SegmentKind, Segmentation, TxMeta};

/// Finished frames that wait for a link, and their bytes. Answers beyond that are dropped: whoever
/// asks faster than the link carries doesn't get more.
const QUEUE: usize = 256;
const QUEUE_BYTES: usize = 512 << 10;
/// The largest IP packet, and the smallest MTU that packets are cut for.
const IP_MAX: usize = 65_535;
const MTU_MIN: usize = 552;
/// The hop limit of what we send (RFC 1700; RFC 8200 has no number).
pub(crate) const HOP_LIMIT: u8 = 64;

/// How sending went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The link has it, or it waits in our own queue for a neighbour.
    Sent,
    /// The link has no room: try again when it has ([`Net::blocked`]).
    Full,
    /// The neighbour's address isn't known yet: try again when it is ([`Net::waiting`]). It has been
    /// asked for.
    Resolving,
    /// No route, or the neighbour doesn't answer.
    Unreachable,
    /// Larger than the path's MTU, and must not be cut.
    TooLong,
}

/// Finished frames of a port that the link had no room for, or that were made while it was handing
/// one over.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    frames: VecDeque<(Vec<u8>, TxMeta)>,
    bytes: usize,
    /// Sockets that wait for room.
    pub(crate) blocked: Vec<Handle>,
    /// Something was given to the link since its last flush.
    pub(crate) dirty: bool,
}

impl Queue {
    /// Puts a frame behind the others; `false` if there is no room.
    pub(crate) fn push(&mut self, frame: Vec<u8>, meta: TxMeta) -> bool {
        if self.frames.len() >= QUEUE || self.bytes + frame.len() > QUEUE_BYTES {
            return false;
        }
        self.bytes += frame.len();
        self.frames.push_back((frame, meta));
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// A TCP segment that goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpSegment<'a> {
    /// Header and options; whatever its checksum field holds.
    pub(crate) header: &'a [u8],
    /// The payload in its pieces.
    pub(crate) payload: &'a [&'a [u8]],
    /// The device is to cut it into segments with this much payload: see [`Ip::segmentation`].
    pub(crate) segment_size: Option<u16>,
}

/// A packet that goes out, of any protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) header: IpHeader,
    /// The transport header; its checksum field is filled in.
    pub(crate) transport: &'a [u8],
    pub(crate) payload: &'a [&'a [u8]],
}

impl<'a> Packet<'a> {
    /// A packet for the end of a route.
    pub(crate) fn new(
        route: &Route,
        protocol: u8,
        hop_limit: u8,
        transport: &'a [u8],
        payload: &'a [&'a [u8]],
    ) -> Packet<'a> {
        Packet {
            header: IpHeader {
                source: route.source,
                destination: route.destination,
                protocol,
                hop_limit,
                traffic_class: 0,
                fragment: (0, 0),
                router_alert: false,
            },
            transport,
            payload,
        }
    }
}

impl Packet<'_> {
    fn content_len(&self) -> usize {
        self.transport.len() + self.payload.iter().map(|piece| piece.len()).sum::<usize>()
    }

    pub(crate) fn len(&self) -> usize {
        self.header.len() + self.content_len()
    }

    /// Where the checksum is in the transport header, and whether the pseudo-header is part of it.
    fn checksum(&self) -> Option<(usize, bool)> {
        match (self.header.protocol, self.header.destination) {
            (TCP, _) => Some((16, true)),
            (UDP, _) => Some((6, true)),
            (ICMPV6, IpAddr::V6(_)) => Some((2, true)),
            (ICMP | IGMP, IpAddr::V4(_)) => Some((2, false)),
            _ => None,
        }
    }

    /// Writes the packet; `buffer` is as long as it is. With `offload` the checksum of TCP and UDP is
    /// left to the device.
    fn write(&self, buffer: &mut [u8], before: usize, how: Offload) -> TxMeta {
        let content_len = self.content_len();
        self.header.write(buffer, content_len);
        let at = self.header.len();
        put(buffer, at, self.transport);
        let mut to = at + self.transport.len();
        for piece in self.payload {
            put(buffer, to, piece);
            to += piece.len();
        }
        let Some((offset, pseudo)) = self.checksum() else {
            return TxMeta::default();
        };
        let sum = if pseudo {
            self.header.pseudo_sum(content_len)
        } else {
            0
        };
        put(buffer, at + offset, &sum.to_be_bytes());
        if how.checksum && matches!(self.header.protocol, TCP | UDP) {
            let start = (before + at) as u16;
            return TxMeta {
                checksum: Some(PartialChecksum {
                    start,
                    offset: offset as u16,
                }),
                segmentation: how.segment_size.map(|size| Segmentation {
                    kind: match self.header.destination {
                        IpAddr::V4(_) => SegmentKind::Tcp4,
                        IpAddr::V6(_) => SegmentKind::Tcp6,
                    },
                    size,
                    header_len: start + self.transport.len() as u16,
                }),
            };
        }
        // The field holds the pseudo-header's sum, so that the sum over all is what is wanted.
        let mut sum = !checksum::sum(buffer.get(at..).unwrap_or_default());
        if sum == 0 && self.header.protocol == UDP {
            // Zero would mean "no checksum" (RFC 768).
            sum = 0xffff;
        }
        put(buffer, at + offset, &sum.to_be_bytes());
        TxMeta::default()
    }

    /// The packet by itself, without a link's header, and complete.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut packet = alloc::vec![0; self.len()];
        self.write(&mut packet, 0, Offload::default());
        packet
    }
}

/// What the device does for a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Offload {
    checksum: bool,
    segment_size: Option<u16>,
}

pub(crate) fn ethertype(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => ETHERTYPE_IPV4,
        IpAddr::V6(_) => ETHERTYPE_IPV6,
    }
}

impl Net {
    /// Whether packets of a route can leave now, their neighbour being known: [`Outcome::Sent`] if so.
    pub(crate) fn resolve(&mut self, route: &mut Route) -> Outcome {
        match self.next_mac(route) {
            Ok(_) => Outcome::Sent,
            Err(outcome) => outcome,
        }
    }

    /// The Ethernet address that packets of a route go to now.
    pub(super) fn next_mac(&mut self, route: &mut Route) -> Result<Mac, Outcome> {
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
            .look_up(route.next_hop, &mut route.slot, now_ns)
        {
            Known::At(mac) => Ok(mac),
            Known::Gone => Err(Outcome::Unreachable),
            Known::Asking(now) => {
                if now {
                    self.ask(route.interface, route.next_hop, None);
                }
                Err(Outcome::Resolving)
            }
        }
    }

    /// Asks for the address of a neighbour: all, or the one that had it last.
    pub(crate) fn ask(&mut self, interface: usize, neighbor: IpAddr, mac: Option<Mac>) {
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

    /// Puts a frame on the queue of an interface's port; `false` if that is full.
    pub(crate) fn stage(
        &mut self,
        interface: usize,
        to: Mac,
        ethertype: u16,
        len: usize,
        fill: impl FnOnce(&mut [u8], usize) -> TxMeta,
    ) -> bool {
        let Some(interface) = self.interfaces.get_mut(interface) else {
            return false;
        };
        let before = interface.framing.header_len();
        let mut frame = alloc::vec![0; before + len];
        interface.framing.write(&mut frame, to, ethertype);
        let meta = fill(frame.get_mut(before..).unwrap_or_default(), before);
        let bytes = frame.len();
        let queued = self
            .queues
            .get_mut(interface.port)
            .is_some_and(|queue| queue.push(frame, meta));
        if queued {
            count_sent(interface, bytes);
        }
        queued
    }

    /// Puts the frame of another protocol on the queue of an interface's port.
    pub(crate) fn stage_raw(
        &mut self,
        interface: usize,
        to: Mac,
        ethertype: u16,
        payload: &[u8],
    ) -> bool {
        self.stage(interface, to, ethertype, payload.len(), |buffer, _| {
            put(buffer, 0, payload);
            TxMeta::default()
        })
    }

    /// Counts a packet that a socket has no room for.
    pub(crate) fn queue_full(&mut self) {
        self.drops.count(Drop::QueueFull);
    }

    /// Answers a segment to where it came from, without a route. `false` if the queue is full.
    pub(crate) fn reply_tcp(&mut self, to: &Origin, segment: &TcpSegment<'_>) -> bool {
        let packet = tcp_packet(to.local, to.remote, segment);
        self.stage_packet(to.interface, to.mac, &packet)
    }

    /// Puts a packet on the queue of an interface's port, to an Ethernet address that is known.
    pub(crate) fn stage_packet(&mut self, interface: usize, to: Mac, packet: &Packet<'_>) -> bool {
        let ethertype = ethertype(packet.header.destination);
        self.stage(interface, to, ethertype, packet.len(), |buffer, before| {
            packet.write(buffer, before, Offload::default())
        })
    }

    /// Puts a packet of any size on the queue, in fragments if it must be.
    pub(super) fn stage_any_size(
        &mut self,
        interface: usize,
        to: Mac,
        packet: &Packet<'_>,
    ) -> bool {
        let destination = packet.header.destination;
        let mtu = self.mtu_towards(interface, destination);
        if packet.len() <= mtu {
            self.stage_packet(interface, to, packet)
        } else if packet.len() <= IP_MAX {
            self.stage_whole(interface, to, &packet.to_vec(), destination)
        } else {
            false
        }
    }

    /// The same for a packet that is written already.
    fn stage_whole(&mut self, interface: usize, to: Mac, packet: &[u8], remote: IpAddr) -> bool {
        let mtu = self.mtu_towards(interface, remote);
        let identification = self.next_identification(remote);
        let mut whole = true;
        for piece in fragments(packet, mtu, identification) {
            whole &= self.stage(
                interface,
                to,
                ethertype(remote),
                piece.len(),
                |buffer, _| {
                    put(buffer, 0, &piece);
                    TxMeta::default()
                },
            );
        }
        whole
    }

    /// An identification for fragments: each another one in turn for IPv4, where there are few; not to
    /// be guessed for IPv6 (RFC 7739).
    fn next_identification(&mut self, remote: IpAddr) -> u32 {
        if remote.is_ipv6() {
            return self.random.bits() as u32;
        }
        self.identification = self.identification.wrapping_add(1);
        u32::from(self.identification)
    }

    /// Sends packets that waited for a neighbour.
    pub(super) fn release(&mut self, interface: usize, ready: Vec<(Mac, Vec<u8>)>) {
        for (mac, packet) in ready {
            let Some(remote) = destination_of(&packet) else {
                continue;
            };
            if !self.stage_whole(interface, mac, &packet, remote) {
                self.drops.count(Drop::AnswerQueueFull);
            }
        }
    }

    /// Sends a packet by way of the queue, where the link isn't at hand.
    pub(super) fn send_slowly(&mut self, route: &mut Route, packet: &Packet<'_>) -> Outcome {
        match self.next_mac(route) {
            Ok(mac) if self.stage_any_size(route.interface, mac, packet) => Outcome::Sent,
            Ok(_) => Outcome::Full,
            Err(Outcome::Resolving) => self.hold(route, packet),
            Err(outcome) => outcome,
        }
    }

    /// Keeps a packet until its neighbour is known.
    fn hold(&mut self, route: &Route, packet: &Packet<'_>) -> Outcome {
        let Some(interface) = self.interfaces.get_mut(route.interface) else {
            return Outcome::Unreachable;
        };
        if !interface.is_ready(route.source) {
            return Outcome::Resolving;
        }
        if !interface.neighbors.hold(route.next_hop, packet.to_vec()) {
            self.drops.count(Drop::NeighborQueueFull);
        }
        Outcome::Sent
    }

    /// Keeps a segment until its neighbour is known.
    pub(crate) fn hold_tcp(&mut self, route: &Route, segment: &TcpSegment<'_>) -> Outcome {
        let packet = tcp_packet(route.source, route.destination, segment);
        self.hold(route, &packet)
    }

    fn mtu_towards(&self, interface: usize, remote: IpAddr) -> usize {
        let link = self
            .interfaces
            .get(interface)
            .map_or(1280, |interface| interface.mtu_for(remote));
        match self.path_mtus.get(remote, self.now_ns) {
            Some(path) if interface != LOOPBACK => link.min(path as usize),
            _ => link,
        }
    }

    /// The largest IP packet that reaches the route's end, as far as is known: the path's MTU.
    pub(crate) fn path_mtu(&self, route: &Route) -> usize {
        self.mtu_towards(route.interface, route.destination)
    }

    /// A router said that packets to `remote` may have at most `mtu` bytes. To be called for TCP once
    /// the connection has verified the report. Tells whether that is news.
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

    /// The same as far as the path to `remote` takes it.
    pub(crate) fn path_mss(&self, interface: usize, remote: IpAddr) -> u16 {
        let headers = if remote.is_ipv4() { 40 } else { 60 };
        let mtu = self.mtu_towards(interface, remote);
        mtu.saturating_sub(headers).clamp(1, 0xffff) as u16
    }

    /// A handshake showed that what is sent to where `origin` came from reaches the end of `route`
    /// (RFC 4861, 7.3.1): a neighbour that isn't known yet needn't be asked for. That is believed of
    /// the link itself only: through somebody else's address our packets for a router would go to
    /// whoever forges its hosts'.
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

    /// Whether the filter lets a packet out.
    fn may_leave(&mut self, interface: usize, packet: &Packet<'_>) -> bool {
        if !self.filter.watches(FilterDirection::Out) {
            return true;
        }
        let facts = Facts {
            direction: FilterDirection::Out,
            interface,
            protocol: packet.header.protocol,
            remote: packet.header.destination,
            transport: packet.transport,
        };
        let allowed = self.filter.allows(&facts, self.now_ns);
        if !allowed {
            self.drops.count(Drop::Filtered);
        }
        allowed
    }
}

/// The destination of a packet that was written here.
fn destination_of(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => v4(packet, 16).map(IpAddr::V4),
        _ => v6(packet, 24).map(IpAddr::V6),
    }
}

/// Cuts a packet without options or extension headers into fragments that fit `mtu` (RFC 791, 3.2;
/// RFC 8200, 4.5); one that fits stays as it is.
pub(super) fn fragments(packet: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
    if packet.len() <= mtu {
        return alloc::vec![packet.to_vec()];
    }
    let header_len = if v4 { IPV4_LEN } else { IPV6_LEN };
    let (Some(header), Some(content)) = (packet.get(..header_len), packet.get(header_len..)) else {
        return Vec::new();
    };
    let extra = if v4 { 0 } else { 8 };
    let size = (mtu.max(MTU_MIN) - header_len - extra) / 8 * 8;
    let mut pieces = Vec::new();
    let mut offset = 0;
    for data in content.chunks(size) {
        let more = offset + data.len() < content.len();
        let mut piece = Vec::with_capacity(header_len + extra + data.len());
        piece.extend_from_slice(header);
        if v4 {
            let fields = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
            put(
                &mut piece,
                2,
                &((IPV4_LEN + data.len()) as u16).to_be_bytes(),
            );
            put(&mut piece, 4, &(identification as u16).to_be_bytes());
            put(&mut piece, 6, &fields.to_be_bytes());
            put(&mut piece, 10, &[0, 0]);
            let sum = !checksum::sum(&piece);
            put(&mut piece, 10, &sum.to_be_bytes());
        } else {
            let next = header.get(6).copied().unwrap_or(0);
            put(&mut piece, 4, &((8 + data.len()) as u16).to_be_bytes());
            put(&mut piece, 6, &[44]);
            piece.extend([next, 0]);
            piece.extend((offset as u16 | u16::from(more)).to_be_bytes());
            piece.extend(identification.to_be_bytes());
        }
        piece.extend_from_slice(data);
        pieces.push(piece);
        offset += data.len();
    }
    pieces
}

fn count_sent(interface: &mut super::Interface, bytes: usize) {
    let counters = &mut interface.counters;
    counters.tx_frames = counters.tx_frames.wrapping_add(1);
    counters.tx_bytes = counters.tx_bytes.wrapping_add(bytes as u64);
}

fn tcp_packet<'a>(local: IpAddr, remote: IpAddr, segment: &TcpSegment<'a>) -> Packet<'a> {
    Packet {
        header: IpHeader {
            source: local,
            destination: remote,
            protocol: TCP,
            hop_limit: HOP_LIMIT,
            traffic_class: 0,
            // Segments are never cut on their way (RFC 1191, 3), so that the identification is of no
            // use (RFC 6864, 4.1).
            fragment: (0, DF),
            router_alert: false,
        },
        transport: segment.header,
        payload: segment.payload,
    }
}

impl Ip {
    /// The largest IP packet that [`Ip::send_tcp`] takes with a `segment_size`; `None` if the device
    /// of the route doesn't cut segments.
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
        (cuts && tx_checksum).then_some(65_535)
    }

    /// Sends a TCP segment.
    pub(crate) fn send_tcp(&mut self, route: &mut Route, segment: &TcpSegment<'_>) -> Outcome {
        let mac = match self.net.next_mac(route) {
            Ok(mac) => mac,
            Err(outcome) => return outcome,
        };
        let packet = tcp_packet(route.source, route.destination, segment);
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
            // The link carries less than it did when the connection began: until that has learnt of
            // it, its segments go in fragments.
            return self.send_in_fragments(route.interface, mac, &packet);
        }
        self.transmit(route.interface, mac, &packet, segment.segment_size)
    }

    /// Sends a packet of another protocol, in fragments if it must be; one whose neighbour isn't known
    /// yet is kept for it.
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
        // All fragments fit the queue if it is empty.
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

    /// Gives the finished frames of a port to its link; `false` if it hasn't taken all.
    pub(crate) fn drain(&mut self, port: usize) -> bool {
        match (self.ports.get_mut(port), self.net.queues.get_mut(port)) {
            (Some(port), Some(queue)) => port.drain(queue),
            _ => true,
        }
    }
}

impl super::Port {
    fn drain(&mut self, queue: &mut Queue) -> bool {
        while let Some((frame, meta)) = queue.frames.front() {
            if !self.link.can_transmit() {
                return false;
            }
            let taken = self.link.transmit(frame.len(), &mut |buffer| {
                buffer.copy_from_slice(frame);
                *meta
            });
            if !taken {
                return false;
            }
            queue.dirty = true;
            queue.bytes -= frame.len();
            queue.frames.pop_front();
        }
        true
    }
}
