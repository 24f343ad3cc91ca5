//! Queues out of order, of memory addresses.

use std::collections::{BTreeSet, VecDeque};
use std::vec::Vec;

use super::{ETHERNET, GveDevice, GveRxLie, GveTxLie, Model};
use crate::fake::frame::{self, Packet};

/// Types of descriptors: the lower 5 bits.
const GENERAL_CONTEXT: u8 = 0x4;
const SEGMENTATION_CONTEXT: u8 = 0x5;
const PACKET: u8 = 0xc;
/// Bits of a packet's descriptor, beside its type.
const END: u8 = 1 << 5;
const CHECKSUM: u8 = 1 << 6;
const REPORT: u8 = 1 << 7;
const SEGMENTED: u8 = 1 << 5;

/// Types of completions.
const MISS: u8 = 1;
const DONE: u8 = 2;
const INJECTED: u8 = 3;
const DESCRIPTORS: u8 = 4;

/// The tag's bit of a packet that missed, for drivers that know it.
const ALTERNATIVE_MISS: u16 = 1 << 15;
/// The capability of such drivers.
const KNOWS_MISSES: u64 = 1 << 4;
/// Data descriptors of a packet, or of a segment.
const MAX_DESCRIPTORS: usize = 10;
/// Descriptors from one that wants a report to the next.
const REPORT_INTERVAL: u32 = 32;
/// Descriptors that stay free.
const GAP: u32 = 4;
/// Multiple of the doorbell of buffers.
const BUFFERS_AT_ONCE: u32 = 8;

/// A ring of completions, with a generation that starts as 1.
struct Completions {
    address: u64,
    entries: u32,
    index: u32,
    generation: bool,
}

impl Completions {
    fn new((address, entries): (u64, u32)) -> Completions {
        Completions {
            address,
            entries,
            index: 0,
            generation: true,
        }
    }

    /// The address of the next one, and its generation.
    fn next(&mut self, size: u64) -> (u64, bool) {
        let next = (self.address + u64::from(self.index) * size, self.generation);
        self.index = (self.index + 1) % self.entries;
        self.generation ^= self.index == 0;
        next
    }
}

pub(super) struct DqoTx {
    ring: u64,
    entries: u32,
    block: u32,
    tail: u32,
    head: u32,
    /// The head that the driver knows.
    told: u32,
    /// Descriptors since the last that wanted a report, if one did.
    since_report: Option<u32>,
    completions: Completions,
    held: BTreeSet<u16>,
    missed: VecDeque<u16>,
}

impl DqoTx {
    pub fn new(ring: (u64, u32), completions: (u64, u32), block: u32) -> DqoTx {
        DqoTx {
            ring: ring.0,
            entries: ring.1,
            block,
            tail: 0,
            head: 0,
            told: 0,
            since_report: None,
            completions: Completions::new(completions),
            held: BTreeSet::new(),
            missed: VecDeque::new(),
        }
    }

    pub fn ring(&mut self, value: u32, lied: bool) {
        assert!(value < self.entries || lied, "tail {value}");
        let mask = self.entries - 1;
        let used = value.wrapping_sub(self.told) & mask;
        assert!(used + GAP <= mask || lied, "{used} descriptors in use");
        self.tail = value & mask;
    }
}

pub(super) struct DqoRx {
    completions: Completions,
    ring: u64,
    entries: u32,
    size: u16,
    block: u32,
    tail: u32,
    head: u32,
    buffers: VecDeque<(u16, u64)>,
}

impl DqoRx {
    pub fn new(completions: (u64, u32), ring: (u64, u32), size: u16, block: u32) -> DqoRx {
        DqoRx {
            completions: Completions::new(completions),
            ring: ring.0,
            entries: ring.1,
            size,
            block,
            tail: 0,
            head: 0,
            buffers: VecDeque::new(),
        }
    }

    pub fn ring(&mut self, value: u32, lied: bool) {
        assert!(value < self.entries || lied, "tail {value}");
        assert!(
            value.is_multiple_of(BUFFERS_AT_ONCE) || lied,
            "buffers up to {value}"
        );
        self.tail = value & (self.entries - 1);
    }

