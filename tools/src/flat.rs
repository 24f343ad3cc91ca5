//! The flat form of images for aarch64: what loaders of Linux's `Image` there take (QEMU's
//! `-kernel`, Firecracker), as the boot protocol of Linux on arm64 describes it.
//!
//! It has the bytes of the image's memory from its first address on. The first 64, which are the
//! ELF header, are replaced by the header of the protocol, whose first instruction branches to the
//! entry that the image's note names.

use crate::failure::{Context as _, Failure};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadRef, elf};
use std::path::Path;

/// The owner and the type of the note that marks an image and names its entry.
pub const OWNER: &[u8] = b"Soil";
/// See [`OWNER`].
pub const ENTRY_NOTE: elf::NoteType = elf::NoteType(1);

/// Bytes of the header.
const HEADER: usize = 64;
/// The image's size is a multiple of this: a page of 4 KiB.
const PAGE: u64 = 4096;
/// The largest image that a branch reaches everywhere, in bytes.
const MAX: u64 = 128 << 20;
/// Flags: little endian, pages of 4 KiB, at any address that is a multiple of 2 MiB.
const FLAGS: u64 = 0b1010;
/// The instruction NOP.
const NOP: u32 = 0xd503_201f;
/// The header's mark, at its byte 56.
const MAGIC: &[u8; 4] = b"ARM\x64";

/// Reads an image and returns its flat form.
pub fn read(image: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(image).on(image)?;
    of(&bytes).map_err(|reason| Failure::on(image, reason))
}

/// Returns the flat form of an image's ELF file.
fn of(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    const DAMAGED: &str = "its ELF file is damaged: build it again";
    let file: ElfFile64<'_, Endianness, _> = ElfFile64::parse(bytes).map_err(|_| DAMAGED)?;
    let endian = file.endian();
    if file.elf_header().e_machine(endian) != elf::EM_AARCH64 {
        return Err("only an image for aarch64 has a flat form");
    }
    let headers = file.elf_program_headers();
    let loaded = || {
        headers
            .iter()
            .filter(|one| one.p_type(endian) == elf::PT_LOAD)
    };
    let first = loaded()
        .map(|one| one.p_vaddr(endian))
        .min()
        .ok_or(DAMAGED)?;
    let mut flat = Vec::new();
    let mut size = 0;
    for segment in loaded() {
        let at = segment.p_vaddr(endian) - first;
        let end = at
            .checked_add(segment.p_memsz(endian))
            .filter(|end| *end <= MAX);
        size = end.ok_or(DAMAGED)?.max(size);
        let data = segment.data(endian, bytes).map_err(|()| DAMAGED)?;
        let at = usize::try_from(at).map_err(|_| DAMAGED)?;
        let end = at
            .checked_add(data.len())
            .filter(|end| *end as u64 <= MAX)
            .ok_or(DAMAGED)?;
        if flat.len() < end {
            flat.resize(end, 0);
        }
        flat.get_mut(at..end).ok_or(DAMAGED)?.copy_from_slice(data);
    }
    let entry = note(&file, bytes, OWNER, ENTRY_NOTE).and_then(|entry| entry.try_into().ok());
    let entry = entry.map(u64::from_le_bytes);
    let entry = entry.ok_or("it has no note of its entry: build it again")?;
    let distance = entry
        .checked_sub(first)
        .filter(|to| *to < size && to.is_multiple_of(4));
    let words = u32::try_from(distance.ok_or(DAMAGED)? / 4).map_err(|_| DAMAGED)?;
    flat.get_mut(..HEADER)
        .ok_or(DAMAGED)?
        .copy_from_slice(&header(words, size.next_multiple_of(PAGE)));
    Ok(flat)
}

/// The header of an image with this size in memory, in bytes. Its first instruction branches so
/// many words further.
pub fn header(words: u32, size: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    // B #distance: distances below 128 MiB have no other bits.
    header.extend_from_slice(&(0x1400_0000 | words).to_le_bytes());
    header.extend_from_slice(&NOP.to_le_bytes());
    for number in [0, size, FLAGS, 0, 0, 0] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&0_u32.to_le_bytes());
    header
}

/// The contents of an ELF file's first note with this owner and type.
pub fn note<'a, R: ReadRef<'a>>(
    file: &ElfFile64<'a, Endianness, R>,
    data: R,
    owner: &[u8],
    kind: elf::NoteType,
) -> Option<&'a [u8]> {
    let endian = file.endian();
    for segment in file.elf_program_headers() {
        let Ok(Some(mut notes)) = segment.notes(endian, data) else {
            continue;
        };
        // A malformed note ends the loop: the position of the next one is unknown.
        while let Ok(Some(note)) = notes.next() {
            if note.name() == owner && note.n_type(endian) == kind {
                return Some(note.desc());
            }
        }
    }
    None
}

#[cfg(test)]
pub mod tests {
    use super::{MAGIC, of};
    use crate::program::{Form, inspect};
    use std::io::Write as _;

    const START: u64 = 0x20_0000;

    /// An image with a page of text behind its header, and two pages of memory more.
    pub fn image(entry: u64) -> Vec<u8> {
        let mut image = b"\x7fELF\x02\x01\x01".to_vec();
        image.resize(16, 0);
        image.extend_from_slice(&[2, 0, 183, 0, 1, 0, 0, 0]);
        let long = |image: &mut Vec<u8>, value: u64| image.extend_from_slice(&value.to_le_bytes());
        for value in [START, 64, 0] {
            long(&mut image, value);
        }
        image.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        for (kind, at, size, more) in [(1_u32, 0, 0x1000_u64, 0x2000), (4, 64 + 112, 28, 0)] {
            image.extend_from_slice(&kind.to_le_bytes());
            image.extend_from_slice(&5_u32.to_le_bytes());
            let address = START + at;
            for value in [at, address, address, size, size + more, 4] {
                long(&mut image, value);
            }
        }
        for word in [5_u32, 8, 1] {
            image.extend_from_slice(&word.to_le_bytes());
        }
        image.extend_from_slice(b"Soil\0\0\0\0");
        long(&mut image, entry);
        image.resize(0x1000, 0xaa);
        image
    }

    #[test]
    fn the_header_of_linux_replaces_that_of_elf() {
        let flat = of(&image(START + 0x400)).expect("an image");
        assert_eq!(flat.len(), 0x1000);
        let long = |at: usize| u64::from_le_bytes(flat[at..at + 8].try_into().expect("8 bytes"));
        assert_eq!(flat[..4], (0x1400_0000_u32 | 0x100).to_le_bytes());
        assert_eq!([8, 16, 24].map(long), [0, 0x3000, 0b1010]);
        assert_eq!(&flat[56..60], MAGIC);
        // The program headers stay, for the C library.
        assert_eq!(flat[64..], image(START + 0x400)[64..]);
    }

    #[test]
    fn a_note_marks_an_image() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&image(START)).expect("written");
        let program = inspect(file.path()).expect("an ELF");
        assert_eq!(
            (program.form, program.arch.name()),
            (Form::Image, "aarch64")
        );
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = image(START + 4);
        for end in 0..whole.len() {
            assert!(of(&whole[..end]).is_err(), "{end}");
        }
        for entry in [0, START + 2, START + 0x3000, u64::MAX] {
            assert!(of(&image(entry)).is_err(), "{entry:#x}");
        }
        let mut other = whole.clone();
        other[18] = 62;
        assert!(of(&other).is_err_and(|reason| reason.contains("aarch64")));
        // A segment that ends beyond all memory.
        let mut large = whole;
        large[64 + 40..64 + 48].fill(0xff);
        assert!(of(&large).is_err());
    }
}
