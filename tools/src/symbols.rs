//! Maps addresses in an image to functions and lines, using the symbols and debug information of
//! its unstripped file.

use crate::failure::{Context as _, Failure};
use demangle::Demangled;
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSymbol as _, ReadCache};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The maximum number of files to search beside a stripped image.
const MAX_NEIGHBOURS: usize = 200;

/// An open unstripped program.
pub struct Symbols(addr2line::Loader);

/// The build-id of an ELF file, and whether it has symbols.
struct Identity {
    build_id: Option<String>,
    has_symbols: bool,
}

fn identify(path: &Path) -> Option<Identity> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let file: ElfFile64<'_, Endianness, _> = ElfFile64::parse(&cache).ok()?;
    let build_id = file.build_id().ok()?.map(hexadecimal);
    let has_symbols = file.symbols().next().is_some();
    Some(Identity {
        build_id,
        has_symbols,
    })
}

/// The build-id of a file.
pub fn build_id(path: &Path) -> Option<String> {
    identify(path)?.build_id
}

/// Whether an executable defines one of these symbols, or takes it from a shared library.
pub fn refers_to(path: &Path, names: &[&str]) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let cache = ReadCache::new(file);
    let parsed: Result<ElfFile64<'_, Endianness, _>, _> = ElfFile64::parse(&cache);
    parsed.is_ok_and(|file| {
        let mut symbols = file.symbols().chain(file.dynamic_symbols());
        symbols.any(|symbol| symbol.name().is_ok_and(|name| names.contains(&name)))
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Finds the file with the symbols of `program`: itself, or one in the same folder with the same
/// build-id.
pub fn unstripped(program: &Path, build_id: Option<&str>) -> Option<PathBuf> {
    let own = identify(program);
    let wanted = build_id
        .map(str::to_owned)
        .or_else(|| own.as_ref()?.build_id.clone());
    let fits = |identity: &Identity| {
        identity.has_symbols && (wanted.is_none() || identity.build_id == wanted)
    };
    if own.as_ref().is_some_and(fits) {
        return Some(program.to_owned());
    }
    wanted.as_ref()?;
    let folder = program
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let neighbours = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    neighbours
        .take(MAX_NEIGHBOURS)
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_file() && identify(path).as_ref().is_some_and(fits))
}

fn demangle(symbol: &str) -> String {
    Demangled(symbol).to_string()
}

impl Symbols {
    /// Opens the program's file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        addr2line::Loader::new(path).map(Self).on(path)
    }

    /// Like [`names`](Self::names), without source locations.
    pub fn functions(&self, address: u64, is_return: bool) -> Vec<String> {
        let names = self.names(address, is_return).into_iter();
        let name = |text: String| text.split(" at ").next().unwrap_or(&text).to_owned();
        names.map(name).collect()
    }

    /// Returns the functions at `address`, the innermost inlined one first: "Main.f at main.ml:3".
    /// Empty if unknown. Attributes a return address to the call before it.
    pub fn names(&self, address: u64, is_return: bool) -> Vec<String> {
        let probe = if is_return {
            address.saturating_sub(1)
        } else {
            address
        };
        let mut names = Vec::new();
        // In debug information, linkers give discarded functions the highest addresses.
        if probe > i64::MAX as u64 {
            return names;
        }
        if let Ok(mut frames) = self.0.find_frames(probe) {
            // Malformed debug information ends the list; the symbol remains.
            while let Ok(Some(frame)) = frames.next() {
                let function = frame
                    .function
                    .and_then(|name| Some(demangle(&name.raw_name().ok()?)));
                let function = function.or_else(|| self.0.find_symbol(probe).map(demangle));
                let Some(mut text) = function else { continue };
                if let Some(location) = frame.location {
                    if let Some(file) = location.file {
                        text = text + " at " + short(file);
                    }
                    if let Some(line) = location.line {
                        text = text + ":" + &line.to_string();
                    }
                }
                names.push(text);
            }
        }
        if names.is_empty() {
            names.extend(self.0.find_symbol(probe).map(demangle));
        }
        names
    }
}

/// Shortens a source path: relative to the project, the registry or the folder of its build.
fn short(path: &str) -> &str {
    let after = |mark: &str| path.rsplit_once(mark).map(|(_, rest)| rest);
    // dune compiles C in _build/CONTEXT, and maps the project's root to /workspace_root for OCaml.
    let built = || after("/_build/")?.split_once('/').map(|(_, rest)| rest);
    path.strip_prefix("/workspace_root/")
        .or_else(built)
        .or_else(|| after("/registry/src/"))
        .or_else(|| after("/./"))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::{Symbols, refers_to, short, unstripped};

    #[test]
    fn symbols_of_shared_libraries_count() {
        let this = std::env::current_exe().expect("known");
        assert!(refers_to(&this, &["never_defined", "malloc"]));
        assert!(!refers_to(&this, &["sqlite3_open"]));
        assert!(!refers_to("/dev/null".as_ref(), &["malloc"]));
        assert!(!refers_to("/nonexistent".as_ref(), &["malloc"]));
    }

    #[test]
    fn a_function_of_this_test_has_a_name_and_a_line() {
        let this = std::env::current_exe().expect("known");
        let file = unstripped(&this, None).expect("tests have symbols");
        let symbols = Symbols::open(&file).expect("an ELF");
        // The test executable is position independent: its symbols are relative to its load
        // address.
        let base = std::fs::read_to_string("/proc/self/maps").expect("Linux");
        let base = base
            .split('-')
            .next()
            .and_then(|text| u64::from_str_radix(text, 16).ok());
        let address = unstripped as *const () as u64 - base.expect("a first mapping");
        let names = symbols.names(address, false);
        assert!(
            names.iter().any(|name| name.contains("unstripped at")),
            "{names:?}"
        );
        assert!(
            names.iter().any(|name| name.contains("symbols.rs:")),
            "{names:?}"
        );
        assert!(symbols.names(u64::MAX, true).is_empty());
    }

    #[test]
    fn nothing_is_found_for_another_build() {
        let this = std::env::current_exe().expect("known");
        assert_eq!(unstripped(&this, Some("00")), None);
    }

    #[test]
    fn paths_lose_what_says_nothing() {
        assert_eq!(short("/workspace_root/a/main.ml"), "a/main.ml");
        assert_eq!(short("/home/x/_build/soil/a/stubs.c"), "a/stubs.c");
        assert_eq!(short("/x/./main.ml"), "main.ml");
        assert_eq!(
            short("/h/registry/src/i-1/log-1/src/lib.rs"),
            "i-1/log-1/src/lib.rs"
        );
        assert_eq!(short("main.c"), "main.c");
    }
}
