//! Receiving: from a frame to the input of a socket.
//!
//! Every length and every address is checked before it is used. Dropped packets are counted by
//! reason. This module parses the Ethernet header and, after [`v4`] or [`v6`], the transport
//! header.

pub(super) mod reassembly;
mod v4;
mod v6;

use core::net::{IpAddr, Ipv6Addr};

use super::context::Context;
use super::drops::DropReason;
use super::filter::{FilterDirection, PacketFields};
use super::wire::checksum;
use super::wire::header::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, Framing, ICMP, ICMPV6, IGMP,
    IPV4_LEN, IPV6_LEN, Mac, TCP, UDP, mac, pseudo_header_sum,
};
use super::{EthernetInput, Input, LOOPBACK, Net, Origin, TcpInput, UdpInput};
use crate::types::{RxChecksum, RxMeta, be16, put};
use reassembly::{Fragment, Key, Refusal};

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
    /// Counts a dropped packet.
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

    /// Handles a frame of a port. Returns input for sockets; handles all other input here.
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
            // Identifier 0: a priority tag (802.1Q, 9.6).
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

    /// Handles a reassembled packet.
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
        // Input for sockets may be filtered only after the socket lookup: see `admits`.
        let later = self.filter.tracks() && matches!(context.protocol, TCP | UDP);
        if !later && !self.run_filter(&context.origin, context.protocol, payload, None) {
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

    /// Runs the filter; counts a dropped packet.
    fn run_filter(
        &mut self,
        origin: &Origin,
        protocol: u8,
        transport: &[u8],
        known: Option<bool>,
    ) -> bool {
        if !self.filter.watches(FilterDirection::In) || origin.interface == LOOPBACK {
            return true;
        }
        let fields = PacketFields {
            direction: FilterDirection::In,
            interface: origin.interface,
            protocol,
            remote: origin.remote,
            transport,
            known,
        };
        let allowed = self.filter.allows(&fields, self.now_ns);
        if !allowed {
            self.dropped(origin.interface, DropReason::Filtered);
        }
        allowed
    }

    /// Whether the filter depends on the socket of a segment or datagram.
    pub(crate) fn tracks(&self) -> bool {
        self.filter.tracks()
    }

    /// Whether the filter admits input that was passed to the sockets, now that its socket is
    /// known. A datagram's ports suffice.
    pub(crate) fn admits(
        &mut self,
        origin: &Origin,
        protocol: u8,
        transport: &[u8],
        known: bool,
    ) -> bool {
        self.run_filter(origin, protocol, transport, Some(known))
    }

    fn verify_checksum(&self, context: &Context<'_>, protocol: u8, payload: &[u8]) -> bool {
        let Origin { local, remote, .. } = context.origin;
        let pseudo = pseudo_header_sum(remote, local, protocol, payload.len());
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
        if !context.trusted && !self.verify_checksum(context, TCP, bytes) {
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
        // A datagram may lack a checksum over IPv4 (RFC 768), never over IPv6 (RFC 8200, 8.1).
        let unchecked = none && context.origin.local.is_ipv4();
        if none && !unchecked && !context.trusted {
            return None;
        }
        if !context.trusted && !unchecked && !self.verify_checksum(context, UDP, datagram) {
            return Some(self.dropped(interface, DropReason::BadChecksum));
        }
        if self.is_configuration(context, remote_port, local_port) {
            // The client has requested it.
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

/// Sets the length (and IPv4's fragment fields and checksum) of a reassembled packet.
pub(super) fn set_length(packet: &mut [u8]) {
    let len = packet.len();
    if packet.first().is_some_and(|byte| byte >> 4 == 4) {
        put(packet, 2, &(len as u16).to_be_bytes());
        put(packet, 6, &[0; 2]);
        // The options were skipped.
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
