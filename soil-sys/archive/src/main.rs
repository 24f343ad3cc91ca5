//! Makes the archive that is shipped from the static library that `cargo` built.
//!
//! `soil-archive INPUT OUTPUT KEEP...`: links what is reachable from the symbols named by `KEEP` (a
//! name, or a beginning followed by `*`) into one relocatable object, makes every other symbol
//! local, and writes an archive of that object. So a program can link Rust code of its own, with
//! its own copy of Rust's libraries, beside Soil's. Functions and data keep their sections, so that
//! the program's own link with `--gc-sections` can still leave out what it doesn't call. Constants
//! that are nothing but zeros become memory that begins as zeros, and strings and small constants
//! get sections of their own ([`pieces`]), so that images don't carry what they don't use.
//!
//! Runs `nm`, `ld`, `objcopy` and `ar` of GNU binutils, which OCaml needs as well.

mod paths;
mod pieces;

use object::build::elf::Builder;
use object::{Object, ObjectSection, SectionKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Runs a command; its output, or one line that says what went wrong.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|e| format!("can't run {name}: {e}: install GNU binutils"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} failed: {}", errors.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The defined global symbols of `input` that `keep` names.
fn kept_symbols(input: &Path, keep: &[String]) -> Result<BTreeSet<String>, String> {
    let listing = run(Command::new("nm")
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

/// Zeros of fewer bytes aren't worth a section of their own.
const ZEROS: usize = 4096;

/// The read-only sections of `object` that are nothing but zeros, each the only one of its name.
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

/// Makes `object` smaller in what links with it.
fn rewrite(object: &Path) -> Result<(), String> {
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", object.display());
    let bytes = std::fs::read(object).map_err(|e| fail(&e))?;
    let mut file = Builder::read(&*bytes).map_err(|e| fail(&e))?;
    pieces::split(&mut file);
    paths::shorten(&mut file);
    let mut out = Vec::new();
    file.write(&mut out).map_err(|e| fail(&e))?;
    std::fs::write(object, out).map_err(|e| fail(&e))
}

fn archive(input: &Path, output: &Path, keep: &[String]) -> Result<(), String> {
    let kept = kept_symbols(input, keep)?;
    let list = output.with_extension("symbols");
    let object = output.with_extension("o");
    let text: String = kept.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(&list, text).map_err(|e| format!("{}: {e}", list.display()))?;
    let mut link = Command::new("ld");
    // Groups are resolved: there is nothing left to share them with.
    link.args(["-r", "--gc-sections", "--force-group-allocation", "-o"])
        .arg(&object);
    for name in &kept {
        link.arg("--undefined").arg(name);
    }
    run(link.arg(input))?;
    rewrite(&object)?;
    let mut localize = std::ffi::OsString::from("--keep-global-symbols=");
    localize.push(&list);
    // Rust's own libraries carry LLVM bitcode, by which binutils with LLVM's plug-in take the
    // object for one without symbols.
    let bitcode = ["--remove-section=.llvmbc", "--remove-section=.llvmcmd"];
    let zeros = zeros(&object)?;
    let zeros = zeros.iter().map(|name| {
        let rest = name.trim_start_matches(".rodata").trim_start_matches('.');
        format!("--rename-section={name}=.bss.{rest},alloc")
    });
    run(Command::new("objcopy")
        .args(bitcode)
        .args(zeros)
        .arg(localize)
        .arg(&object))?;
    let _ = std::fs::remove_file(output);
    run(Command::new("ar").arg("rcsD").arg(output).arg(&object))?;
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
