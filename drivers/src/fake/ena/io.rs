//! The queues of packets.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use super::{EnaRxLie, EnaTxLie, Layout, Model, Packet, Ring, frame};
use crate::fake::frame::{hash_input, toeplitz};

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 16;
/// Ethernet header with a tag.
const ETHERNET: usize = 18;

/// Bits of the first word of descriptors.
const META: u32 = 1 << 23;
const PHASE: u32 = 1 << 24;
const FIRST: u32 = 1 << 26;
const LAST: u32 = 1 << 27;
const REQUEST: u32 = 1 << 28;

/// Protocol numbers of descriptors.
const IPV4: u32 = 8;
const IPV6: u32 = 11;
const TCP: u32 = 12;
const UDP: u32 = 13;

/// The configuration of low latency queues.
#[derive(Clone, Copy)]
pub(super) struct LowLatency {
    /// Bytes of an entry.
    pub entry: usize,
    /// Descriptors before the header in a packet's first entry.
    pub before: usize,
    /// Descriptors of its other entries.
    pub following: usize,
    /// Packets may go without metadata.
    pub has_cache: bool,
    /// Maximum entries between doorbells.
    pub burst: usize,
}

pub(super) struct Completions {
    ring: Ring,
    /// Bytes of an entry.
    pub size: usize,
    vector: Option<u32>,
    masked: bool,
    /// There was a completion while interrupts were masked.
    pending: bool,
}

impl Completions {
    pub fn new(ring: Ring, size: usize, vector: Option<u32>) -> Completions {
        Completions {
            ring,
            size,
            vector,
            masked: true,
            pending: false,
        }
    }
}

/// A receive buffer.
struct Posted {
    id: u16,
    address: u64,
    len: usize,
}

/// The metadata of packets.
#[derive(Clone, Copy)]
struct Meta {
    mss: usize,
    l3: usize,
    l4: usize,
    payload: usize,
}

pub(super) struct Submissions {
    tx: bool,
    /// The id of the completion queue.
    pub completions: u16,
    ring: Ring,
    low_latency: Option<LowLatency>,
    tail: u16,
    meta: Option<Meta>,
    /// Sent packets to complete, with the head after them.
    held: VecDeque<(u16, u16)>,
    buffers: VecDeque<Posted>,
}

impl Submissions {
    pub fn new(tx: bool, completions: u16, ring: Ring, low_latency: Option<LowLatency>) -> Self {
        Submissions {
            tx,
            completions,
            ring,
            low_latency,
            tail: 0,
            meta: None,
            held: VecDeque::new(),
            buffers: VecDeque::new(),
        }
    }

    pub fn is_tx(&self) -> bool {
        self.tx
    }

    pub fn is_low_latency(&self) -> bool {
        self.low_latency.is_some()
    }

    pub fn posted(&self) -> usize {
        self.buffers.len()
    }

    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// A packet as the driver describes it.
struct Sent {
    /// With the metadata first, if there is any.
    descriptors: Vec<[u32; 4]>,
    /// The pushed header.
    header: Vec<u8>,
}

fn descriptor(bytes: &[u8]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
    }
    words
}

impl Model {
    pub(super) fn completion_register(&mut self, at: usize, value: u32) {
        let Some(queue) = self.completions.get_mut(&((at / 16) as u16)) else {
            assert!(self.lied, "the register of no queue");
            return;
        };
        match at % 16 {
            0 if value & 1 << 30 != 0 => {
                queue.masked = false;
                if core::mem::take(&mut queue.pending) {
                    queue.masked = true;
                    let vector = queue.vector;
                    vector.into_iter().for_each(|vector| self.interrupt(vector));
                }
            }
            // The interrupt's delays, the NUMA node, the head.
            0 | 4 | 8 => {}
            _ => panic!("the driver writes a completion queue's {:#x}", at % 16),
        }
    }

