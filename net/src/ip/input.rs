//! The way in: from a frame to what is for a socket. Every length and every address is checked
//! before it is used, and what is dropped is counted by its reason.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum;
use super::dhcp::Client;
use super::drops::DropReason;
use super::filter::{Facts, FilterDirection};
use super::header::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, Framing, ICMP, ICMPV6, IGMP,
    IPV4_LEN, IPV6_LEN, Mac, TCP, UDP, be16, mac, pseudo_sum, v4,
};
use super::reassembly::{Fragment, Key, Refusal};
use super::{EthernetInput, Input, Interface, LOOPBACK, Net, Origin, TcpInput, UdpInput};
use crate::types::is_unicast_v4;
use crate::types::{RxChecksum, RxMeta};

/// A packet whose IP header was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) origin: Origin,
    /// The destination is one of our addresses, not a group.
    pub(crate) unicast: bool,
    /// The frame was sent to us alone.
    pub(crate) to_us: bool,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    /// The packet from its IP header on, for errors that quote it.
    pub(crate) packet: &'a [u8],
    /// The transport checksum was verified, or needn't be.
    pub(crate) trusted: bool,
    /// It came in fragments.
    pub(crate) whole: bool,
    pub(crate) joined: Option<u16>,
}

/// Link-layer properties of a received frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) interface: usize,
    pub(super) from: Mac,
    pub(super) to_us: bool,
    pub(super) meta: RxMeta,
    pub(super) whole: bool,
}

impl Net {
    /// Counts a packet that is dropped.
    pub(crate) fn dropped<'a>(&mut self, interface: usize, reason: DropReason) -> Input<'a> {
        self.drops.count(reason);
        if let Some(i) = self.interfaces.get_mut(interface) {
            let counters = &mut i.counters;
            let counter = match reason {
                DropReason::BadChecksum => &mut counters.rx_bad_checksum,
                _ => &mut counters.rx_malformed,
            };
            *counter = counter.wrapping_add(1);
        }
        Input::Done
    }