    pub fn posted(&self) -> usize {
        let waiting = self.tail.wrapping_sub(self.head) & (self.entries - 1);
        self.buffers.len() + waiting as usize
    }
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// A segmentation context: payload, segment, headers.
#[derive(Clone, Copy)]
struct Cut {
    total: usize,
    size: usize,
    header: usize,
}

impl Model {
    pub(super) fn transmit_dqo(&mut self, id: u32, queue: &mut DqoTx) {
        let start = queue.completions.index;
        for tag in core::mem::take(&mut queue.missed) {
            queue.held.remove(&tag);
            self.post(id, queue, INJECTED, tag);
        }
        let mut done = Vec::new();
        while queue.head != queue.tail {
            let Some(tag) = self.send_dqo(queue, &mut done) else {
                break;
            };
            done.push((DONE, tag));
        }
        if self.device.reversed {
            done.reverse();
        }
        for (kind, value) in done {
            if kind == DESCRIPTORS {
                self.post(id, queue, kind, value);
            } else {
                self.complete_dqo(id, queue, value);
            }
        }
        if queue.completions.index != start {
            self.interrupt(queue.block);
        }
    }

    fn complete_dqo(&mut self, id: u32, queue: &mut DqoTx, tag: u16) {
        let lie = self.device.tx_lies.pop_front().flatten();
        self.lied |= lie.is_some();
        let other = match lie {
            None => None,
            Some(GveTxLie::Swallow) => return,
            Some(GveTxLie::Tag(tag)) => Some((DONE, tag)),
            Some(GveTxLie::Kind(kind)) => Some((kind & 7, tag)),
            Some(GveTxLie::Head(head)) => Some((DESCRIPTORS, head)),
            Some(GveTxLie::Twice) => {
                self.post(id, queue, DONE, tag);
                Some((DONE, tag))
            }
            Some(GveTxLie::Queue(other)) => {
                self.post(u32::from(other), queue, DONE, tag);
                return;
            }
            Some(GveTxLie::Generation) => {
                let (at, generation) = queue.completions.next(8);
                self.write_completion(at, !generation, id, DONE, tag);
                return;
            }
            Some(GveTxLie::Count(_)) => None,
        };
        if let Some((kind, tag)) = other {
            return self.post(id, queue, kind, tag);
        }
        if !self.device.misses {
            queue.held.remove(&tag);
            return self.post(id, queue, DONE, tag);
        }
        queue.missed.push_back(tag);
        let flags = self.device.driver_info.get(16..24);
        let flags = flags.map_or(0, |flags| long(flags, 0).swap_bytes());
        let alternative = self.device.alternative_misses && flags & KNOWS_MISSES != 0;
        match alternative {
            true => self.post(id, queue, DONE, tag | ALTERNATIVE_MISS),
            false => self.post(id, queue, MISS, tag),
        }
    }

    fn post(&mut self, id: u32, queue: &mut DqoTx, kind: u8, value: u16) {
        let (at, generation) = queue.completions.next(8);
        if kind == DESCRIPTORS {
            queue.told = u32::from(value) & (queue.entries - 1);
        }
        self.write_completion(at, generation, id, kind, value);
    }

    fn write_completion(&self, at: u64, generation: bool, id: u32, kind: u8, value: u16) {
        let word = id as u16 & 0x7ff | u16::from(kind) << 11 | u16::from(generation) << 15;
        let mut bytes = [0; 8];
        bytes[0..2].copy_from_slice(&word.to_le_bytes());
        bytes[2..4].copy_from_slice(&value.to_le_bytes());
        self.memory.write(at, &bytes);
    }

