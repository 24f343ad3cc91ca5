//! What images for another processor need: compilers for it, and a QEMU that has it.

use super::{Finding, Found, Remedy, finding, programs, version};
use crate::arch::Arch;
use crate::failure::Failure;
use crate::toolchain;
use std::path::Path;
use std::process::{Command, Stdio};

/// The script that fetches OCaml's compiler and libraries, which `make setup` runs, too.
const SCRIPT: &str = include_str!("../../setup/cross.sh");

/// Checks for what images for `arch` need beside what this machine's own do.
pub fn check(arch: Arch) -> Vec<Finding> {
    let gcc = arch.tool("gcc");
    let of = |program: &Path, arguments, minimum| version(program, arguments, minimum);
    let compiler = of(Path::new(&gcc), "-dumpversion", None);
    let needed: Vec<Found> = vec![
        (
            "C compiler",
            compiler,
            Remedy::Packages(&["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
        ),
        (
            "OCaml and musl",
            toolchain::check(arch),
            Remedy::Say("soil doctor --arch aarch64 --fix"),
        ),
    ];
    let useful: Vec<Found> = vec![
        (
            "QEMU",
            of(Path::new(arch.qemu()), "--version", Some((7, 2))),
            Remedy::Packages(&["qemu-system-arm"]),
        ),
        (
            "apt",
            programs(&["apt-get", "dpkg-deb"]),
            Remedy::Say("fetching OCaml for aarch64 needs Debian's tools"),
        ),
    ];
    let needed = needed.into_iter().map(finding(true));
    needed
        .chain(useful.into_iter().map(finding(false)))
        .collect()
}

/// Fetches what is missing, and `packages`.
pub fn fetch(arch: Arch, packages: &[String]) -> Result<(), Failure> {
    let status = Command::new("sh")
        .args(["-c", SCRIPT, "soil", "ensure"])
        .args(packages)
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::new(format!(
            "OCaml for {arch} is incomplete, see above"
        ))),
        Err(error) => Err(Failure::on("sh", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{SCRIPT, check};
    use crate::arch::Arch;

    #[test]
    fn all_is_required_but_running_here() {
        let findings = check(Arch::Aarch64);
        let required = findings.iter().filter(|finding| finding.needed);
        let names: Vec<_> = required.map(|finding| finding.name).collect();
        assert_eq!(names, ["C compiler", "OCaml and musl"]);
    }

    #[test]
    fn the_script_needs_no_other_file() {
        for line in SCRIPT.lines() {
            let line = line.trim_start();
            assert!(!line.starts_with(". ") && !line.contains("$here"), "{line}");
        }
    }
}
