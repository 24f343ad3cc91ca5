//! `soil doctor`: lists the programs that this machine lacks and the command that installs them;
//! `--fix` runs it.

mod cross;
mod holes;
mod libraries;

use crate::arch::Arch;
use crate::cli::{Doctor, Machine};
use crate::executables::{find_program, find_tool};
use crate::failure::{Context as _, Failure};
use crate::messages::{self, print_styled, say};
use crate::run::kvm;
use crate::{json, progress, toolchain};
use anstyle::{AnsiColor, Style};
use rustix::process::geteuid;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// The machine that runs images.
const QEMU: &str = Arch::HOST.qemu();
/// Debian's package with it.
const QEMU_PACKAGES: &[&str] = &[Arch::HOST.qemu_package()];
/// The finding whose version selects the known holes of the runtime.
const OCAML: &str = "OCaml";

/// The result of the check for a program or file.
struct Finding {
    name: &'static str,
    /// The version found, or the reason why it is unusable.
    found: Result<String, String>,
    remedy: Remedy,
    /// Whether building or running images requires it.
    needed: bool,
    /// Known holes of the version found, which programs inherit.
    holes: Vec<String>,
}

/// The remedy for a program that is missing.
#[derive(Clone, Copy)]
enum Remedy {
    /// Debian's packages.
    Packages(&'static [&'static str]),
    /// Something to do by hand.
    Say(&'static str),
    Nothing,
}

/// A finding in `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    found: bool,
    required: bool,
    /// The version found, or the reason why it is unusable.
    detail: &'a str,
    /// Debian packages that contain it.
    packages: &'a [&'a str],
    /// The manual remedy, if no package contains it.
    remedy: Option<&'a str>,
    /// Known holes of the version found.
    holes: &'a [String],
}

/// Prints the findings, installs Debian's packages with `--fix`, and returns whether everything
/// required was found.
pub fn run(options: &Doctor) -> Result<bool, Failure> {
    let arch = options.arch;
    if !arch.is_host() && arch != Arch::Aarch64 {
        let reason = format!("images for {arch} can't be built here, on {}", Arch::HOST);
        return Err(Failure::on(format!("--arch {arch}"), reason).remedy("build them there"));
    }
    if arch.is_host() && !options.packages.is_empty() {
        let reason = format!("{arch} is this machine's own processor");
        return Err(Failure::on("PACKAGE", reason).remedy("install it with apt-get"));
    }
    let mut findings = check(arch);
    if options.json {
        let shown: Vec<Shown<'_>> = findings.iter().map(shown).collect();
        json::print(&shown)?;
    } else {
        print(&findings)?;
    }
    let packages = packages(&findings);
    if options.fix {
        let installed = match packages.is_empty() {
            true => Ok(()),
            false => install(&packages),
        };
        // Without root's packages, too: they come by the command that the error names.
        let fetched = match arch.is_host() {
            true => Ok(()),
            false => cross::fetch(arch, &options.packages),
        };
        installed.and(fetched)?;
    }
    if options.fix && (!packages.is_empty() || !arch.is_host()) {
        findings = check(arch);
        print(&findings)?;
    } else if !options.json && !packages.is_empty() {
        let command = command(&packages);
        let option = match arch.is_host() {
            true => String::new(),
            false => format!(" --arch {arch}"),
        };
        messages::print(&format!(
            "\nOn Debian, as root ('soil doctor{option} --fix' does it):\n  {command}\n"
        ))?;
    }
    let complete = |finding: &Finding| finding.found.is_ok() || !finding.needed;
    Ok(findings.iter().all(complete))
}

/// Prints one line for each finding, and the manual remedies.
fn print(findings: &[Finding]) -> Result<(), Failure> {
    let mut shown = String::new();
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into())).bold();
    for finding in findings {
        let (style, mark, text) = match (&finding.found, finding.needed) {
            (Ok(text), _) => (color(AnsiColor::Green), "ok     ", text),
            (Err(text), true) => (color(AnsiColor::Red), "MISSING", text),
            (Err(text), false) => (color(AnsiColor::Yellow), "without", text),
        };
        let name = finding.name;
        shown.push_str(&format!("{style}{mark}{style:#}  {name:<22} {text}\n"));
    }
    let missing = findings.iter().filter(|finding| finding.found.is_err());
    for finding in missing {
        if let Remedy::Say(text) = finding.remedy {
            shown.push_str(&format!("{}: {text}\n", finding.name));
        }
    }
    for finding in findings.iter().filter(|each| !each.holes.is_empty()) {
        shown.push_str(&format!(
            "\nThis {} has known holes, which programs get with it, unless its distribution has \
            mended them. SECURITY.md says what each takes:\n",
            finding.name
        ));
        for hole in &finding.holes {
            shown.push_str(&format!("  {hole}\n"));
        }
    }
    print_styled(&shown)
}

