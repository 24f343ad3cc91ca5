//! Names of functions in an ELF file (elf(5)), mapped as it is: nothing in it is trusted.

use core::ffi::CStr;
use core::ptr::null_mut;

const LOADED: u32 = 1;
const NOTE: u32 = 4;
const SYMBOLS: u32 = 2;
const EXPORTED: u32 = 11;
const FUNCTION: u8 = 2;
const BUILD_ID: u32 = 3;
/// Bytes of code that a symbol without a size may have.
const MAX_UNSIZED: u64 = 1 << 16;
/// Limits of headers and of symbols.
const MAX_HEADERS: u64 = 4096;
const MAX_SYMBOLS: u64 = 1 << 22;

/// A mapped file. The mapping lasts until the process ends, which is soon.
#[derive(Clone, Copy)]
pub struct File {
    bytes: &'static [u8],
}

/// A header of a segment or section: kind, offset in the file, address, size, linked section.
struct Header {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
    link: u32,
}

impl File {
    /// Maps a 64-bit ELF file.
    pub fn open(path: &CStr) -> Option<Self> {
        // SAFETY: plain calls of the system; a new mapping, which nothing else knows. If the file
        // is truncated meanwhile, SIGBUS ends the process, as the crash would.
        let bytes = unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            let mut status: libc::stat = core::mem::zeroed();
            let known = fd >= 0 && libc::fstat(fd, &mut status) == 0;
            let len = usize::try_from(status.st_size)
                .ok()
                .filter(|len| known && *len > 0);
            let map = |len| libc::mmap(null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0);
            let start = len.map_or(libc::MAP_FAILED, map);
            if fd >= 0 {
                libc::close(fd);
            }
            if start == libc::MAP_FAILED {
                return None;
            }
            core::slice::from_raw_parts(start.cast::<u8>(), len?)
        };
        let file = Self { bytes };
        // 64 bits, little-endian.
        let is_elf = bytes.get(..6) == Some(b"\x7fELF\x02\x01");
        is_elf.then_some(file)
    }

    fn part<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        self.bytes.get(at..)?.first_chunk().copied()
    }

    fn word(&self, at: u64) -> Option<u64> {
        self.part(at).map(u64::from_le_bytes)
    }

    fn half(&self, at: u64) -> Option<u32> {
        self.part(at).map(u32::from_le_bytes)
    }

    fn short(&self, at: u64) -> Option<u64> {
        self.part(at)
            .map(|part| u64::from(u16::from_le_bytes(part)))
    }

    fn segments(self) -> impl Iterator<Item = Header> {
        let start = self.word(32).unwrap_or(0);
        let count = self.short(56).unwrap_or(0).min(MAX_HEADERS);
        (0..count).map_while(move |number| {
            let at = start.checked_add(number * 56)?;
            Some(Header {
                kind: self.half(at)?,
                offset: self.word(at.checked_add(8)?)?,
                address: self.word(at.checked_add(16)?)?,
                size: self.word(at.checked_add(32)?)?,
                link: 0,
            })
        })
    }

    fn section(&self, number: u64) -> Option<Header> {
        let at = self.word(40)?.checked_add(number.checked_mul(64)?)?;
        Some(Header {
            kind: self.half(at.checked_add(4)?)?,
            offset: self.word(at.checked_add(24)?)?,
            address: self.word(at.checked_add(16)?)?,
            size: self.word(at.checked_add(32)?)?,
            link: self.half(at.checked_add(40)?)?,
        })
    }

    fn section_of(&self, kind: u32) -> Option<Header> {
        let count = self.short(60)?.min(MAX_HEADERS);
        (0..count)
            .filter_map(|number| self.section(number))
            .find(|section| section.kind == kind)
    }

    /// The address of what is at an offset of the file.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let mut loaded = self.segments().filter(|segment| segment.kind == LOADED);
        loaded.find_map(|segment| {
            let within = offset.checked_sub(segment.offset)?;
            (within < segment.size).then(|| segment.address.wrapping_add(within))
        })
    }

    /// The build-id.
    pub fn build_id(&self) -> Option<&'static [u8]> {
        let mut notes = self.segments().filter(|segment| segment.kind == NOTE);
        notes.find_map(|segment| {
            let mut at = segment.offset;
            let end = segment.offset.checked_add(segment.size)?;
            while at < end {
                let (name, len) = (self.half(at)?, self.half(at.checked_add(4)?)?);
                let kind = self.half(at.checked_add(8)?)?;
                let contents = at
                    .checked_add(12)?
                    .checked_add(u64::from(name).next_multiple_of(4))?;
                if kind == BUILD_ID && self.part(at.checked_add(12)?) == Some(*b"GNU\0") {
                    let start = usize::try_from(contents).ok()?;
                    return self.bytes.get(start..start.checked_add(len as usize)?);
                }
                at = contents.checked_add(u64::from(len).next_multiple_of(4))?;
            }
            None
        })
    }

    /// Whether it has the symbols of all functions.
    pub fn is_complete(&self) -> bool {
        self.section_of(SYMBOLS).is_some()
    }

    /// The symbol of the function at an address: of all, or else of those that others may call.
    pub fn name(&self, address: u64) -> Option<&'static str> {
        let table = self
            .section_of(SYMBOLS)
            .or_else(|| self.section_of(EXPORTED))?;
        let names = self.section(u64::from(table.link))?;
        let mut best: Option<(u64, u64, u64)> = None;
        for number in 0..(table.size / 24).min(MAX_SYMBOLS) {
            let at = table.offset.checked_add(number * 24)?;
            let [kind, _] = self.part(at.checked_add(4)?)?;
            if kind & 15 != FUNCTION || self.short(at.checked_add(6)?)? == 0 {
                continue;
            }
            let (value, size) = (
                self.word(at.checked_add(8)?)?,
                self.word(at.checked_add(16)?)?,
            );
            let within = address.wrapping_sub(value);
            if within < (if size > 0 { size } else { MAX_UNSIZED })
                && best.is_none_or(|(nearest, _, _)| nearest < value)
            {
                best = Some((value, size, u64::from(self.half(at)?)));
            }
        }
        let (_, _, name) = best?;
        let start = usize::try_from(names.offset.checked_add(name)?).ok()?;
        let text = CStr::from_bytes_until_nul(self.bytes.get(start..)?).ok()?;
        text.to_str().ok().filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::File;
    use proptest::prelude::{any, proptest};
    use std::io::Read;
    use std::vec::Vec;

    #[test]
    fn only_elf_files_are_opened() {
        assert!(File::open(c"/proc/self/exe").is_some());
        for other in [c"/etc/passwd", c"/nonexistent", c"/", c""] {
            assert!(File::open(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn the_build_id_is_that_of_the_file() {
        let id = File::open(c"/proc/self/exe").and_then(|file| file.build_id());
        assert!(id.is_some_and(|id| id.len() >= 8));
    }

    proptest! {
        #[test]
        fn a_damaged_file_harms_nothing(
            changes in proptest::collection::vec((0usize..512, any::<u8>()), 0..40),
            address in any::<u64>(),
        ) {
            let mut bytes = Vec::new();
            let this = std::fs::File::open("/proc/self/exe").expect("readable");
            this.take(4096).read_to_end(&mut bytes).expect("readable");
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            let file = File { bytes: bytes.leak() };
            file.name(address);
            file.address(address);
            file.build_id();
        }
    }
}
