//! Searches for static libraries.

use crate::arch::Arch;
use crate::failure::Failure;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Libraries that musl includes in libc.a.
const IN_MUSL: [&str; 10] = [
    "c", "m", "pthread", "dl", "rt", "util", "resolv", "crypt", "xnet", "gcc_s",
];

/// Debian's packages of static libraries whose names don't follow from the library's.
const PACKAGES: [(&str, &str); 10] = [
    ("crypto", "libssl-dev"),
    ("curl", "libcurl4-openssl-dev"),
    ("gmpxx", "libgmp-dev"),
    ("ncurses", "libncurses-dev"),
    ("pcre2-8", "libpcre2-dev"),
    ("png16", "libpng-dev"),
    ("stdc++", "g++"),
    ("tinfo", "libncurses-dev"),
    ("uv", "libuv1-dev"),
    ("z", "zlib1g-dev"),
];

/// Debian's package with the static archive of a library.
fn package(name: &str) -> String {
    match PACKAGES.iter().find(|(library, _)| *library == name) {
        Some((_, package)) => (*package).to_owned(),
        None => format!("lib{name}-dev").to_lowercase(),
    }
}

/// Distributions' folders of static libraries: of this machine, or of another processor's packages
/// that were unpacked for this user.
fn system(arch: Arch) -> Vec<PathBuf> {
    let triplet = arch.triplet();
    let Some(tree) = arch.tree().filter(|_| !arch.is_host()) else {
        let own = ["/usr/lib/", "/lib/"].map(|folder| PathBuf::from(folder.to_owned() + triplet));
        let [first, second] = own;
        let [local, wide, plain] = ["/usr/local/lib", "/usr/lib64", "/usr/lib"].map(PathBuf::from);
        return vec![local, first, second, wide, plain];
    };
    vec![tree.join("usr/lib").join(triplet), tree.join("usr/lib")]
}

/// musl's folder: start files and libc.a.
pub struct Musl(PathBuf);

impl Musl {
    /// Finds musl: in `SOIL_MUSL`, else where Debian, Fedora, Arch and musl's own installation
    /// put it; for another processor among the packages that were unpacked for this user.
    pub fn find(arch: Arch) -> Result<Self, Failure> {
        let name = arch.name();
        let usual = match arch.tree() {
            None => vec![
                PathBuf::from(format!("/usr/lib/{name}-linux-musl")),
                PathBuf::from(format!("/usr/{name}-linux-musl/lib64")),
                PathBuf::from("/usr/lib/musl/lib"),
                PathBuf::from("/usr/local/musl/lib"),
            ],
            Some(tree) => vec![
                tree.join(format!("usr/lib/{name}-linux-musl")),
                PathBuf::from(format!("/usr/lib/{name}-linux-musl")),
            ],
        };
        let is_musl =
            |folder: &Path| folder.join("libc.a").is_file() && folder.join("crt1.o").is_file();
        if let Some(folder) = std::env::var_os("SOIL_MUSL").map(PathBuf::from) {
            return if is_musl(&folder) {
                Ok(Self(folder))
            } else {
                let subject = format!("SOIL_MUSL={}", folder.display());
                Err(Failure::on(subject, "no libc.a and crt1.o there"))
            };
        }
        let found = usual.into_iter().find(|folder| is_musl(folder));
        found.map(Self).ok_or_else(|| match arch.is_host() {
            true => Failure::new("the static C library musl wasn't found")
                .remedy("apt-get install musl-dev (or name its folder in SOIL_MUSL)"),
            false => Failure::new(format!("the static C library musl for {arch} wasn't found"))
                .remedy(format!(
                    "soil doctor --arch {arch} --fix (or name its folder in SOIL_MUSL)"
                )),
        })
    }

    /// Returns the path of one of musl's files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// The search path for `-l`.
pub struct Search<'a> {
    arch: Arch,
    directories: &'a [PathBuf],
    musl: &'a Musl,
    compiler: &'a OsStr,
}

