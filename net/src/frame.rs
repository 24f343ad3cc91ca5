//! Looking at frames before smoltcp does: which socket a frame is for, and which frames are to be
//! dropped because they are malformed, forged, or of a kind that smoltcp doesn't stand.
//!
//! Nothing here trusts a length in the frame: every access goes through `get`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use crate::checksum;
use crate::config::is_unicast_v4;
use crate::ip::{ErrorKind, IcmpError};
use crate::link::{PartialChecksum, RxChecksum, RxMeta};

pub(crate) const ETHERNET_HEADER: usize = 14;
pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
pub(crate) const PROTOCOL_ICMP: u8 = 1;
pub(crate) const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_UDP: u8 = 17;
pub(crate) const PROTOCOL_ICMPV6: u8 = 58;

/// What stands before the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// An Ethernet header, and the address of this end.
    Ethernet([u8; 6]),
    /// Nothing (the loopback).
    Ip,
}

impl Framing {
    pub(crate) fn header_len(self) -> usize {
        match self {
            Framing::Ethernet(_) => ETHERNET_HEADER,
            Framing::Ip => 0,
        }
    }
}

/// Where a TCP segment for this end is. Its checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) bytes: Range<usize>,
}

/// A datagram for this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) local: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

/// What the fragments of a datagram share: source, destination, identification (RFC 791, 3.2).
pub(crate) type FragmentKey = (Ipv4Addr, Ipv4Addr, u16);

/// A fragment of a datagram: the key that its fragments share, and the destination port if it is
/// the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) key: FragmentKey,
    pub(crate) first: Option<Datagram>,
}

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// For the interface itself: ARP, echo requests.
    Interface,
    /// ARP, or neighbour discovery: an address may have become known.
    Neighbor,
    /// A router advertisement, checked (RFC 4861, 6.1.2): offset of its ICMPv6 header.
    RouterAdvertisement(usize),
    Tcp(Part),
    Udp(Datagram),
    UdpFragment(Fragment),
    Error(IcmpError),
    /// Malformed, forged, or nothing for us.
    Drop,
    BadChecksum,
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

fn v4(data: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from_octets(*data.get(at..)?.first_chunk()?))
}

fn v6(data: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from_octets(*data.get(at..)?.first_chunk()?))
}

/// Tells what a frame is. Completes the checksum of a UDP datagram that has only a partial one, so
/// that smoltcp may verify it.
pub(crate) fn classify(frame: &mut [u8], meta: RxMeta, framing: Framing) -> Class {
    // `None` from the parsers means: too short for what its headers say.
    parse(frame, meta, framing).unwrap_or(Class::Drop)
}

fn parse(frame: &mut [u8], meta: RxMeta, framing: Framing) -> Option<Class> {
    let (ethertype, to_us) = match framing {
        Framing::Ethernet(mac) => {
            let destination: [u8; 6] = *frame.first_chunk()?;
            let to_us = destination == mac;
            // Group addresses have the lowest bit of the first byte set.
            if !to_us && destination[0] & 1 == 0 {
                return Some(Class::Drop);
            }
            (be16(frame, 12)?, to_us)
        }
        Framing::Ip => match frame.first()? >> 4 {
            4 => (0x0800, true),
            _ => (0x86dd, true),
        },
    };
    match ethertype {
        0x0800 => parse_v4(frame, framing, meta, to_us),
        0x86dd => parse_v6(frame, framing, meta, to_us),
        0x0806 => Some(Class::Neighbor),
        _ => Some(Class::Drop),
    }
}

