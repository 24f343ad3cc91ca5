//! The image: a static ELF executable for x86-64 with a PVH entry.
//!
//! Sources: the System V ABI (gABI 4.1, AMD64 supplement), and Xen's "x86/HVM direct boot ABI" for
//! the note. The file is untrusted: every number is checked against the file and the bounds below.

use core::fmt;
use core::ops::Range;

/// Physical addresses that an image may use: above the first MiB, which holds the loader's own
/// structures, and in the first GiB, which the image's entry maps.
pub const BOUNDS: Range<u64> = 0x10_0000..0x4000_0000;

/// The most loadable segments.
pub const MAX_SEGMENTS: usize = 16;

/// Why a file isn't an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not a static x86-64 ELF executable.
    NotAnImage,
    /// A header or a segment reaches behind the end of the file.
    Truncated,
    /// More loadable segments than [`MAX_SEGMENTS`].
    TooManySegments,
    /// A segment outside of [`BOUNDS`], or one that overlaps another.
    Address {
        /// The segment's physical address.
        start: u64,
        /// Its length in memory, in bytes.
        len: u64,
    },
    /// No PVH entry (ELF note 18 of `Xen`), or one outside of the segments.
    NoEntry,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => f.write_str("not an x86-64 ELF executable"),
            Self::Truncated => f.write_str("the file is truncated"),
            Self::TooManySegments => write!(f, "more than {MAX_SEGMENTS} segments"),
            Self::Address { start, len } => write!(
                f,
                "a segment of {len} bytes at {start:#x} overlaps another, or isn't between 1 MiB \
                and 1 GiB"
            ),
            Self::NoEntry => f.write_str("it has no PVH entry"),
        }
    }
}

/// A part of the file that is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Offset of the contents in the file.
    pub offset: u32,
    /// Length of the contents, in bytes.
    pub file_len: u32,
    /// Physical address.
    pub address: u32,
    /// Length in memory, at least `file_len`; zeros fill the rest.
    pub len: u32,
}

/// A checked image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
    /// Physical address of the PVH entry.
    pub entry: u32,
}

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

impl Image {
    /// Checks `file` and finds its segments and entry.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        let head = file.get(..64).ok_or(Error::NotAnImage)?;
        // 64-bit, little-endian, version 1; ET_EXEC, EM_X86_64.
        if !head.starts_with(b"\x7fELF\x02\x01\x01") || head[16..20] != [2, 0, 62, 0] {
            return Err(Error::NotAnImage);
        }
        if short(head, 54) != Some(56) {
            return Err(Error::NotAnImage);
        }
        let count = short(head, 56).ok_or(Error::Truncated)?;
        let table = at(file, long(head, 32), u64::from(count) * 56)?;
        let mut image = Self {
            segments: [Segment::default(); MAX_SEGMENTS],
            count: 0,
            entry: 0,
        };
        let mut entry = None;
        for header in table.chunks_exact(56) {
            let kind = word(header, 0);
            let contents = at(file, long(header, 8), long(header, 32).unwrap_or(u64::MAX));
            match kind {
                Some(PT_LOAD) => image.add(header, contents?)?,
                Some(PT_NOTE) => entry = entry.or(pvh_entry(contents?)),
                _ => {}
            }
        }
        let entry = entry.ok_or(Error::NoEntry)?;
        let holds = |segment: &Segment| {
            (u64::from(segment.address)..u64::from(segment.address) + u64::from(segment.file_len))
                .contains(&entry)
        };
        if !image.segments().iter().any(holds) {
            return Err(Error::NoEntry);
        }
        image.entry = entry as u32;
        Ok(image)
    }

    /// The segments, in the file's order; none overlaps another.
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }

    fn add(&mut self, header: &[u8], contents: &[u8]) -> Result<(), Error> {
        let field = |at| long(header, at).ok_or(Error::Truncated);
        let (offset, start, len) = (field(8)?, field(24)?, field(40)?);
        let error = Error::Address { start, len };
        let end = start.checked_add(len).ok_or(error)?;
        if start < BOUNDS.start || end > BOUNDS.end || (contents.len() as u64) > len {
            return Err(error);
        }
        let overlaps = |other: &Segment| {
            start < u64::from(other.address) + u64::from(other.len)
                && u64::from(other.address) < end
        };
        if self.segments().iter().any(overlaps) {
            return Err(error);
        }
        let slot = self.segments.get_mut(self.count);
        *slot.ok_or(Error::TooManySegments)? = Segment {
            offset: u32::try_from(offset).map_err(|_| error)?,
            file_len: contents.len() as u32,
            address: start as u32,
            len: len as u32,
        };
        self.count += 1;
        Ok(())
    }
}

