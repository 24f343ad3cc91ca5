//! The device at an end of a cable: the hardware's work for a stack, and checks of what it
//! requires.

use std::sync::Arc;

use crate::sim::packet;
use crate::sim::wire::SharedWire;
use crate::{Link, LinkCapabilities, RxChecksum, RxMeta, SegmentKind, Segmentation, TxMeta};

/// Offloads of the device at an end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offloads {
    /// Completes TCP and UDP checksums.
    pub tx_checksum: bool,
    /// Segments large TCP frames over IPv4. Needs `tx_checksum`.
    pub tso4: bool,
    /// Segments large TCP frames over IPv6. Needs `tx_checksum`.
    pub tso6: bool,
    /// Verifies TCP and UDP checksums of received frames.
    pub rx_checksum: bool,
    /// Frames that fit its queue; 0 means no limit. The queue is emptied at each
    /// [`Link::flush`].
    pub queue: usize,
}

impl Offloads {
    /// All offloads, and a queue without a limit.
    pub const ALL: Offloads = Offloads {
        tx_checksum: true,
        tso4: true,
        tso6: true,
        rx_checksum: true,
        queue: 0,
    };
}

pub(crate) struct Device {
    wire: Arc<SharedWire>,
    end: usize,
    capabilities: LinkCapabilities,
    rx_checksum: bool,
    queue: usize,
    queued: usize,
    /// The stack asked for room when there was none.
    refused: bool,
}

impl Device {
    pub(crate) fn new(
        wire: Arc<SharedWire>,
        end: usize,
        mac: [u8; 6],
        mtu: usize,
        offloads: Offloads,
    ) -> Device {
        let capabilities = LinkCapabilities {
            mac,
            mtu,
            tx_checksum: offloads.tx_checksum,
            tso4: offloads.tso4,
            tso6: offloads.tso6,
        };
        Device {
            wire,
            end,
            capabilities,
            rx_checksum: offloads.rx_checksum,
            queue: offloads.queue,
            queued: 0,
            refused: false,
        }
    }

    fn put(&self, frame: &[u8]) {
        // A VLAN tag is in addition to the MTU (IEEE 802.1Q).
        let tag = if frame[12..14] == [0x81, 0] { 4 } else { 0 };
        assert!(
            frame.len() <= self.capabilities.mtu + 14 + tag,
            "a frame of {} bytes",
            frame.len()
        );
        if let Err(problem) = packet::verify(frame) {
            panic!("the stack sent {problem}: {frame:02x?}");
        }
        self.wire.lock().put(1 - self.end, frame);
    }
}

impl Link for Device {
    fn capabilities(&self) -> LinkCapabilities {
        self.capabilities
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let Some(mut frame) = self.wire.lock().take(self.end) else {
            return false;
        };
        let mut meta = RxMeta::default();
        // A device doesn't drop a frame with a wrong checksum: it only doesn't mark it as verified.
        if self.rx_checksum && packet::verify(&frame) == Ok(true) {
            meta.checksum = RxChecksum::Valid;
        }
        f(&mut frame, meta);
        true
    }

    fn can_transmit(&mut self) -> bool {
        let room = self.queue == 0 || self.queued < self.queue;
        self.refused |= !room;
        room
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        if !self.can_transmit() {
            return false;
        }
        self.queued += 1;
        // Not zeros, to expose a stack that leaves bytes unwritten.
        let mut frame = vec![0xa5; len];
        let meta = fill(&mut frame);
        if let Some(partial) = meta.checksum {
            assert!(
                self.capabilities.tx_checksum,
                "a checksum was left to a device without"
            );
            let (start, offset) = (usize::from(partial.start), usize::from(partial.offset));
            if let Some(segmentation) = meta.segmentation {
                let able = match segmentation.kind {
                    SegmentKind::Tcp4 => self.capabilities.tso4,
                    SegmentKind::Tcp6 => self.capabilities.tso6,
                };
                assert!(able, "segments were left to a device without");
                self.wire.lock().cut += 1;
                for segment in cut(&frame, start, segmentation) {
                    self.put(&segment);
                }
                return true;
            }
            let sum = !packet::sum(0, &frame[start..]);
            let sum = if sum == 0 { 0xffff } else { sum };
            frame[start + offset..][..2].copy_from_slice(&sum.to_be_bytes());
        } else {
            assert_eq!(meta.segmentation, None, "segmentation without checksum");
        }
        self.put(&frame);
        true
    }

    fn flush(&mut self) {
        self.queued = 0;
        if core::mem::take(&mut self.refused) {
            self.wire.lock().woken[self.end] = true;
        }
    }
}

/// Segments a TCP frame, whose TCP header begins at `start`, as a device does (VIRTIO 1.2,
/// 5.1.6.2).
fn cut(frame: &[u8], start: usize, segmentation: Segmentation) -> Vec<Vec<u8>> {
    let (header, payload) = frame.split_at(usize::from(segmentation.header_len));
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let ip = match segmentation.kind {
        SegmentKind::Tcp4 => start - 20,
        SegmentKind::Tcp6 => start - 40,
    };
    let v4 = segmentation.kind == SegmentKind::Tcp4;
    assert_eq!(header[ip] >> 4, if v4 { 4 } else { 6 }, "the IP version");
    let said = match v4 {
        true => usize::from(half(ip + 2)),
        false => usize::from(half(ip + 4)) + 40,
    };
    assert_eq!(said, frame.len() - ip, "the IP length");
    let addresses = |header: &[u8]| match v4 {
        true => header[ip + 12..ip + 20].to_vec(),
        false => header[ip + 8..ip + 40].to_vec(),
    };
    let pseudo = packet::pseudo(&addresses(header), 6, frame.len() - start);
    assert_eq!(half(start + 16), pseudo, "the pseudo-header's sum");
    assert!(segmentation.size > 0 && !payload.is_empty());
    let pieces: Vec<&[u8]> = payload.chunks(usize::from(segmentation.size)).collect();
    let last = pieces.len() - 1;
    let seq = u32::from_be_bytes([
        header[start + 4],
        header[start + 5],
        header[start + 6],
        header[start + 7],
    ]);
    let segment = |(n, piece): (usize, &&[u8])| {
        let mut segment = [header, piece].concat();
        let seq = seq.wrapping_add((n * usize::from(segmentation.size)) as u32);
        segment[start + 4..start + 8].copy_from_slice(&seq.to_be_bytes());
        if n != last {
            // FIN and PSH belong to the last one.
            segment[start + 13] &= !0x09;
        }
        if n != 0 {
            // CWR belongs to the first one (RFC 3168, 6.1.2).
            segment[start + 13] &= !0x80;
        }
        let len = segment.len() - ip;
        if v4 {
            segment[ip + 2..ip + 4].copy_from_slice(&(len as u16).to_be_bytes());
            let identification = half(ip + 4).wrapping_add(n as u16);
            segment[ip + 4..ip + 6].copy_from_slice(&identification.to_be_bytes());
            segment[ip + 10..ip + 12].fill(0);
            let sum = !packet::sum(0, &segment[ip..start]);
            segment[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
        } else {
            segment[ip + 4..ip + 6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        }
        segment[start + 16..start + 18].fill(0);
        let pseudo = packet::pseudo(&addresses(&segment), 6, segment.len() - start);
        let sum = !packet::sum(pseudo, &segment[start..]);
        segment[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
        segment
    };
    pieces.iter().enumerate().map(segment).collect()
}
