//! A cable between two ends, each a device with or without offloads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::checksum;
use crate::sim::Random;
use crate::{Link, LinkCapabilities, RxMeta, SegmentKind, Segmentation, TxMeta};

/// What a cable does to frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Impairment {
    /// Time that each frame takes, in nanoseconds.
    pub delay_ns: u64,
    /// Random extra time, up to this; frames overtake each other by it.
    pub jitter_ns: u64,
    /// Frames lost, of a million.
    pub loss: u32,
    /// Frames delivered twice, of a million.
    pub duplicate: u32,
    /// Frames of which one random byte is changed, of a million.
    pub corrupt: u32,
}

/// What the device at an end does for its stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offloads {
    /// Completes TCP checksums.
    pub tx_checksum: bool,
    /// Cuts large TCP segments.
    pub tso4: bool,
    /// Frames that fit its queue; 0 means no limit. The queue is emptied at each
    /// [`Link::flush`].
    pub queue: usize,
}

/// What went over a cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CableStatistics {
    /// Frames that were put on the cable, after cutting.
    pub frames: u64,
    /// Frames larger than the MTU that the device cut.
    pub cut: u64,
    /// Frames that the cable lost.
    pub lost: u64,
}

#[derive(Debug)]
struct Inner {
    now_ns: u64,
    /// For each direction the frames under way, in order of arrival.
    ways: [VecDeque<(u64, Vec<u8>)>; 2],
    impairment: Impairment,
    random: Random,
    statistics: CableStatistics,
    /// Ends that are played by hand.
    scripted: [bool; 2],
}

impl Inner {
    fn put(&mut self, to: usize, frame: &[u8]) {
        self.statistics.frames += 1;
        if self.random.chance(self.impairment.loss) {
            self.statistics.lost += 1;
            return;
        }
        let copies = 1 + usize::from(self.random.chance(self.impairment.duplicate));
        for _ in 0..copies {
            let mut frame = frame.to_vec();
            if self.random.chance(self.impairment.corrupt) && !frame.is_empty() {
                let at = self.random.below(frame.len() as u64) as usize;
                frame[at] ^= 1 << self.random.below(8);
            }
            let jitter = match self.impairment.jitter_ns {
                0 => 0,
                jitter => self.random.below(jitter),
            };
            let at_ns = self.now_ns + self.impairment.delay_ns + jitter;
            let way = &mut self.ways[to];
            let place = way.partition_point(|(other, _)| *other <= at_ns);
            way.insert(place, (at_ns, frame));
        }
    }
}

/// A cable with two ends.
#[derive(Clone, Debug)]
pub struct Cable {
    inner: Rc<RefCell<Inner>>,
}

impl Cable {
    /// A cable that impairs as told, and repeatably by `seed`.
    pub fn new(impairment: Impairment, seed: u64) -> Cable {
        Cable {
            inner: Rc::new(RefCell::new(Inner {
                now_ns: 0,
                ways: [VecDeque::new(), VecDeque::new()],
                impairment,
                random: Random::new(seed),
                statistics: CableStatistics::default(),
                scripted: [false; 2],
            })),
        }
    }

    /// The device at end 0 or 1, for a stack. `mtu` is that of [`LinkCapabilities`].
    pub fn link(&self, end: usize, mac: [u8; 6], mtu: usize, offloads: Offloads) -> Box<dyn Link> {
        Box::new(CableLink {
            inner: self.inner.clone(),
            end,
            capabilities: LinkCapabilities {
                mac,
                mtu,
                tx_checksum: offloads.tx_checksum,
                tso4: offloads.tso4,
                tso6: false,
            },
            queue: offloads.queue,
            queued: 0,
        })
    }

    /// End 0 or 1, to be played by hand.
    pub fn script(&self, end: usize) -> Script {
        self.inner.borrow_mut().scripted[end] = true;
        Script {
            inner: self.inner.clone(),
            end,
        }
    }

    /// Changes what the cable does to frames from now on.
    pub fn set_impairment(&self, impairment: Impairment) {
        self.inner.borrow_mut().impairment = impairment;
    }

    /// What went over it.
    pub fn statistics(&self) -> CableStatistics {
        self.inner.borrow().statistics
    }

    /// Sets the clock of the cable.
    pub(crate) fn set_now(&self, now_ns: u64) {
        self.inner.borrow_mut().now_ns = now_ns;
    }

    /// When the next frame arrives. One that waits for a script to take it doesn't count.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let inner = self.inner.borrow();
        let ends = inner.ways.iter().zip(inner.scripted);
        ends.filter_map(|(way, scripted)| {
            way.iter()
                .map(|(at_ns, _)| *at_ns)
                .find(|at_ns| !scripted || *at_ns > inner.now_ns)
        })
        .min()
    }
}

/// An end of a cable that is played by hand.
#[derive(Debug)]
pub struct Script {
    inner: Rc<RefCell<Inner>>,
    end: usize,
}

impl Script {
    /// Puts a whole Ethernet frame on the cable.
    pub fn inject(&self, frame: &[u8]) {
        self.inner.borrow_mut().put(1 - self.end, frame);
    }

    /// Takes the next frame that has arrived.
    pub fn take(&self) -> Option<Vec<u8>> {
        let mut inner = self.inner.borrow_mut();
        let now_ns = inner.now_ns;
        let way = &mut inner.ways[self.end];
        if way.front()?.0 > now_ns {
            return None;
        }
        way.pop_front().map(|(_, frame)| frame)
    }
}

