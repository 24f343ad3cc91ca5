//! `soil doctor`: the programs that this machine lacks, and the command that installs them.

use crate::cli::Machine;
use crate::executables::{find_program, find_tool};
use crate::run::kvm;
use std::path::Path;
use std::process::{Command, Stdio};

/// The machine that runs images.
const QEMU: &str = "qemu-system-x86_64";

/// A program or file that was looked for.
struct Finding {
    name: &'static str,
    /// The version found, or why it won't do.
    found: Result<String, String>,
    /// Debian's package, or another remedy.
    remedy: &'static str,
    /// Whether building or running images requires it.
    needed: bool,
}

/// Prints the findings and returns whether everything required was found.
pub fn run() -> bool {
    let findings = look();
    for finding in &findings {
        let (mark, text) = match (&finding.found, finding.needed) {
            (Ok(text), _) => ("ok     ", text),
            (Err(text), true) => ("MISSING", text),
            (Err(text), false) => ("without", text),
        };
        println!("{mark}  {:<22} {text}", finding.name);
    }
    let lacking = |needed: bool| {
        findings
            .iter()
            .filter(move |finding| finding.found.is_err() && finding.needed == needed)
    };
    let mut packages: Vec<&str> = Vec::new();
    for finding in lacking(true).chain(lacking(false)) {
        match finding.remedy.strip_prefix("apt ") {
            Some(names) => packages.extend(names.split(' ').filter(|name| !name.is_empty())),
            None if !finding.remedy.is_empty() => println!("{}: {}", finding.name, finding.remedy),
            None => {}
        }
    }
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        println!(
            "\nOn Debian, as root:\n  apt-get install --no-install-recommends {}",
            packages.join(" ")
        );
    }
    lacking(true).next().is_none()
}

/// Checks for the programs and files that building, running and disks need.
fn look() -> Vec<Finding> {
    let finding = |needed: bool| {
        move |(name, found, remedy)| Finding {
            name,
            found,
            remedy,
            needed,
        }
    };
    let needed = needed().into_iter().map(finding(true));
    needed
        .chain(useful().into_iter().map(finding(false)))
        .collect()
}

/// A program or file: its name, the finding or the reason for its absence, and the remedy.
type Found = (&'static str, Result<String, String>, &'static str);

/// The needs of every user.
fn needed() -> Vec<Found> {
    const OCAML: &str = "apt ocaml-nox ocaml-findlib";
    const INSTALL: &str = "run 'make install' in Soil's repository, and '. PREFIX/env' where \
        PREFIX isn't /usr or /usr/local";
    let of = |program: &str, arguments, minimum| version(Path::new(program), arguments, minimum);
    let findlib = of("ocamlfind", "query -format %v findlib", None);
    vec![
        (
            "QEMU",
            of(QEMU, "--version", Some((7, 2))),
            "apt qemu-system-x86",
        ),
        ("OCaml", of("ocamlopt", "-version", Some((5, 2))), OCAML),
        ("findlib", findlib, OCAML),
        (
            "dune",
            of("dune", "--version", Some((3, 17))),
            "apt ocaml-dune",
        ),
        (
            "C compiler",
            of("gcc", "-dumpversion", None),
            "apt gcc libc6-dev",
        ),
        ("linker", of("ld", "--version", None), "apt binutils"),
        ("static musl", musl(), "apt musl-dev"),
        ("link driver soil-cc", driver(), INSTALL),
        ("library soil", library(), INSTALL),
    ]
}

/// Acceleration, and the programs that networks and disks use.
fn useful() -> Vec<Found> {
    let of = |program: &str, arguments| version(Path::new(program), arguments, None);
    let ext4 = programs(&["mkfs.ext4", "e2fsck", "resize2fs"]);
    vec![
        ("passt", of("passt", "--version"), "apt passt"),
        (
            "/dev/net/tun",
            tun(),
            "'modprobe tun' as root; --net user needs none",
        ),
        ("KVM", acceleration(Path::new(QEMU)), ""),
        (
            "mkfs.fat, mcopy",
            of("mcopy", "-V"),
            "apt dosfstools mtools",
        ),
        ("mkfs.ext4, resize2fs", ext4, "apt e2fsprogs"),
        ("sfdisk", programs(&["sfdisk"]), "apt fdisk"),
    ]
}

