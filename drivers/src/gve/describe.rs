//! The device's description: a descriptor and options.

use core::ops::RangeInclusive;

use crate::Error;

/// Bytes of the descriptor, after which the options begin, and of an option's head.
const DESCRIPTOR: usize = 40;
const OPTION: usize = 8;

/// Ids of options.
const DQO_RDA: u16 = 0x4;
const GQI_QPL: u16 = 0x3;
const JUMBO_FRAMES: u16 = 0x8;
const RSS: u16 = 0xe;
/// Bit of the jumbo option in the features of a format.
const HAS_JUMBO_FRAMES: u32 = 1 << 2;

/// Numbers of entries of a ring that the driver takes, powers of two.
const RING: RangeInclusive<u16> = 64..=4096;
/// MTUs that the driver takes (IPv4's minimum, RFC 791; the device sends frames of at most 9728
/// bytes).
const MTU: RangeInclusive<u16> = 68..=9216;
/// Event counters that the driver has memory for.
const COUNTERS: RangeInclusive<u16> = 1..=16384;

/// Formats of the queues, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// Descriptors in order, buffers in registered lists of pages.
    GqiQpl = 2,
    /// Descriptors out of order, buffers at their addresses.
    DqoRda = 3,
}

/// Sizes of the table of receive side scaling that the device takes, in entries and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rss {
    pub key: u16,
    pub table: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    pub mac: [u8; 6],
    /// MTU that the driver uses.
    pub mtu: u16,
    /// The device has another MTU until the driver sets it.
    pub sets_mtu: bool,
    pub format: Format,
    /// Entries of the rings: transmit, receive.
    pub entries: (u16, u16),
    pub counters: u16,
    /// Maximum number of pages of page lists.
    pub pages: u64,
    pub rss: Option<Rss>,
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

impl Description {
    /// Parses a copy of the device's answer.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`].
    pub fn parse(bytes: &[u8]) -> Result<Description, Error> {
        parse(bytes).ok_or(Error::BadConfig)
    }
}

fn parse(bytes: &[u8]) -> Option<Description> {
    let mut description = Description {
        mac: bytes.get(24..30)?.try_into().ok()?,
        mtu: short(bytes, 16)?,
        sets_mtu: false,
        format: Format::GqiQpl,
        entries: (short(bytes, 10)?, short(bytes, 12)?),
        counters: short(bytes, 18)?,
        pages: u64::from(word(bytes, 0)?) << 32 | u64::from(word(bytes, 4)?),
        rss: None,
    };
    let (transmit, receive) = description.entries;
    let is_ring = |entries: u16| RING.contains(&entries) && entries.is_power_of_two();
    if !is_ring(transmit) || !is_ring(receive) || !COUNTERS.contains(&description.counters) {
        return None;
    }
    let end = usize::from(short(bytes, 32)?);
    let options = bytes.get(DESCRIPTOR..end.max(DESCRIPTOR))?;
    let features = read_options(options, short(bytes, 30)?, &mut description)?;
    if let (Some(jumbo), true) = (features.jumbo, features.format & HAS_JUMBO_FRAMES != 0) {
        description.sets_mtu = jumbo > description.mtu;
        description.mtu = jumbo.max(description.mtu);
    }
    description.mtu = description.mtu.min(*MTU.end());
    MTU.contains(&description.mtu).then_some(description)
}

/// Contents of the options beyond the description.
struct Features {
    /// Features of the chosen format.
    format: u32,
    /// The largest MTU.
    jumbo: Option<u16>,
}

