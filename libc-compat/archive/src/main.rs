//! Creates the archive that is shipped from the static library built by `cargo`.
//!
//! `soil-archive INPUT OUTPUT KEEP...`: links everything reachable from the symbols in `KEEP`
//! (names, or prefixes followed by `*`) into one relocatable object, makes all other symbols local,
//! and writes an archive of that object. A program can then link Rust code of its own, with its own
//! copy of Rust's libraries, beside Soil's. Functions and data keep their sections, so that the
//! program's own link with `--gc-sections` can still remove unused ones. Constants that consist of
//! zeros become zero-initialised memory, and strings and small constants get sections of their own
//! ([`pieces`]), so that images contain only what they use.
//!
//! Runs `nm`, `ld`, `objcopy` and `ar` of GNU binutils, which OCaml also needs: those for the
//! processor of the library.

mod machine;
mod pieces;

use object::build::elf::Builder;
use object::{Object, ObjectSection, SectionKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Runs a command. Returns its output, or an error in one line.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|e| format!("can't run {name}: {e}: install GNU binutils that have it"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} failed: {}", errors.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The names of symbols, or an error in one line.
type Kept = Result<BTreeSet<String>, String>;

/// Returns the defined global symbols of `input` that match `keep`, as `nm` lists them.
fn kept_symbols(nm: &mut Command, input: &Path, keep: &[String]) -> Kept {
    let listing = run(nm
        .args(["--defined-only", "--extern-only", "--quiet"])
        .arg(input))?;
    let matches = |name: &str| {
        keep.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
    };
    let names = listing
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    let kept: BTreeSet<String> = names
        .filter(|name| matches(name))
        .map(String::from)
        .collect();
    for pattern in keep {
        let start = pattern.trim_end_matches('*');
        if !kept.iter().any(|name| name.starts_with(start)) {
            return Err(format!("{}: defines no symbol {pattern}", input.display()));
        }
    }
    Ok(kept)
}

/// Minimum number of zeros that get a section of their own.
const ZEROS: usize = 4096;

/// Returns the read-only sections of `object` that contain only zeros and have a unique name.
fn zeros(object: &Path) -> Result<Vec<String>, String> {
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", object.display());
    let bytes = std::fs::read(object).map_err(|e| fail(&e))?;
    let file = object::File::parse(&*bytes).map_err(|e| fail(&e))?;
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for section in file.sections() {
        let data = section.data().map_err(|e| fail(&e))?;
        let empty = section.kind() == SectionKind::ReadOnlyData
            && data.len() >= ZEROS
            && section.relocations().next().is_none()
            && data.iter().all(|byte| *byte == 0);
        let name = section.name().map_err(|e| fail(&e))?;
        let only = !found.contains_key(name);
        found.insert(name.to_owned(), empty && only);
    }
    let names = found.into_iter().filter(|(_, empty)| *empty);
    Ok(names.map(|(name, _)| name).collect())
}

/// Reduces what `object` adds to a program's link.
fn rewrite(object: &Path) -> Result<(), String> {
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", object.display());
    let bytes = std::fs::read(object).map_err(|e| fail(&e))?;
    let mut file = Builder::read(&*bytes).map_err(|e| fail(&e))?;
    pieces::split(&mut file);
    let mut out = Vec::new();
    file.write(&mut out).map_err(|e| fail(&e))?;
    std::fs::write(object, out).map_err(|e| fail(&e))
}

fn archive(input: &Path, output: &Path, keep: &[String]) -> Result<(), String> {
    let machine = machine::of(input)?;
    let tool = |name| machine::tool(name, machine);
    let kept = kept_symbols(&mut tool("nm"), input, keep)?;
    let list = output.with_extension("symbols");
    let object = output.with_extension("o");
    let text: String = kept.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(&list, text).map_err(|e| format!("{}: {e}", list.display()))?;
    let mut link = tool("ld");
    // Section groups are resolved: no other object can share them. Assembly (of ring, and libgcc's
    // atomics for arm64) is in `.text` alone, which stays one section for each file: merged, it
    // would be in every program that uses any of it.
    link.args(["-r", "--gc-sections", "--force-group-allocation"])
        .args(["--unique=.text", "-o"])
        .arg(&object);
    for name in &kept {
        link.arg("--undefined").arg(name);
    }
    run(link.arg(input))?;
    // Rust's own libraries contain LLVM bitcode, which makes binutils with LLVM's plug-in see an
    // object without symbols; and LLVM's table of symbols whose address is used, which only LLVM's
    // linker reads. For arm64 GNU's assembler of binutils 2.47 writes which protection of branches
    // code has, in a form that `rewrite` can't read: without it code counts as having none.
    let unread = [".llvmbc", ".llvmcmd", ".llvm_addrsig", ".ARM.attributes"];
    let unread = unread.map(|name| format!("--remove-section={name}"));
    run(tool("objcopy").args(unread).arg(&object))?;
    rewrite(&object)?;
    let mut localize = std::ffi::OsString::from("--keep-global-symbols=");
    localize.push(&list);
    let zeros = zeros(&object)?;
    let zeros = zeros.iter().map(|name| {
        let rest = name.trim_start_matches(".rodata").trim_start_matches('.');
        format!("--rename-section={name}=.bss.{rest},alloc")
    });
    run(tool("objcopy").args(zeros).arg(localize).arg(&object))?;
    let _ = std::fs::remove_file(output);
    run(tool("ar").arg("rcsD").arg(output).arg(&object))?;
    for left_over in [&list, &object] {
        std::fs::remove_file(left_over).map_err(|e| format!("{}: {e}", left_over.display()))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(input), Some(output)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: soil-archive INPUT OUTPUT KEEP...");
        return ExitCode::FAILURE;
    };
    let keep: Vec<String> = arguments
        .map(|keep| keep.to_string_lossy().into_owned())
        .collect();
    match archive(&input, &output, &keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soil-archive: {error}");
            ExitCode::FAILURE
        }
    }
}
