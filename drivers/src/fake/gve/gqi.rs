//! Queues in order, of registered pages.

use std::vec;
use std::vec::Vec;

use super::{ETHERNET, GveRxLie, GveTxLie, Model, PAGE};
use crate::fake::frame::{self, Layout, Packet};

/// Bytes before a received frame, which its length counts.
const PAD: usize = 2;
/// Bytes of a receive buffer.
const BUFFER: usize = 2048;

/// Types of descriptors: the upper 4 bits.
const PACKET: u8 = 0;
const SEGMENTED: u8 = 1;
const SEGMENT: u8 = 2;
const METADATA: u8 = 3;

/// Flags of received packets.
const FRAGMENT: u16 = 1 << 6;
const IPV4: u16 = 1 << 7;
const IPV6: u16 = 1 << 8;
const TCP: u16 = 1 << 9;
const UDP: u16 = 1 << 10;
const CONTINUED: u16 = 1 << 13;

pub(super) struct GqiTx {
    ring: u64,
    entries: u32,
    /// The page list.
    pub list: u32,
    block: u32,
    /// Index of the event counter.
    counter: u32,
    /// Descriptors that the driver has published, and those sent, without end.
    tail: u32,
    head: u32,
    /// The event counter's value.
    told: u32,
}

impl GqiTx {
    pub fn new(ring: u64, entries: u32, list: u32, block: u32, counter: u32) -> GqiTx {
        GqiTx {
            ring,
            entries,
            list,
            block,
            counter,
            tail: 0,
            head: 0,
            told: 0,
        }
    }

    pub fn ring(&mut self, value: u32, lied: bool) {
        let waiting = value.wrapping_sub(self.told);
        assert!(waiting <= self.entries || lied, "{waiting} descriptors");
        self.tail = value;
    }
}

pub(super) struct GqiRx {
    descriptors: u64,
    data: u64,
    entries: u32,
    pub list: u32,
    block: u32,
    /// Buffers that the driver has given, and those used, without end.
    fill: u32,
    used: u32,
    sequence: u8,
}

impl GqiRx {
    pub fn new(rings: (u64, u64), entries: u32, list: u32, block: u32) -> GqiRx {
        GqiRx {
            descriptors: rings.0,
            data: rings.1,
            entries,
            list,
            block,
            fill: 0,
            used: 0,
            sequence: 1,
        }
    }

    pub fn ring(&mut self, value: u32, lied: bool) {
        let given = value.wrapping_sub(self.used);
        assert!(given <= self.entries || lied, "{given} buffers");
        self.fill = value;
    }

    pub fn posted(&self) -> usize {
        self.fill.wrapping_sub(self.used) as usize
    }
}

