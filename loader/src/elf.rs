//! The image: a static ELF executable for x86-64 with a PVH entry, or for arm64 with Soil's own
//! note of the entry.
//!
//! Sources: the System V ABI (gABI 4.1, AMD64 and AArch64 supplements), and Xen's "x86/HVM direct
//! boot ABI" for PVH's note. The file is untrusted: every number is checked against the file and
//! the bounds below.

use core::fmt;
use core::ops::Range;
use firmware::bytes::{u16_at, u32_at, u64_at};

/// Addresses that an image may use: above the first MiB, which holds the x86-64 loader's own
/// structures, and in the first GiB, which the image's entry maps. On x86-64 they are physical; an
/// image for arm64 is moved as a whole.
pub const BOUNDS: Range<u64> = 0x10_0000..0x4000_0000;

/// The most loadable segments.
pub const MAX_SEGMENTS: usize = 16;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// arm64 in its little-endian form.
    Aarch64,
}

impl Machine {
    /// That of this program.
    pub const HERE: Self = match cfg!(target_arch = "aarch64") {
        true => Self::Aarch64,
        false => Self::X86_64,
    };

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The architecture of an ELF file; `None` for one that Soil doesn't have, and for other files.
    pub fn of(file: &[u8]) -> Option<Self> {
        // 64-bit, little-endian, version 1.
        let machine = file
            .starts_with(b"\x7fELF\x02\x01\x01")
            .then(|| u16_at(file, 18));
        match machine?? {
            62 => Some(Self::X86_64),
            183 => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The owner and the type of the note with the entry: PVH's is `XEN_ELFNOTE_PHYS32_ENTRY`.
    const fn entry_note(self) -> (&'static [u8], u32) {
        match self {
            Self::X86_64 => (b"Xen\0", 18),
            Self::Aarch64 => (b"Soil\0", 1),
        }
    }
}

/// Why a file isn't an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not a static ELF executable for this architecture.
    NotAnImage(Machine),
    /// An executable for one architecture, where one for the other is wanted.
    Other {
        /// The wanted one.
        wanted: Machine,
        /// The file's.
        found: Machine,
    },
    /// A header or a segment reaches behind the end of the file.
    Truncated,
    /// More loadable segments than [`MAX_SEGMENTS`].
    TooManySegments,
    /// A segment outside of [`BOUNDS`], or one that overlaps another.
    Address {
        /// The segment's address.
        start: u64,
        /// Its length in memory, in bytes.
        len: u64,
    },
    /// No note with the entry, or an entry outside of the segments.
    NoEntry,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage(machine) => write!(f, "no ELF executable for {}", machine.name()),
            Self::Other { wanted, found } => write!(
                f,
                "an executable for {}, where one for {} is loaded",
                found.name(),
                wanted.name()
            ),
            Self::Truncated => f.write_str("the file is truncated"),
            Self::TooManySegments => write!(f, "more than {MAX_SEGMENTS} segments"),
            Self::Address { start, len } => write!(
                f,
                "a segment of {len} bytes at {start:#x} overlaps another, or isn't between 1 MiB \
                and 1 GiB"
            ),
            Self::NoEntry => f.write_str("it has no note of its entry"),
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
    /// Address.
    pub address: u32,
    /// Length in memory, at least `file_len`; zeros fill the rest.
    pub len: u32,
}

/// A checked image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
    /// Address of the entry.
    pub entry: u32,
}

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