fn parse_v4(frame: &mut [u8], framing: Framing, meta: RxMeta, to_us: bool) -> Option<Class> {
    let ip = framing.header_len();
    let version = *frame.get(ip)?;
    let header_len = usize::from(version & 0x0f) * 4;
    let total_len = usize::from(be16(frame, ip + 2)?);
    if version >> 4 != 4 || header_len < IPV4_HEADER || total_len < header_len {
        return Some(Class::Drop);
    }
    let end = ip + total_len;
    frame.get(ip..end)?;
    let (source, destination) = (v4(frame, ip + 12)?, v4(frame, ip + 16)?);
    let protocol = *frame.get(ip + 9)?;
    let l4 = ip + header_len;
    let loopback = framing == Framing::Ip;
    if source.is_unspecified() {
        // Only a DHCP client has no address yet, and we are no server.
        return Some(Class::Drop);
    }
    if !is_unicast_v4(source) || destination.is_unspecified() {
        return Some(Class::Drop);
    }
    if !loopback && (source.is_loopback() || destination.is_loopback()) {
        return Some(Class::Drop);
    }
    let fragment = be16(frame, ip + 6)?;
    if fragment & 0x3fff != 0 {
        if protocol != PROTOCOL_UDP || !to_us {
            return Some(Class::Drop);
        }
        let key = (source, destination, be16(frame, ip + 4)?);
        let first = if fragment & 0x1fff == 0 {
            Some(datagram(frame, l4, IpAddr::V4(destination))?)
        } else {
            None
        };
        return Some(Class::UdpFragment(Fragment { key, first }));
    }
    let addresses = (ip + 12, ip + 20);
    let pair = (IpAddr::V4(destination), IpAddr::V4(source));
    match protocol {
        PROTOCOL_TCP if to_us && is_unicast_v4(destination) => {
            segment(frame, l4, end, addresses, pair, meta)
        }
        PROTOCOL_UDP => udp(frame, l4, end, pair.0, meta),
        PROTOCOL_ICMP if to_us && is_unicast_v4(destination) => {
            let icmp = frame.get(l4..end)?;
            match (*icmp.first()?, *icmp.get(1)?) {
                (kind @ (3 | 11 | 12), code) => {
                    if checksum::sum(icmp) != 0xffff {
                        return Some(Class::BadChecksum);
                    }
                    let kind = match (kind, code) {
                        (3, 2) => ErrorKind::ProtocolUnreachable,
                        (3, 3) => ErrorKind::PortUnreachable,
                        (3, 4) => ErrorKind::PacketTooBig(be16(icmp, 6)?.into()),
                        (3, 9 | 10 | 13) => ErrorKind::Prohibited,
                        (3, _) => ErrorKind::HostUnreachable,
                        (11, _) => ErrorKind::TimeExceeded,
                        _ => ErrorKind::ParameterProblem,
                    };
                    let inner = icmp.get(8..)?;
                    let l4 = usize::from(inner.first()? & 0x0f) * 4;
                    let (local, remote) = (v4(inner, 12)?, v4(inner, 16)?);
                    error(
                        kind,
                        inner,
                        *inner.get(9)?,
                        l4,
                        (local.into(), remote.into()),
                        pair.0,
                    )
                }
                (8, _) => Some(Class::Interface),
                _ => Some(Class::Drop),
            }
        }
        _ => Some(Class::Drop),
    }
}

fn parse_v6(frame: &mut [u8], framing: Framing, meta: RxMeta, to_us: bool) -> Option<Class> {
    let ip = framing.header_len();
    let end = ip + IPV6_HEADER + usize::from(be16(frame, ip + 4)?);
    if frame.get(ip..end)?.first()? >> 4 != 6 {
        return Some(Class::Drop);
    }
    let (source, destination) = (v6(frame, ip + 8)?, v6(frame, ip + 24)?);
    let protocol = *frame.get(ip + 6)?;
    let l4 = ip + IPV6_HEADER;
    // The unspecified source is that of duplicate address detection only, which smoltcp can't
    // answer.
    if source.is_multicast() || source.is_unspecified() || destination.is_unspecified() {
        return Some(Class::Drop);
    }
    if framing != Framing::Ip && (source.is_loopback() || destination.is_loopback()) {
        return Some(Class::Drop);
    }
    // Addresses of IPv4 in a header of IPv6 are somebody's trick (RFC 4038, 4.2).
    if source
        .to_ipv4_mapped()
        .or(destination.to_ipv4_mapped())
        .is_some()
    {
        return Some(Class::Drop);
    }
    let pair = (IpAddr::V6(destination), IpAddr::V6(source));
    match protocol {
        PROTOCOL_TCP if to_us && !destination.is_multicast() => {
            segment(frame, l4, end, (ip + 8, ip + 40), pair, meta)
        }
        PROTOCOL_UDP => udp(frame, l4, end, pair.0, meta),
        PROTOCOL_ICMPV6 => icmp_v6(frame, ip, l4, end, pair, to_us),
        _ => Some(Class::Drop),
    }
}

/// An ICMP error that quotes `inner`, a packet of ours, whose transport header begins at `l4`.
fn error(
    kind: ErrorKind,
    inner: &[u8],
    protocol: u8,
    l4: usize,
    (from, to): (IpAddr, IpAddr),
    local: IpAddr,
) -> Option<Class> {
    if from != local {
        return Some(Class::Drop);
    }
    Some(Class::Error(IcmpError {
        kind,
        // Whoever it came over.
        interface: 0,
        protocol,
        local: (from, be16(inner, l4)?),
        remote: (to, be16(inner, l4 + 2)?),
        seq: be32(inner, l4 + 4),
    }))
}