fn shown(finding: &Finding) -> Shown<'_> {
    Shown {
        name: finding.name,
        found: finding.found.is_ok(),
        required: finding.needed,
        detail: finding.found.as_ref().unwrap_or_else(|why| why),
        packages: match finding.remedy {
            Remedy::Packages(names) => names,
            _ => &[],
        },
        remedy: match finding.remedy {
            Remedy::Say(text) => Some(text),
            _ => None,
        },
        holes: &finding.holes,
    }
}

/// Returns the Debian packages of all missing programs, sorted.
fn packages(findings: &[Finding]) -> Vec<&'static str> {
    let missing = findings.iter().filter(|finding| finding.found.is_err());
    let packages = missing.filter_map(|finding| match finding.remedy {
        Remedy::Packages(names) => Some(names),
        _ => None,
    });
    let packages: BTreeSet<&str> = packages.flatten().copied().collect();
    packages.into_iter().collect()
}

/// The command that installs them; apt fails rather than remove another package.
fn command(packages: &[&str]) -> String {
    command_from("", packages)
}

/// The same, from a release, or by apt's own choice.
fn command_from(release: &str, packages: &[&str]) -> String {
    let words = [
        "apt-get",
        "install",
        "--no-remove",
        "--no-install-recommends",
    ];
    let chosen = ["-t", release];
    let chosen = if release.is_empty() { &[][..] } else { &chosen };
    [&words, chosen, packages].concat().join(" ")
}

/// Installs the packages, if the user may.
fn install(packages: &[&str]) -> Result<(), Failure> {
    let command = command(packages);
    let by_hand = |reason: &str| {
        let remedy = format!("run: {command}");
        Err(Failure::new(reason).remedy(remedy))
    };
    if find_program(Path::new("apt-get")).is_none() {
        let remedy = format!("install what these are called here: {}", packages.join(" "));
        return Err(Failure::new("this machine has no apt-get").remedy(remedy));
    }
    if !geteuid().is_root() {
        return by_hand("only root can install packages");
    }
    if apt(&command)? {
        return Ok(());
    }
    // A package that depends on a version of another one, as QEMU's do, which this machine has from
    // another release than apt's own choice.
    say("looking for releases among apt's sources that fit what is installed");
    let commands = matching(packages, std::env::var_os("PATH").as_deref());
    if commands.is_empty() || commands == [&*command] {
        return by_hand("apt-get could not install them");
    }
    for command in &commands {
        if !apt(command)? {
            let failure = Failure::new("apt-get could not install them");
            return Err(failure.remedy(format!("run: {}", commands.join("; "))));
        }
    }
    Ok(())
}

/// Runs a command of apt, and returns whether it succeeded.
fn apt(command: &str) -> Result<bool, Failure> {
    say(command);
    let mut words = command.split(' ');
    let mut apt = Command::new(words.next().unwrap_or_default());
    apt.arg("--yes").args(words);
    // Standard output carries the findings.
    apt.stdout(std::io::stderr());
    let status = apt.env("DEBIAN_FRONTEND", "noninteractive").status();
    Ok(status.on("apt-get")?.success())
}

/// Set-up's choice of releases, whose functions only ask apt what it would do.
const CHOICE: &str = include_str!("../setup/apt.sh");
/// Prints a line for each command: the release, and the packages from it.
const CHOOSE: &str = r#"
say() { :; }
oldest= easy= hard= chosen=
sort_out "$@"
if [ -n "$hard" ]; then choose_known $hard || exit 1; fi
if [ -n "$easy" ]; then echo "" $easy; fi
if [ -n "$hard" ]; then echo "$chosen" $hard; fi
"#;

