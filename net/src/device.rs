//! What smoltcp sees of a link: one frame at a time in, and frames out with their checksums
//! finished, by us or by the device.

use alloc::vec::Vec;

use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;

use crate::checksum;
use crate::frame::{
    ACK, ETHERNET_HEADER, FIN, Framing, IPV4_HEADER, IPV6_HEADER, PROTOCOL_TCP, PROTOCOL_UDP, RST,
    SYN, is_after,
};
use crate::link::{Link, LinkCapabilities, PartialChecksum, SegmentKind, Segmentation, TxMeta};

/// The largest IP packet, and so the largest payload of a frame.
const IP_MAX: usize = 65_535;

/// How a port frames and finishes packets: fixed when the interface is made.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) framing: Framing,
    pub(crate) tx_checksum: bool,
    pub(crate) smoltcp: DeviceCapabilities,
}

impl Profile {
    pub(crate) fn new(link: &LinkCapabilities, framing: Framing) -> Profile {
        let mut caps = DeviceCapabilities::default();
        caps.medium = match framing {
            Framing::Ethernet(_) => Medium::Ethernet,
            Framing::Ip => Medium::Ip,
        };
        caps.max_transmission_unit = link.mtu.clamp(576, IP_MAX) + framing.header_len();
        // TCP checksums are computed in `finish` and verified in `frame`: smoltcp can only be told
        // once for a device, not for each packet, whether that is needed.
        caps.checksum = ChecksumCapabilities::default();
        caps.checksum.tcp = phy::Checksum::None;
        if link.tx_checksum && link.tso4 {
            caps.segmentation.tcpv4 = core::num::NonZeroUsize::new(IP_MAX + framing.header_len());
        }
        Profile {
            framing,
            tx_checksum: link.tx_checksum,
            smoltcp: caps,
        }
    }
}

/// A frame that is finished but that the link had no room for, or that was made while a frame was
/// being received. There is at most one; while it waits nothing else is sent or received.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    frame: Vec<u8>,
    meta: TxMeta,
    full: bool,
}

impl Staged {
    /// Sends the frame; `false` if the link still has no room.
    pub(crate) fn send(&mut self, link: &mut dyn Link) -> bool {
        if self.full {
            let meta = self.meta;
            let frame = &self.frame;
            let mut fill = |buffer: &mut [u8]| {
                buffer.copy_from_slice(frame);
                meta
            };
            self.full = !(link.can_transmit() && link.transmit(frame.len(), &mut fill));
        }
        !self.full
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Makes a frame of `len` bytes; nothing happens if there is one already.
    pub(crate) fn put(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> TxMeta) {
        if !self.full {
            self.frame.resize(len, 0);
            self.meta = fill(&mut self.frame);
            self.full = true;
        }
    }
}

/// What went out since the log was cleared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// Tokens given to smoltcp: it meant to send something.
    pub(crate) tokens: u32,
    /// Tokens refused, because the link is full.
    pub(crate) refused: bool,
    /// All frames.
    pub(crate) frames: u32,
    /// Bytes of all frames.
    pub(crate) bytes: usize,
    /// TCP segments among them.
    pub(crate) segments: u32,
    /// UDP datagrams among them.
    pub(crate) datagrams: u32,
    /// Sequence number after the last segment that is no reset, and the one that it acknowledges.
    pub(crate) last: Option<(u32, u32)>,
}

/// Where frames go that smoltcp makes.
pub(crate) enum Out<'a> {
    /// To the link.
    Link(&'a mut dyn Link, &'a mut Staged),
    /// To the stage: the link is busy handing over a frame.
    Stage(&'a mut Staged),
    /// Nowhere: smoltcp only asks what the device can do.
    Nowhere,
}

/// The device that smoltcp is given, for one call.
pub(crate) struct Port<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) frame: Option<&'a [u8]>,
    pub(crate) out: Out<'a>,
    pub(crate) sent: &'a mut Sent,
    /// SND.MAX of the one connection that is sent from, if it is known: see [`finish`].
    pub(crate) send_max: Option<u32>,
}

impl phy::Device for Port<'_> {
    type RxToken<'a>
        = RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let frame = self.frame.take()?;
        Some((RxToken { frame }, self.token()))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        let room = match &mut self.out {
            Out::Link(link, staged) => !staged.full && link.can_transmit(),
            Out::Stage(staged) => !staged.full,
            Out::Nowhere => false,
        };
        if room {
            self.sent.tokens += 1;
            Some(self.token())
        } else {
            self.sent.refused = true;
            None
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.profile.smoltcp.clone()
    }
}

impl Port<'_> {
    fn token(&mut self) -> TxToken<'_> {
        let out = match &mut self.out {
            Out::Link(link, staged) => Out::Link(&mut **link, staged),
            Out::Stage(staged) => Out::Stage(staged),
            Out::Nowhere => Out::Nowhere,
        };
        let how = Finish {
            profile: self.profile,
            segment_size: None,
            send_max: self.send_max,
        };
        TxToken {
            out,
            sent: self.sent,
            how,
        }
    }
}