fn icmp_v6(
    frame: &[u8],
    ip: usize,
    l4: usize,
    end: usize,
    (local, remote): (IpAddr, IpAddr),
    to_us: bool,
) -> Option<Class> {
    let icmp = frame.get(l4..end)?;
    let valid = || {
        let addresses = frame.get(ip + 8..ip + 40)?;
        let pseudo = checksum::pseudo_header(addresses, PROTOCOL_ICMPV6, icmp.len());
        Some(checksum::add(pseudo, checksum::sum(icmp)) == 0xffff)
    };
    match *icmp.first()? {
        kind @ 1..=4 if to_us => {
            if !valid()? {
                return Some(Class::BadChecksum);
            }
            let kind = match (kind, *icmp.get(1)?) {
                (1, 4) => ErrorKind::PortUnreachable,
                (1, 1 | 5 | 6) => ErrorKind::Prohibited,
                (1, _) => ErrorKind::HostUnreachable,
                (2, _) => ErrorKind::PacketTooBig(be32(icmp, 4)?),
                (3, _) => ErrorKind::TimeExceeded,
                (4, 1) => ErrorKind::ProtocolUnreachable,
                _ => ErrorKind::ParameterProblem,
            };
            let inner = icmp.get(8..)?;
            let ends = (v6(inner, 8)?.into(), v6(inner, 24)?.into());
            error(kind, inner, *inner.get(6)?, IPV6_HEADER, ends, local)
        }
        128 if to_us => Some(Class::Interface),
        134 => {
            let link_local = matches!(remote, IpAddr::V6(a) if a.is_unicast_link_local());
            let hop_limit = *frame.get(ip + 7)?;
            if !link_local || hop_limit != 255 || icmp.len() < 16 {
                return Some(Class::Drop);
            }
            Some(if valid()? {
                Class::RouterAdvertisement(l4)
            } else {
                Class::BadChecksum
            })
        }
        135 | 136 => Some(Class::Neighbor),
        _ => Some(Class::Drop),
    }
}

fn segment(
    frame: &[u8],
    l4: usize,
    end: usize,
    addresses: (usize, usize),
    (local, remote): (IpAddr, IpAddr),
    meta: RxMeta,
) -> Option<Class> {
    let tcp = frame.get(l4..end)?;
    let header_len = usize::from(*tcp.get(12)? >> 4) * 4;
    tcp.len().checked_sub(header_len)?;
    let (source, destination) = (be16(tcp, 0)?, be16(tcp, 2)?);
    if header_len < 20 || source == 0 || destination == 0 {
        return Some(Class::Drop);
    }
    if meta.checksum == RxChecksum::Unknown {
        let pseudo = checksum::pseudo_header(
            frame.get(addresses.0..addresses.1)?,
            PROTOCOL_TCP,
            tcp.len(),
        );
        if checksum::add(pseudo, checksum::sum(tcp)) != 0xffff {
            return Some(Class::BadChecksum);
        }
    }
    Some(Class::Tcp(Part {
        local,
        remote,
        bytes: l4..end,
    }))
}

fn datagram(frame: &[u8], l4: usize, local: IpAddr) -> Option<Datagram> {
    let (remote_port, local_port) = (be16(frame, l4)?, be16(frame, l4 + 2)?);
    Some(Datagram {
        local,
        local_port,
        remote_port,
    })
}

fn udp(frame: &mut [u8], l4: usize, end: usize, local: IpAddr, meta: RxMeta) -> Option<Class> {
    frame.get(l4..end)?.get(..8)?;
    if let RxChecksum::Partial(PartialChecksum { start, offset }) = meta.checksum {
        // The numbers come from the device: they must name the field that we know to be there.
        if usize::from(start) != l4 || offset != 6 {
            return Some(Class::Drop);
        }
        let sum = !checksum::sum(frame.get(l4..end)?);
        let field = frame.get_mut(l4 + 6..l4 + 8)?;
        // Zero means "no checksum" (RFC 768), so that the other form of zero is sent.
        field.copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    }
    let datagram = datagram(frame, l4, local)?;
    if datagram.remote_port == 0 || datagram.local_port == 0 {
        return Some(Class::Drop);
    }
    Some(Class::Udp(datagram))
}
