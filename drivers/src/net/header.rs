//! The header in front of every frame (virtio 1.2, 5.1.6): written for the device, validated when
//! read.

/// Bytes of the header with `num_buffers`: always in modern devices, and with mergeable buffers in
/// legacy ones.
pub const LONG: usize = 12;
/// Bytes of the header in a legacy device without mergeable buffers.
pub const SHORT: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;

/// The kind of a large frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
}

/// Segmentation of a large frame: the device is to cut it into segments, or has merged it from
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Protocol of the segments.
    pub kind: GsoKind,
    /// Payload bytes of each segment; not 0.
    pub segment: u16,
    /// Bytes of the headers (Ethernet, IP and TCP) that each segment repeats. In a received frame
    /// it is only a hint and may be 0; it never exceeds the frame.
    pub headers: u16,
}

/// The state of a received TCP or UDP frame's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// Unknown: the checksum must be verified.
    #[default]
    Unknown,
    /// The device has verified it (`DATA_VALID`).
    Valid,
    /// The frame never left the host and holds only the sum of the pseudo-header (`NEEDS_CSUM`):
    /// nothing to verify. To forward it, the sum from `start` on has to be written at `start +
    /// offset`.
    Partial {
        /// Start of the summed bytes, from the start of the frame.
        start: u16,
        /// Offset of the checksum field from `start`. `start + offset + 2` is inside the frame.
        offset: u16,
    },
}

/// Validated metadata of a received frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxMeta {
    /// The state of the checksum.
    pub checksum: RxChecksum,
    /// Set for a frame merged from several.
    pub gso: Option<Gso>,
}

/// A checksum for the device to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Start of the summed bytes (the TCP or UDP header), from the start of the frame.
    pub start: u16,
    /// Offset of the checksum field from `start`: 16 for TCP, 6 for UDP. The field holds the
    /// pseudo-header's sum.
    pub offset: u16,
}

/// The offloads of a frame to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxMeta {
    /// Compute a checksum; requires `Capabilities::tx_checksum`.
    pub checksum: Option<TxChecksum>,
    /// Segment the frame; requires `Capabilities::tso4` or `tso6`, and `checksum`.
    pub gso: Option<Gso>,
}

/// Negotiated offloads that may appear in headers of received frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expect {
    pub checksum: bool,
    pub tso4: bool,
    pub tso6: bool,
}

/// The header bytes of a frame to send.
pub(super) fn emit(meta: &TxMeta) -> [u8; LONG] {
    let mut bytes = [0; LONG];
    if let Some(checksum) = meta.checksum {
        bytes[0] = NEEDS_CSUM;
        bytes[6..8].copy_from_slice(&checksum.start.to_le_bytes());
        bytes[8..10].copy_from_slice(&checksum.offset.to_le_bytes());
    }
    if let Some(gso) = meta.gso {
        bytes[1] = match gso.kind {
            GsoKind::Tcp4 => GSO_TCPV4,
            GsoKind::Tcp6 => GSO_TCPV6,
        };
        bytes[2..4].copy_from_slice(&gso.headers.to_le_bytes());
        bytes[4..6].copy_from_slice(&gso.segment.to_le_bytes());
    }
    bytes
}

/// The number of buffers that a received frame spans (only with mergeable buffers).
pub(super) fn buffers(header: &[u8; LONG]) -> u16 {
    u16::from_le_bytes([header[10], header[11]])
}

