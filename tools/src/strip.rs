//! `soil strip`: makes a stripped copy of an image for deployment.

use crate::failure::{Context as _, Failure};
use crate::flat;
use crate::program::{self, Form};
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::path::Path;
use std::process::Command;

/// Writes `output` and returns a message with its size.
pub fn strip(image: &Path, output: &Path) -> Result<String, Failure> {
    let program = program::inspect(image)?;
    if program.form != Form::Image {
        return Err(Failure::on(image, "no image").remedy("name one below _build/soil"));
    }
    if !program.has_sections {
        // Nothing to remove, and binutils' strip refuses it.
        std::fs::copy(image, output).on(output)?;
        return written(image, output);
    }
    // binutils' strip keeps the PVH note and the build-id, which identifies the image in crash
    // reports.
    let tool = program.arch.tool("strip");
    let status = Command::new(&tool)
        .arg("--strip-all")
        .arg("-o")
        .arg(output)
        .arg(image)
        .status()
        .map_err(|error| {
            let package = program.arch.package("binutils");
            Failure::on(&tool, format!("did not start: {error}"))
                .remedy(format!("apt-get install {package}"))
        })?;
    if !status.success() {
        return Err(Failure::on(output, "strip could not write it"));
    }
    let stripped = program::inspect(output)?;
    if stripped.form != Form::Image {
        let reason = "it lost its boot note, so this machine's strip can't be used";
        return Err(Failure::on(output, reason).remedy("apt-get install binutils"));
    }
    let mut bytes = std::fs::read(output).on(output)?;
    remove_sections(&mut bytes);
    // Over the file, which is executable.
    std::fs::write(output, bytes).on(output)?;
    written(image, output)
}

/// Removes the table of sections and their names: machines, and Linux, load segments. (binutils'
/// strip has an option for it since 2.41.) Bytes that are no 64-bit ELF file stay as they are.
fn remove_sections(bytes: &mut Vec<u8>) {
    let segments = |bytes: &[u8]| {
        let header = elf::FileHeader64::<LittleEndian>::parse(bytes).ok()?;
        let segments = header.program_headers(LittleEndian, bytes).ok()?;
        let end = |segment: &elf::ProgramHeader64<LittleEndian>| {
            let (start, len) = segment.file_range(LittleEndian);
            usize::try_from(start.checked_add(len)?).ok()
        };
        segments.iter().filter_map(end).max()
    };
    let Some(end) = segments(bytes).filter(|end| *end <= bytes.len()) else {
        return;
    };
    bytes.truncate(end);
    if let Ok((header, _)) = object::from_bytes_mut::<elf::FileHeader64<LittleEndian>>(bytes) {
        header.e_shoff.set(LittleEndian, 0);
        header.e_shnum.set(LittleEndian, 0);
        header.e_shstrndx.set(LittleEndian, elf::SHN_UNDEF);
    }
}

/// Writes the flat form of an image and returns a message with its size.
pub fn flat(image: &Path, output: &Path) -> Result<String, Failure> {
    std::fs::write(output, flat::read(image)?).on(output)?;
    written(image, output)
}

/// The message about a stripped copy.
fn written(image: &Path, output: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(output).on(output)?.len();
    Ok(format!(
        "{}: {} KB; keep {} for the names in crash reports",
        output.display(),
        size.div_ceil(1000),
        image.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::remove_sections;
    use crate::program::{Form, inspect};
    use object::{Object as _, ObjectSegment as _};

    /// This test's own executable.
    #[test]
    fn segments_stay_as_they_are() {
        let before = std::fs::read("/proc/self/exe").unwrap();
        let mut after = before.clone();
        remove_sections(&mut after);
        assert!(after.len() < before.len());
        let [old, new] = [&before, &after].map(|bytes| object::File::parse(&**bytes).unwrap());
        assert!(old.sections().count() > 0 && new.sections().count() == 0);
        assert_eq!(old.entry(), new.entry());
        let mut segments = old.segments().zip(new.segments()).skip(1);
        assert!(segments.all(|(old, new)| old.data().unwrap() == new.data().unwrap()));
        // Once more changes nothing, and a program stays one.
        let mut again = after.clone();
        remove_sections(&mut again);
        assert_eq!(again, after);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, &after).unwrap();
        let program = inspect(file.path()).unwrap();
        assert!(program.form == Form::Process && !program.has_sections);
    }

    #[test]
    fn other_files_stay_as_they_are() {
        for bytes in [&b""[..], b"\x7fELF", &[0x7f; 200]] {
            let mut after = bytes.to_vec();
            remove_sections(&mut after);
            assert_eq!(after, bytes);
        }
    }
}
