//! The offloads of a frame to send, as descriptors describe them.

use crate::net::{GsoKind, TxMeta};

/// Offset of the EtherType, and of the IP header after it.
const TYPE: usize = 12;
const IP: usize = 14;
/// EtherTypes.
const VLAN: [u8; 2] = [0x81, 0x00];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Offsets of the checksum in the headers of TCP and UDP, which tell them apart.
const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;

/// Fields of a descriptor's second word.
const L3_IPV4: u32 = 8;
const L3_IPV6: u32 = 11;
const DONT_FRAGMENT: u32 = 1 << 4;
const SEGMENT: u32 = 1 << 7;
const L4_TCP: u32 = 12 << 8;
const L4_UDP: u32 = 13 << 8;
const L3_CHECKSUM: u32 = 1 << 13;
const L4_CHECKSUM: u32 = 1 << 14;
/// The checksum field holds the pseudo-header's sum; otherwise the device computes that, too.
const L4_PARTIAL: u32 = 1 << 17;

/// Bits of the first word of metadata: its fields are valid, its type, to be remembered.
const VALID: u32 = 1 << 14;
const EXTENDED: u32 = 1 << 20;
const STORE: u32 = 1 << 21;
const META: u32 = 1 << 23;
/// Maximum size of a segment: 14 bits.
const MAX_SEGMENT: u16 = (1 << 14) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offload {
    /// The second word of the first descriptor.
    pub control: u32,
    /// The descriptor of metadata.
    pub meta: Option<[u32; 4]>,
}

impl Offload {
    /// Metadata of a frame without offloads.
    pub const NO_META: [u32; 4] = [META | VALID | EXTENDED | STORE, 0, 0, 0];

    /// The offloads of a frame. `None` if its headers aren't what `meta` says, or the device can't
    /// describe them.
    pub fn new(frame: &[u8], meta: &TxMeta) -> Option<Offload> {
        let Some(checksum) = meta.checksum else {
            return meta.gso.is_none().then_some(Offload {
                control: 0,
                meta: None,
            });
        };
        let bytes = |at: usize| Some([*frame.get(at)?, *frame.get(at + 1)?]);
        let (kind, ip) = match bytes(TYPE)? {
            VLAN => (bytes(TYPE + 4)?, IP + 4),
            kind => (kind, IP),
        };
        let mut control = L4_CHECKSUM;
        control |= match checksum.offset {
            TCP_CHECKSUM => L4_TCP,
            UDP_CHECKSUM => L4_UDP,
            _ => return None,
        };
        control |= match kind {
            IPV4 => {
                let flags = *frame.get(ip + 6)?;
                let is_whole = flags & 0x40 != 0;
                L3_IPV4 | if is_whole { DONT_FRAGMENT } else { 0 }
            }
            IPV6 => L3_IPV6,
            _ => return None,
        };
        let header = usize::from(checksum.start).checked_sub(ip)?;
        let mut words = Offload::NO_META;
        words[2] = u32::from(u8::try_from(header).ok()?) | (ip as u32) << 8;
        match meta.gso {
            None => control |= L4_PARTIAL,
            Some(gso) => {
                let agreed = match gso.kind {
                    GsoKind::Tcp4 => IPV4,
                    GsoKind::Tcp6 => IPV6,
                };
                // The length of TCP's header in words.
                let length = frame.get(usize::from(checksum.start) + 12)? >> 4;
                let end = checksum.start + u16::from(length) * 4;
                let is_tcp = checksum.offset == TCP_CHECKSUM && kind == agreed;
                if !is_tcp || end != gso.headers || gso.segment > MAX_SEGMENT {
                    return None;
                }
                control |= SEGMENT;
                if kind == IPV4 {
                    control |= L3_CHECKSUM;
                }
                let segment = u32::from(gso.segment);
                words[0] |= segment >> 10 << 16;
                words[2] |= u32::from(length) << 16 | segment << 22;
            }
        }
        Some(Offload {
            control,
            meta: Some(words),
        })
    }
}
