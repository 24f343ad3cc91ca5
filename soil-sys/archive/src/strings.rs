//! One section for each string.
//!
//! LLVM puts all strings that end with a zero byte into one section, which the linker merges but doesn't take apart: a program that
//! refers to one of them carries all. With a section for each, `--gc-sections` leaves out those that nobody refers to.

use object::build::elf::{Builder, SectionData, SectionId, SymbolId};
use object::elf;
use std::ops::Range;
use std::path::Path;

/// The strings of `data`, each with its zero byte.
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

/// A section of strings that is taken apart.
struct Taken {
    section: SectionId,
    strings: Vec<Range<usize>>,
    /// The new section of each, and the symbol that stands for it.
    parts: Vec<(SectionId, SymbolId)>,
}

impl Taken {
    /// The new section that has the `len` bytes from `at` on, its symbol, and where they are in it.
    fn place(&self, at: u64, len: u64) -> Option<(SectionId, SymbolId, u64)> {
        let index = self.strings.partition_point(|range| range.end as u64 <= at);
        let range = self.strings.get(index)?;
        let (section, symbol) = *self.parts.get(index)?;
        let offset = at.checked_sub(range.start as u64)?;
        (at.checked_add(len)? <= range.end as u64).then_some((section, symbol, offset))
    }
}

/// Rewrites `object`. A reference of which it isn't certain where it leads keeps the old section, whole.
pub fn split(object: &Path) -> Result<(), String> {
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", object.display());
    let bytes = std::fs::read(object).map_err(|e| fail(&e))?;
    let mut file = Builder::read(&*bytes).map_err(|e| fail(&e))?;
    let is_strings = |flags: elf::SectionFlags| {
        flags.contains(elf::SHF_MERGE) && flags.contains(elf::SHF_STRINGS)
    };
    let mut found = Vec::new();
    for section in &file.sections {
        if let SectionData::Data(data) = &section.data
            && section.sh_entsize == 1
            && section.sh_addralign == 1
            && section.is_alloc()
            && is_strings(section.sh_flags)
            && data.last() == Some(&0)
        {
            found.push((section.id(), section.sh_flags, data.to_vec()));
        }
    }
    let mut taken = Vec::new();
    for (id, flags, data) in found {
        let ranges = strings(&data);
        let mut parts = Vec::new();
        for (n, range) in ranges.iter().enumerate() {
            let section = file.sections.add();
            section.name = format!(".rodata.string.{n}").into_bytes().into();
            section.sh_type = elf::SHT_PROGBITS;
            section.sh_flags = flags;
            section.sh_addralign = 1;
            section.sh_entsize = 1;
            let string = data.get(range.clone()).unwrap_or_default();
            section.data = SectionData::Data(string.to_vec().into());
            let section = section.id();
            let symbol = file.symbols.add();
            symbol.section = Some(section);
            symbol.set_st_info(elf::STB_LOCAL, elf::STT_SECTION);
            parts.push((section, symbol.id()));
        }
        taken.push(Taken {
            section: id,
            strings: ranges,
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
            if relocation.r_type == elf::R_X86_64_64
                && let Some(of) = taken.iter().find(of)
                && let Some(at) = symbol.st_value.checked_add_signed(relocation.r_addend)
                && let Some((_, symbol, offset)) = of.place(at, 1)
            {
                relocation.symbol = Some(symbol);
                relocation.r_addend = offset as i64;
            }
        }
    }
    let mut out = Vec::new();
    file.write(&mut out).map_err(|e| fail(&e))?;
    std::fs::write(object, out).map_err(|e| fail(&e))
}

#[cfg(test)]
mod tests {
    use super::{Taken, strings};
    use object::Endianness;
    use object::build::elf::Builder;

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
            strings: ranges,
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
}
