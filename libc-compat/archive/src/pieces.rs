//! Puts each string and each constant into a section of its own.
//!
//! LLVM puts all strings that end with a zero byte into one section, and all constants of 4, 8, 16
//! and 32 bytes into one each. The linker merges these sections, but doesn't split them: a program
//! that refers to one constant gets all. With one section each, `--gc-sections` removes those
//! without references.

use crate::machine;
use object::build::elf::{Builder, Section, SectionData, SectionId, SymbolId};
use object::elf;
use std::ops::Range;

/// Returns the ranges of the strings in `data`, zero bytes included.
fn strings(data: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let pieces = data.split_inclusive(|byte| *byte == 0);
    pieces
        .map(|piece| {
            let range = start..start + piece.len();
            start = range.end;
            range
        })
        .collect()
}

/// Returns the ranges of the constants in `data`, of `size` bytes each.
fn constants(data: &[u8], size: usize) -> Vec<Range<usize>> {
    let starts = (0..data.len()).step_by(size);
    starts.map(|start| start..start + size).collect()
}

/// Returns the pieces of `section`, if it is mergeable and can be split.
fn pieces(section: &Section<'_>) -> Option<Vec<Range<usize>>> {
    let SectionData::Data(data) = &section.data else {
        return None;
    };
    if !section.is_alloc() || !section.sh_flags.contains(elf::SHF_MERGE) {
        return None;
    }
    let size = usize::try_from(section.sh_entsize).ok()?;
    if section.sh_flags.contains(elf::SHF_STRINGS) {
        let whole = size == 1 && section.sh_addralign == 1 && data.last() == Some(&0);
        whole.then(|| strings(data))
    } else {
        let whole = size != 0 && data.len().is_multiple_of(size);
        whole.then(|| constants(data, size))
    }
}

/// A section that has been split.
struct Taken {
    section: SectionId,
    pieces: Vec<Range<usize>>,
    /// New section of each piece, and its symbol.
    parts: Vec<(SectionId, SymbolId)>,
}

impl Taken {
    /// Returns the new section that contains `len` bytes from `at` on, its symbol, and their
    /// offset.
    fn place(&self, at: u64, len: u64) -> Option<(SectionId, SymbolId, u64)> {
        let index = self.pieces.partition_point(|range| range.end as u64 <= at);
        let range = self.pieces.get(index)?;
        let (section, symbol) = *self.parts.get(index)?;
        let offset = at.checked_sub(range.start as u64)?;
        (at.checked_add(len)? <= range.end as u64).then_some((section, symbol, offset))
    }
}

