//! What smoltcp sees of a link: one frame at a time in, and frames out with their checksums
//! finished, by us or by the device.

use alloc::vec::Vec;

use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::frame::{ETHERNET_HEADER, Framing, PROTOCOL_UDP};
use crate::link::{Link, LinkCapabilities, TxMeta};

/// The largest IP packet, and so the largest payload of a frame.
const IP_MAX: usize = 65_535;

/// How a port frames and finishes packets: fixed when the interface is made.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) framing: Framing,
    pub(crate) tx_checksum: bool,
    /// The device cuts TCP segments, of IPv4 and of IPv6.
    pub(crate) tso4: bool,
    pub(crate) tso6: bool,
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
        caps.checksum = ChecksumCapabilities::default();
        Profile {
            framing,
            tx_checksum: link.tx_checksum,
            tso4: link.tso4,
            tso6: link.tso6,
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
    /// UDP datagrams among them.
    pub(crate) datagrams: u32,
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
        TxToken {
            out,
            sent: self.sent,
            profile: self.profile,
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
    profile: &'a Profile,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let TxToken { out, sent, profile } = self;
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
                    note(buffer, profile, sent);
                    TxMeta::default()
                });
                match (result, f) {
                    (Some(result), _) => result,
                    // The link broke its promise; the frame is kept instead of lost.
                    (None, Some(f)) => stage(staged, len, f, profile, sent),
                    (None, None) => unreachable!("the closure leaves a result where it ran"),
                }
            }
            Out::Stage(staged) => stage(staged, len, f, profile, sent),
            Out::Nowhere => f(&mut alloc::vec![0; len]),
        }
    }
}

fn stage<R, F: FnOnce(&mut [u8]) -> R>(
    staged: &mut Staged,
    len: usize,
    f: F,
    profile: &Profile,
    sent: &mut Sent,
) -> R {
    staged.frame.clear();
    staged.frame.resize(len, 0);
    let result = f(&mut staged.frame);
    staged.meta = TxMeta::default();
    note(&staged.frame, profile, sent);
    staged.full = true;
    result
}

/// Notes what kind of frame smoltcp made.
fn note(frame: &[u8], profile: &Profile, sent: &mut Sent) {
    let ip = profile.framing.header_len();
    let arp = ip == ETHERNET_HEADER && frame.get(12..14) == Some(&[0x08, 0x06]);
    let protocol = match frame.get(ip).map(|byte| byte >> 4) {
        Some(4) => frame.get(ip + 9),
        _ => frame.get(ip + 6),
    };
    sent.datagrams += u32::from(!arp && protocol == Some(&PROTOCOL_UDP));
}