impl Image {
    /// Checks `file`, which is to be for `machine`, and finds its segments and entry.
    pub fn parse(file: &[u8], machine: Machine) -> Result<Self, Error> {
        let refused = Error::NotAnImage(machine);
        let head = file.get(..64).ok_or(refused)?;
        let found = Machine::of(head).ok_or(refused)?;
        // ET_EXEC.
        if u16_at(head, 16) != Some(2) || u16_at(head, 54) != Some(56) {
            return Err(refused);
        }
        if found != machine {
            return Err(Error::Other {
                wanted: machine,
                found,
            });
        }
        let count = u16_at(head, 56).ok_or(Error::Truncated)?;
        let table = at(file, u64_at(head, 32), u64::from(count) * 56)?;
        let mut image = Self {
            segments: [Segment::default(); MAX_SEGMENTS],
            count: 0,
            entry: 0,
        };
        let mut entry = None;
        for header in table.chunks_exact(56) {
            let kind = u32_at(header, 0);
            let contents = at(
                file,
                u64_at(header, 8),
                u64_at(header, 32).unwrap_or(u64::MAX),
            );
            match kind {
                Some(PT_LOAD) => image.add(header, contents?)?,
                Some(PT_NOTE) => entry = entry.or(noted_entry(contents?, machine)),
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

    /// From the lowest address, down to a multiple of `alignment`, to the end of the highest
    /// segment.
    pub fn span(&self, alignment: u32) -> Range<u64> {
        let start = self.segments().iter().map(|one| one.address).min();
        let end = self
            .segments()
            .iter()
            .map(|one| u64::from(one.address) + u64::from(one.len));
        u64::from(start.unwrap_or(0) / alignment * alignment)..end.max().unwrap_or(0)
    }

    fn add(&mut self, header: &[u8], contents: &[u8]) -> Result<(), Error> {
        let field = |at| u64_at(header, at).ok_or(Error::Truncated);
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

/// The value of the note with the entry.
fn noted_entry(mut notes: &[u8], machine: Machine) -> Option<u64> {
    let (owner, entry) = machine.entry_note();
    loop {
        let (name_len, len) = (u32_at(notes, 0)? as usize, u32_at(notes, 4)? as usize);
        let kind = u32_at(notes, 8)?;
        let value_at = 12 + name_len.checked_next_multiple_of(4)?;
        let value = notes.get(value_at..)?.get(..len)?;
        if kind == entry && notes.get(12..)?.get(..name_len) == Some(owner) {
            return u64_at(value, 0).or(u32_at(value, 0).map(u64::from));
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

#[cfg(test)]
mod tests {
    use super::{Error, Image, Machine, Segment};
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

    /// The same for arm64.
    fn arm_image() -> Vec<u8> {
        let mut file = image();
        file[18] = 183;
        file[152] = 28;
        let note = [5, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0];
        file[200..212].copy_from_slice(&note);
        file[212..220].copy_from_slice(b"Soil\0\0\0\0");
        file[220..228].copy_from_slice(&0x20_0020u64.to_le_bytes());
        file
    }

    fn parse(file: &[u8]) -> Result<Image, Error> {
        Image::parse(file, Machine::X86_64)
    }

    fn with(at: usize, bytes: &[u8]) -> Result<Image, Error> {
        let mut file = image();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        parse(&file)
    }

    #[test]
    fn finds_segments_and_entry() {
        let found = parse(&image()).unwrap();
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
            let error = parse(&image()[..len]).unwrap_err();
            let expected = if len < 64 {
                Error::NotAnImage(Machine::X86_64)
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
            let expected = Err(Error::NotAnImage(Machine::X86_64));
            assert_eq!(with(at, &[value]), expected, "{at}");
        }
    }

    #[test]
    fn an_image_is_for_one_machine() {
        let found = Image::parse(&arm_image(), Machine::Aarch64).unwrap();
        assert_eq!(found.entry, 0x20_0020);
        assert_eq!(found.segments(), parse(&image()).unwrap().segments());
        let (x86, arm) = (Machine::X86_64, Machine::Aarch64);
        for (file, wanted, found) in [(image(), arm, x86), (arm_image(), x86, arm)] {
            let error = Image::parse(&file, wanted).unwrap_err();
            assert_eq!(error, Error::Other { wanted, found });
            let text = error.to_string();
            assert!(
                text.contains("x86_64") && text.contains("aarch64"),
                "{text}"
            );
            assert_eq!(Machine::of(&file), Some(found));
        }
        assert_eq!(Machine::of(&image()[..18]), None);
        assert_eq!(
            parse(&image()).unwrap().span(0x2_0000),
            0x20_0000..0x20_1000
        );
        let moved = with(88, &0x20_f000u64.to_le_bytes());
        assert_eq!(moved, Err(Error::NoEntry));
        // Each with the other's note.
        let mut file = arm_image();
        file[18] = 62;
        assert_eq!(Image::parse(&file, x86), Err(Error::NoEntry));
        file = image();
        file[18] = 183;
        assert_eq!(Image::parse(&file, arm), Err(Error::NoEntry));
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
            if let Ok(image) = parse(&file) {
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
