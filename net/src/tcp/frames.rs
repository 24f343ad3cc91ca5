//! Segments passed to the IP layer.

use core::net::IpAddr;

use super::machine::{Emit, Header};
use crate::ip::{HeaderFields, Ip, Net, Origin, Outcome, Route, TcpSegment};

/// The largest TCP header.
const TCP_HEADER_MAX: usize = 60;

/// Sends a reply to a segment's origin; `false` if there is no room.
pub(crate) fn reply(
    net: &mut Net,
    origin: &Origin,
    ports: (u16, u16),
    header: &Header,
    header_fields: HeaderFields,
) -> bool {
    let mut buffer = [0; TCP_HEADER_MAX];
    let len = header.write(ports.0, ports.1, &mut buffer).unwrap_or(0);
    let segment = TcpSegment {
        header: buffer.get(..len).unwrap_or_default(),
        payload: &[],
        segment_size: None,
        header_fields,
    };
    net.reply_tcp(origin, &segment)
}

/// The output of one turn: passes segments to the IP layer, over the connection's route.
pub(crate) struct SegmentOutput<'a> {
    pub(crate) ip: &'a mut Ip,
    pub(crate) route: &'a mut Route,
    /// The next hop's address, if it is known.
    pub(crate) mac: Option<[u8; 6]>,
    /// Ours and the peer's.
    pub(crate) ports: (u16, u16),
    /// As the program set them.
    pub(crate) header_fields: HeaderFields,
    /// Whether to queue a segment whose neighbor isn't resolved.
    pub(crate) wait: bool,
    /// Segments sent.
    pub(crate) sent: u32,
}

impl Emit for SegmentOutput<'_> {
    fn max_segment(&self) -> usize {
        let ip_header = match self.route.destination {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        };
        let largest = self.ip.segmentation(self.route);
        largest.map_or(0, |largest| largest - ip_header - TCP_HEADER_MAX)
    }

    fn segment(&mut self, header: &Header, payload: &[&[u8]]) -> bool {
        let mut buffer = [0; TCP_HEADER_MAX];
        let (ours, theirs) = self.ports;
        let len = header.write(ours, theirs, &mut buffer).unwrap_or(0);
        let payload_len: usize = payload.iter().map(|piece| piece.len()).sum();
        let cut = payload_len > usize::from(header.segment_size);
        let segment = TcpSegment {
            header: buffer.get(..len).unwrap_or_default(),
            payload,
            segment_size: cut.then_some(header.segment_size),
            header_fields: HeaderFields {
                traffic_class: self.header_fields.traffic_class | header.ecn,
                ..self.header_fields
            },
        };
        let mut outcome = self.ip.send_tcp(self.route, self.mac, &segment);
        if self.wait && outcome == Outcome::Resolving {
            outcome = self.ip.net.hold_tcp(self.route, &segment);
        }
        let sent = outcome == Outcome::Sent;
        self.sent += u32::from(sent);
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::SegmentOutput;
    use crate::Config;
    use crate::ip::HeaderFields;
    use crate::sim::{Impairment, Offloads, World};
    use crate::tcp::machine::Emit;

    /// The total length of an IPv4 packet has 16 bits (RFC 791, 3.1). IPv6 doesn't count its
    /// header, but cards accept no more either.
    #[test]
    fn a_card_gets_at_most_64_kib_with_the_largest_headers() {
        let cuts = Offloads {
            tso6: false,
            ..Offloads::ALL
        };
        for (offloads, to, largest) in [
            (Offloads::ALL, "10.0.0.2", 65_535 - 20 - 60),
            (Offloads::ALL, "fd00::2", 65_535 - 40 - 60),
            (cuts, "fd00::2", 0),
        ] {
            let impairment = Impairment::default();
            let mut world = World::pair(Config::default(), impairment, [offloads; 2], 1);
            let ip = &mut world.stacks[0].ip;
            let to = to.parse().expect("an address");
            let mut route = ip.route(to, 0, None).expect("on the link");
            let output = SegmentOutput {
                ip,
                route: &mut route,
                mac: None,
                ports: (1, 2),
                header_fields: HeaderFields::default(),
                wait: false,
                sent: 0,
            };
            assert_eq!(output.max_segment(), largest, "{to}");
        }
    }
}
