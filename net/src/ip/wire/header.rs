//! Encoding and parsing of Ethernet, IPv4 and IPv6 headers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum;
use crate::types::put;

/// The default hop limit (RFC 1700; RFC 8200 has none).
pub(crate) const HOP_LIMIT: u8 = 64;
pub(crate) const ICMP: u8 = 1;
pub(crate) const IGMP: u8 = 2;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_VLAN: u16 = 0x8100;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

pub(crate) const IPV4_LEN: usize = 20;
pub(crate) const IPV6_LEN: usize = 40;
/// The largest IP packet.
pub(crate) const IP_MAX: usize = 65_535;

pub(crate) type Mac = [u8; 6];
pub(crate) const BROADCAST: Mac = [0xff; 6];

/// The link header of an interface: Ethernet, with a VLAN tag or without, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing (the loopback).
    Ip,
    /// Ethernet, with an 802.1Q tag if the interface is a VLAN.
    Ethernet { mac: Mac, vlan: Option<u16> },
}

impl Framing {
    pub(crate) fn header_len(self) -> usize {
        match self {
            Framing::Ip => 0,
            Framing::Ethernet { vlan: None, .. } => 14,
            Framing::Ethernet { vlan: Some(_), .. } => 18,
        }
    }

    /// Writes the header; `buffer` is at least as long.
    pub(crate) fn write(self, buffer: &mut [u8], to: Mac, ethertype: u16) {
        let Framing::Ethernet { mac, vlan } = self else {
            return;
        };
        put(buffer, 0, &to);
        put(buffer, 6, &mac);
        match vlan {
            None => put(buffer, 12, &ethertype.to_be_bytes()),
            Some(id) => {
                put(buffer, 12, &ETHERTYPE_VLAN.to_be_bytes());
                put(buffer, 14, &id.to_be_bytes());
                put(buffer, 16, &ethertype.to_be_bytes());
            }
        }
    }
}

pub(crate) fn mac(data: &[u8], at: usize) -> Option<Mac> {
    data.get(at..)?.first_chunk().copied()
}

pub(crate) fn v4(data: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from_octets(*data.get(at..)?.first_chunk()?))
}

pub(crate) fn v6(data: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from_octets(*data.get(at..)?.first_chunk()?))
}

/// The variable fields of an IPv4 or IPv6 header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpHeader {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// IPv4: identification, flags and fragment offset.
    pub(crate) fragment: (u16, u16),
    /// A router alert option (RFC 2113, RFC 2711), as group membership messages have.
    pub(crate) router_alert: bool,
}

/// Don't fragment.
pub(crate) const DF: u16 = 0x4000;

impl IpHeader {
    /// A header without fragmentation, options or a traffic class.
    pub(crate) fn new(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        hop_limit: u8,
    ) -> IpHeader {
        IpHeader {
            source,
            destination,
            protocol,
            hop_limit,
            traffic_class: 0,
            fragment: (0, 0),
            router_alert: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match (self.destination, self.router_alert) {
            (IpAddr::V4(_), false) => IPV4_LEN,
            (IpAddr::V4(_), true) => IPV4_LEN + 4,
            (IpAddr::V6(_), false) => IPV6_LEN,
            (IpAddr::V6(_), true) => IPV6_LEN + 8,
        }
    }

    /// Writes the header of a packet with `payload_len` bytes after it. Both addresses are of one
    /// family; `buffer` has room.
    pub(crate) fn write(&self, buffer: &mut [u8], payload_len: usize) {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let len = self.len();
                put(buffer, 0, &[0x40 | (len / 4) as u8, self.traffic_class]);
                put(buffer, 2, &((len + payload_len) as u16).to_be_bytes());
                put(buffer, 4, &self.fragment.0.to_be_bytes());
                put(buffer, 6, &self.fragment.1.to_be_bytes());
                put(buffer, 8, &[self.hop_limit, self.protocol, 0, 0]);
                put(buffer, 12, &source.octets());
                put(buffer, 16, &destination.octets());
                if self.router_alert {
                    put(buffer, 20, &[0x94, 4, 0, 0]);
                }
                let sum = !checksum::sum(buffer.get(..len).unwrap_or_default());
                put(buffer, 10, &sum.to_be_bytes());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let extra = self.len() - IPV6_LEN;
                let class = self.traffic_class;
                put(buffer, 0, &[0x60 | class >> 4, class << 4, 0, 0]);
                put(buffer, 4, &((extra + payload_len) as u16).to_be_bytes());
                let next = if self.router_alert { 0 } else { self.protocol };
                put(buffer, 6, &[next, self.hop_limit]);
                put(buffer, 8, &source.octets());
                put(buffer, 24, &destination.octets());
                if self.router_alert {
                    // Hop-by-hop: router alert (MLD), and padding to eight bytes.
                    put(buffer, 40, &[self.protocol, 0, 5, 2, 0, 0, 1, 0]);
                }
            }
            _ => {}
        }
    }

    /// The sum of the pseudo-header for `len` bytes of transport header and payload.
    pub(crate) fn pseudo_header_sum(&self, len: usize) -> u16 {
        pseudo_header_sum(self.source, self.destination, self.protocol, len)
    }
}

/// The sum of a pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1).
pub(crate) fn pseudo_header_sum(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    len: usize,
) -> u16 {
    let mut addresses = [0; 32];
    let len_of = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(&mut addresses, 0, &source.octets());
            put(&mut addresses, 4, &destination.octets());
            8
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            put(&mut addresses, 0, &source.octets());
            put(&mut addresses, 16, &destination.octets());
            32
        }
        _ => 0,
    };
    checksum::pseudo_header(addresses.get(..len_of).unwrap_or_default(), protocol, len)
}

/// The Ethernet address of a group (RFC 1112, 6.4; RFC 2464, 7), or the broadcast address; `None`
/// for a unicast address.
pub(crate) fn group_mac(address: IpAddr) -> Option<Mac> {
    match address {
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            Some([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V4(v4) if v4.is_broadcast() => Some(BROADCAST),
        IpAddr::V6(v6) if v6.is_multicast() => {
            let [.., a, b, c, d] = v6.octets();
            Some([0x33, 0x33, a, b, c, d])
        }
        _ => None,
    }
}

/// Whether an address is multicast or 255.255.255.255.
pub(crate) fn is_group(address: IpAddr) -> bool {
    group_mac(address).is_some()
}

/// The solicited-node group of an address: ff02::1:ff00:0/104 and the last 24 bits (RFC 4291,
/// 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | address.to_bits() & 0xff_ffff)
}

pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