/// Reads `count` options; unknown ones, and ones that need features of the driver's, are skipped.
/// `None` if they don't fit.
fn read_options(mut rest: &[u8], count: u16, description: &mut Description) -> Option<Features> {
    let mut features = Features {
        format: 0,
        jumbo: None,
    };
    for _ in 0..count {
        let (id, len, required) = (short(rest, 0)?, short(rest, 2)?, word(rest, 4)?);
        let end = OPTION + usize::from(len);
        let data = rest.get(OPTION..end)?;
        rest = &rest[end..];
        if required != 0 {
            continue;
        }
        match id {
            DQO_RDA if len >= 8 => {
                description.format = Format::DqoRda;
                features.format = word(data, 0)?;
            }
            GQI_QPL if len >= 4 && description.format == Format::GqiQpl => {
                features.format = word(data, 0)?;
            }
            JUMBO_FRAMES if len >= 8 => features.jumbo = short(data, 4),
            RSS if len >= 8 => {
                description.rss = Some(Rss {
                    key: short(data, 4)?,
                    table: short(data, 6)?,
                });
            }
            _ => {}
        }
    }
    Some(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// An answer with these options: id, required features, data.
    fn answer(options: &[(u16, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = alloc::vec![0; DESCRIPTOR];
        bytes[10..14].copy_from_slice(&[2, 0, 4, 0]);
        bytes[16..20].copy_from_slice(&[0x05, 0xb4, 0, 16]);
        bytes[24..30].copy_from_slice(&[2, 1, 2, 3, 4, 5]);
        for (id, required, data) in options {
            bytes.extend(id.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(required.to_be_bytes());
            bytes.extend_from_slice(data);
        }
        bytes[30..32].copy_from_slice(&(options.len() as u16).to_be_bytes());
        let len = bytes.len() as u16;
        bytes[32..34].copy_from_slice(&len.to_be_bytes());
        bytes
    }

    const JUMBO: &[u8] = &[0, 0, 0, 4, 0x22, 0xc0, 0, 0];

    #[test]
    fn options_choose_the_format_and_the_mtu() {
        let plain = Description::parse(&answer(&[])).expect("valid");
        assert_eq!((plain.format, plain.mtu), (Format::GqiQpl, 1460));
        assert_eq!((plain.entries, plain.counters), ((512, 1024), 16));
        let dqo: (u16, u32, &[u8]) = (DQO_RDA, 0, &[0, 0, 0, 4, 0, 0, 0, 0]);
        let gqi: (u16, u32, &[u8]) = (GQI_QPL, 0, &[0; 4]);
        let jumbo = (JUMBO_FRAMES, 0, JUMBO);
        for (options, format, mtu) in [
            (&[gqi, dqo, jumbo][..], Format::DqoRda, 8896),
            (&[dqo, gqi, jumbo], Format::DqoRda, 8896),
            (&[jumbo, gqi], Format::GqiQpl, 1460),
            (&[(99, 0, &[1; 7]), dqo], Format::DqoRda, 1460),
            (&[(DQO_RDA, 1, dqo.2)], Format::GqiQpl, 1460),
            (&[(DQO_RDA, 0, &[0; 7])], Format::GqiQpl, 1460),
        ] {
            let found = Description::parse(&answer(options)).expect("valid");
            assert_eq!((found.format, found.mtu), (format, mtu), "{options:?}");
            assert_eq!(found.sets_mtu, mtu != 1460);
        }
    }

    #[test]
    fn options_beyond_the_length_are_refused() {
        let mut bytes = answer(&[(GQI_QPL, 0, &[0; 4])]);
        for at in [31, 33, 43] {
            bytes[at] = bytes[at].wrapping_add(1);
            let found = Description::parse(&bytes);
            // The length itself may only shrink.
            assert_eq!(found, Err(Error::BadConfig), "{at}");
            bytes[at] -= 1;
        }
        assert!(Description::parse(&bytes).is_ok());
    }

    proptest! {
        #[test]
        fn any_answer_is_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200),
                                           count in 0..20u16) {
            let mut whole = answer(&[(JUMBO_FRAMES, 0, JUMBO)]);
            whole.extend(bytes);
            let len = whole.len() as u16;
            whole[32..34].copy_from_slice(&len.to_be_bytes());
            whole[30..32].copy_from_slice(&count.to_be_bytes());
            if let Ok(found) = Description::parse(&whole) {
                prop_assert!(MTU.contains(&found.mtu) && RING.contains(&found.entries.0));
            }
        }
    }
}
