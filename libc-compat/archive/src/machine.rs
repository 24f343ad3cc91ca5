//! Differences between the processors that archives are for.

use object::elf::{self, RelocationType};
use object::read::archive::ArchiveFile;
use object::{Architecture, Object as _};
use std::env::consts::ARCH;
use std::path::Path;
use std::process::Command;

/// Whether symbol and addend of a relocation are exactly its target. The addends of x86-64's
/// relative relocations depend on the instruction that they patch; aarch64's refer to the target
/// itself. The numbers of the processors' relocations are distinct.
pub fn is_exact(r_type: RelocationType) -> bool {
    [
        elf::R_X86_64_64,
        elf::R_AARCH64_ABS64,
        elf::R_AARCH64_ADR_PREL_PG_HI21,
        elf::R_AARCH64_ADD_ABS_LO12_NC,
        elf::R_AARCH64_LDST8_ABS_LO12_NC,
        elf::R_AARCH64_LDST16_ABS_LO12_NC,
        elf::R_AARCH64_LDST32_ABS_LO12_NC,
        elf::R_AARCH64_LDST64_ABS_LO12_NC,
        elf::R_AARCH64_LDST128_ABS_LO12_NC,
    ]
    .contains(&r_type)
}

/// Returns the processor of an archive's objects; `None` for one without objects.
pub fn of(archive: &Path) -> Result<Option<Architecture>, String> {
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", archive.display());
    let bytes = std::fs::read(archive).map_err(|e| fail(&e))?;
    let file = ArchiveFile::parse(&*bytes).map_err(|e| fail(&e))?;
    let mut members = file.members().filter_map(Result::ok);
    Ok(members.find_map(|member| {
        let object = object::File::parse(member.data(&*bytes).ok()?).ok()?;
        Some(object.architecture())
    }))
}

/// Returns a command of GNU binutils for a processor: this machine's own, or the cross one.
pub fn tool(name: &str, of: Option<Architecture>) -> Command {
    match of {
        Some(Architecture::Aarch64) if ARCH != "aarch64" => {
            Command::new(format!("aarch64-linux-gnu-{name}"))
        }
        _ => Command::new(name),
    }
}

#[cfg(test)]
mod tests {
    use super::{ARCH, is_exact, of, tool};
    use object::{Architecture, elf};

    #[test]
    fn relative_relocations_are_exact_on_aarch64_alone() {
        assert!(is_exact(elf::R_X86_64_64) && is_exact(elf::R_AARCH64_ABS64));
        assert!(is_exact(elf::R_AARCH64_ADR_PREL_PG_HI21));
        assert!(!is_exact(elf::R_X86_64_PC32) && !is_exact(elf::R_AARCH64_CALL26));
    }

    #[test]
    fn each_processor_has_its_binutils() {
        let name = |of| tool("ld", of).get_program().to_owned();
        assert_eq!(name(None), "ld");
        if ARCH == "x86_64" {
            assert_eq!(name(Some(Architecture::X86_64)), "ld");
            assert_eq!(name(Some(Architecture::Aarch64)), "aarch64-linux-gnu-ld");
        }
        assert!(of("/nowhere.a".as_ref()).is_err());
    }
}