/// The staged frame, for smoltcp.
pub(crate) struct RxToken<'a> {
    frame: &'a [u8],
}

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.frame)
    }
}

/// The right to send one frame.
pub(crate) struct TxToken<'a> {
    out: Out<'a>,
    sent: &'a mut Sent,
    how: Finish<'a>,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let TxToken { out, sent, how } = self;
        sent.frames += 1;
        sent.bytes += len;
        match out {
            Out::Link(link, staged) => {
                let mut f = Some(f);
                let mut result = None;
                link.transmit(len, &mut |buffer| {
                    let Some(f) = f.take() else {
                        return TxMeta::default();
                    };
                    result = Some(f(buffer));
                    finish(buffer, how, sent)
                });
                match (result, f) {
                    (Some(result), _) => result,
                    // The link broke its promise; the frame is kept instead of lost.
                    (None, Some(f)) => stage(staged, len, f, how, sent),
                    (None, None) => unreachable!("the closure leaves a result where it ran"),
                }
            }
            Out::Stage(staged) => stage(staged, len, f, how, sent),
            Out::Nowhere => f(&mut alloc::vec![0; len]),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.how.segment_size = meta.segmentation_offload_size.map(u16::from);
    }
}

fn stage<R, F: FnOnce(&mut [u8]) -> R>(
    staged: &mut Staged,
    len: usize,
    f: F,
    how: Finish<'_>,
    sent: &mut Sent,
) -> R {
    staged.frame.clear();
    staged.frame.resize(len, 0);
    let result = f(&mut staged.frame);
    staged.meta = finish(&mut staged.frame, how, sent);
    staged.full = true;
    result
}

/// What [`finish`] must know of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    pub(crate) profile: &'a Profile,
    /// Payload of each segment, if the device is to cut it.
    pub(crate) segment_size: Option<u16>,
    /// SND.MAX of the connection, if it is one's. smoltcp takes SND.NXT back when it repeats lost
    /// segments, and its acknowledgements with it; the peer would drop those as old (RFC 9293,
    /// 3.10.7.4).
    pub(crate) send_max: Option<u32>,
}

/// Finds the TCP header of a frame that smoltcp (or this crate) made, completes its checksum or
/// prepares it for the device, and notes what was sent. Our own frames have no IP options and no
/// extension headers.
pub(crate) fn finish(frame: &mut [u8], how: Finish<'_>, sent: &mut Sent) -> TxMeta {
    let Finish {
        profile,
        segment_size,
        send_max,
    } = how;
    let ip = profile.framing.header_len();
    let Some(version) = frame.get(ip).map(|byte| byte >> 4) else {
        return TxMeta::default();
    };
    if ip == ETHERNET_HEADER && frame.get(12) == Some(&0x08) && frame.get(13) == Some(&0x06) {
        return TxMeta::default();
    }
    let (protocol, addresses, l4) = match version {
        4 => (frame.get(ip + 9), ip + 12..ip + 20, ip + IPV4_HEADER),
        _ => (frame.get(ip + 6), ip + 8..ip + 40, ip + IPV6_HEADER),
    };
    let protocol = protocol.copied().unwrap_or(0);
    if protocol == PROTOCOL_UDP {
        sent.datagrams += 1;
    }
    if protocol != PROTOCOL_TCP {
        return TxMeta::default();
    }
    let Some(pseudo) = frame
        .get(addresses)
        .map(|a| checksum::pseudo_header(a, PROTOCOL_TCP, frame.len().saturating_sub(l4)))
    else {
        return TxMeta::default();
    };
    let Some(tcp) = frame.get_mut(l4..) else {
        return TxMeta::default();
    };
    let len = tcp.len();
    let Some(header) = tcp.first_chunk_mut::<20>() else {
        return TxMeta::default();
    };
    let header_len = usize::from(header[12] >> 4) * 4;
    let flags = header[13];
    let mut seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let ack = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    header[16..18].copy_from_slice(&pseudo.to_be_bytes());
    let control = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let payload_len = len.saturating_sub(header_len) as u32;
    if let Some(max) = send_max
        && flags == ACK
        && payload_len == 0
        && is_after(max, seq)
    {
        seq = max;
        header[4..8].copy_from_slice(&max.to_be_bytes());
    }
    sent.segments += 1;
    // A reset takes its numbers from what it answers.
    if flags & RST == 0 {
        sent.last = Some((seq.wrapping_add(payload_len).wrapping_add(control), ack));
    }
    if profile.tx_checksum {
        return TxMeta {
            checksum: Some(PartialChecksum {
                start: l4 as u16,
                offset: 16,
            }),
            segmentation: segment_size.map(|size| Segmentation {
                kind: if version == 4 {
                    SegmentKind::Tcp4
                } else {
                    SegmentKind::Tcp6
                },
                size,
                header_len: (l4 + header_len) as u16,
            }),
        };
    }
    // The field holds the pseudo-header's sum, so the sum over all is what is wanted.
    let sum = !checksum::sum(tcp);
    if let Some(header) = tcp.first_chunk_mut::<20>() {
        header[16..18].copy_from_slice(&sum.to_be_bytes());
    }
    TxMeta::default()
}