/// Parses the header of a received frame of `len` bytes. `None`: it is invalid, drop the frame.
pub(super) fn parse(header: &[u8; LONG], len: usize, expect: Expect) -> Option<RxMeta> {
    let field = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let checksum = if !expect.checksum {
        RxChecksum::Unknown
    } else if header[0] & NEEDS_CSUM != 0 {
        let (start, offset) = (field(6), field(8));
        if usize::from(start) + usize::from(offset) + 2 > len {
            return None;
        }
        RxChecksum::Partial { start, offset }
    } else if header[0] & DATA_VALID != 0 {
        RxChecksum::Valid
    } else {
        RxChecksum::Unknown
    };
    let kind = match header[1] & !GSO_ECN {
        GSO_NONE => None,
        GSO_TCPV4 if expect.tso4 => Some(GsoKind::Tcp4),
        GSO_TCPV6 if expect.tso6 => Some(GsoKind::Tcp6),
        _ => return None,
    };
    let gso = match kind {
        None => None,
        Some(kind) => {
            let headers = if usize::from(field(2)) <= len {
                field(2)
            } else {
                0
            };
            let segment = field(4);
            if segment == 0 {
                return None;
            }
            Some(Gso {
                kind,
                segment,
                headers,
            })
        }
    };
    Some(RxMeta { checksum, gso })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Expect = Expect {
        checksum: true,
        tso4: true,
        tso6: true,
    };

    #[test]
    fn emits_what_it_parses() {
        let gso = Gso {
            kind: GsoKind::Tcp6,
            segment: 1440,
            headers: 74,
        };
        let meta = TxMeta {
            checksum: Some(TxChecksum {
                start: 54,
                offset: 16,
            }),
            gso: Some(gso),
        };
        let parsed = parse(&emit(&meta), 3000, ALL).unwrap();
        assert_eq!(
            parsed.checksum,
            RxChecksum::Partial {
                start: 54,
                offset: 16
            }
        );
        assert_eq!(parsed.gso, Some(gso));
    }

    #[test]
    fn refuses_a_checksum_outside_the_frame() {
        let meta = TxMeta {
            checksum: Some(TxChecksum {
                start: 54,
                offset: 16,
            }),
            ..Default::default()
        };
        assert!(parse(&emit(&meta), 72, ALL).is_some());
        assert!(parse(&emit(&meta), 71, ALL).is_none());
    }

    #[test]
    fn refuses_segments_that_were_not_agreed_on_or_are_empty() {
        let mut gso = Gso {
            kind: GsoKind::Tcp4,
            segment: 1000,
            headers: 54,
        };
        let bytes = emit(&TxMeta {
            checksum: None,
            gso: Some(gso),
        });
        assert!(parse(&bytes, 3000, Expect { tso4: false, ..ALL }).is_none());
        gso.segment = 0;
        assert!(
            parse(
                &emit(&TxMeta {
                    checksum: None,
                    gso: Some(gso)
                }),
                3000,
                ALL
            )
            .is_none()
        );
        let mut udp = [0; LONG];
        udp[1] = 3;
        assert!(parse(&udp, 3000, ALL).is_none());
    }

    #[test]
    fn either_segmentation_is_taken_alone() {
        for (kind, tso4, tso6) in [(GsoKind::Tcp4, true, false), (GsoKind::Tcp6, false, true)] {
            let gso = Some(Gso {
                kind,
                segment: 1000,
                headers: 54,
            });
            let checksum = None;
            let header = emit(&TxMeta { checksum, gso });
            let expect = |tso4, tso6| Expect { tso4, tso6, ..ALL };
            let taken = parse(&header, 3000, expect(tso4, tso6)).map(|meta| meta.gso);
            assert_eq!(taken, Some(gso));
            assert!(parse(&header, 3000, expect(!tso4, !tso6)).is_none());
        }
    }

    #[test]
    fn a_header_length_beyond_the_frame_is_no_hint() {
        let gso = Gso {
            kind: GsoKind::Tcp4,
            segment: 1000,
            headers: 9999,
        };
        let parsed = parse(
            &emit(&TxMeta {
                checksum: None,
                gso: Some(gso),
            }),
            3000,
            ALL,
        )
        .unwrap();
        assert_eq!(parsed.gso.unwrap().headers, 0);
    }

    #[test]
    fn without_the_feature_nothing_is_known_of_checksums() {
        let mut header = [0; LONG];
        header[0] = DATA_VALID;
        let meta = parse(
            &header,
            60,
            Expect {
                checksum: false,
                ..ALL
            },
        )
        .unwrap();
        assert_eq!(meta.checksum, RxChecksum::Unknown);
        assert_eq!(parse(&header, 60, ALL).unwrap().checksum, RxChecksum::Valid);
    }
}
