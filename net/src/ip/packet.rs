//! An outgoing packet as a header and slices, and its encoding.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ip::Route;
use crate::ip::wire::checksum;
use crate::ip::wire::header::{
    DF, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ICMP, ICMPV6, IGMP, IpHeader, TCP, UDP,
};
use crate::types::{PartialChecksum, SegmentKind, Segmentation, TxMeta, put};

/// IP header fields that a program sets for its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderFields {
    /// 0: the link's default.
    pub(crate) hop_limit: u8,
    /// DSCP and ECN field (RFC 2474, 3168).
    pub(crate) traffic_class: u8,
}

/// An outgoing TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpSegment<'a> {
    /// Header and options; the checksum field is ignored.
    pub(crate) header: &'a [u8],
    /// The payload, as slices.
    pub(crate) payload: &'a [&'a [u8]],
    /// The device cuts it into segments with this much payload: see
    /// [`crate::ip::Ip::segmentation`].
    pub(crate) segment_size: Option<u16>,
    pub(crate) header_fields: HeaderFields,
}

/// An outgoing packet of any protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) header: IpHeader,
    /// The transport header; its checksum field is filled in.
    pub(crate) transport: &'a [u8],
    pub(crate) payload: &'a [&'a [u8]],
}

impl HeaderFields {
    /// With a DSCP, of which six bits count.
    pub(crate) fn new(hop_limit: u8, dscp: u8) -> HeaderFields {
        HeaderFields {
            hop_limit,
            traffic_class: dscp << 2,
        }
    }

    /// A header with these fields.
    fn header(self, source: IpAddr, destination: IpAddr, protocol: u8, usual_hops: u8) -> IpHeader {
        let hops = match self.hop_limit {
            0 => usual_hops,
            chosen => chosen,
        };
        IpHeader {
            traffic_class: self.traffic_class,
            ..IpHeader::new(source, destination, protocol, hops)
        }
    }
}

impl<'a> Packet<'a> {
    /// A packet to the end of a route.
    pub(crate) fn new(
        route: &Route,
        protocol: u8,
        header_fields: HeaderFields,
        transport: &'a [u8],
        payload: &'a [&'a [u8]],
    ) -> Packet<'a> {
        Packet {
            header: header_fields.header(
                route.source,
                route.destination,
                protocol,
                route.hop_limit,
            ),
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

    /// Offset of the checksum in the transport header, and whether it covers the pseudo-header.
    fn checksum(&self) -> Option<(usize, bool)> {
        match (self.header.protocol, self.header.destination) {
            (TCP, _) => Some((16, true)),
            (UDP, _) => Some((6, true)),
            (ICMPV6, IpAddr::V6(_)) => Some((2, true)),
            (ICMP | IGMP, IpAddr::V4(_)) => Some((2, false)),
            _ => None,
        }
    }

    /// Writes the packet; `buffer` has its length. With `offload` the device computes the checksum
    /// of TCP and UDP.
    pub(super) fn write(&self, buffer: &mut [u8], before: usize, how: Offload) -> TxMeta {
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
            self.header.pseudo_header_sum(content_len)
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
        // The field holds the sum of the pseudo-header, so that the sum over all bytes is the
        // checksum's.
        let mut sum = !checksum::sum(buffer.get(at..).unwrap_or_default());
        if sum == 0 && self.header.protocol == UDP {
            // Zero would mean "no checksum" (RFC 768).
            sum = 0xffff;
        }
        put(buffer, at + offset, &sum.to_be_bytes());
        TxMeta::default()
    }

    /// The complete packet, without a link header.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut packet = alloc::vec![0; self.len()];
        self.write(&mut packet, 0, Offload::default());
        packet
    }
}

/// Offloads of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offload {
    pub(super) checksum: bool,
    pub(super) segment_size: Option<u16>,
}

pub(crate) fn ethertype(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => ETHERTYPE_IPV4,
        IpAddr::V6(_) => ETHERTYPE_IPV6,
    }
}

pub(super) fn tcp_packet<'a>(
    local: IpAddr,
    remote: IpAddr,
    segment: &TcpSegment<'a>,
    usual_hops: u8,
) -> Packet<'a> {
    let fields = segment.header_fields;
    Packet {
        header: IpHeader {
            // Segments are never fragmented on their way (RFC 1191, 3), so the identification has
            // no use (RFC 6864, 4.1).
            fragment: (0, DF),
            ..fields.header(local, remote, TCP, usual_hops)
        },
        transport: segment.header,
        payload: segment.payload,
    }
}
