//! TCP options (RFC 9293, 3.2): those of RFC 9293 (MSS), 7323 (window scale, timestamps) and 2018
//! (SACK).

use super::seq::Seq;
use crate::types::{be16, be32};

/// Most bytes of options in a header.
pub(crate) const OPTIONS_MAX: usize = 40;
/// Blocks of one SACK option, at most (RFC 2018, 3).
pub(crate) const SACK_MAX: usize = 4;
/// Default MSS over IPv6 (RFC 9293, 3.7.1, MUST-15).
pub(crate) const MSS_V6: u16 = 1220;
/// Largest window scale (RFC 7323, 2.3).
pub(crate) const SCALE_MAX: u8 = 14;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const USER_TIMEOUT: u8 = 28;

/// A user timeout in the encoding of the option (RFC 5482, 3): seconds, or minutes with the highest
/// bit; `None` if it is unlimited.
pub(crate) fn user_timeout(timeout_ns: u64) -> Option<u16> {
    let seconds = timeout_ns.div_ceil(1_000_000_000);
    let minutes = seconds.div_ceil(60).min(0x7fff);
    match seconds {
        0 => None,
        1..=0x7fff => Some(seconds as u16),
        _ => Some(minutes as u16 | 0x8000),
    }
}

/// Ranges of bytes that were received out of order, or twice (RFC 2018, 2883).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sack {
    blocks: [(Seq, Seq); SACK_MAX],
    len: u8,
}

