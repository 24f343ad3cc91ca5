//! Header of a member, and pax records.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Time;

/// Bytes of a header, and the unit of contents.
pub(super) const BLOCK: usize = 512;

/// Contents of a block of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// Zeros, the end of the archive.
    Zeros,
    Header(Header),
    /// Neither; the text describes the defect.
    Bad(&'static str),
}

/// Fields of a header that the volume uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u64,
    pub size: u64,
    pub modified: i64,
    pub kind: u8,
}

fn field(block: &[u8], start: usize, len: usize) -> &[u8] {
    block.get(start..start + len).unwrap_or_default()
}

/// Returns the bytes of a text field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Parses a number: octal digits with spaces around, or GNU's binary form, marked by the first bit.
fn number(field: &[u8]) -> Option<i64> {
    match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => {
            // The second bit is the sign.
            let start = if first & 0x40 != 0 { -1 } else { 0 };
            let high = i128::from(first & 0x3f) | (start << 6);
            let value = rest.iter().try_fold(high, |value, byte| {
                value.checked_mul(256)?.checked_add(i128::from(*byte))
            })?;
            i64::try_from(value).ok()
        }
        _ => {
            let digits = text(field).trim_ascii();
            digits.iter().try_fold(0_i64, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

/// Parses a header if its checksum is correct.
pub(super) fn parse(block: &[u8]) -> Block {
    if block.iter().all(|byte| *byte == 0) {
        return Block::Zeros;
    }
    // Sum of all bytes, with spaces for the checksum field. Some old programs added signed bytes.
    let (mut unsigned, mut signed) = (8 * 0x20_i64, 8 * 0x20_i64);
    for (at, byte) in block.iter().enumerate() {
        if !(148..156).contains(&at) {
            unsigned += i64::from(*byte);
            signed += i64::from(byte.cast_signed());
        }
    }
    match number(field(block, 148, 8)) {
        Some(sum) if sum == unsigned || sum == signed => {}
        _ => return Block::Bad("the header's checksum is wrong"),
    }
    let mut name = Vec::new();
    // GNU archives store other fields where POSIX stores the prefix of a long name.
    if field(block, 257, 6) == b"ustar\0" {
        let prefix = text(field(block, 345, 155));
        if !prefix.is_empty() {
            name.extend_from_slice(prefix);
            name.push(b'/');
        }
    }
    name.extend_from_slice(text(field(block, 0, 100)));
    let size = number(field(block, 124, 12)).and_then(|size| u64::try_from(size).ok());
    let Some(size) = size else {
        return Block::Bad("the header's size is not a number");
    };
    Block::Header(Header {
        name,
        link: text(field(block, 157, 100)).to_vec(),
        mode: number(field(block, 100, 8)).map_or(0o644, i64::cast_unsigned),
        size,
        modified: number(field(block, 136, 12)).unwrap_or(0),
        kind: block.get(156).copied().unwrap_or(0),
    })
}

/// Attributes of the next member from an extended header or GNU's long names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub name: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub modified: Option<Time>,
    /// The member's contents are in GNU's sparse format.
    pub sparse: bool,
}

impl Extended {
    /// Parses the records of an extended header: `LENGTH KEY=VALUE
    /// `, with the length of the whole record. `None` for invalid records.
    pub fn add_records(&mut self, records: &[u8]) -> Option<()> {
        let mut rest = records;
        // Some writers pad with NULs.
        while rest.first().is_some_and(|byte| *byte != 0) {
            let space = rest.iter().position(|byte| *byte == b' ')?;
            let digits = core::str::from_utf8(rest.get(..space)?).ok()?;
            let len: usize = digits.parse().ok()?;
            let record = rest.get(space + 1..len)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            self.set(record.get(..equals)?, record.get(equals + 1..)?)?;
            rest = rest.get(len..)?;
        }
        Some(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = || core::str::from_utf8(value).ok();
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(text()?.parse().ok()?),
            b"mtime" => self.modified = Some(time(text()?)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Some(())
    }
}

/// Parses seconds with a fraction, such as `1700000000.25`; times before 1970 are negative.
fn time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let mut digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.try_fold(0_u32, |value, digit| match digit {
        b'0'..=b'9' => Some(value * 10 + u32::from(digit - b'0')),
        _ => None,
    })?;
    if whole.starts_with('-') && nanoseconds > 0 {
        // The fraction counts away from zero, the nanoseconds of a `Time` count upwards.
        return Some(Time {
            seconds: seconds.checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Some(Time {
        seconds,
        nanoseconds,
    })
}

/// Converts a member's name to a path; bytes that aren't UTF-8 become U+FFFD.
pub(super) fn path(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut path = String::with_capacity(text.len());
    for name in text.split('/').filter(|name| !matches!(*name, "" | ".")) {
        path.push('/');
        path.push_str(name);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"  12 \0  ", Some(0o12)),
            (b"\0\0\0", Some(0)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
                Some(-2),
            ),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\xc0\x01", Some(-64 * 256 + 1)),
            (b"\xbf\x01", Some(63 * 256 + 1)),
            (b"12x", None),
            (b"-1", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn times_have_fractions() {
        let time = |text| time(text).map(|time| (time.seconds, time.nanoseconds));
        assert_eq!(time("1700000000.25"), Some((1_700_000_000, 250_000_000)));
        assert_eq!(time("5"), Some((5, 0)));
        assert_eq!(time("-1.5"), Some((-2, 500_000_000)));
        assert_eq!(time("-5"), Some((-5, 0)));
        assert_eq!(time("1.0000000019"), Some((1, 1)));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.x"), None);
    }

    #[test]
    fn records_are_read_by_their_lengths() {
        let mut extended = Extended::default();
        let records =
            b"20 path=a long name\n15 size=123456\n24 mtime=1700000000.125\n17 comment=a=b=c\n";
        assert_eq!(extended.add_records(records), Some(()));
        assert_eq!(extended.name.as_deref(), Some(&b"a long name"[..]));
        assert_eq!(extended.size, Some(123_456));
        let modified = Time {
            seconds: 1_700_000_000,
            nanoseconds: 125_000_000,
        };
        assert_eq!(extended.modified, Some(modified));
        assert!(!extended.sparse);
        let sparse = b"22 GNU.sparse.major=1\n";
        assert_eq!(extended.add_records(sparse), Some(()));
        assert!(extended.sparse);
        for bad in [
            &b"20 path=a"[..],
            b"x",
            b"5 a=b",
            b"0 =",
            b"99999999999999999999 a=b\n",
            b"3 =\n",
        ] {
            assert_eq!(Extended::default().add_records(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sums_of_signed_and_of_unsigned_bytes_are_right() {
        let mut block = [0; BLOCK];
        block[..4].copy_from_slice("\u{fc}\u{e9}".as_bytes());
        block[345..500].fill(b'p');
        let unsigned = 8 * 0x20 + 0xc3 + 0xbc + 0xc3 + 0xa9 + 155 * u32::from(b'p');
        for sum in [unsigned, unsigned - 4 * 256] {
            block[148..156].copy_from_slice(alloc::format!("{sum:07o}\0").as_bytes());
            let Block::Header(header) = parse(&block) else {
                panic!("{sum} is refused");
            };
            assert_eq!(header.name, "\u{fc}\u{e9}".as_bytes());
        }
        for sum in [unsigned + 1, unsigned - 1, unsigned - 256] {
            block[148..156].copy_from_slice(alloc::format!("{sum:07o}\0").as_bytes());
            assert!(matches!(parse(&block), Block::Bad(_)), "{sum}");
        }
    }

    proptest! {
        #[test]
        fn noise_does_no_harm(block in prop::collection::vec(any::<u8>(), 512), text in ".*") {
            let _ = parse(&block);
            let _ = Extended::default().add_records(&block);
            let _ = time(&text);
            prop_assert!(!path(&block).contains("//"));
        }
    }
}
