//! OCaml's compiler and libraries for another architecture, which tools/setup/cross.sh unpacked.

use crate::arch::Arch;
use crate::executables::find_program;
use std::path::Path;
use std::process::{Command, Stdio};

/// The version of the compiler for `arch`, or why it can't be used.
pub fn check(arch: Arch) -> Result<String, String> {
    let root = arch.tree().ok_or("no HOME")?;
    let compiler = root.join("bin/ocamlopt");
    let musl = root.join(format!("usr/lib/{arch}-linux-musl/libc.a"));
    if let Some(file) = [&compiler, &musl].into_iter().find(|file| !file.is_file()) {
        return Err(format!("no {}", file.display()));
    }
    // The wrapper's interpreter may have been removed since.
    let found = version(&compiler).ok_or_else(|| format!("{} doesn't run", compiler.display()))?;
    match version(Path::new("ocamlopt")) {
        Some(own) if own != found => {
            let path = find_program(Path::new("ocamlopt")).unwrap_or_default();
            let path = path.display();
            Err(format!("it is OCaml {found}, and {path} is OCaml {own}"))
        }
        _ => Ok(found),
    }
}

fn version(compiler: &Path) -> Option<String> {
    output(Command::new(compiler).arg("-version"))
}

/// The first line that a command prints, if it succeeds.
pub fn output(command: &mut Command) -> Option<String> {
    let command = command.stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next().filter(|_| output.status.success());
    line.map(str::to_owned)
}

/// What brings a library for another architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A package of Debian.
    Package(String),
    /// Soil's own installation.
    Soil,
    /// No package of Debian has the library that this machine uses.
    Unknown,
}

/// Those of the libraries that this machine has, and `arch` hasn't, by findlib.
pub fn missing(arch: Arch, libraries: impl IntoIterator<Item = String>) -> Vec<(String, Source)> {
    let Some(configuration) = arch.tree().map(|tree| tree.join("findlib.conf")) else {
        return Vec::new();
    };
    let place = |name: &str, foreign: bool| {
        let mut command = Command::new("ocamlfind");
        if foreign {
            // dune doesn't search it for another architecture.
            command.env_remove("OCAMLPATH");
            command.env("OCAMLFIND_CONF", &configuration);
            command.args(["-toolchain", arch.name()]);
        }
        output(command.args(["query", name]))
    };
    let missing = |name: String| {
        let here = place(&name, false)?;
        // A library of OCaml's own distribution has no folder of its own.
        if place(&name, true).is_some() {
            return None;
        }
        let root = name.split('.').next().unwrap_or(&name);
        let source = match root {
            "soil" => Source::Soil,
            // Debian may have the native code in another package than META.
            _ => owner(&format!("{here}/*.cmxa"))
                .or_else(|| owner(&format!("{here}/META")))
                .map_or(Source::Unknown, Source::Package),
        };
        Some((name, source))
    };
    libraries.into_iter().filter_map(missing).collect()
}

/// The package of Debian that installed a file whose path fits a pattern.
fn owner(pattern: &str) -> Option<String> {
    let line = output(Command::new("dpkg-query").args(["-S", pattern]))?;
    let name = line.split([':', ',']).next()?;
    Some(name.to_owned())
}

/// The commands that bring these libraries.
pub fn remedy(arch: Arch, missing: &[(String, Source)]) -> String {
    let mut packages: Vec<&str> = Vec::new();
    let (mut is_soil, mut unknown) = (false, Vec::new());
    for (name, source) in missing {
        match source {
            Source::Package(package) if packages.contains(&&**package) => {}
            Source::Package(package) => packages.push(package),
            Source::Soil => is_soil = true,
            Source::Unknown => unknown.push(name.as_str()),
        }
    }
    let mut commands = Vec::new();
    if is_soil {
        commands.push(format!("make install-{arch} in Soil's repository"));
    }
    if !packages.is_empty() {
        let packages = packages.join(" ");
        commands.push(format!("soil doctor --arch {arch} --fix {packages}"));
    }
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        commands.push(format!(
            "soil doctor --arch {arch} --fix PACKAGE, with Debian's package of {names}, or have \
            the sources in the workspace"
        ));
    }
    commands.join("; ")
}

#[cfg(test)]
mod tests {
    use super::{Source, missing, output, remedy};
    use crate::arch::Arch;
    use std::process::Command;

    #[test]
    fn commands_bring_what_is_missing() {
        let package = |name: &str| Source::Package(format!("lib{name}-ocaml-dev"));
        let missing = [
            ("lwt".to_owned(), package("lwt")),
            ("lwt.unix".to_owned(), package("lwt")),
            ("soil".to_owned(), Source::Soil),
            ("mine".to_owned(), Source::Unknown),
        ];
        let text = remedy(Arch::Aarch64, &missing);
        for part in [
            "make install-aarch64 in",
            "--fix liblwt-ocaml-dev;",
            "package of mine",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(remedy(Arch::Aarch64, &[]), "");
    }

    #[test]
    fn a_library_that_this_machine_lacks_is_none_of_another_s() {
        let names = ["soil-none".to_owned()];
        assert_eq!(missing(Arch::Aarch64, names), []);
    }

    #[test]
    fn only_a_command_that_succeeds_has_an_output() {
        let sh = |script: &str| output(Command::new("sh").args(["-c", script]));
        assert_eq!(sh("echo a; echo b"), Some("a".into()));
        assert_eq!(sh("echo a; exit 1"), None);
    }
}
