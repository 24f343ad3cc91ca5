//! Ethernet frames as cards with offloads treat them: checksums and TCP segmentation.

use std::vec::Vec;

/// Offset of the IP header: no tags.
const L3: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where the headers of a frame are, from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The IP header.
    pub l3: usize,
    /// The TCP or UDP header.
    pub l4: usize,
    /// The bytes after the TCP or UDP header.
    pub payload: usize,
}

/// The sum of 16-bit words in ones' complement (RFC 1071), folded, not complemented.
pub(super) fn sum(bytes: &[u8], start: u16) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u64::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut total = words.sum::<u64>() + u64::from(start);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

pub(super) fn set_word(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// A parsed IP packet with a TCP or UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub v6: bool,
    /// TCP, otherwise UDP.
    pub tcp: bool,
    /// A fragment of an IPv4 packet; it has no sum of its own.
    pub fragment: bool,
    pub layout: Layout,
    /// End of the IP packet; a short frame is padded.
    pub end: usize,
}

impl Packet {
    /// Parses a frame; `None` for others than TCP and UDP over IP without extension headers.
    pub fn parse(frame: &[u8]) -> Option<Packet> {
        let (v6, protocol, l4, end, fragment) = match frame.get(12..14)? {
            [0x08, 0x00] if frame.len() >= L3 + 20 => {
                let l4 = L3 + usize::from(frame[L3] & 0xf) * 4;
                let end = L3 + usize::from(word(frame, L3 + 2));
                let fragment = word(frame, L3 + 6) & 0x3fff != 0;
                (false, frame[L3 + 9], l4, end, fragment)
            }
            [0x86, 0xdd] if frame.len() >= L3 + 40 => {
                let end = L3 + 40 + usize::from(word(frame, L3 + 4));
                (true, frame[L3 + 6], L3 + 40, end, false)
            }
            _ => return None,
        };
        let header = match protocol {
            TCP => usize::from(frame.get(l4 + 12)? >> 4) * 4,
            UDP => 8,
            _ => return None,
        };
        let layout = Layout {
            l3: L3,
            l4,
            payload: l4 + header,
        };
        let is_whole = layout.payload <= end && end <= frame.len();
        is_whole.then_some(Packet {
            v6,
            tcp: protocol == TCP,
            fragment,
            layout,
            end,
        })
    }

    /// The sum of the pseudo-header, for `len` bytes from the TCP or UDP header on.
    pub fn pseudo(&self, frame: &[u8], len: usize) -> u16 {
        let addresses = match self.v6 {
            true => &frame[L3 + 8..L3 + 40],
            false => &frame[L3 + 12..L3 + 20],
        };
        let protocol = if self.tcp { TCP } else { UDP };
        sum(
            addresses,
            sum(&(len as u16).to_be_bytes(), u16::from(protocol)),
        )
    }

    /// Whether the checksum of the IPv4 header is right; true for IPv6.
    pub fn has_valid_header(&self, frame: &[u8]) -> bool {
        self.v6 || sum(&frame[L3..self.layout.l4], 0) == 0xffff
    }

    /// Whether the TCP or UDP checksum is right; true for a UDP packet without one.
    pub fn has_valid_checksum(&self, frame: &[u8]) -> bool {
        let bytes = &frame[self.layout.l4..self.end];
        let without = !self.tcp && word(bytes, 6) == 0;
        without || sum(bytes, self.pseudo(frame, bytes.len())) == 0xffff
    }
}

/// Whether all checksums of a frame are right (true for others than TCP and UDP over IP).
pub fn has_valid_checksums(frame: &[u8]) -> bool {
    Packet::parse(frame).is_none_or(|packet| {
        packet.has_valid_header(frame) && (packet.fragment || packet.has_valid_checksum(frame))
    })
}

/// Writes the checksum of the IPv4 header at `l3`.
pub(super) fn fill_header_checksum(frame: &mut [u8], l3: usize, l4: usize) {
    set_word(frame, l3 + 10, 0);
    let value = !sum(&frame[l3..l4], 0);
    set_word(frame, l3 + 10, value);
}

/// Writes the checksum of the bytes from `start` on, and of a pseudo-header with the sum `pseudo`,
/// at `field`.
pub(super) fn fill_checksum(frame: &mut [u8], start: usize, field: usize, pseudo: u16) {
    set_word(frame, field, 0);
    let value = !sum(&frame[start..], pseudo);
    // 0 is "without" for UDP; both mean the same in TCP.
    set_word(frame, field, if value == 0 { 0xffff } else { value });
}