/// Splits the sections of `file`. If the target of a reference is uncertain, the old section stays
/// as a whole.
pub fn split(file: &mut Builder<'_>) {
    let mut found = Vec::new();
    for section in &file.sections {
        if let SectionData::Data(data) = &section.data
            && let Some(pieces) = pieces(section)
        {
            let like = (section.sh_flags, section.sh_addralign, section.sh_entsize);
            found.push((section.id(), like, pieces, data.to_vec()));
        }
    }
    let mut taken = Vec::new();
    for (id, (flags, alignment, size), pieces, data) in found {
        let mut parts = Vec::new();
        for range in &pieces {
            let section = file.sections.add();
            section.name = b".rodata.piece"[..].into();
            section.sh_type = elf::SHT_PROGBITS;
            section.sh_flags = flags;
            section.sh_addralign = alignment;
            section.sh_entsize = size;
            let piece = data.get(range.clone()).unwrap_or_default();
            section.data = SectionData::Data(piece.to_vec().into());
            let section = section.id();
            let symbol = file.symbols.add();
            symbol.section = Some(section);
            symbol.set_st_info(elf::STB_LOCAL, elf::STT_SECTION);
            parts.push((section, symbol.id()));
        }
        taken.push(Taken {
            section: id,
            pieces,
            parts,
        });
    }
    for symbol in &mut file.symbols {
        if symbol.st_type() != elf::STT_SECTION
            && let Some(of) = taken
                .iter()
                .find(|taken| symbol.section == Some(taken.section))
            && let Some((section, _, offset)) = of.place(symbol.st_value, symbol.st_size.max(1))
        {
            symbol.section = Some(section);
            symbol.st_value = offset;
        }
    }
    for section in &mut file.sections {
        let SectionData::Relocation(relocations) = &mut section.data else {
            continue;
        };
        for relocation in relocations {
            let Some(symbol) = relocation.symbol.map(|symbol| file.symbols.get(symbol)) else {
                continue;
            };
            let of = |taken: &&Taken| symbol.section == Some(taken.section);
            if machine::is_exact(relocation.r_type)
                && let Some(of) = taken.iter().find(of)
                && let Some(at) = symbol.st_value.checked_add_signed(relocation.r_addend)
                && let Some((_, symbol, offset)) = of.place(at, 1)
            {
                relocation.symbol = Some(symbol);
                relocation.r_addend = offset as i64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Taken, pieces, split, strings};
    use object::Endianness;
    use object::build::elf::{Builder, Relocation, SectionData};
    use object::elf;

    #[test]
    fn bytes_are_found_in_their_strings() {
        let ranges = strings(b"ab\0\0cde\0");
        assert_eq!(ranges, [0..3, 3..4, 4..8]);
        let mut file = Builder::new(Endianness::Little, true);
        let section = file.sections.add().id();
        let mut part = || (file.sections.add().id(), file.symbols.add().id());
        let parts: Vec<_> = ranges.iter().map(|_| part()).collect();
        let taken = Taken {
            section,
            pieces: ranges,
            parts: parts.clone(),
        };
        let place = |at, len| {
            let (section, symbol, offset) = taken.place(at, len)?;
            let part = parts.iter().position(|part| *part == (section, symbol));
            Some((part?, offset))
        };
        assert_eq!(place(0, 3), Some((0, 0)));
        assert_eq!(place(2, 1), Some((0, 2)));
        assert_eq!(place(3, 1), Some((1, 0)));
        assert_eq!(place(6, 2), Some((2, 2)));
        assert_eq!(place(0, 4), None);
        assert_eq!(place(8, 1), None);
    }

    #[test]
    fn constants_come_apart_and_are_found_by_their_symbols() {
        let mut file = Builder::new(Endianness::Little, true);
        let section = file.sections.add();
        section.sh_type = elf::SHT_PROGBITS;
        section.sh_flags = elf::SHF_ALLOC | elf::SHF_MERGE;
        section.sh_entsize = 4;
        section.sh_addralign = 4;
        section.data = SectionData::Data(b"gzipinfoext4"[..].into());
        assert_eq!(pieces(section), Some(vec![0..4, 4..8, 8..12]));
        section.sh_entsize = 5;
        assert_eq!(pieces(section), None);
        section.sh_entsize = 0;
        assert_eq!(pieces(section), None);
        section.sh_entsize = 4;
        let whole = section.id();
        let mut symbol = |at, size, r#type| {
            let symbol = file.symbols.add();
            symbol.section = Some(whole);
            symbol.st_value = at;
            symbol.st_size = size;
            symbol.set_st_info(elf::STB_LOCAL, r#type);
            symbol.id()
        };
        let named = symbol(4, 4, elf::STT_OBJECT);
        let label = symbol(8, 0, elf::STT_NOTYPE);
        let wide = symbol(4, 8, elf::STT_OBJECT);
        let all = symbol(0, 0, elf::STT_SECTION);
        let relocations = file.sections.add();
        relocations.sh_type = elf::SHT_RELA;
        let relocation = |r_type, r_addend| Relocation {
            r_offset: 0,
            symbol: Some(all),
            r_type,
            r_addend,
        };
        // The target of a relative relocation depends on the instruction that it patches.
        relocations.data = SectionData::Relocation(vec![
            relocation(elf::R_X86_64_64, 6),
            relocation(elf::R_X86_64_PC32, 4),
            relocation(elf::R_AARCH64_ADD_ABS_LO12_NC, 9),
        ]);
        let relocations = relocations.id();
        split(&mut file);
        let found = |symbol| {
            let symbol = file.symbols.get(symbol);
            let SectionData::Data(data) = &file.sections.get(symbol.section.unwrap()).data else {
                panic!("no data");
            };
            (data.to_vec(), symbol.st_value)
        };
        assert_eq!(found(named), (b"info".to_vec(), 0));
        assert_eq!(found(label), (b"ext4".to_vec(), 0));
        assert_eq!(found(wide), (b"gzipinfoext4".to_vec(), 4));
        let SectionData::Relocation(relocations) = &file.sections.get(relocations).data else {
            panic!("no relocations");
        };
        let [certain, relative, exact] = &relocations[..] else {
            panic!("{} relocations", relocations.len());
        };
        assert_eq!(found(certain.symbol.unwrap()), (b"info".to_vec(), 0));
        assert_eq!(certain.r_addend, 2);
        assert_eq!((relative.symbol, relative.r_addend), (Some(all), 4));
        assert_eq!(found(exact.symbol.unwrap()), (b"ext4".to_vec(), 0));
        assert_eq!(exact.r_addend, 1);
    }
}