    /// Handles a frame of a port: what is for sockets is given back, the rest is done here.
    pub(crate) fn input<'a>(
        &mut self,
        port: usize,
        frame: &'a mut [u8],
        meta: RxMeta,
    ) -> Input<'a> {
        let frame: &'a [u8] = frame;
        if port == LOOPBACK {
            self.count_received(LOOPBACK, frame.len());
            let how = Frame {
                interface: LOOPBACK,
                from: [0; 6],
                to_us: true,
                meta,
                whole: false,
            };
            return self.packet(how, frame);
        }
        let (Some(to), Some(from), Some(mut ethertype)) =
            (mac(frame, 0), mac(frame, 6), be16(frame, 12))
        else {
            self.drops.count(DropReason::Malformed);
            return Input::Done;
        };
        let mut at = 14;
        let mut vlan = None;
        if ethertype == ETHERTYPE_VLAN {
            let (Some(tag), Some(inner)) = (be16(frame, 14), be16(frame, 16)) else {
                self.drops.count(DropReason::Malformed);
                return Input::Done;
            };
            // Identifier 0: only a priority (802.1Q, 9.6).
            vlan = Some(tag & 0x0fff).filter(|id| *id != 0);
            ethertype = inner;
            at = 18;
        }
        let found = self.interfaces.iter().position(|i| {
            i.port == port
                && matches!(i.framing, Framing::Ethernet { vlan: own, .. } if own == vlan)
        });
        let Some(interface) = found else {
            self.drops.count(DropReason::UnknownVlan);
            return Input::Done;
        };
        self.count_received(interface, frame.len());
        let own = self.mac(interface).unwrap_or_default();
        let to_us = to == own;
        if !to_us && to[0] & 1 == 0 {
            return self.dropped(interface, DropReason::NotForUs);
        }
        if from[0] & 1 != 0 || from == own {
            return self.dropped(interface, DropReason::Martian);
        }
        let packet = frame.get(at..).unwrap_or_default();
        let how = Frame {
            interface,
            from,
            to_us,
            meta,
            whole: false,
        };
        match ethertype {
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => self.packet(how, packet),
            ETHERTYPE_ARP => self.arp(interface, packet, to_us),
            _ if self.ethertypes.contains(&(interface, ethertype)) => {
                Input::Ethernet(EthernetInput {
                    interface,
                    ethertype,
                    source: from,
                    destination: to,
                    payload: packet,
                })
            }
            _ => self.dropped(interface, DropReason::UnknownEthertype),
        }
    }

    fn count_received(&mut self, interface: usize, len: usize) {
        if let Some(i) = self.interfaces.get_mut(interface) {
            i.counters.rx_frames = i.counters.rx_frames.wrapping_add(1);
            i.counters.rx_bytes = i.counters.rx_bytes.wrapping_add(len as u64);
        }
    }

    /// Handles a packet that was put together from fragments.
    pub(crate) fn input_whole<'a>(&mut self, origin: Origin, packet: &'a [u8]) -> Input<'a> {
        let how = Frame {
            interface: origin.interface,
            from: origin.mac,
            to_us: true,
            meta: RxMeta::default(),
            whole: true,
        };
        self.packet(how, packet)
    }

    fn packet<'a>(&mut self, how: Frame, packet: &'a [u8]) -> Input<'a> {
        // `None`: shorter than its headers say.
        let done = match packet.first().map(|byte| byte >> 4) {
            Some(4) => self.packet_v4(how, packet),
            Some(6) => self.packet_v6(how, packet),
            _ => None,
        };
        match done {
            Some(input) => input,
            None => self.dropped(how.interface, DropReason::Malformed),
        }
    }

    fn packet_v4<'a>(&mut self, how: Frame, packet: &'a [u8]) -> Option<Input<'a>> {
        let interface = how.interface;
        let header_len = usize::from(packet.first()? & 15) * 4;
        let total_len = usize::from(be16(packet, 2)?);
        if header_len < IPV4_LEN || total_len < header_len {
            return None;
        }
        let packet = packet.get(..total_len)?;
        let header = packet.get(..header_len)?;
        // The loopback computes none.
        if interface != LOOPBACK && !how.whole && checksum::sum(header) != 0xffff {
            return Some(self.dropped(interface, DropReason::BadChecksum));
        }
        let (source, destination) = (v4(packet, 12)?, v4(packet, 16)?);
        let loopback = interface == LOOPBACK;
        let forged = !is_unicast_v4(source)
            || self.interfaces.get(interface)?.is_broadcast(source)
            || destination.is_unspecified()
            || !loopback && (source.is_loopback() || destination.is_loopback());
        let pair = (IpAddr::V4(destination), IpAddr::V4(source));
        if forged || !loopback && self.interfaces.get(interface)?.is_own(pair.1) {
            // RFC 1122, 3.2.1.3. (A client of DHCP has no address yet, but we are no server.)
            return Some(self.dropped(interface, DropReason::Martian));
        }
        let unicast = match self.destination_v4(interface, destination) {
            Some(unicast) => unicast,
            // A lease may be offered to the address that it is about (RFC 2131, 4.1).
            None if self.is_offer(interface, packet, header_len) => true,
            None => return Some(self.dropped(interface, DropReason::NotForUs)),
        };
        if unicast && !how.to_us && !loopback {
            // RFC 1122, 3.3.6: to a link's broadcast address, but not to an IP one.
            return Some(self.dropped(interface, DropReason::Martian));
        }
        if let Some(reason) = options_v4(header.get(IPV4_LEN..)?) {
            return Some(self.dropped(interface, reason));
        }
        let protocol = *packet.get(9)?;
        let origin = Origin {
            interface,
            mac: how.from,
            local: pair.0,
            remote: pair.1,
        };
        let fragment = be16(packet, 6)?;
        if fragment & 0x3fff != 0 {
            let key = Key {
                source: pair.1,
                destination: pair.0,
                identification: u32::from(be16(packet, 4)?),
                protocol,
                interface,
            };
            let fragment = Fragment {
                offset: usize::from(fragment & 0x1fff) * 8,
                more: fragment & 0x2000 != 0,
                header: header.get(..IPV4_LEN)?,
                data: packet.get(header_len..)?,
            };
            return Some(self.fragment(origin, key, &fragment));
        }
        let context = Context {
            origin,
            unicast,
            to_us: how.to_us,
            protocol,
            hop_limit: *packet.get(8)?,
            traffic_class: *packet.get(1)?,
            packet,
            trusted: is_trusted(how.meta),
            whole: how.whole,
            joined: how.meta.joined,
        };
        self.transport(&context, packet.get(header_len..)?)
    }

    /// Whether packets to an address are taken: `Some(true)` if it is a unicast address of ours.
    fn destination_v4(&self, interface: usize, address: Ipv4Addr) -> Option<bool> {
        let i = self.interfaces.get(interface)?;
        if interface == LOOPBACK {
            return Some(!address.is_multicast() && !address.is_broadcast());
        }
        if i.is_ready(IpAddr::V4(address)) {
            return Some(true);
        }
        let group = address.is_broadcast()
            || i.is_broadcast(address)
            || address.is_multicast() && i.memberships.listens(IpAddr::V4(address));
        group.then_some(false)
    }

    /// Whether a packet to an address that isn't ours may be the answer to a lease that is asked
    /// for.
    fn is_offer(&self, interface: usize, packet: &[u8], header_len: usize) -> bool {
        let (protocol, port) = (packet.get(9), be16(packet, header_len + 2));
        let awaits = |i: &Interface| i.dhcp.as_ref().is_some_and(Client::awaits);
        (protocol, port) == (Some(&UDP), Some(68))
            && self.interfaces.get(interface).is_some_and(awaits)
            && v4(packet, 16).is_some_and(|to| !to.is_multicast())
    }

    #[cold]
    pub(super) fn fragment<'a>(
        &mut self,
        origin: Origin,
        key: Key,
        fragment: &Fragment<'_>,
    ) -> Input<'a> {
        if self.memory_short {
            return self.dropped(origin.interface, DropReason::ReassemblyFull);
        }
        let added = self.reassembly.add(key, fragment, self.now_ns);
        for _ in 0..core::mem::take(&mut self.reassembly.evicted) {
            self.drops.count(DropReason::ReassemblyFull);
        }
        match added {
            Ok(None) => Input::Done,
            Ok(Some(mut packet)) => {
                set_length(&mut packet);
                Input::Whole(origin, packet)
            }
            Err(Refusal::Bad) => self.dropped(origin.interface, DropReason::BadFragment),
        }
    }

    pub(super) fn transport<'a>(
        &mut self,
        context: &Context<'a>,
        payload: &'a [u8],
    ) -> Option<Input<'a>> {
        let interface = context.origin.interface;
        // What is for sockets may have to wait for what they know: see `admits`.
        let later = self.filter.tracks() && matches!(context.protocol, TCP | UDP);
        if !later && !self.judge(&context.origin, context.protocol, payload, None) {
            return Some(Input::Done);
        }
        match (context.protocol, context.origin.local) {
            (TCP, _) if context.unicast => Some(self.tcp(context, payload)),
            (TCP, _) => Some(self.dropped(interface, DropReason::Martian)),
            (UDP, _) => self.udp(context, payload),
            (ICMP, IpAddr::V4(_)) => self.icmp_v4(context, payload),
            (ICMPV6, IpAddr::V6(_)) => self.icmp_v6(context, payload),
            (IGMP, IpAddr::V4(_)) => {
                self.igmp(context, payload);
                Some(Input::Done)
            }
            _ => {
                self.protocol_unreachable(context);
                Some(self.dropped(interface, DropReason::UnknownProtocol))
            }
        }
    }

    /// Asks the filter; what it doesn't let in is counted.
    fn judge(
        &mut self,
        origin: &Origin,
        protocol: u8,
        transport: &[u8],
        known: Option<bool>,
    ) -> bool {
        if !self.filter.watches(FilterDirection::In) || origin.interface == LOOPBACK {
            return true;
        }
        let facts = Facts {
            direction: FilterDirection::In,
            interface: origin.interface,
            protocol,
            remote: origin.remote,
            transport,
            known,
        };
        let allowed = self.filter.allows(&facts, self.now_ns);
        if !allowed {
            self.dropped(origin.interface, DropReason::Filtered);
        }
        allowed
    }

    /// Whether the filter wants to know if a segment or datagram belongs to a socket.
    pub(crate) fn tracks(&self) -> bool {
        self.filter.tracks()
    }

    /// Whether the filter lets in what was handed to the sockets, of which it is known by now
    /// whether it belongs to one. Of a datagram the ports suffice.
    pub(crate) fn admits(
        &mut self,
        origin: &Origin,
        protocol: u8,
        transport: &[u8],
        known: bool,
    ) -> bool {
        self.judge(origin, protocol, transport, Some(known))
    }

    fn is_sum_right(&self, context: &Context<'_>, protocol: u8, payload: &[u8]) -> bool {
        let Origin { local, remote, .. } = context.origin;
        let pseudo = pseudo_sum(remote, local, protocol, payload.len());
        checksum::add(pseudo, checksum::sum(payload)) == 0xffff
    }

    fn tcp<'a>(&mut self, context: &Context<'a>, bytes: &'a [u8]) -> Input<'a> {
        let interface = context.origin.interface;
        let header_len = bytes.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
        let ports = (be16(bytes, 0).unwrap_or(0), be16(bytes, 2).unwrap_or(0));
        if header_len < 20 || header_len > bytes.len() || ports.0 == 0 || ports.1 == 0 {
            return self.dropped(interface, DropReason::Malformed);
        }
        if context.origin.remote.is_ipv6()
            && context.origin.remote == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        {
            return self.dropped(interface, DropReason::Martian);
        }
        if !context.trusted && !self.is_sum_right(context, TCP, bytes) {
            return self.dropped(interface, DropReason::BadChecksum);
        }
        Input::Tcp(TcpInput {
            origin: context.origin,
            bytes,
            joined: context.joined,
            marked: context.traffic_class & 3 == 3,
        })
    }

    fn udp<'a>(&mut self, context: &Context<'a>, datagram: &'a [u8]) -> Option<Input<'a>> {
        let interface = context.origin.interface;
        let len = usize::from(be16(datagram, 4)?);
        let datagram = datagram.get(..len)?;
        let payload = datagram.get(8..)?;
        let (remote_port, local_port) = (be16(datagram, 0)?, be16(datagram, 2)?);
        if remote_port == 0 || local_port == 0 || context.origin.remote.is_unspecified() {
            return None;
        }
        let none = be16(datagram, 6)? == 0;
        // Without a checksum in IPv4 (RFC 768), never in IPv6 (RFC 8200, 8.1).
        let unchecked = none && context.origin.local.is_ipv4();
        if none && !unchecked && !context.trusted {
            return None;
        }
        if !context.trusted && !unchecked && !self.is_sum_right(context, UDP, datagram) {
            return Some(self.dropped(interface, DropReason::BadChecksum));
        }
        if self.is_configuration(context, remote_port, local_port) {
            // It was asked for.
            if !self.filter.tracks() || self.admits(&context.origin, UDP, datagram, true) {
                self.configuration_input(context, payload);
            }
            return Some(Input::Done);
        }
        Some(Input::Udp(UdpInput {
            origin: context.origin,
            remote_port,
            local_port,
            payload,
            unicast: context.unicast,
            packet: context.packet,
        }))
    }
}

