//! The processors that images are for, and where the files for each of them are.

use object::elf;
use object::read::archive::ArchiveFile;
use object::{Architecture, Object as _};
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Arch {
    /// 64-bit PCs.
    #[value(name = "x86_64", aliases = ["x86-64", "amd64"])]
    X86_64,
    /// 64-bit Arm.
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
}

impl Arch {
    /// This machine's own.
    pub const HOST: Self = match std::env::consts::ARCH.as_bytes() {
        b"aarch64" => Self::Aarch64,
        _ => Self::X86_64,
    };

    /// The name that dune's contexts, Rust and QEMU have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// QEMU's program for it.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// Debian's package with that program.
    pub const fn qemu_package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
            Self::Aarch64 => "qemu-system-arm",
        }
    }

    /// The name that Debian, Go and container images have for it.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// GNU's name of Linux on it.
    pub const fn triplet(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// The dune context that links images for it.
    pub const fn context(self) -> &'static str {
        match self {
            _ if self.is_host() => "soil",
            Self::X86_64 => "soil-x86_64",
            Self::Aarch64 => "soil-aarch64",
        }
    }

    /// Whether this machine runs its code.
    pub const fn is_host(self) -> bool {
        matches!(
            (self, Self::HOST),
            (Self::X86_64, Self::X86_64) | (Self::Aarch64, Self::Aarch64)
        )
    }

    /// The architecture of an ELF file with this machine number.
    pub fn of_machine(machine: elf::Machine) -> Option<Self> {
        match machine {
            elf::EM_X86_64 => Some(Self::X86_64),
            elf::EM_AARCH64 => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The architecture of an object, or of the first object of an archive; `None` for other files.
    pub fn of_file(path: &Path) -> Option<Self> {
        Self::of_bytes(&std::fs::read(path).ok()?)
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let of_object = |bytes: &[u8]| match object::File::parse(bytes).ok()?.architecture() {
            Architecture::X86_64 => Some(Self::X86_64),
            Architecture::Aarch64 => Some(Self::Aarch64),
            _ => None,
        };
        match ArchiveFile::parse(bytes) {
            Ok(archive) => {
                let mut members = archive.members().filter_map(Result::ok);
                members.find_map(|member| of_object(member.data(bytes).ok()?))
            }
            Err(_) => of_object(bytes),
        }
    }

    /// The name of a program of GCC or GNU binutils for it: this machine's own, or the cross one.
    pub fn tool(self, name: &str) -> OsString {
        match self.is_host() {
            true => name.into(),
            false => format!("{}-{name}", self.triplet()).into(),
        }
    }

    /// Debian's package with the programs of [`tool`](Self::tool), GCC's or binutils'.
    pub fn package(self, name: &str) -> String {
        match self.is_host() {
            true => name.to_owned(),
            false => format!("{name}-{}", self.triplet()),
        }
    }

    /// The folder of Debian's packages for it that were unpacked for this user
    /// (tools/setup/cross.sh); `None` on such a machine itself.
    pub fn tree(self) -> Option<PathBuf> {
        if self.is_host() {
            return None;
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = match set("XDG_CACHE_HOME") {
            Some(cache) => PathBuf::from(cache),
            None => Path::new(&set("HOME")?).join(".cache"),
        };
        Some(cache.join("soil").join(self.name()).join("root"))
    }
}

impl Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Arch;
    use object::elf;

    #[test]
    fn a_file_has_the_architecture_of_its_objects() {
        let this = std::env::current_exe().expect("known");
        assert_eq!(Arch::of_file(&this), Some(Arch::HOST));
        let mut header = [0_u8; 64];
        header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        header[16..20].copy_from_slice(&[1, 0, 183, 0]);
        header[52] = 64;
        assert_eq!(Arch::of_bytes(&header), Some(Arch::Aarch64));
        let mut archive = b"!<arch>\n".to_vec();
        let member = format!(
            "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            "a.o/", 0, 0, 0, 644, 64
        );
        archive.extend_from_slice(member.as_bytes());
        archive.extend_from_slice(&header);
        assert_eq!(Arch::of_bytes(&archive), Some(Arch::Aarch64));
        for other in [&b""[..], b"!<arch>\n", b"#!/bin/sh\n", &header[..20]] {
            assert_eq!(Arch::of_bytes(other), None);
        }
        assert_eq!(Arch::of_machine(elf::EM_386), None);
    }

    #[test]
    fn programs_of_another_architecture_have_a_prefix() {
        for (arch, prefix) in [(Arch::X86_64, "x86_64"), (Arch::Aarch64, "aarch64")] {
            let (tool, context) = (arch.tool("ld"), arch.context());
            if arch.is_host() {
                assert!(tool == "ld" && context == "soil" && arch.tree().is_none());
            } else {
                assert_eq!(tool, format!("{prefix}-linux-gnu-ld").as_str());
                assert_eq!(context, format!("soil-{prefix}"));
                assert!(arch.tree().is_none_or(|tree| tree.ends_with("root")));
            }
        }
    }
}