    pub(super) fn submission_doorbell(&mut self, id: usize, value: u32) {
        self.device.doorbells += 1;
        let Some(queue) = self.submissions.get_mut(&(id as u16)) else {
            assert!(self.lied, "the doorbell of no queue");
            return;
        };
        let tail = value as u16;
        let fresh = tail.wrapping_sub(queue.tail);
        let waiting = tail.wrapping_sub(queue.ring.index);
        assert!(
            waiting <= queue.ring.depth || self.lied,
            "{waiting} entries wait in a queue of {}",
            queue.ring.depth
        );
        let burst = queue.low_latency.map_or(usize::MAX, |layout| layout.burst);
        let fits = usize::from(fresh) <= burst;
        assert!(fits || self.lied, "a burst of {fresh} entries");
        queue.tail = tail;
        self.work();
    }

    /// Posts an entry of a completion queue, as far as its size goes: the phase bit is set here.
    fn post(&mut self, id: u16, entry: &mut [u8], phase: (usize, u8), is_new: bool) {
        let Some(queue) = self.completions.get_mut(&id) else {
            return;
        };
        let (at, bit) = phase;
        entry[at] &= !bit;
        if queue.ring.phase == is_new {
            entry[at] |= bit;
        }
        let mut bytes = vec![0; queue.size];
        let len = entry.len().min(queue.size);
        bytes[..len].copy_from_slice(&entry[..len]);
        let address = queue.ring.address + u64::from(queue.ring.slot()) * queue.size as u64;
        queue.ring.advance();
        self.memory.write(address, &bytes);
        let fires = !queue.masked;
        queue.masked |= fires;
        queue.pending |= !fires;
        if let Some(vector) = queue.vector.filter(|_| fires) {
            self.interrupt(vector);
        }
    }

    /// Completes a request that there may not be, in the first queue of a kind.
    pub(super) fn post_any(&mut self, tx: bool, id: u16) {
        let queue = self.submissions.values().find(|queue| queue.tx == tx);
        let Some(completions) = queue.map(|queue| queue.completions) else {
            return;
        };
        match tx {
            true => self.post_tx(completions, id, 0, true),
            false => self.post_rx(completions, (FIRST | LAST | 1 << 30, 60, id, 0, 0), true),
        }
    }

    fn post_tx(&mut self, completions: u16, id: u16, head: u16, is_new: bool) {
        let mut entry = [0; 8];
        entry[0..2].copy_from_slice(&id.to_le_bytes());
        entry[6..8].copy_from_slice(&head.to_le_bytes());
        self.post(completions, &mut entry, (3, 1), is_new);
    }

    /// Posts a completion of status, length, id, hash and offset.
    fn post_rx(&mut self, completions: u16, of: (u32, u16, u16, u32, u8), is_new: bool) {
        let (status, len, id, hash, offset) = of;
        let mut entry = [0; 16];
        entry[0..4].copy_from_slice(&status.to_le_bytes());
        entry[4..6].copy_from_slice(&len.to_le_bytes());
        entry[6..8].copy_from_slice(&id.to_le_bytes());
        entry[8..12].copy_from_slice(&hash.to_le_bytes());
        entry[14] = offset;
        self.post(completions, &mut entry, (3, 1), is_new);
    }

    /// Sends packets and completes them.
    pub(super) fn transmit(&mut self) {
        let ids: Vec<u16> = self.submissions.keys().copied().collect();
        for id in ids {
            while let Some(sent) = self.fetch(id) {
                self.send(id, &sent);
            }
            while !self.device.stuck_tx {
                let reversed = self.device.reversed;
                let Some(queue) = self.submissions.get_mut(&id) else {
                    return;
                };
                let next = match reversed {
                    true => queue.held.pop_back(),
                    false => queue.held.pop_front(),
                };
                let completions = queue.completions;
                let Some((request, head)) = next else { break };
                let lie = self.device.tx_lies.pop_front().flatten();
                self.lied |= lie.is_some();
                match lie {
                    None => self.post_tx(completions, request, head, true),
                    Some(EnaTxLie::Id(other)) => self.post_tx(completions, other, head, true),
                    Some(EnaTxLie::Head(other)) => self.post_tx(completions, request, other, true),
                    Some(EnaTxLie::Phase) => self.post_tx(completions, request, head, false),
                    Some(EnaTxLie::Swallow) => {}
                    Some(EnaTxLie::Twice) => {
                        self.post_tx(completions, request, head, true);
                        self.post_tx(completions, request, head, true);
                    }
                }
            }
        }
    }

