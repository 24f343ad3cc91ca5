//! Shortens the file names of the standard library.
//!
//! A panic location refers to its file name as a string, with length, line and column. Paths of the
//! standard library begin with `/rustc/`, the compiler's commit and a slash: 48 bytes per file in
//! each image.

use crate::machine;
use object::build::elf::{Builder, SectionData, SectionId};
use object::elf;

/// Returns the length of the prefix of `string` to remove, in bytes.
fn prefix(string: &[u8]) -> Option<usize> {
    let commit = string.strip_prefix(b"/rustc/")?;
    let len = commit.iter().position(|byte| *byte == b'/')?;
    (len == 40).then_some(b"/rustc/".len() + len + 1)
}

/// The length of a string, a number after the pointer to it.
struct Length {
    section: SectionId,
    at: usize,
}

impl Length {
    fn read(&self, file: &Builder<'_>) -> Option<u64> {
        let SectionData::Data(data) = &file.sections.get(self.section).data else {
            return None;
        };
        let bytes = data.get(self.at..self.at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn write(&self, file: &mut Builder<'_>, len: u64) {
        if let SectionData::Data(data) = &mut file.sections.get_mut(self.section).data
            && let Some(bytes) = data.to_mut().get_mut(self.at..self.at + 8)
        {
            bytes.copy_from_slice(&len.to_le_bytes());
        }
    }
}

/// A string with a removable prefix.
struct Long {
    section: SectionId,
    cut: usize,
    len: u64,
    /// Locations of its length; `None` after any other kind of reference.
    lengths: Option<Vec<Length>>,
}

/// Shortens the strings of `file` that have a section of their own, if only panic locations refer
/// to them.
pub fn shorten(file: &mut Builder<'_>) {
    let mut found: Vec<Long> = Vec::new();
    for section in &file.sections {
        if let SectionData::Data(data) = &section.data
            && section.sh_flags.contains(elf::SHF_STRINGS)
            && let [string @ .., 0] = &data[..]
            && !string.contains(&0)
            && let Some(cut) = prefix(string)
        {
            found.push(Long {
                section: section.id(),
                cut,
                len: string.len() as u64,
                lengths: Some(Vec::new()),
            });
        }
    }
    for section in &file.sections {
        let SectionData::Relocation(relocations) = &section.data else {
            continue;
        };
        for relocation in relocations {
            let Some(symbol) = relocation.symbol.map(|symbol| file.symbols.get(symbol)) else {
                continue;
            };
            let of = |long: &&mut Long| symbol.section == Some(long.section);
            let Some(long) = found.iter_mut().find(of) else {
                continue;
            };
            let length = section.sh_info_section.map(|section| Length {
                section,
                at: relocation.r_offset as usize + 8,
            });
            let length = length.filter(|length| {
                machine::is_address(relocation.r_type)
                    && symbol.st_value == 0
                    && relocation.r_addend == 0
                    && length.read(file) == Some(long.len)
            });
            match (length, &mut long.lengths) {
                (Some(length), Some(lengths)) => lengths.push(length),
                (_, lengths) => *lengths = None,
            }
        }
    }
    for long in found {
        let Some(lengths) = long.lengths else {
            continue;
        };
        if let SectionData::Data(data) = &mut file.sections.get_mut(long.section).data {
            data.to_mut().drain(..long.cut);
        }
        for length in lengths {
            length.write(file, long.len - long.cut as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{prefix, shorten};
    use object::Endianness;
    use object::build::elf::{Builder, Relocation, SectionData, SectionId};
    use object::elf;

    const PATH: &[u8] =
        b"/rustc/0123456789abcdef0123456789abcdef01234567/library/core/src/cell.rs\0";

    fn section(file: &mut Builder<'_>, flags: elf::SectionFlags, bytes: &[u8]) -> SectionId {
        let section = file.sections.add();
        section.sh_type = elf::SHT_PROGBITS;
        section.sh_flags = flags;
        section.data = SectionData::Data(bytes.to_vec().into());
        section.id()
    }

    fn bytes<'a>(file: &'a Builder<'_>, section: SectionId) -> &'a [u8] {
        match &file.sections.get(section).data {
            SectionData::Data(data) => data,
            _ => panic!("no data"),
        }
    }

    /// Returns a string and a reference to it, both shortened: a pointer and then `len`, by a
    /// relocation of type `r_type` with `addend`.
    fn shortened(len: u64, r_type: elf::RelocationType, addend: i64) -> (Vec<u8>, u64) {
        let mut file = Builder::new(Endianness::Little, true);
        let string = section(
            &mut file,
            elf::SHF_ALLOC | elf::SHF_MERGE | elf::SHF_STRINGS,
            PATH,
        );
        let symbol = file.symbols.add();
        symbol.section = Some(string);
        let symbol = symbol.id();
        let mut location = [0; 24];
        location[8..16].copy_from_slice(&len.to_le_bytes());
        let location = section(&mut file, elf::SHF_ALLOC, &location);
        let relocations = file.sections.add();
        relocations.sh_type = elf::SHT_RELA;
        relocations.sh_info_section = Some(location);
        relocations.data = SectionData::Relocation(vec![Relocation {
            r_offset: 0,
            symbol: Some(symbol),
            r_type,
            r_addend: addend,
        }]);
        shorten(&mut file);
        let len = bytes(&file, location)[8..16].try_into().unwrap();
        (bytes(&file, string).to_vec(), u64::from_le_bytes(len))
    }

    #[test]
    fn only_the_standard_library_s_files_are_shortened() {
        assert_eq!(prefix(PATH), Some(48));
        assert_eq!(prefix(b"/rustc/0123/library/core/src/cell.rs"), None);
        assert_eq!(prefix(b"kernel/src/cell.rs"), None);
    }

    #[test]
    fn a_path_and_its_length_are_shortened_together() {
        let len = PATH.len() as u64 - 1;
        let short = (b"library/core/src/cell.rs\0".to_vec(), 24);
        assert_eq!(shortened(len, elf::R_X86_64_64, 0), short);
        assert_eq!(shortened(len, elf::R_AARCH64_ABS64, 0), short);
    }

    #[test]
    fn what_is_referred_to_otherwise_stays() {
        let len = PATH.len() as u64 - 1;
        assert_eq!(shortened(len, elf::R_X86_64_64, 7), (PATH.to_vec(), len));
        assert_eq!(shortened(len, elf::R_X86_64_PC32, 0), (PATH.to_vec(), len));
        assert_eq!(shortened(9, elf::R_X86_64_64, 0), (PATH.to_vec(), 9));
    }
}