fn short(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

impl Model {
    /// Physical addresses and lengths of a range of a page list.
    fn pieces(&self, list: u32, offset: u64, len: usize) -> Vec<(u64, usize)> {
        let pages = self.pages.get(&list).expect("pages outlive their queues");
        let mut pieces = Vec::new();
        let (mut at, end) = (offset as usize, offset as usize + len);
        assert!(end <= pages.len() * PAGE, "{len} bytes at {offset:#x}");
        while at < end {
            let piece = (PAGE - at % PAGE).min(end - at);
            pieces.push((pages[at / PAGE] + (at % PAGE) as u64, piece));
            at += piece;
        }
        pieces
    }

    pub(super) fn transmit_gqi(&mut self, queue: &mut GqiTx) {
        let before = queue.told;
        while queue.head != queue.tail {
            let waiting = queue.tail.wrapping_sub(queue.head);
            if waiting > queue.entries {
                // Only after a lie.
                return;
            }
            let descriptor = |at: u32| {
                let mut bytes = [0; 16];
                let slot = at % queue.entries;
                self.memory
                    .read(queue.ring + u64::from(slot) * 16, &mut bytes);
                bytes
            };
            let first = descriptor(queue.head);
            let count = u32::from(first[3]);
            assert!(
                (1..=waiting).contains(&count),
                "{count} descriptors of {waiting}"
            );
            let all: Vec<[u8; 16]> = (0..count)
                .map(|at| descriptor(queue.head.wrapping_add(at)))
                .collect();
            queue.head = queue.head.wrapping_add(count);
            self.device.most_descriptors = self.device.most_descriptors.max(all.len());
            self.send_gqi(queue.list, &all);
            let lie = self.device.tx_lies.pop_front().flatten();
            self.lied |= lie.is_some();
            match lie {
                Some(GveTxLie::Swallow) => {}
                Some(GveTxLie::Count(more)) => {
                    queue.told = queue.told.wrapping_add(count).wrapping_add(more);
                }
                _ => queue.told = queue.told.wrapping_add(count),
            }
        }
        if queue.told != before {
            let resources = self.resources.as_ref().expect("queues have resources");
            let at = resources.counters + u64::from(queue.counter) * 4;
            self.memory.write(at, &queue.told.to_be_bytes());
            self.interrupt(queue.block);
        }
    }

    fn send_gqi(&mut self, list: u32, descriptors: &[[u8; 16]]) {
        let first = descriptors[0];
        let is_segmented = match first[0] >> 4 {
            PACKET => false,
            SEGMENTED => true,
            other => panic!("a packet of type {other}"),
        };
        let mut bytes = Vec::new();
        let mut cut = None;
        for (at, descriptor) in descriptors.iter().enumerate() {
            match (at, descriptor[0] >> 4) {
                (0, _) => {}
                (1, METADATA) => continue,
                (_, SEGMENT) => {
                    let v6 = descriptor[0] & 2 != 0;
                    let l3 = usize::from(descriptor[1]) * 2;
                    let this = (v6, l3, short(descriptor, 4));
                    assert!(cut.is_none_or(|cut| cut == this), "segments differ");
                    cut = Some(this);
                }
                (_, other) => panic!("a descriptor of type {other}"),
            }
            let len = short(descriptor, 6);
            let address = u64::from_be_bytes(descriptor[8..].try_into().expect("8 bytes"));
            assert!(len > 0, "an empty segment");
            for (from, len) in self.pieces(list, address, len) {
                let start = bytes.len();
                bytes.resize(start + len, 0);
                self.memory.read(from, &mut bytes[start..]);
            }
        }
        assert_eq!(bytes.len(), short(&first, 4), "the length of a packet");
        let (offset, l4) = (usize::from(first[1]) * 2, usize::from(first[2]) * 2);
        if first[0] & 1 == 0 {
            assert!(!is_segmented, "segments without checksums");
            return self.sent(bytes);
        }
        let field = l4 + offset;
        let given = short(&bytes, field) as u16;
        if !is_segmented {
            // The first segment holds the checksum.
            assert!(field + 2 <= short(&first, 6), "no room for the checksum");
            frame::fill_checksum(&mut bytes, l4, field, given);
            return self.sent(bytes);
        }
        let (v6, l3, size) = cut.expect("the payload has its own segment");
        let header = short(&first, 6);
        let expected = Packet::parse(&bytes).expect("TCP");
        assert_eq!((expected.v6, expected.layout.l3), (v6, l3));
        let layout = Layout {
            l3,
            l4,
            payload: header,
        };
        assert_eq!(expected.layout, layout, "headers in the first segment");
        assert!(size > 0 && offset == 16, "segments of {size}");
        // The driver's sum counts the whole length.
        let len = (bytes.len() - l4) as u16;
        let pseudo = frame::sum(&(!len).to_be_bytes(), given);
        for segment in frame::segments(&bytes, layout, size, pseudo) {
            self.sent(segment);
        }
    }

    /// Returns false if there are too few buffers.
    pub(super) fn receive_gqi(&mut self, queue: &mut GqiRx, bytes: &[u8], hash: u32) -> bool {
        let count = (bytes.len() + PAD).div_ceil(BUFFER);
        if bytes.len() > ETHERNET + usize::from(self.device.max_mtu()) {
            self.device.dropped += 1;
            return true;
        }
        if queue.posted() < count || queue.posted() > queue.entries as usize {
            return false;
        }
        let mut rest = bytes;
        let packet = Packet::parse(bytes);
        let mut flags = match &packet {
            None => 0,
            Some(packet) => {
                let l3 = if packet.v6 { IPV6 } else { IPV4 };
                let l4 = if packet.tcp { TCP } else { UDP };
                l3 | if packet.fragment { FRAGMENT } else { l4 }
            }
        };
        // The sum of all bytes after the Ethernet header.
        let sum = frame::sum(bytes.get(14..).unwrap_or(&[]), 0);
        for at in 0..count {
            let pad = if at == 0 { PAD } else { 0 };
            let (piece, after) = rest.split_at((BUFFER - pad).min(rest.len()));
            rest = after;
            flags &= !CONTINUED;
            if !rest.is_empty() {
                flags |= CONTINUED;
            }
            let slot = u64::from(queue.used % queue.entries);
            let mut address = [0; 8];
            self.memory.read(queue.data + slot * 8, &mut address);
            let mut from = vec![0; pad];
            from.extend_from_slice(piece);
            let mut done = 0;
            let offset = u64::from_be_bytes(address);
            assert!(
                offset.is_multiple_of(BUFFER as u64),
                "a buffer at {offset:#x}"
            );
            for (to, len) in self.pieces(queue.list, offset, from.len()) {
                self.memory.write(to, &from[done..done + len]);
                done += len;
            }
            let mut told = (from.len() as u16, flags, queue.sequence);
            let lie = self.device.rx_lies.pop_front().flatten();
            self.lied |= lie.is_some();
            match lie {
                Some(GveRxLie::Swallow) => continue,
                Some(GveRxLie::Length(len)) => told.0 = len,
                Some(GveRxLie::Flags(bits)) => told.1 ^= bits & !7,
                Some(GveRxLie::Sequence(sequence)) => told.2 = sequence & 7,
                _ => {}
            }
            let mut descriptor = [0; 64];
            descriptor[48..52].copy_from_slice(&hash.to_be_bytes());
            descriptor[56] = packet.map_or(0, |packet| (packet.layout.payload + PAD) as u8);
            descriptor[58..60].copy_from_slice(&sum.to_be_bytes());
            descriptor[60..62].copy_from_slice(&told.0.to_be_bytes());
            descriptor[62..64].copy_from_slice(&(told.1 | u16::from(told.2)).to_be_bytes());
            self.memory
                .write(queue.descriptors + slot * 64, &descriptor);
            queue.used = queue.used.wrapping_add(1);
            queue.sequence = queue.sequence % 7 + 1;
        }
        self.interrupt(queue.block);
        true
    }
}