/// Cuts a TCP frame into segments of at most `size` bytes of payload, with the checksums, as a card
/// does. `pseudo` is the sum of the pseudo-header without the length, to which the card adds the
/// length of each segment.
pub(super) fn segments(frame: &[u8], layout: Layout, size: usize, pseudo: u16) -> Vec<Vec<u8>> {
    const FIN_PSH: u8 = 0x09;
    const CWR: u8 = 0x80;
    let Layout { l3, l4, payload } = layout;
    let (header, data) = frame.split_at(payload);
    let v6 = frame[l3] >> 4 == 6;
    let sequence = u32::from_be_bytes(frame[l4 + 4..l4 + 8].try_into().expect("4 bytes"));
    let count = data.len().div_ceil(size);
    let mut segments = Vec::new();
    for (index, piece) in data.chunks(size).enumerate() {
        let mut segment = header.to_vec();
        segment.extend_from_slice(piece);
        let len = segment.len();
        match v6 {
            true => set_word(&mut segment, l3 + 4, (len - l3 - 40) as u16),
            false => {
                set_word(&mut segment, l3 + 2, (len - l3) as u16);
                let id = word(frame, l3 + 4).wrapping_add(index as u16);
                set_word(&mut segment, l3 + 4, id);
                fill_header_checksum(&mut segment, l3, l4);
            }
        }
        let at = sequence.wrapping_add((index * size) as u32);
        segment[l4 + 4..l4 + 8].copy_from_slice(&at.to_be_bytes());
        if index > 0 {
            segment[l4 + 13] &= !CWR;
        }
        if index + 1 < count {
            segment[l4 + 13] &= !FIN_PSH;
        }
        let pseudo = sum(&((len - l4) as u16).to_be_bytes(), pseudo);
        fill_checksum(&mut segment, l4, l4 + 16, pseudo);
        segments.push(segment);
    }
    segments
}

/// The bytes that a hash covers: addresses and ports.
pub(super) fn hash_input(packet: &Packet, bytes: &[u8]) -> Vec<u8> {
    let Layout { l3, l4, .. } = packet.layout;
    let addresses = match packet.v6 {
        true => &bytes[l3 + 8..l3 + 40],
        false => &bytes[l3 + 12..l3 + 20],
    };
    let mut input = addresses.to_vec();
    if !packet.fragment {
        input.extend_from_slice(&bytes[l4..l4 + 4]);
    }
    input
}

/// The Toeplitz hash: for each set bit of the input, the key's 32 bits from there on.
pub(super) fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| {
        let byte = bytes.get(at / 8).copied().unwrap_or(0);
        u32::from(byte >> (7 - at % 8) & 1)
    };
    let window = |at: usize| (0..32).fold(0, |word, index| word << 1 | bit(key, at + index));
    let set = (0..input.len() * 8).filter(|at| bit(input, *at) == 1);
    set.fold(0, |hash, at| hash ^ window(at))
}

/// A TCP frame (IPv4, or IPv6) with this payload, as a stack passes it to a card that computes
/// checksums: the IPv4 header's is right, and the TCP field holds the sum of the pseudo-header.
pub fn tcp_frame(v6: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = std::vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let len = 20 + payload.len();
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, TCP, 64]);
        frame.extend([0xfd; 16]);
        frame.extend([0xfc; 16]);
        set_word(&mut frame, L3 + 4, len as u16);
    } else {
        frame.extend([
            0x08, 0x00, 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, TCP, 0, 0,
        ]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        set_word(&mut frame, L3 + 2, (20 + len) as u16);
        fill_header_checksum(&mut frame, L3, L3 + 20);
    }
    let l4 = frame.len();
    frame.extend([
        0x1f, 0x90, 0xc0, 0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0x50, 0x19,
    ]);
    frame.extend([0x20, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(payload);
    if let Some(packet) = Packet::parse(&frame) {
        let pseudo = packet.pseudo(&frame, len);
        set_word(&mut frame, l4 + 16, pseudo);
    }
    frame
}

/// As [`tcp_frame`], with its checksum: as from a wire.
pub fn finished_tcp_frame(v6: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = tcp_frame(v6, payload);
    let l4 = if v6 { L3 + 40 } else { L3 + 20 };
    let pseudo = word(&frame, l4 + 16);
    fill_checksum(&mut frame, l4, l4 + 16, pseudo);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_frame_is_valid_and_a_damaged_one_is_not() {
        for v6 in [false, true] {
            let frame = finished_tcp_frame(v6, b"hello");
            assert!(has_valid_checksums(&frame), "{v6}");
            assert!(!has_valid_checksums(&tcp_frame(v6, b"hello")));
            for at in L3..frame.len() {
                let mut damaged = frame.clone();
                damaged[at] ^= 1;
                let wrong = !has_valid_checksums(&damaged);
                // Bits that no checksum of IPv6 covers: flow, hop limit; else not TCP, or whole.
                let parsed = Packet::parse(&damaged);
                let uncovered = v6 && (L3..L3 + 8).contains(&at);
                assert!(wrong || uncovered || parsed.is_none(), "{v6} {at}");
            }
        }
    }

    #[test]
    fn segments_are_valid_and_carry_all_bytes() {
        let payload: Vec<u8> = (0..2500u32).map(|at| at as u8).collect();
        for v6 in [false, true] {
            let frame = tcp_frame(v6, &payload);
            let packet = Packet::parse(&frame).expect("TCP");
            let pseudo = packet.pseudo(&frame, 0);
            let cut = segments(&frame, packet.layout, 1000, pseudo);
            assert!(cut.iter().all(|segment| has_valid_checksums(segment)));
            let bytes = cut
                .iter()
                .flat_map(|segment| &segment[packet.layout.payload..]);
            assert!(bytes.eq(&payload) && cut.len() == 3);
            let flags = cut.iter().map(|segment| segment[packet.layout.l4 + 13]);
            assert_eq!(flags.collect::<Vec<_>>(), [0x10, 0x10, 0x19]);
        }
    }

    /// Microsoft's key, and the first of its examples for IPv4 with ports.
    #[test]
    fn the_hash_agrees_with_a_published_one() {
        let key = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
            0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
            0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ];
        let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(toeplitz(&key, &input), 0x51cc_c178);
    }
}
