//! The header of a segment (RFC 9293, 3.1), read from bytes and written to them.

use core::fmt;
use core::ops::BitOr;

use super::options::{OPTIONS_MAX, Options};
use super::seq::Seq;
use crate::types::{be16, be32, put};

/// Bytes of a header without options.
pub(crate) const HEADER: usize = 20;

/// The control bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    #[cfg(test)]
    pub(crate) const NONE: Flags = Flags(0);
    pub(crate) const FIN: Flags = Flags(1);
    pub(crate) const SYN: Flags = Flags(2);
    pub(crate) const RST: Flags = Flags(4);
    pub(crate) const PSH: Flags = Flags(8);
    pub(crate) const ACK: Flags = Flags(16);
    pub(crate) const URG: Flags = Flags(32);
    /// RFC 3168, 6.1.
    pub(crate) const ECE: Flags = Flags(64);
    pub(crate) const CWR: Flags = Flags(128);

    /// Whether all bits of `flags` are set.
    pub(crate) fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in "FSRPAUEC".chars().enumerate() {
            if self.0 & 1 << bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// A received segment. Its checksum was verified by the IP layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: Seq,
    /// Valid only with [`Flags::ACK`].
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    /// As in the header: not scaled.
    pub(crate) window: u16,
    /// Valid only with [`Flags::URG`]: offset of the end of urgent data from `seq`.
    pub(crate) urgent: u16,
    pub(crate) options: Options,
    pub(crate) payload: &'a [u8],
    /// A router has marked the packet: congestion experienced (RFC 3168, 5).
    pub(crate) marked: bool,
    /// If the device merged several segments into this one: the size of each but the last.
    pub(crate) gro: Option<u16>,
}

impl<'a> Segment<'a> {
    /// Parses the TCP part of a packet. `None` if the header is truncated or its length is invalid
    /// (RFC 9293, 3.1). The reserved bits are ignored.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Segment<'a>> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let offset = usize::from(header[12] >> 4) * 4;
        let options = match offset {
            HEADER => Options::default(),
            _ => Options::parse(bytes.get(HEADER..offset)?),
        };
        Some(Segment {
            source_port: be16(header, 0)?,
            destination_port: be16(header, 2)?,
            seq: Seq(be32(header, 4)?),
            ack: Seq(be32(header, 8)?),
            flags: Flags(header[13]),
            window: be16(header, 14)?,
            urgent: be16(header, 18)?,
            options,
            payload: bytes.get(offset..)?,
            marked: false,
            gro: None,
        })
    }

    /// Whether all bits of `flags` are set.
    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.flags.has(flags)
    }

    /// SEG.LEN: bytes, and one each for SYN and FIN.
    pub(crate) fn len(&self) -> u32 {
        self.payload.len() as u32
            + u32::from(self.has(Flags::SYN))
            + u32::from(self.has(Flags::FIN))
    }

    /// The sequence number after its last.
    pub(crate) fn end(&self) -> Seq {
        self.seq + self.len()
    }
}

/// The header of a segment to send. The stack adds ports, checksum and the lower layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    /// As in the header: scaled.
    pub(crate) window: u16,
    pub(crate) options: Options,
    /// Payload bytes of each segment on the wire; a larger payload is to be segmented. 0 if there
    /// is no payload.
    pub(crate) segment_size: u16,
    /// With [`Flags::URG`].
    pub(crate) urgent: u16,
    /// The ECN field of the IP header (RFC 3168, 5).
    pub(crate) ecn: u8,
}

impl Header {
    /// The reset in reply to `segment`, which belongs to no connection (RFC 9293, 3.10.7.1); `None`
    /// if that is a reset itself.
    pub(crate) fn reset(segment: &Segment<'_>) -> Option<Header> {
        if segment.has(Flags::RST) {
            return None;
        }
        let (seq, ack, flags) = if segment.has(Flags::ACK) {
            (segment.ack, Seq(0), Flags::RST)
        } else {
            (Seq(0), segment.end(), Flags::RST | Flags::ACK)
        };
        Some(Header {
            seq,
            ack,
            flags,
            ..Header::default()
        })
    }

    /// Writes the header with a checksum of zero; returns its length, `None` if `out` is too short
    /// (60 bytes always suffice).
    pub(crate) fn write(&self, source: u16, destination: u16, out: &mut [u8]) -> Option<usize> {
        let mut options = [0; OPTIONS_MAX];
        let options_len = self.options.write(&mut options);
        let len = HEADER + options_len;
        let out = out.get_mut(..len)?;
        let (header, rest) = out.split_first_chunk_mut::<HEADER>()?;
        header.fill(0);
        put(header, 0, &source.to_be_bytes());
        put(header, 2, &destination.to_be_bytes());
        put(header, 4, &self.seq.0.to_be_bytes());
        put(header, 8, &self.ack.0.to_be_bytes());
        put(header, 12, &[(len as u8 / 4) << 4, self.flags.0]);
        put(header, 14, &self.window.to_be_bytes());
        put(header, 18, &self.urgent.to_be_bytes());
        rest.copy_from_slice(options.get(..options_len)?);
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::{Flags, Header, Segment};
    use crate::tcp::machine::options::Options;
    use crate::tcp::machine::seq::Seq;
    use proptest::prelude::{any, prop, proptest};

    #[test]
    fn a_header_is_read_as_written() {
        let header = Header {
            seq: Seq(0x0102_0304),
            ack: Seq(0x0506_0708),
            flags: Flags::ACK | Flags::PSH,
            window: 0x090a,
            options: Options {
                timestamps: Some((7, 8)),
                ..Options::default()
            },
            segment_size: 3,
            ..Header::default()
        };
        let mut bytes = [0; 64];
        let len = header.write(80, 1025, &mut bytes).unwrap();
        assert_eq!(len, 32);
        bytes[len..len + 3].copy_from_slice(b"abc");
        let read = Segment::parse(&bytes[..len + 3]).unwrap();
        assert_eq!((read.source_port, read.destination_port), (80, 1025));
        assert_eq!(
            (read.seq, read.ack, read.window),
            (header.seq, header.ack, header.window)
        );
        assert_eq!((read.flags, read.options), (header.flags, header.options));
        assert_eq!(
            (read.payload, read.len(), read.end()),
            (&b"abc"[..], 3, header.seq + 3)
        );
        assert_eq!(header.write(80, 1025, &mut [0; 31]), None);
        assert_eq!(format!("{:?}", read.flags), "PA");
    }

    /// RFC 9293, 3.10.7.1.
    #[test]
    fn resets_answer_what_belongs_to_nothing() {
        let mut segment = Segment::parse(&[
            0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 5, 0x50, 2, 0, 0, 0, 0, 0, 0, 1,
        ])
        .unwrap();
        let reset = Header::reset(&segment).unwrap();
        assert_eq!(
            (reset.seq, reset.ack, reset.flags),
            (Seq(0), Seq(11), Flags::RST | Flags::ACK)
        );
        segment.flags = Flags::ACK;
        let reset = Header::reset(&segment).unwrap();
        assert_eq!((reset.seq, reset.flags), (Seq(5), Flags::RST));
        segment.flags = Flags::RST | Flags::ACK;
        assert_eq!(Header::reset(&segment), None);
    }

    proptest! {
        #[test]
        fn any_bytes_parse(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(segment) = Segment::parse(&bytes) {
                assert!(segment.payload.len() + 20 <= bytes.len());
            }
        }
    }
}