struct CableLink {
    inner: Rc<RefCell<Inner>>,
    end: usize,
    capabilities: LinkCapabilities,
    queue: usize,
    queued: usize,
}

impl Link for CableLink {
    fn capabilities(&self) -> LinkCapabilities {
        self.capabilities
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let mut inner = self.inner.borrow_mut();
        let now_ns = inner.now_ns;
        let way = &mut inner.ways[self.end];
        if way.front().is_none_or(|(at_ns, _)| *at_ns > now_ns) {
            return false;
        }
        let Some((_, mut frame)) = way.pop_front() else {
            return false;
        };
        drop(inner);
        f(&mut frame, RxMeta::default());
        true
    }

    fn can_transmit(&mut self) -> bool {
        self.queue == 0 || self.queued < self.queue
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        if !self.can_transmit() {
            return false;
        }
        self.queued += 1;
        // Not zeroes: a stack that leaves bytes unwritten is to be found out.
        let mut frame = vec![0xa5; len];
        let meta = fill(&mut frame);
        if let Some(partial) = meta.checksum {
            assert!(
                self.capabilities.tx_checksum,
                "a checksum was left to a device without"
            );
            if let Some(segmentation) = meta.segmentation {
                assert!(
                    self.capabilities.tso4,
                    "segments were left to a device without"
                );
                let mut inner = self.inner.borrow_mut();
                inner.statistics.cut += 1;
                for segment in cut(&frame, segmentation) {
                    assert!(segment.len() <= self.capabilities.mtu + 14);
                    inner.put(1 - self.end, &segment);
                }
                return true;
            }
            let start = usize::from(partial.start);
            let at = start + usize::from(partial.offset);
            let sum = !checksum::sum(&frame[start..]);
            frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        assert!(
            frame.len() <= self.capabilities.mtu + 14,
            "a frame of {} bytes",
            frame.len()
        );
        verify(&frame);
        self.inner.borrow_mut().put(1 - self.end, &frame);
        true
    }

    fn flush(&mut self) {
        self.queued = 0;
    }
}

/// Cuts a TCP over IPv4 frame as a device does.
fn cut(frame: &[u8], segmentation: Segmentation) -> Vec<Vec<u8>> {
    assert_eq!(segmentation.kind, SegmentKind::Tcp4);
    let header_len = usize::from(segmentation.header_len);
    let (header, payload) = frame.split_at(header_len);
    assert_eq!(
        usize::from(u16::from_be_bytes([header[16], header[17]])),
        frame.len() - 14
    );
    let pseudo = checksum::pseudo_header(&header[26..34], 6, frame.len() - 34);
    assert_eq!(
        &header[50..52],
        pseudo.to_be_bytes(),
        "the pseudo-header's sum"
    );
    let pieces: Vec<&[u8]> = payload.chunks(usize::from(segmentation.size)).collect();
    let last = pieces.len() - 1;
    let seq = u32::from_be_bytes([header[38], header[39], header[40], header[41]]);
    pieces
        .into_iter()
        .enumerate()
        .map(|(n, piece)| {
            let mut segment = header.to_vec();
            segment.extend(piece);
            let len = (segment.len() - 14) as u16;
            segment[16..18].copy_from_slice(&len.to_be_bytes());
            let seq = seq.wrapping_add((n * usize::from(segmentation.size)) as u32);
            segment[38..42].copy_from_slice(&seq.to_be_bytes());
            if n != last {
                // FIN and PSH belong to the last one.
                segment[47] &= !0x09;
            }
            segment[24..26].fill(0);
            let sum = !checksum::sum(&segment[14..34]);
            segment[24..26].copy_from_slice(&sum.to_be_bytes());
            segment[50..52].fill(0);
            let pseudo = checksum::pseudo_header(&segment[26..34], 6, segment.len() - 34);
            let sum = !checksum::add(pseudo, checksum::sum(&segment[34..]));
            segment[50..52].copy_from_slice(&sum.to_be_bytes());
            verify(&segment);
            segment
        })
        .collect()
}

/// Checks the IPv4 header's and the TCP checksum of a frame that a stack sent.
fn verify(frame: &[u8]) {
    match (frame[12], frame[13]) {
        (0x08, 0x00) => {
            assert_eq!(
                checksum::sum(&frame[14..34]),
                0xffff,
                "the IPv4 header's checksum"
            );
            let fragment = frame[20] & 0x3f != 0 || frame[21] != 0;
            if frame[23] == 6 && !fragment {
                let pseudo = checksum::pseudo_header(&frame[26..34], 6, frame.len() - 34);
                let sum = checksum::add(pseudo, checksum::sum(&frame[34..]));
                assert_eq!(sum, 0xffff, "a TCP checksum");
            }
        }
        (0x86, 0xdd) => {
            if matches!(frame[20], 6 | 17 | 58) {
                let pseudo = checksum::pseudo_header(&frame[22..54], frame[20], frame.len() - 54);
                let sum = checksum::add(pseudo, checksum::sum(&frame[54..]));
                assert_eq!(sum, 0xffff, "a checksum of IPv6's protocol {}", frame[20]);
            }
        }
        (0x08, 0x06) => {}
        other => panic!("a frame of type {other:x?}"),
    }
}