impl<'a> Search<'a> {
    /// Searches `directories`, musl's folder and the system's folders, in this order, then those of
    /// the C compiler, which have the C++ library.
    pub fn new(
        arch: Arch,
        directories: &'a [PathBuf],
        musl: &'a Musl,
        compiler: &'a OsStr,
    ) -> Self {
        Self {
            arch,
            directories,
            musl,
            compiler,
        }
    }

    /// Finds the archive of library `name`. `None` if musl's libc includes it.
    pub fn find(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        if IN_MUSL.contains(&name) {
            return Ok(None);
        }
        let file = match name.strip_prefix(':') {
            Some(file) => file.to_string(),
            None => format!("lib{name}.a"),
        };
        let system = system(self.arch);
        let folders = self
            .directories
            .iter()
            .chain([&self.musl.0])
            .chain(&system)
            .map(PathBuf::as_path);
        let mut shared = None;
        for folder in folders {
            let archive = folder.join(&file);
            if archive.is_file() {
                return Ok(Some(archive));
            }
            let object = folder.join(format!("lib{name}.so"));
            if shared.is_none() && object.exists() {
                shared = Some(object);
            }
        }
        if let Some(archive) = file_of_compiler(self.compiler, &file) {
            return Ok(Some(archive));
        }
        Err(match shared {
            Some(object) => Failure::new(format!(
                "library {name} is there as a shared object only ({}), and an image can't load one",
                object.display()
            ))
            .remedy(format!("install or build its static archive {file}")),
            None => {
                let failure = Failure::new(format!(
                    "library {name} wasn't found: no {file} in the folders of -L or the system's"
                ));
                let (arch, package) = (self.arch, package(name));
                failure.remedy(match arch.is_host() {
                    true => format!("install it (Debian: apt-get install {package})"),
                    false => format!("soil doctor --arch {arch} --fix {package}"),
                })
            }
        })
    }
}

/// Finds the compiler's archives: arithmetic that the processor lacks instructions for, and the
/// unwinder of C++, which Rust's std refers to as well although nothing of it unwinds in an image.
pub fn compiler_runtime(compiler: &OsStr) -> Vec<PathBuf> {
    ["libgcc.a", "libgcc_eh.a"]
        .into_iter()
        .filter_map(|name| file_of_compiler(compiler, name))
        .collect()
}

/// Finds a file in the folders of the C compiler.
fn file_of_compiler(compiler: &OsStr, name: &str) -> Option<PathBuf> {
    let option = format!("-print-file-name={name}");
    let output = Command::new(compiler).arg(option).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::{Musl, Search, package};
    use crate::arch::Arch;
    use std::ffi::OsStr;
    use std::path::PathBuf;

    #[test]
    fn says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let musl = Musl(PathBuf::from("/nowhere"));
        let directories = [folder.path().to_path_buf()];
        let search = Search::new(Arch::HOST, &directories, &musl, OsStr::new("gcc"));
        assert_eq!(search.find("m"), Ok(None));
        assert!(
            search
                .find("soil-none")
                .unwrap_err()
                .to_string()
                .contains("libsoil-none.a")
        );
        let foreign = match Arch::HOST {
            Arch::X86_64 => Arch::Aarch64,
            Arch::Aarch64 => Arch::X86_64,
        };
        for (arch, remedy) in [
            (Arch::HOST, "apt-get install libsoil-none-dev".to_owned()),
            (foreign, format!("--arch {foreign} --fix libsoil-none-dev")),
        ] {
            let error =
                Search::new(arch, &directories, &musl, OsStr::new("none")).find("soil-none");
            let text = error.expect_err("none").to_string();
            assert!(text.contains(&remedy), "{text}");
        }
        assert_eq!(package("z"), "zlib1g-dev");
        std::fs::write(folder.path().join("libsoil-some.so"), "").unwrap();
        assert!(
            search
                .find("soil-some")
                .unwrap_err()
                .to_string()
                .contains("shared object only")
        );
        let archive = folder.path().join("libsoil-some.a");
        std::fs::write(&archive, "").unwrap();
        assert_eq!(search.find("soil-some"), Ok(Some(archive)));
    }
}