/// The value of the note `XEN_ELFNOTE_PHYS32_ENTRY`.
fn pvh_entry(mut notes: &[u8]) -> Option<u64> {
    loop {
        let (name_len, len) = (word(notes, 0)? as usize, word(notes, 4)? as usize);
        let kind = word(notes, 8)?;
        let value_at = 12 + name_len.checked_next_multiple_of(4)?;
        let value = notes.get(value_at..)?.get(..len)?;
        if kind == 18 && notes.get(12..16) == Some(b"Xen\0") && name_len == 4 {
            return long(value, 0).or(word(value, 0).map(u64::from));
        }
        notes = notes.get(value_at + len.checked_next_multiple_of(4)?..)?;
    }
}

fn at(file: &[u8], offset: Option<u64>, len: u64) -> Result<&[u8], Error> {
    let offset = offset.ok_or(Error::Truncated)?;
    let end = offset.checked_add(len).ok_or(Error::Truncated)?;
    let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(start, end)| file.get(start..end))
        .ok_or(Error::Truncated)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::{Error, Image, Segment};
    use proptest::prelude::{any, proptest};

    /// An image with a note at 200, and a segment of 256 bytes at 2 MiB.
    fn image() -> Vec<u8> {
        let mut file = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &[2, 0, 62, 0]);
        put(32, &64u64.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &2u16.to_le_bytes());
        put(64, &super::PT_LOAD.to_le_bytes());
        put(72, &256u64.to_le_bytes());
        put(88, &0x20_0000u64.to_le_bytes());
        put(96, &256u64.to_le_bytes());
        put(104, &4096u64.to_le_bytes());
        put(120, &super::PT_NOTE.to_le_bytes());
        put(128, &200u64.to_le_bytes());
        put(152, &24u64.to_le_bytes());
        put(200, &[4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0]);
        put(212, b"Xen\0");
        put(216, &0x20_0010u64.to_le_bytes());
        file
    }

    fn with(at: usize, bytes: &[u8]) -> Result<Image, Error> {
        let mut file = image();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Image::parse(&file)
    }

    #[test]
    fn finds_segments_and_entry() {
        let found = Image::parse(&image()).unwrap();
        assert_eq!(found.entry, 0x20_0010);
        let segment = Segment {
            offset: 256,
            file_len: 256,
            address: 0x20_0000,
            len: 4096,
        };
        assert_eq!(found.segments(), [segment]);
    }

    #[test]
    fn refuses_what_is_cut_off() {
        for len in 0..512 {
            let error = Image::parse(&image()[..len]).unwrap_err();
            let expected = if len < 64 {
                Error::NotAnImage
            } else {
                Error::Truncated
            };
            assert_eq!(error, expected, "{len}");
        }
    }

    #[test]
    fn refuses_addresses_out_of_bounds() {
        let address = |start, len| Err(Error::Address { start, len });
        assert_eq!(with(88, &0xfffffu64.to_le_bytes()), address(0xfffff, 4096));
        assert_eq!(with(88, &u64::MAX.to_le_bytes()), address(u64::MAX, 4096));
        assert_eq!(
            with(88, &0x3fff_f001u64.to_le_bytes()),
            address(0x3fff_f001, 4096)
        );
        assert_eq!(
            with(104, &(1u64 << 30).to_le_bytes()),
            address(0x20_0000, 1 << 30)
        );
        // Shorter in memory than in the file.
        assert_eq!(with(104, &255u64.to_le_bytes()), address(0x20_0000, 255));
        // The same segment twice.
        let twice = image()[64..120].to_vec();
        assert_eq!(with(120, &twice), address(0x20_0000, 4096));
    }

    #[test]
    fn refuses_without_an_entry() {
        assert_eq!(with(208, &[17]), Err(Error::NoEntry));
        assert_eq!(with(212, b"Yen"), Err(Error::NoEntry));
        assert_eq!(with(200, &[0xff; 4]), Err(Error::NoEntry));
        // The entry is in zeros behind the segment's contents.
        assert_eq!(with(216, &0x20_0100u64.to_le_bytes()), Err(Error::NoEntry));
    }

    #[test]
    fn refuses_other_files() {
        for (at, value) in [(0, 0), (4, 1), (5, 2), (16, 3), (18, 40), (54, 0)] {
            assert_eq!(with(at, &[value]), Err(Error::NotAnImage), "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_within_bounds(
            changes in proptest::collection::vec((0usize..512, any::<u8>()), 0..20)
        ) {
            let mut file = image();
            for (at, byte) in changes {
                file[at] = byte;
            }
            if let Ok(image) = Image::parse(&file) {
                for segment in image.segments() {
                    assert!(segment.file_len <= segment.len);
                    assert!(segment.offset + segment.file_len <= 512);
                    assert!(segment.address >= 0x10_0000);
                    assert!(segment.address + segment.len <= 0x4000_0000);
                }
            }
        }
    }
}