    /// The bytes of the next entry of a send queue.
    fn entry(&mut self, id: u16) -> Option<(Vec<u8>, bool)> {
        let queue = self.submissions.get_mut(&id)?;
        if queue.ring.index == queue.tail {
            return None;
        }
        let size = queue.low_latency.map_or(DESCRIPTOR, |layout| layout.entry);
        let at = queue.ring.address + u64::from(queue.ring.slot()) * size as u64;
        let phase = queue.ring.phase;
        queue.ring.advance();
        let mut bytes = vec![0; size];
        if queue.low_latency.is_some() {
            let words = &self.llq_memory[at as usize / 4..];
            for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
        } else {
            self.memory.read(at, &mut bytes);
        }
        Some((bytes, phase))
    }

    /// Fetches the next packet of a send queue.
    fn fetch(&mut self, id: u16) -> Option<Sent> {
        let queue = self.submissions.get(&id).filter(|queue| queue.tx)?;
        let layout = queue.low_latency;
        let mut descriptors: Vec<[u32; 4]> = Vec::new();
        let mut header = Vec::new();
        let is_end = |found: &[[u32; 4]]| found.last().is_some_and(|last| last[0] & LAST != 0);
        while !is_end(&descriptors) {
            let entry = self.entry(id);
            let is_whole = entry.is_some() || descriptors.is_empty();
            assert!(is_whole || self.lied, "half a packet");
            let (bytes, phase) = entry?;
            let most = match layout {
                None => 1,
                Some(layout) if descriptors.is_empty() => layout.before,
                Some(layout) => layout.following,
            };
            if let Some(layout) = layout.filter(|_| descriptors.is_empty()) {
                header = bytes[layout.before * DESCRIPTOR..].to_vec();
            }
            for found in bytes.chunks_exact(DESCRIPTOR).take(most) {
                let found = descriptor(found);
                let is_written = (found[0] & PHASE != 0) == phase;
                assert!(is_written || self.lied, "the phase of {found:x?}");
                if !is_written {
                    return None;
                }
                descriptors.push(found);
                if is_end(&descriptors) {
                    break;
                }
            }
        }
        Some(Sent {
            descriptors,
            header,
        })
    }

    /// Takes the metadata of a packet, or returns the queue's.
    fn metadata(&mut self, id: u16, sent: &Sent) -> Option<Meta> {
        let queue = self.submissions.get_mut(&id)?;
        let first = sent.descriptors[0];
        let has_cache = queue.low_latency.is_none_or(|layout| layout.has_cache);
        if first[0] & META == 0 {
            assert!(has_cache || self.lied, "every packet needs metadata");
            return queue.meta;
        }
        assert!(first[0] & (1 << 14) != 0 && first[0] & (1 << 20) != 0);
        let l3 = (first[2] >> 8 & 0xff) as usize;
        let l4 = l3 + (first[2] & 0xff) as usize;
        let meta = Meta {
            mss: (first[2] >> 22 | (first[0] >> 16 & 0xf) << 10) as usize,
            l3,
            l4,
            payload: l4 + (first[2] >> 16 & 0x3f) as usize * 4,
        };
        if first[0] & 1 << 21 != 0 {
            queue.meta = Some(meta);
        }
        Some(meta)
    }

