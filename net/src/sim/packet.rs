//! Frames built and parsed without any code of the stack, so that an error of the stack isn't
//! repeated here. A frame is valid unless the test changes a field.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// FIN (RFC 9293, 3.1), as are the next ones.
pub const FIN: u8 = 0x01;
/// SYN.
pub const SYN: u8 = 0x02;
/// RST.
pub const RST: u8 = 0x04;
/// PSH.
pub const PSH: u8 = 0x08;
/// ACK.
pub const ACK: u8 = 0x10;
/// URG.
pub const URG: u8 = 0x20;
/// ECE (RFC 3168).
pub const ECE: u8 = 0x40;
/// CWR (RFC 3168).
pub const CWR: u8 = 0x80;

/// The folded one's complement sum of `bytes`, added to `start` (RFC 1071).
pub fn sum(start: u16, bytes: &[u8]) -> u16 {
    let mut sum = u64::from(start);
    // Tests of long transfers spend most of their time here: whole words, whose carries fold in as
    // well (2, C).
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_be_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum of the pseudo-header: both addresses one after another, a protocol and the length of the
/// rest (RFC 9293, 3.1; RFC 8200, 8.1).
pub fn pseudo(addresses: &[u8], protocol: u8, len: usize) -> u16 {
    let len = (len as u32).to_be_bytes();
    sum(sum(sum(0, addresses), &[0, protocol]), &len)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// An Ethernet frame.
pub fn ethernet(from: [u8; 6], to: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IP packet in a frame: IPv4 (DF set) or IPv6, depending on the addresses.
pub fn ip(
    macs: ([u8; 6], [u8; 6]),
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::new();
    let ethertype = if from.is_ipv4() {
        let len = (payload.len() + 20) as u16;
        packet.extend([0x45, 0]);
        packet.extend(len.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, hop_limit, protocol, 0, 0]);
        packet.extend(octets(from));
        packet.extend(octets(to));
        let check = !sum(0, &packet);
        packet[10..12].copy_from_slice(&check.to_be_bytes());
        0x0800
    } else {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([protocol, hop_limit]);
        packet.extend(octets(from));
        packet.extend(octets(to));
        0x86dd
    };
    packet.extend(payload);
    ethernet(macs.0, macs.1, ethertype, &packet)
}

/// Sets the checksum at `at`, computed over the pseudo-header and `bytes`.
fn with_checksum(from: IpAddr, to: IpAddr, protocol: u8, at: usize, mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[at..at + 2].fill(0);
    let addresses = [octets(from), octets(to)].concat();
    let check = !sum(pseudo(&addresses, protocol, bytes.len()), &bytes);
    let check = if check == 0 && protocol == 17 {
        0xffff
    } else {
        check
    };
    bytes[at..at + 2].copy_from_slice(&check.to_be_bytes());
    bytes
}

/// A UDP datagram in a frame.
pub fn udp(macs: ([u8; 6], [u8; 6]), from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(((payload.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    let bytes = with_checksum(from.ip(), to.ip(), 17, 6, bytes);
    ip(macs, from.ip(), to.ip(), 17, 64, &bytes)
}

/// An ICMP message (ICMPv6 between IPv6 addresses) in a frame. `rest` are the four bytes after the
/// checksum.
pub fn icmp(
    macs: ([u8; 6], [u8; 6]),
    from: IpAddr,
    to: IpAddr,
    (kind, code): (u8, u8),
    rest: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(rest.to_be_bytes());
    bytes.extend(payload);
    if from.is_ipv4() {
        let check = !sum(0, &bytes);
        bytes[2..4].copy_from_slice(&check.to_be_bytes());
        return ip(macs, from, to, 1, 64, &bytes);
    }
    let bytes = with_checksum(from, to, 58, 2, bytes);
    // Neighbor discovery must come from the same link (RFC 4861, 7.1.1).
    let hop_limit = if (133..=137).contains(&kind) { 255 } else { 64 };
    ip(macs, from, to, 58, hop_limit, &bytes)
}

/// An IP packet found in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source.
    pub from: IpAddr,
    /// Destination.
    pub to: IpAddr,
    /// Protocol, or the last next header that isn't an extension.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// The byte of DSCP and ECN.
    pub traffic_class: u8,
    /// Part of a fragmented packet.
    pub fragment: bool,
    /// Payload; for a fragment, the part in this packet.
    pub payload: Vec<u8>,
}

impl Ip {
    /// The IP packet in an Ethernet frame, which may have VLAN tags; `None` if there is none.
    pub fn parse(frame: &[u8]) -> Option<Ip> {
        let mut at = 12;
        while frame.get(at..at + 2)? == [0x81, 0] {
            at += 4;
        }
        let packet = frame.get(at + 2..)?;
        match frame.get(at..at + 2)? {
            [8, 0] => Ip::parse_v4(packet),
            [0x86, 0xdd] => Ip::parse_v6(packet),
            _ => None,
        }
    }

    /// An IPv4 packet, also one quoted in an ICMP error: it may be truncated.
    pub fn parse_v4(packet: &[u8]) -> Option<Ip> {
        let header = packet.get(..20)?;
        let header_len = usize::from(header[0] & 15) * 4;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let address = |at: usize| -> IpAddr {
            Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into()
        };
        Some(Ip {
            from: address(12),
            to: address(16),
            protocol: header[9],
            hop_limit: header[8],
            traffic_class: header[1],
            fragment: header[6] & 0x3f != 0 || header[7] != 0,
            payload: packet.get(header_len..len.min(packet.len()))?.to_vec(),
        })
    }

    /// An IPv6 packet, which may be truncated.
    pub fn parse_v6(packet: &[u8]) -> Option<Ip> {
        let header = packet.get(..40)?;
        let address = |at: usize| -> IpAddr {
            let octets: [u8; 16] = header[at..at + 16].try_into().expect("16 bytes");
            Ipv6Addr::from(octets).into()
        };
        let len = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut rest = packet.get(40..len.min(packet.len()))?;
        let mut protocol = header[6];
        let mut fragment = false;
        while matches!(protocol, 0 | 43 | 44 | 60) {
            let next = *rest.first()?;
            let len = match protocol {
                44 => 8,
                _ => 8 + usize::from(*rest.get(1)?) * 8,
            };
            if protocol == 44 {
                fragment |= rest.get(2..4)? != [0, 0];
            }
            rest = rest.get(len..)?;
            protocol = next;
            if fragment {
                break;
            }
        }
        Some(Ip {
            from: address(8),
            to: address(24),
            protocol,
            hop_limit: header[7],
            traffic_class: header[0] << 4 | header[1] >> 4,
            fragment,
            payload: rest.to_vec(),
        })
    }
}

/// Checks the checksums of a frame that a stack sent. `Ok(true)`: it has a valid TCP or UDP
/// checksum; `Ok(false)`: there is none to check.
pub fn verify(frame: &[u8]) -> Result<bool, &'static str> {
    let Some(packet) = Ip::parse(frame) else {
        return Ok(false);
    };
    if packet.from.is_ipv4() {
        let start = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
        let len = usize::from(frame[start] & 15) * 4;
        let header = frame.get(start..start + len);
        if header.is_none_or(|header| sum(0, header) != 0xffff) {
            return Err("a wrong checksum of an IPv4 header");
        }
    }
    if packet.fragment {
        return Ok(false);
    }
    let addresses = [octets(packet.from), octets(packet.to)].concat();
    let whole = |start| sum(start, &packet.payload) == 0xffff;
    let with_pseudo = || whole(pseudo(&addresses, packet.protocol, packet.payload.len()));
    match packet.protocol {
        6 if !with_pseudo() => Err("a wrong TCP checksum"),
        6 => Ok(true),
        17 if packet.payload.get(6..8) == Some(&[0, 0]) => match packet.from.is_ipv4() {
            true => Ok(false),
            false => Err("a datagram over IPv6 without checksum"),
        },
        17 if !with_pseudo() => Err("a wrong UDP checksum"),
        17 => Ok(true),
        1 if !whole(0) => Err("a wrong ICMP checksum"),
        58 if !with_pseudo() => Err("a wrong ICMPv6 checksum"),
        _ => Ok(false),
    }
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; sent unchanged even without [`ACK`].
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// Window field of the header.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// The byte of DSCP and ECN in the IP header.
    pub traffic_class: u8,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// Options, without padding when built, with it when read.
    pub options: Vec<u8>,
    /// Data.
    pub payload: Vec<u8>,
}

impl Tcp {
    /// A segment with everything else 0, and a window of 65 535.
    pub fn between(from: SocketAddr, to: SocketAddr) -> Tcp {
        Tcp {
            from,
            to,
            seq: 0,
            ack: 0,
            flags: 0,
            window: 65_535,
            urgent: 0,
            traffic_class: 0,
            hop_limit: 64,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// With these flags.
    pub fn flags(mut self, flags: u8) -> Tcp {
        self.flags = flags;
        self
    }

    /// With this byte of DSCP and ECN.
    pub fn traffic_class(mut self, traffic_class: u8) -> Tcp {
        self.traffic_class = traffic_class;
        self
    }

    /// With this sequence number.
    pub fn seq(mut self, seq: u32) -> Tcp {
        self.seq = seq;
        self
    }

    /// With this acknowledgement number, and [`ACK`].
    pub fn ack(mut self, ack: u32) -> Tcp {
        self.ack = ack;
        self.flags |= ACK;
        self
    }

    /// With this window.
    pub fn window(mut self, window: u16) -> Tcp {
        self.window = window;
        self
    }

    /// Appends these bytes of options.
    pub fn option(mut self, option: &[u8]) -> Tcp {
        self.options.extend(option);
        self
    }

    /// With a maximum segment size (RFC 9293, 3.7.1).
    pub fn mss(self, mss: u16) -> Tcp {
        let [high, low] = mss.to_be_bytes();
        self.option(&[2, 4, high, low])
    }

    /// With a window scale (RFC 7323, 2.2).
    pub fn scale(self, shift: u8) -> Tcp {
        self.option(&[1, 3, 3, shift])
    }

    /// With SACK permitted (RFC 2018, 2).
    pub fn sack_permitted(self) -> Tcp {
        self.option(&[1, 1, 4, 2])
    }

    /// With timestamps (RFC 7323, 3.2).
    pub fn timestamps(self, value: u32, echo: u32) -> Tcp {
        self.option(&[1, 1, 8, 10])
            .option(&value.to_be_bytes())
            .option(&echo.to_be_bytes())
    }

    /// With SACK blocks (RFC 2018, 3).
    pub fn sack(self, blocks: &[(u32, u32)]) -> Tcp {
        let mut segment = self.option(&[1, 1, 5, 2 + 8 * blocks.len() as u8]);
        for (left, right) in blocks {
            segment = segment
                .option(&left.to_be_bytes())
                .option(&right.to_be_bytes());
        }
        segment
    }

    /// With data.
    pub fn payload(mut self, payload: &[u8]) -> Tcp {
        self.payload = payload.to_vec();
        self
    }

    /// The acknowledgement of `other` by this segment's sender, whose next number follows this
    /// segment.
    pub fn reply_to(&self, other: &Tcp) -> Tcp {
        Tcp::between(self.from, self.to)
            .seq(self.end())
            .ack(other.end())
    }

    /// The sequence number after this segment.
    pub fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len())
    }

    /// Number of sequence numbers that it occupies (SEG.LEN).
    pub fn len(&self) -> u32 {
        let flags = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.payload.len() as u32 + flags
    }

    /// Whether it occupies none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all these flags are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The TCP header and data, with the checksum.
    pub fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        assert!(options.len() <= 40, "options of {} bytes", options.len());
        let mut bytes = Vec::new();
        bytes.extend(self.from.port().to_be_bytes());
        bytes.extend(self.to.port().to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([(5 + options.len() as u8 / 4) << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(&options);
        bytes.extend(&self.payload);
        with_checksum(self.from.ip(), self.to.ip(), 6, 16, bytes)
    }

    /// The whole frame.
    pub fn frame(&self, macs: ([u8; 6], [u8; 6])) -> Vec<u8> {
        let (from, to) = (self.from.ip(), self.to.ip());
        let mut frame = ip(macs, from, to, 6, self.hop_limit, &self.bytes());
        if from.is_ipv4() {
            frame[15] = self.traffic_class;
            frame[24..26].fill(0);
            let check = !sum(0, &frame[14..34]);
            frame[24..26].copy_from_slice(&check.to_be_bytes());
        } else {
            frame[14] |= self.traffic_class >> 4;
            frame[15] |= self.traffic_class << 4;
        }
        frame
    }

    /// The segment in a frame; `None` if there is none.
    pub fn parse(frame: &[u8]) -> Option<Tcp> {
        let packet = Ip::parse(frame)?;
        if packet.protocol != 6 || packet.fragment {
            return None;
        }
        let header = packet.payload.get(..20)?;
        let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        let data = usize::from(header[12] >> 4) * 4;
        Some(Tcp {
            from: SocketAddr::new(packet.from, half(0)),
            to: SocketAddr::new(packet.to, half(2)),
            seq: word(4),
            ack: word(8),
            flags: header[13],
            window: half(14),
            urgent: half(18),
            traffic_class: packet.traffic_class,
            hop_limit: packet.hop_limit,
            options: packet.payload.get(20..data)?.to_vec(),
            payload: packet.payload.get(data..)?.to_vec(),
        })
    }

    /// The value of an option of this kind.
    pub fn find(&self, kind: u8) -> Option<&[u8]> {
        let mut rest = &self.options[..];
        loop {
            match *rest.first()? {
                0 => return None,
                1 => rest = &rest[1..],
                found => {
                    let len = usize::from(*rest.get(1)?);
                    let value = rest.get(2..len)?;
                    if found == kind {
                        return Some(value);
                    }
                    rest = &rest[len..];
                }
            }
        }
    }

    /// The maximum segment size option.
    pub fn found_mss(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.find(2)?.try_into().ok()?))
    }

    /// The window scale.
    pub fn found_scale(&self) -> Option<u8> {
        self.find(3)?.first().copied()
    }

    /// The timestamps: value and echo.
    pub fn found_timestamps(&self) -> Option<(u32, u32)> {
        let value = self.find(8)?;
        let word = |at: usize| Some(u32::from_be_bytes(value.get(at..at + 4)?.try_into().ok()?));
        Some((word(0)?, word(4)?))
    }

    /// The SACK blocks.
    pub fn found_sack(&self) -> Vec<(u32, u32)> {
        let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        let value = self.find(5).unwrap_or_default();
        let blocks = value.chunks_exact(8);
        blocks
            .map(|block| (word(&block[..4]), word(&block[4..])))
            .collect()
    }
}