    /// Sends the next packet, and returns its tag.
    fn send_dqo(&mut self, queue: &mut DqoTx, reports: &mut Vec<(u8, u16)>) -> Option<u16> {
        let mask = queue.entries - 1;
        let mut cut = None;
        let mut tag = None;
        let mut buffers: Vec<usize> = Vec::new();
        let mut bytes = Vec::new();
        let mut count = 0;
        let checksum;
        loop {
            if queue.head == queue.tail {
                assert!(self.lied, "a packet without an end");
                return None;
            }
            let mut descriptor = [0; 16];
            let at = queue.ring + u64::from(queue.head) * 16;
            self.memory.read(at, &mut descriptor);
            queue.head = (queue.head + 1) & mask;
            queue.since_report = queue.since_report.map(|count| count.saturating_add(1));
            count += 1;
            // A context's command is at the same place as a packet's.
            match descriptor[8] & 0x1f {
                SEGMENTATION_CONTEXT => {
                    assert!(cut.is_none() && bytes.is_empty(), "a late context");
                    assert!(descriptor[8] & SEGMENTED != 0, "no segmentation");
                    cut = Some(Cut {
                        total: (long(&descriptor, 0) & 0xff_ffff) as usize,
                        size: usize::from(short(&descriptor, 4) & 0x3fff),
                        header: usize::from(descriptor[6]),
                    });
                    continue;
                }
                GENERAL_CONTEXT => {
                    assert!(bytes.is_empty(), "a late context");
                    continue;
                }
                PACKET => {}
                other => panic!("a descriptor of type {other:#x}"),
            }
            let this = short(&descriptor, 12);
            assert!(tag.is_none_or(|tag| tag == this), "tags differ");
            tag = Some(this);
            let len = usize::from(short(&descriptor, 14) & 0x3fff);
            assert!(len > 0, "an empty buffer");
            let start = bytes.len();
            bytes.resize(start + len, 0);
            self.memory.read(long(&descriptor, 0), &mut bytes[start..]);
            buffers.push(len);
            let ends = descriptor[8] & END != 0;
            if descriptor[8] & REPORT != 0 {
                assert!(ends, "only the last descriptor wants a report");
                let far = queue
                    .since_report
                    .is_none_or(|count| count >= REPORT_INTERVAL);
                assert!(far, "reports are too close");
                queue.since_report = Some(0);
            }
            if ends {
                checksum = descriptor[8] & CHECKSUM != 0;
                if descriptor[8] & REPORT != 0 {
                    reports.push((DESCRIPTORS, queue.head as u16));
                }
                break;
            }
        }
        self.device.most_descriptors = self.device.most_descriptors.max(count);
        let tag = tag?;
        assert!(queue.held.insert(tag) || self.lied, "tag {tag} is in use");
        match cut {
            Some(cut) => self.segment(&bytes, &buffers, cut, checksum),
            None => {
                assert!((17..=9728).contains(&bytes.len()), "{} bytes", bytes.len());
                let count = buffers.len();
                assert!(count <= MAX_DESCRIPTORS, "{count} descriptors");
                if checksum {
                    let packet = Packet::parse(&bytes).expect("TCP or UDP");
                    let l4 = packet.layout.l4;
                    let field = l4 + if packet.tcp { 16 } else { 6 };
                    let given = u16::from_be_bytes([bytes[field], bytes[field + 1]]);
                    frame::fill_checksum(&mut bytes, l4, field, given);
                }
                self.sent(bytes);
            }
        }
        Some(tag)
    }

    fn segment(&mut self, bytes: &[u8], buffers: &[usize], cut: Cut, checksum: bool) {
        assert!(checksum, "segments without checksums");
        assert!((88..=9728).contains(&cut.size), "segments of {}", cut.size);
        assert_eq!(cut.header + cut.total, bytes.len(), "the length");
        let packet = Packet::parse(bytes).expect("TCP");
        assert!(packet.tcp && packet.layout.payload == cut.header, "headers");
        // Each segment's buffers, with one for the headers.
        let mut start = cut.header;
        while start < bytes.len() {
            let end = (start + cut.size).min(bytes.len());
            let (mut at, mut count) = (0, 1);
            for len in buffers {
                count += usize::from(at < end && at + len > start);
                at += len;
            }
            assert!(count <= MAX_DESCRIPTORS, "a segment of {count} buffers");
            start = end;
        }
        let field = packet.layout.l4 + 16;
        // The driver's sum has no length.
        let given = u16::from_be_bytes([bytes[field], bytes[field + 1]]);
        for segment in frame::segments(bytes, packet.layout, cut.size, given) {
            self.sent(segment);
        }
    }