    fn send(&mut self, id: u16, sent: &Sent) {
        let count = sent.descriptors.len();
        let most = usize::from(self.device.max_descriptors[0]);
        assert!(
            count <= most || self.lied,
            "{count} descriptors, at most {most}"
        );
        self.device.most_descriptors = self.device.most_descriptors.max(count);
        for (at, descriptor) in sent.descriptors.iter().enumerate() {
            assert_eq!(descriptor[0] & FIRST != 0, at == 0, "first");
            assert!(descriptor[0] & META == 0 || at == 0, "metadata");
        }
        let meta = self.metadata(id, sent);
        let has_meta = sent.descriptors[0][0] & META != 0;
        let buffers = &sent.descriptors[usize::from(has_meta)..];
        let first = *buffers.first().expect("a packet of more than metadata");
        let asked = sent.descriptors[0][0] | first[0];
        assert!(asked & REQUEST != 0, "a packet without a completion");
        let request = (first[1] >> 22 | (first[0] >> 16 & 0x3f) << 10) as u16;
        let pushed = (first[3] >> 24) as usize;
        assert!(
            pushed <= self.device.max_header as usize || self.lied,
            "{pushed} bytes pushed"
        );
        let Some(queue) = self.submissions.get_mut(&id) else {
            return;
        };
        let mut bytes = match queue.low_latency {
            Some(_) => sent.header[..pushed].to_vec(),
            None => vec![],
        };
        let is_new = queue.held.iter().all(|(held, _)| *held != request);
        let is_known = is_new && request < queue.ring.depth;
        assert!(is_known || self.lied, "request {request}");
        queue.held.push_back((request, queue.ring.index));
        for buffer in buffers {
            let address = u64::from(buffer[2]) | u64::from(buffer[3] & 0xffff) << 32;
            let (start, len) = (bytes.len(), (buffer[0] & 0xffff) as usize);
            // A packet whose bytes are all pushed has an empty buffer without an address.
            if len > 0 {
                bytes.resize(start + len, 0);
                self.memory.read(address, &mut bytes[start..]);
            }
        }
        self.device.packets += 1;
        let frames = self.offload(bytes, first[1], meta);
        for bytes in frames {
            let most = ETHERNET + self.device.mtu as usize;
            assert!(
                bytes.len() <= most || self.lied,
                "a frame of {}",
                bytes.len()
            );
            match self.device.echo {
                true => self.device.inbox.push_back(bytes),
                false => self.device.sent.push(bytes),
            }
        }
    }

    /// Computes checksums and segments as the packet's control word says.
    fn offload(&self, mut bytes: Vec<u8>, control: u32, meta: Option<Meta>) -> Vec<Vec<u8>> {
        let (l3, l4) = (control & 0xf, control >> 8 & 0x1f);
        let has = |bit: u32| control & 1 << bit != 0;
        let (tso, header_sum, sum, partial) = (has(7), has(13), has(14), has(17));
        if !tso && !header_sum && !sum {
            return vec![bytes];
        }
        let meta = meta.expect("metadata for offloads");
        let packet = Packet::parse(&bytes);
        let v6 = match l3 {
            IPV4 => false,
            IPV6 => true,
            _ => panic!("layer 3 is {l3}"),
        };
        if let Some(packet) = packet {
            assert_eq!((packet.v6, packet.tcp), (v6, l4 == TCP));
            assert_eq!((packet.layout.l3, packet.layout.l4), (meta.l3, meta.l4));
            assert!(v6 || has(4) == (bytes[meta.l3 + 6] & 0x40 != 0), "DF");
        }
        let offers = self.device.tx_offloads;
        let needed = match (v6, partial) {
            (false, true) => 1,
            (false, false) => 2,
            (true, true) => 3,
            (true, false) => 4,
        };
        // Segmentation includes the whole checksum, whatever is offered without it.
        let is_offered = tso || offers & 1 << needed != 0;
        assert!(!sum || is_offered || self.lied, "no checksums of this kind");
        assert!(
            !header_sum || offers & 1 != 0 && !v6 || self.lied,
            "no checksum of headers"
        );
        let field = meta.l4 + if l4 == UDP { 6 } else { 16 };
        let given = u16::from_be_bytes([bytes[field], bytes[field + 1]]);
        let whole = |len| packet.map_or(0, |packet| packet.pseudo(&bytes, len));
        if tso {
            assert!(l4 == TCP && sum && meta.mss > 0 && (header_sum || v6));
            let is_offered = offers & 1 << (5 + u32::from(v6)) != 0;
            assert!(is_offered || self.lied, "no segmentation");
            let layout = Layout {
                l3: meta.l3,
                l4: meta.l4,
                payload: meta.payload,
            };
            let expected = packet.map(|packet| packet.layout.payload);
            assert!(expected.is_none_or(|payload| payload == meta.payload));
            let pseudo = if partial { given } else { whole(0) };
            return frame::segments(&bytes, layout, meta.mss, pseudo);
        }
        if sum {
            assert!(matches!(l4, TCP | UDP), "layer 4 is {l4}");
            let len = bytes.len() - meta.l4;
            let pseudo = if partial { given } else { whole(len) };
            frame::fill_checksum(&mut bytes, meta.l4, field, pseudo);
        }
        if header_sum {
            frame::fill_header_checksum(&mut bytes, meta.l3, meta.l4);
        }
        vec![bytes]
    }