/// The first line with a number in it of a program's answer, if the number is at least `minimum`.
fn version(program: &Path, arguments: &str, minimum: Option<(u32, u32)>) -> Result<String, String> {
    let path = find_program(program).ok_or_else(|| format!("no {} on PATH", program.display()))?;
    let output = Command::new(&path)
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.contains(|c: char| c.is_ascii_digit()));
    let Some(line) = line else {
        return Ok(path.display().to_string());
    };
    let found = numbers(line);
    match (minimum, found) {
        (Some(minimum), Some(found)) if found < minimum => Err(format!(
            "{} is {}.{}, too old: {}.{} or later",
            path.display(),
            found.0,
            found.1,
            minimum.0,
            minimum.1
        )),
        _ => Ok(line.trim().to_owned()),
    }
}

/// The first `N.N` in a line.
fn numbers(line: &str) -> Option<(u32, u32)> {
    line.split(|c: char| !c.is_ascii_digit() && c != '.')
        .find_map(|word| {
            let mut parts = word.split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
}

/// Whether these programs are installed, for `soil disk`.
fn programs(names: &[&str]) -> Result<String, String> {
    let missing = names.iter().find(|name| find_tool(name).is_none());
    match missing {
        Some(name) => Err(format!("no {name}")),
        None => Ok(names.join(", ")),
    }
}

/// Debian's place for musl, and that of other distributions.
fn musl() -> Result<String, String> {
    [
        "/usr/lib/x86_64-linux-musl/libc.a",
        "/usr/lib/musl/lib/libc.a",
        "/usr/local/musl/lib/libc.a",
    ]
    .iter()
    .find(|path| Path::new(path).exists())
    .map(|path| (*path).to_owned())
    .ok_or_else(|| "no static C library of musl (libc.a)".to_owned())
}

fn driver() -> Result<String, String> {
    find_program(Path::new("soil-cc"))
        .map(|path| path.display().to_string())
        .ok_or_else(|| "no soil-cc on PATH".to_owned())
}

fn library() -> Result<String, String> {
    let output = Command::new("ocamlfind")
        .args(["query", "soil"])
        .stderr(Stdio::null())
        .output();
    output
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .ok_or_else(|| "findlib finds no library soil".to_owned())
}

fn tun() -> Result<String, String> {
    match std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
    {
        Ok(_) => Ok("can be opened (--net tap)".to_owned()),
        Err(error) => Err(format!("{error}: no --net tap")),
    }
}

fn acceleration(qemu: &Path) -> Result<String, String> {
    if find_program(qemu).is_none() {
        return Err("not tried without QEMU".to_owned());
    }
    if kvm::works(qemu, Machine::Microvm, "host") {
        Ok("a probe boots".to_owned())
    } else {
        Err("a probe doesn't boot under it: machines run under TCG, QEMU's translator".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{numbers, version};
    use std::path::Path;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        assert_eq!(
            numbers("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)"),
            Some((7, 2))
        );
        assert_eq!(numbers("3.17.2"), Some((3, 17)));
        assert_eq!(numbers("no number 5 here"), None);
    }

    #[test]
    fn a_program_that_is_too_old_or_missing_is_said_to_be() {
        let cargo = Path::new("cargo");
        assert!(version(cargo, "--version", Some((1, 0))).is_ok());
        assert!(
            version(cargo, "--version", Some((9999, 0)))
                .is_err_and(|text| text.contains("too old"))
        );
        assert!(version(Path::new("no-such-program"), "", None).is_err());
    }
}
