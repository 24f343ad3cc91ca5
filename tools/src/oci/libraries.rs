//! The shared libraries of an executable.

use crate::failure::{Context as _, Failure};
use object::read::elf::{ElfFile64, ProgramHeader as _};
use object::{Endianness, ReadCache};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The dynamic loader of the executable and the libraries that it loads; none if it is static.
pub fn of(program: &Path) -> Result<Vec<PathBuf>, Failure> {
    let Some(loader) = loader(program)? else {
        return Ok(Vec::new());
    };
    let program = std::path::absolute(program).on(program)?;
    // Both glibc's and musl's loader take this option. A variable such as LD_LIBRARY_PATH would
    // have no effect in the container.
    let listed = Command::new(&loader)
        .arg("--list")
        .arg(&program)
        .env_clear()
        .output()
        .on(&loader)?;
    let text = String::from_utf8_lossy(&listed.stdout);
    if !listed.status.success() {
        let reason = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
        return Err(Failure::on(&program, reason));
    }
    let mut libraries = parse(&text).map_err(|name| {
        let reason = format!("its library {name} is not on this machine");
        let remedy = "install it, or link the program statically ((link_flags (-ccopt -static)))";
        Failure::on(&program, reason).remedy(remedy)
    })?;
    libraries.push(loader);
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

/// The executable's dynamic loader (PT_INTERP).
fn loader(program: &Path) -> Result<Option<PathBuf>, Failure> {
    let cache = ReadCache::new(File::open(program).on(program)?);
    let parsed: ElfFile64<'_, Endianness, _> = ElfFile64::parse(&cache).on(program)?;
    let endian = parsed.endian();
    let mut segments = parsed.elf_program_headers().iter();
    let name = segments.find_map(|segment| segment.interpreter(endian, &cache).ok().flatten());
    Ok(name.map(|name| PathBuf::from(OsStr::from_bytes(name))))
}

/// The paths in a loader's list. Fails with the name of a library that it doesn't find.
fn parse(list: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for line in list.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        if place == "not found" {
            return Err(name.to_owned());
        }
        let place = place.rsplit_once(" (").map_or(place, |(place, _)| place);
        // The kernel's own (linux-vdso.so.1) has no path.
        if place.starts_with('/') {
            paths.push(PathBuf::from(place));
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::{of, parse};
    use std::path::{Path, PathBuf};

    #[test]
    fn a_list_has_paths() {
        let list = "\tlinux-vdso.so.1 (0x00007ffc)\n\
            \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f17)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f18)\n";
        let paths = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse(list), Ok(paths.map(PathBuf::from).to_vec()));
        let missing = format!("{list}\tlibx.so.1 => not found\n");
        assert_eq!(parse(&missing), Err("libx.so.1".to_owned()));
        assert_eq!(parse("\tstatically linked\n"), Ok(Vec::new()));
    }

    #[test]
    fn this_program_has_a_loader_and_libraries() {
        let found = of(&std::env::current_exe().expect("this program")).expect("libraries");
        assert!(
            found.iter().any(|path| path.ends_with("libc.so.6")),
            "{found:?}"
        );
        assert!(found.iter().all(|path| path.is_file()), "{found:?}");
        assert!(of(Path::new("/nowhere/x")).is_err());
    }
}