    /// Takes the buffers of a receive queue.
    fn take_buffers(&mut self, id: u16) {
        let Some(queue) = self.submissions.get_mut(&id).filter(|queue| !queue.tx) else {
            return;
        };
        while queue.ring.index != queue.tail {
            let mut bytes = [0; DESCRIPTOR];
            let at = queue.ring.address + u64::from(queue.ring.slot()) * DESCRIPTOR as u64;
            self.memory.read(at, &mut bytes);
            let words = descriptor(&bytes);
            let (flags, id) = (bytes[3], words[1] as u16);
            let is_written = (flags & 1 != 0) == queue.ring.phase;
            assert!(is_written || self.lied, "the phase of a buffer");
            if !is_written {
                return;
            }
            assert_eq!(flags & 0b1_1100, 0b1_1100, "a buffer is a transaction");
            let len = match words[0] & 0xffff {
                0 => 1 << 16,
                len => len as usize,
            };
            let is_new = queue.buffers.iter().all(|posted| posted.id != id);
            let is_known = is_new && id < queue.ring.depth;
            assert!(is_known || self.lied, "buffer {id}");
            queue.buffers.push_back(Posted {
                id,
                address: u64::from(words[2]) | u64::from(words[3] & 0xffff) << 32,
                len,
            });
            queue.ring.advance();
        }
    }

    /// The receive queue of a frame, and its hash.
    fn steer(&self, bytes: &[u8]) -> Option<(u16, u32)> {
        let device = &self.device;
        let hash = match (device.hash_function, Packet::parse(bytes)) {
            (1, Some(packet)) => toeplitz(&device.hash_key, &hash_input(&packet, bytes)),
            _ => 0,
        };
        let any = || self.submissions.iter().find(|(_, queue)| !queue.tx);
        let id = match device.indirection.len() {
            0 => *any()?.0,
            len => device.indirection[hash as usize % len],
        };
        Some((id, hash))
    }