impl Sack {
    /// Adds a block; false if all four are used.
    pub(crate) fn push(&mut self, first: Seq, end: Seq) -> bool {
        match self.blocks.get_mut(usize::from(self.len)) {
            Some(block) => {
                *block = (first, end);
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The blocks in the order of the option: first byte, and the one after the last.
    pub(crate) fn blocks(&self) -> &[(Seq, Seq)] {
        self.blocks.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Keeps the first `len` blocks.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u8::try_from(len).unwrap_or(u8::MAX));
    }

    /// Whether there is no block.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The options of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Maximum segment size; only in a SYN.
    pub(crate) mss: Option<u16>,
    /// Shift of the windows that its sender will offer, as received (not yet limited to 14); only
    /// in a SYN.
    pub(crate) window_scale: Option<u8>,
    /// Only in a SYN.
    pub(crate) sack_permitted: bool,
    /// TSval and TSecr.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// The user timeout in the encoding of the option (RFC 5482, 3); not parsed.
    pub(crate) user_timeout: Option<u16>,
    /// SACK blocks.
    pub(crate) sack: Sack,
}

impl Options {
    /// Parses the options of a header. Unknown ones are skipped (RFC 9293, 3.1, MUST-6); an invalid
    /// length ends the parsing (MUST-7), and the options before it count.
    pub(crate) fn parse(mut bytes: &[u8]) -> Options {
        let mut options = Options::default();
        // Nearly every segment: NOP, NOP, timestamps.
        if let [NOP, NOP, TIMESTAMPS, 10, rest @ ..] = bytes
            && let [v0, v1, v2, v3, e0, e1, e2, e3] = rest
        {
            options.timestamps = Some((
                u32::from_be_bytes([*v0, *v1, *v2, *v3]),
                u32::from_be_bytes([*e0, *e1, *e2, *e3]),
            ));
            return options;
        }
        while let [kind, rest @ ..] = bytes {
            match *kind {
                END => break,
                NOP => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let Some(len) = rest.first().map(|len| usize::from(*len)) else {
                break;
            };
            let (Some(body), Some(next)) = (bytes.get(2..len), bytes.get(len..)) else {
                break;
            };
            options.take(*kind, body);
            bytes = next;
        }
        options
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        match (kind, body.len()) {
            (MSS, 2) => self.mss = be16(body, 0),
            (WINDOW_SCALE, 1) => self.window_scale = body.first().copied(),
            (SACK_PERMITTED, 0) => self.sack_permitted = true,
            (TIMESTAMPS, 8) => {
                if let (Some(value), Some(echo)) = (be32(body, 0), be32(body, 4)) {
                    self.timestamps = Some((value, echo));
                }
            }
            (SACK, _) => {
                for block in body.chunks_exact(8) {
                    if let (Some(first), Some(end)) = (be32(block, 0), be32(block, 4)) {
                        self.sack.push(Seq(first), Seq(end));
                    }
                }
            }
            _ => {}
        }
    }

    /// Writes the options, padded to a multiple of four bytes; returns their length. At most 40
    /// bytes: what doesn't fit is omitted (SACK blocks first, since they come last).
    pub(crate) fn write(&self, out: &mut [u8; OPTIONS_MAX]) -> usize {
        let mut at = 0;
        let mut put = |bytes: &[u8]| match out.get_mut(at..at + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                at += bytes.len();
                true
            }
            None => false,
        };
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            put(&[MSS, 4, high, low]);
        }
        if let Some(scale) = self.window_scale {
            put(&[NOP, WINDOW_SCALE, 3, scale]);
        }
        if self.sack_permitted {
            put(&[NOP, NOP, SACK_PERMITTED, 2]);
        }
        if let Some((value, echo)) = self.timestamps {
            let mut option = [NOP, NOP, TIMESTAMPS, 10, 0, 0, 0, 0, 0, 0, 0, 0];
            if let Some((_, body)) = option.split_first_chunk_mut::<4>()
                && let Some((first, second)) = body.split_first_chunk_mut::<4>()
            {
                *first = value.to_be_bytes();
                second.copy_from_slice(&echo.to_be_bytes());
            }
            put(&option);
        }
        if let Some(timeout) = self.user_timeout {
            let [high, low] = timeout.to_be_bytes();
            put(&[USER_TIMEOUT, 4, high, low]);
        }
        if !self.sack.is_empty() {
            let used = self.len() - self.sack_len();
            let fit = (OPTIONS_MAX - used).saturating_sub(4) / 8;
            let blocks = self.sack.blocks();
            let blocks = blocks.get(..fit).unwrap_or(blocks);
            if !blocks.is_empty() {
                put(&[NOP, NOP, SACK, 2 + 8 * blocks.len() as u8]);
                for (first, end) in blocks {
                    put(&first.0.to_be_bytes());
                    put(&end.0.to_be_bytes());
                }
            }
        }
        at
    }

    fn sack_len(&self) -> usize {
        match self.sack.blocks().len() {
            0 => 0,
            blocks => 4 + 8 * blocks,
        }
    }

    /// Bytes that [`Options::write`] needs if everything fits.
    pub(crate) fn len(&self) -> usize {
        let fixed = 4
            * (usize::from(self.mss.is_some())
                + usize::from(self.window_scale.is_some())
                + usize::from(self.sack_permitted)
                + usize::from(self.user_timeout.is_some()));
        fixed + 12 * usize::from(self.timestamps.is_some()) + self.sack_len()
    }
}

/// Options negotiated by the two SYNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// The peer's maximum segment size; 536 if it named none (RFC 9293, 3.7.1, MUST-15; IPv6 has
    /// [`MSS_V6`] instead).
    pub(crate) mss: u16,
    /// The peer's shift, at most 14 (RFC 7323, 2.3); `None`: windows aren't scaled, either way.
    pub(crate) window_scale: Option<u8>,
    /// Both ends may send SACK blocks.
    pub(crate) sack: bool,
    /// Both ends send timestamps.
    pub(crate) timestamps: bool,
    /// Both ends support ECN (RFC 3168, 6.1.1). It is negotiated by the flags of the SYN, not by
    /// its options.
    pub(crate) ecn: bool,
}