/// Sets the length (and IPv4's fragment fields and checksum) of a packet that was put together.
pub(super) fn set_length(packet: &mut [u8]) {
    use super::header::put;
    let len = packet.len();
    if packet.first().is_some_and(|byte| byte >> 4 == 4) {
        put(packet, 2, &(len as u16).to_be_bytes());
        put(packet, 6, &[0; 2]);
        // The options were passed over.
        put(packet, 0, &[0x45]);
        put(packet, 10, &[0; 2]);
        let sum = !checksum::sum(packet.get(..IPV4_LEN).unwrap_or_default());
        put(packet, 10, &sum.to_be_bytes());
    } else {
        let payload_len = len.saturating_sub(IPV6_LEN) as u16;
        put(packet, 4, &payload_len.to_be_bytes());
    }
}

pub(super) fn is_trusted(meta: RxMeta) -> bool {
    meta.checksum != RxChecksum::Unknown
}

/// Why a packet with these IPv4 options is to be dropped: source routes are (RFC 7126, 4.3),
/// options that run over the end are; all others are passed over (RFC 1122, 3.2.1.8).
fn options_v4(mut options: &[u8]) -> Option<DropReason> {
    while let Some(&kind) = options.first() {
        match kind {
            0 => return None,
            1 => options = options.get(1..).unwrap_or_default(),
            131 | 137 => return Some(DropReason::SourceRoute),
            _ => {
                let len = usize::from(options.get(1).copied().unwrap_or(0));
                options = match options.get(len..) {
                    Some(rest) if len >= 2 => rest,
                    _ => return Some(DropReason::BadOption),
                };
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{DropReason, options_v4};

    #[test]
    fn rfc1122_section_3_2_1_8_options() {
        assert_eq!(options_v4(&[]), None);
        assert_eq!(options_v4(&[1, 1, 0, 131]), None);
        assert_eq!(options_v4(&[0x94, 4, 0, 0]), None);
        assert_eq!(options_v4(&[1, 131, 3, 4]), Some(DropReason::SourceRoute));
        assert_eq!(
            options_v4(&[137, 7, 4, 0, 0, 0, 0, 0]),
            Some(DropReason::SourceRoute)
        );
        assert_eq!(options_v4(&[7, 1, 0, 0]), Some(DropReason::BadOption));
        assert_eq!(options_v4(&[7, 9, 0, 0]), Some(DropReason::BadOption));
        assert_eq!(options_v4(&[7]), Some(DropReason::BadOption));
    }
}