    /// Delivers frames.
    pub(super) fn receive(&mut self) {
        let ids: Vec<u16> = self.submissions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.take_buffers(id));
        while let Some(bytes) = self.device.inbox.pop_front() {
            if bytes.len() > ETHERNET + self.device.mtu as usize {
                self.device.dropped += 1;
                continue;
            }
            let Some((id, hash)) = self.steer(&bytes) else {
                self.device.inbox.push_front(bytes);
                return;
            };
            let supported = self
                .device
                .host_info
                .get(192)
                .is_some_and(|flags| flags & 2 != 0);
            let offset = if supported { self.device.rx_offset } else { 0 };
            let Some(queue) = self.submissions.get_mut(&id) else {
                return;
            };
            let mut rest = bytes.len();
            let mut rooms = Vec::new();
            let mut pieces = self.device.rx_pieces.iter();
            for posted in &queue.buffers {
                let skipped = if rooms.is_empty() { offset } else { 0 };
                let room = posted.len - usize::from(skipped);
                rooms.push(pieces.next().map_or(room, |piece| room.min(*piece)));
                rest = rest.saturating_sub(rooms[rooms.len() - 1]);
                if rest == 0 {
                    break;
                }
            }
            if rooms.len() > usize::from(self.device.max_descriptors[1]) {
                self.device.dropped += 1;
                continue;
            }
            if rest > 0 {
                self.device.inbox.push_front(bytes);
                return;
            }
            let buffers: Vec<_> = queue.buffers.drain(..rooms.len()).zip(rooms).collect();
            let given = buffers.len().min(self.device.rx_pieces.len());
            self.device.rx_pieces.drain(..given);
            self.deliver(id, &bytes, hash, (offset, &buffers));
        }
    }

    /// Writes a frame to buffers, as many bytes to each as it has room for.
    fn deliver(&mut self, id: u16, bytes: &[u8], hash: u32, to: (u8, &[(Posted, usize)])) {
        let (offset, buffers) = to;
        let Some(completions) = self.submissions.get(&id).map(|queue| queue.completions) else {
            return;
        };
        let mut rest = bytes;
        let info = self.parsed(bytes);
        for (index, (posted, room)) in buffers.iter().enumerate() {
            let skipped = if index == 0 { offset } else { 0 };
            let (piece, after) = rest.split_at(rest.len().min(*room));
            rest = after;
            let address = posted.address + u64::from(skipped);
            self.memory.write(address, piece);
            let is_last = index + 1 == buffers.len();
            let mut status = 1 << 30;
            if index == 0 {
                status |= FIRST;
            }
            if is_last {
                status |= LAST | info;
            }
            // The length is of the data, without the bytes before the frame.
            let len = piece.len() as u16;
            let truth = (status, len, posted.id, hash, skipped);
            let lie = self.device.rx_lies.pop_front().flatten();
            self.lied |= lie.is_some();
            match lie {
                None => self.post_rx(completions, truth, true),
                Some(EnaRxLie::Swallow) => {}
                Some(EnaRxLie::Phase) => self.post_rx(completions, truth, false),
                Some(EnaRxLie::Twice) => {
                    self.post_rx(completions, truth, true);
                    self.post_rx(completions, truth, true);
                }
                Some(lie) => {
                    let mut told = truth;
                    match lie {
                        EnaRxLie::Id(other) => told.2 = other,
                        EnaRxLie::Length(len) => told.1 = len,
                        EnaRxLie::Offset(offset) => told.4 = offset,
                        EnaRxLie::Flags(bits) => told.0 ^= bits,
                        EnaRxLie::Ends(first, last) => {
                            told.0 &= !(FIRST | LAST);
                            told.0 |= if first { FIRST } else { 0 };
                            told.0 |= if last { LAST } else { 0 };
                        }
                        EnaRxLie::Twice | EnaRxLie::Phase | EnaRxLie::Swallow => {}
                    }
                    self.post_rx(completions, told, true);
                }
            }
        }
    }

    /// The bits of a status for the protocols and checksums of a frame.
    fn parsed(&self, bytes: &[u8]) -> u32 {
        let Some(packet) = Packet::parse(bytes) else {
            return 0;
        };
        let mut status = if packet.v6 { IPV6 } else { IPV4 };
        status |= if packet.tcp { TCP } else { UDP } << 8;
        let offers = self.device.rx_offloads;
        if !packet.v6 && (offers & 1 == 0 || !packet.has_valid_header(bytes)) {
            status |= 1 << 13;
        }
        if packet.fragment {
            return status | 1 << 15;
        }
        if offers & if packet.v6 { 4 } else { 2 } != 0 {
            status |= 1 << 16;
            if !packet.has_valid_checksum(bytes) {
                status |= 1 << 14;
            }
        }
        status
    }
}