impl Negotiated {
    /// Negotiates the options of the peer's SYN with ours.
    pub(crate) fn from_syn(options: &Options) -> Negotiated {
        Negotiated {
            mss: options.mss.unwrap_or(536),
            window_scale: options.window_scale.map(|scale| scale.min(SCALE_MAX)),
            sack: options.sack_permitted,
            timestamps: options.timestamps.is_some(),
            ecn: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Negotiated, OPTIONS_MAX, Options, Sack};
    use crate::tcp::machine::seq::Seq;
    use proptest::prelude::{any, prop, proptest};

    /// RFC 9293, 3.1: MUST-4 to MUST-7.
    #[test]
    fn unknown_options_are_skipped_and_bad_lengths_end_the_reading() {
        let parsed = Options::parse(&[1, 254, 4, 9, 9, 2, 4, 5, 180, 0, 3, 3, 7]);
        assert_eq!(parsed.mss, Some(1460));
        assert_eq!(parsed.window_scale, None, "after the end of the list");
        for bad in [
            &[2u8, 4, 5, 180, 3, 1, 7][..],
            &[2, 4, 5, 180, 3, 0],
            &[2, 4, 5, 180, 3, 9, 1],
        ] {
            let parsed = Options::parse(bad);
            assert_eq!((parsed.mss, parsed.window_scale), (Some(1460), None));
        }
        assert_eq!(
            Options::parse(&[2, 3, 5]).mss,
            None,
            "a length that isn't the option's"
        );
        assert_eq!(Options::parse(&[2]), Options::default());
    }

    #[test]
    fn a_syn_and_a_full_sack() {
        let syn = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((1, 2)),
            ..Options::default()
        };
        let mut out = [0; OPTIONS_MAX];
        let len = syn.write(&mut out);
        assert_eq!(len, 24);
        assert_eq!(Options::parse(&out[..len]), syn);
        let mut sack = Sack::default();
        for n in 0..4 {
            assert!(sack.push(Seq(n * 10), Seq(n * 10 + 5)));
        }
        assert!(!sack.push(Seq(0), Seq(1)));
        let ack = Options {
            timestamps: Some((3, 4)),
            sack,
            ..Options::default()
        };
        let len = ack.write(&mut out);
        assert_eq!(len, 40, "three blocks beside timestamps (RFC 2018, 3)");
        assert_eq!(
            Options::parse(&out[..len]).sack.blocks(),
            &sack.blocks()[..3]
        );
    }

    #[test]
    fn rfc5482_section_3_user_timeouts() {
        const SECOND: u64 = 1_000_000_000;
        let cases = [
            (0, None),
            (1, Some(1)),
            (SECOND, Some(1)),
            (90 * SECOND + 1, Some(91)),
            (32_767 * SECOND, Some(32_767)),
            (32_768 * SECOND, Some(0x8000 | 547)),
            (u64::MAX, Some(0xffff)),
        ];
        for (timeout_ns, expected) in cases {
            assert_eq!(super::user_timeout(timeout_ns), expected, "{timeout_ns}");
        }
    }

    #[test]
    fn a_scale_above_14_is_14() {
        let parsed = Options::parse(&[3, 3, 200]);
        assert_eq!(Negotiated::from_syn(&parsed).window_scale, Some(14));
        assert_eq!(Negotiated::from_syn(&parsed).mss, 536);
    }

    proptest! {
        #[test]
        fn any_bytes_parse(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            Options::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(
            mss in any::<Option<u16>>(), window_scale in any::<Option<u8>>(),
            sack_permitted in any::<bool>(), timestamps in any::<Option<(u32, u32)>>(),
            blocks in prop::collection::vec(any::<(u32, u32)>(), 0..2),
        ) {
            let mut sack = Sack::default();
            for (first, end) in blocks {
                sack.push(Seq(first), Seq(end));
            }
            let options = Options {
                mss,
                window_scale,
                sack_permitted,
                timestamps,
                sack,
                ..Options::default()
            };
            let mut out = [0xff; OPTIONS_MAX];
            let len = options.write(&mut out);
            assert_eq!(len % 4, 0);
            let mut expected = options;
            expected.sack.truncate(
                (OPTIONS_MAX - (options.len() - options.sack_len())).saturating_sub(4) / 8,
            );
            let read = Options::parse(&out[..len]);
            assert_eq!(read.sack.blocks(), expected.sack.blocks());
            assert_eq!(
                (read.mss, read.window_scale, read.timestamps),
                (mss, window_scale, timestamps),
            );
        }
    }
}
