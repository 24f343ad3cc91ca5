//! A segment's way onto the link: TCP, IP and Ethernet headers, checksums or what the device is told about them.

use core::net::IpAddr;

use super::machine::{Emit, Header};
use crate::checksum;
use crate::device::Profile;
use crate::frame::{Framing, IPV4_HEADER, IPV6_HEADER, PROTOCOL_TCP};
use crate::interface::{End, Interface};
use crate::ip::Origin;
use crate::link::{PartialChecksum, SegmentKind, Segmentation, TxMeta};

/// The largest IP packet.
const IP_MAX: usize = 65_535;
/// The largest TCP header.
const TCP_HEADER_MAX: usize = 60;
/// The hop limit of what we send.
const HOP_LIMIT: u8 = 64;

/// Both ends of a segment that goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
    /// The Ethernet address that it goes to.
    pub(crate) mac: [u8; 6],
}

/// Copies `bytes` to `at`; what doesn't fit is left out.
fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

impl Ends {
    fn ip_header(&self) -> usize {
        match self.local.0 {
            IpAddr::V4(_) => IPV4_HEADER,
            IpAddr::V6(_) => IPV6_HEADER,
        }
    }

    /// Bytes of a frame.
    fn frame_len(&self, profile: &Profile, header: &Header, payload_len: usize) -> usize {
        profile.framing.header_len() + self.ip_header() + header.len() + payload_len
    }

    /// Writes a frame, which is as long as [`Ends::frame_len`] says.
    fn write(
        &self,
        profile: &Profile,
        header: &Header,
        payload: &[&[u8]],
        frame: &mut [u8],
    ) -> TxMeta {
        let ip = profile.framing.header_len();
        let l4 = ip + self.ip_header();
        let tcp_len = frame.len().saturating_sub(l4);
        if let Framing::Ethernet(mac) = profile.framing {
            put(frame, 0, &self.mac);
            put(frame, 6, &mac);
        }
        let addresses = match (self.local.0, self.remote.0) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                if ip > 0 {
                    put(frame, 12, &[0x08, 0x00]);
                }
                let total = (tcp_len + IPV4_HEADER) as u16;
                put(frame, ip, &[0x45, 0]);
                put(frame, ip + 2, &total.to_be_bytes());
                // Never cut on the way (RFC 1191, 3), so that it needs no identification (RFC 6864, 4.1).
                put(
                    frame,
                    ip + 4,
                    &[0, 0, 0x40, 0, HOP_LIMIT, PROTOCOL_TCP, 0, 0],
                );
                put(frame, ip + 12, &local.octets());
                put(frame, ip + 16, &remote.octets());
                let sum = !checksum::sum(frame.get(ip..l4).unwrap_or_default());
                put(frame, ip + 10, &sum.to_be_bytes());
                ip + 12..l4
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                if ip > 0 {
                    put(frame, 12, &[0x86, 0xdd]);
                }
                put(frame, ip, &[0x60, 0, 0, 0]);
                put(frame, ip + 4, &(tcp_len as u16).to_be_bytes());
                put(frame, ip + 6, &[PROTOCOL_TCP, HOP_LIMIT]);
                put(frame, ip + 8, &local.octets());
                put(frame, ip + 24, &remote.octets());
                ip + 8..l4
            }
            // Both ends are of one family.
            _ => return TxMeta::default(),
        };
        let pseudo = frame
            .get(addresses)
            .map_or(0, |a| checksum::pseudo_header(a, PROTOCOL_TCP, tcp_len));
        let Some(tcp) = frame.get_mut(l4..) else {
            return TxMeta::default();
        };
        let header_len = header.write(self.local.1, self.remote.1, tcp).unwrap_or(0);
        let mut at = header_len;
        for piece in payload {
            put(tcp, at, piece);
            at += piece.len();
        }
        put(tcp, 16, &pseudo.to_be_bytes());
        if profile.tx_checksum {
            let cut = at - header_len > usize::from(header.segment_size);
            return TxMeta {
                checksum: Some(PartialChecksum {
                    start: l4 as u16,
                    offset: 16,
                }),
                segmentation: cut.then_some(Segmentation {
                    kind: match self.local.0 {
                        IpAddr::V4(_) => SegmentKind::Tcp4,
                        IpAddr::V6(_) => SegmentKind::Tcp6,
                    },
                    size: header.segment_size,
                    header_len: (l4 + header_len) as u16,
                }),
            };
        }
        // The field holds the pseudo-header's sum, so the sum over all is what is wanted.
        let sum = !checksum::sum(tcp);
        put(tcp, 16, &sum.to_be_bytes());
        TxMeta::default()
    }
}

impl End {
    /// Answers a segment to where it came from. Nothing happens if an answer waits already.
    pub(crate) fn reply(&mut self, origin: &Origin, ports: (u16, u16), header: &Header) {
        let ends = Ends {
            local: (origin.local, ports.0),
            remote: (origin.remote, ports.1),
            mac: origin.mac,
        };
        let len = ends.frame_len(&self.profile, header, 0);
        if self.staged.is_full() {
            return;
        }
        let profile = &self.profile;
        self.staged
            .put(len, |frame| ends.write(profile, header, &[], frame));
        self.count_sent(len);
    }
}

/// Where the segments of one turn go.
pub(crate) struct Way<'a> {
    pub(crate) interface: &'a mut Interface,
    pub(crate) ends: Ends,
    /// Segments sent.
    pub(crate) sent: u32,
}

impl Emit for Way<'_> {
    fn max_segment(&self) -> usize {
        let profile = &self.interface.end.profile;
        let cuts = match self.ends.local.0 {
            IpAddr::V4(_) => profile.tso4,
            IpAddr::V6(_) => profile.tso6,
        };
        if cuts && profile.tx_checksum {
            IP_MAX - self.ends.ip_header() - TCP_HEADER_MAX
        } else {
            0
        }
    }

    fn segment(&mut self, header: &Header, payload: &[&[u8]]) -> bool {
        let Interface { link, end } = &mut *self.interface;
        if !end.staged.send(link.as_mut()) || !link.can_transmit() {
            return false;
        }
        let payload_len: usize = payload.iter().map(|piece| piece.len()).sum();
        let len = self.ends.frame_len(&end.profile, header, payload_len);
        let (ends, profile) = (&self.ends, &end.profile);
        let sent = link.transmit(len, &mut |frame| {
            ends.write(profile, header, payload, frame)
        });
        if sent {
            end.count_sent(len);
            self.sent += 1;
        }
        sent
    }
}