    fn take_buffers(&mut self, queue: &mut DqoRx) {
        while queue.head != queue.tail {
            let mut descriptor = [0; 32];
            let at = queue.ring + u64::from(queue.head) * 32;
            self.memory.read(at, &mut descriptor);
            queue.head = (queue.head + 1) & (queue.entries - 1);
            let id = short(&descriptor, 0);
            let known = queue.buffers.iter().any(|(other, _)| *other == id);
            assert!(!known || self.lied, "buffer {id} is posted");
            queue.buffers.push_back((id, long(&descriptor, 8)));
        }
        let most = queue.completions.entries as usize;
        let posted = queue.buffers.len();
        assert!(posted < most || self.lied, "{posted} buffers");
    }

    /// Returns false if there are too few buffers.
    pub(super) fn receive_dqo(&mut self, queue: &mut DqoRx, bytes: &[u8], hash: u32) -> bool {
        self.take_buffers(queue);
        let count = bytes.len().div_ceil(usize::from(queue.size));
        if bytes.len() > ETHERNET + usize::from(self.device.max_mtu()) {
            self.device.dropped += 1;
            return true;
        }
        if queue.buffers.len() < count {
            return false;
        }
        let packet = Packet::parse(bytes);
        let kind = GveDevice::packet_type(packet.as_ref());
        let mut status = 0;
        if let Some(packet) = &packet {
            status |= 1 << 3;
            if !packet.has_valid_header(bytes) {
                status |= 1 << 4;
            }
            if !packet.fragment && !packet.has_valid_checksum(bytes) {
                status |= 1 << 5;
            }
        }
        let mut rest = bytes;
        while let Some((id, address)) = queue.buffers.pop_front() {
            let (piece, after) = rest.split_at(usize::from(queue.size).min(rest.len()));
            rest = after;
            self.memory.write(address, piece);
            let end = u16::from(rest.is_empty()) << 1;
            // Byte 8 below, byte 1 above.
            let flags = status | 1 | end;
            self.report(queue, (id, piece.len() as u16, kind, flags), hash);
            if rest.is_empty() {
                break;
            }
        }
        self.interrupt(queue.block);
        true
    }

    fn report(&mut self, queue: &mut DqoRx, truth: (u16, u16, u16, u16), hash: u32) {
        let mut told = truth;
        let lie = self.device.rx_lies.pop_front().flatten();
        self.lied |= lie.is_some();
        let mut times = 1;
        let mut is_new = true;
        match lie {
            Some(GveRxLie::Swallow) => return,
            Some(GveRxLie::Id(id)) => told.0 = id,
            Some(GveRxLie::Length(len)) => told.1 = len & 0x3fff,
            Some(GveRxLie::Kind(kind)) => told.2 = kind & 0x3ff,
            Some(GveRxLie::Flags(bits)) => told.3 ^= bits,
            Some(GveRxLie::Twice) => times = 2,
            Some(GveRxLie::Generation) => is_new = false,
            Some(GveRxLie::Sequence(_)) | None => {}
        }
        for _ in 0..times {
            let (at, generation) = queue.completions.next(32);
            let mut entry = [0; 32];
            (entry[0], entry[1], entry[8]) = (1, (told.3 >> 8) as u8, told.3 as u8);
            entry[2..4].copy_from_slice(&told.2.to_le_bytes());
            let len = told.1 | u16::from(generation == is_new) << 14;
            entry[4..6].copy_from_slice(&len.to_le_bytes());
            entry[12..14].copy_from_slice(&told.0.to_le_bytes());
            entry[16..20].copy_from_slice(&hash.to_le_bytes());
            self.memory.write(at, &entry);
        }
    }
}