/// The commands that install the packages from releases whose versions fit what is installed, as
/// set-up does; none if there is no such release. `path` has the programs.
fn matching(packages: &[&str], path: Option<&OsStr>) -> Vec<String> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{CHOICE}{CHOOSE}"), "soil"])
        .args(packages);
    if let Some(path) = path {
        shell.env("PATH", path);
    }
    let bar = progress::busy("asking apt");
    let output = shell.stdin(Stdio::null()).stderr(Stdio::null()).output();
    bar.finish_and_clear();
    let Ok(output) = output else {
        return Vec::new();
    };
    if !output.status.success() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let commands = text.lines().filter_map(|line| {
        let (release, packages) = line.split_once(' ')?;
        let packages: Vec<&str> = packages.split_whitespace().collect();
        Some(command_from(release, &packages))
    });
    commands.collect()
}

/// Checks for the programs and files that building, running and disks need; for another processor
/// than this machine's, for those of its images.
fn check(arch: Arch) -> Vec<Finding> {
    let bar = progress::busy("looking for what Soil uses");
    let findings = match arch.is_host() {
        true => {
            let needed = needed().into_iter().map(finding(true));
            let useful = useful().into_iter().map(finding(false));
            needed.chain(useful).collect()
        }
        false => cross::check(arch),
    };
    bar.finish_and_clear();
    findings
}

/// Makes findings of what is needed, or not.
fn finding(needed: bool) -> impl Fn(Found) -> Finding {
    move |(name, found, remedy): Found| Finding {
        name,
        holes: match &found {
            Ok(version) if name == OCAML => holes::known(version),
            _ => Vec::new(),
        },
        found,
        remedy,
        needed,
    }
}

/// A program or file: its name, the version found or the problem, and the remedy.
type Found = (&'static str, Result<String, String>, Remedy);

/// Programs and files that every user needs.
fn needed() -> Vec<Found> {
    const COMPILER: Remedy = Remedy::Packages(&["ocaml", "ocaml-findlib"]);
    const INSTALL: Remedy = Remedy::Say(
        "run 'make install' in Soil's repository, and '. PREFIX/env' where \
        PREFIX isn't /usr or /usr/local",
    );
    let of = |program: &str, arguments, minimum| version(Path::new(program), arguments, minimum);
    let findlib = of("ocamlfind", "query -format %v findlib", None);
    vec![
        (
            "QEMU",
            of(QEMU, "--version", Some((7, 2))),
            Remedy::Packages(QEMU_PACKAGES),
        ),
        (OCAML, of("ocamlopt", "-version", Some((5, 2))), COMPILER),
        ("findlib", findlib, COMPILER),
        (
            "dune",
            of("dune", "--version", Some((3, 17))),
            Remedy::Packages(&["ocaml-dune"]),
        ),
        (
            "C compiler",
            of("gcc", "-dumpversion", None),
            Remedy::Packages(&["gcc", "libc6-dev"]),
        ),
        (
            "linker",
            of("ld", "--version", None),
            Remedy::Packages(&["binutils"]),
        ),
        ("static musl", musl(), Remedy::Packages(&["musl-dev"])),
        ("link driver soil-cc", driver(), INSTALL),
        ("library soil", library("soil"), INSTALL),
    ]
}

/// Optional parts: acceleration, and the programs for networks and disks.
fn useful() -> Vec<Found> {
    let of = |program: &str, arguments| version(Path::new(program), arguments, None);
    let ext4 = programs(&["mkfs.ext4", "e2fsck", "resize2fs"]);
    vec![
        (
            "passt",
            of("passt", "--version"),
            Remedy::Packages(&["passt"]),
        ),
        (
            "/dev/net/tun",
            tun(),
            Remedy::Say("'modprobe tun' as root; --net user needs none"),
        ),
        ("KVM", acceleration(Path::new(QEMU)), Remedy::Nothing),
        (
            "mkfs.fat, mcopy",
            of("mcopy", "-V"),
            Remedy::Packages(&["dosfstools", "mtools"]),
        ),
        (
            "mkfs.ext4, resize2fs",
            ext4,
            Remedy::Packages(&["e2fsprogs"]),
        ),
        (
            "libraries soil.*",
            libraries::check(),
            Remedy::Say(
                "a program that uses one of them ends with 'Library … not found': install the \
                library that it is for (Debian: libcohttp-ocaml-dev, libzip-ocaml-dev …), \
                then Soil again ('make install')",
            ),
        ),
        (
            "sfdisk",
            programs(&["sfdisk"]),
            Remedy::Packages(&["fdisk"]),
        ),
    ]
}

/// Returns the first line of a program's version output if its version is at least `minimum`, or
/// the program's path if that line has no digits.
fn version(program: &Path, arguments: &str, minimum: Option<(u32, u32)>) -> Result<String, String> {
    let path = find_program(program).ok_or_else(|| format!("no {} on PATH", program.display()))?;
    let output = Command::new(&path)
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Only the first line: later ones, such as a licence, contain numbers, too.
    let has_number = |line: &&str| line.contains(|c: char| c.is_ascii_digit());
    let Some(line) = text.lines().next().filter(has_number) else {
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

/// Searches for musl where Debian and other distributions install it.
fn musl() -> Result<String, String> {
    [
        &format!("/usr/lib/{}-linux-musl/libc.a", Arch::HOST),
        "/usr/lib/musl/lib/libc.a",
        "/usr/local/musl/lib/libc.a",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists())
    .map(str::to_owned)
    .ok_or_else(|| "no static C library of musl (libc.a)".to_owned())
}

fn driver() -> Result<String, String> {
    find_program(Path::new("soil-cc"))
        .map(|path| path.display().to_string())
        .ok_or_else(|| "no soil-cc on PATH".to_owned())
}

fn library(name: &str) -> Result<String, String> {
    toolchain::output(Command::new("ocamlfind").args(["query", name]))
        .ok_or_else(|| format!("findlib finds no library {name}"))
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
    if kvm::works(qemu, Machine::of(Arch::HOST), "host") {
        Ok("a probe boots".to_owned())
    } else {
        Err("a probe doesn't boot under it: machines run under TCG, QEMU's translator".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Remedy, command, matching, numbers, packages, version};
    use std::os::unix::fs::PermissionsExt as _;
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
    fn the_command_names_each_package_that_is_missing_once_and_removes_none() {
        let finding = |found: Result<&str, &str>, names| Finding {
            name: "x",
            found: found.map(str::to_owned).map_err(str::to_owned),
            remedy: Remedy::Packages(names),
            needed: true,
            holes: Vec::new(),
        };
        let findings = [
            finding(Err("no"), &["passt", "binutils"]),
            finding(Ok("1.0"), &["gcc"]),
            finding(Err("no"), &["binutils"]),
        ];
        assert_eq!(
            command(&packages(&findings)),
            "apt-get install --no-remove --no-install-recommends binutils passt"
        );
    }

    /// A machine whose qemu-system-common is from backports, as set-up takes it on Debian 12.
    const APT_GET: &str = r#"case "$*" in
*"-t bookworm-backports"*qemu-system-arm*) echo "Inst qemu-system-arm (10.0.2~bpo x [amd64])" ;;
*qemu-system-arm*)
  echo "E: qemu-system-arm : Depends: qemu-system-common (= 10.0.13)"
  exit 100
  ;;
*) echo "Inst gcc-aarch64-linux-gnu (12 x [amd64])" ;;
esac"#;
    const APT_CACHE: &str = r#"for name in bookworm bookworm-backports trixie; do
  echo "     release v=1,o=Debian,a=x,n=$name,l=Debian,c=main,b=amd64"
done"#;

    #[test]
    fn packages_come_from_the_release_that_fits_what_is_installed() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, script) in [
            ("apt-get", APT_GET),
            ("apt-cache", APT_CACHE),
            ("dpkg-query", "exit 1"),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&file, mode).expect("set");
        }
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let found = |packages: &[&str]| matching(packages, Some(path.as_ref()));
        let install = "apt-get install --no-remove --no-install-recommends";
        assert_eq!(
            found(&["gcc-aarch64-linux-gnu", "qemu-system-arm"]),
            [
                format!("{install} gcc-aarch64-linux-gnu"),
                format!("{install} -t bookworm-backports qemu-system-arm"),
            ]
        );
        let none = matching(&["qemu-system-arm"], Some("/nowhere".as_ref()));
        assert_eq!(none, [""; 0]);
    }

    #[test]
    fn a_program_that_is_too_old_or_missing_is_said_to_be() {
        let cargo = Path::new("cargo");
        assert!(version(cargo, "--version", Some((1, 0))).is_ok());
        assert!(
            version(cargo, "--version", Some((9999, 0)))
                .is_err_and(|text| text.contains("too old"))
        );
        // Like the output of a passt built without a version.
        let echo = Path::new("echo");
        let text = version(echo, "unknown\nLicence 3.0", None).expect("a program");
        assert!(text.ends_with("/echo"), "{text}");
        assert!(version(Path::new("no-such-program"), "", None).is_err());
    }
}
