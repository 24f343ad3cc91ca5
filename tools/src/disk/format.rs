//! The formats of disk files: what a name says, and what a file begins with.

use super::device::SECTOR;
use crate::failure::Failure;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::Path;

/// Bytes of the footer of a VHD (Virtual Hard Disk Image Format Specification 1.0).
pub const FOOTER: u64 = SECTOR;

/// A format of a disk file other than raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// QEMU's.
    Qcow2,
    /// Connectix's and Azure's; a fixed one is a raw disk before its footer.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// VMware's.
    Vmdk,
    /// VirtualBox's.
    Vdi,
    /// A compressed file, or Google Compute Engine's archive.
    Gzip,
}

/// What is done with a disk's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is read: a VHD's footer doesn't matter.
    Read,
    /// It is written, too.
    Write,
    /// A program gets it, to read or to write, and may expect a compressed file there.
    Program { read_only: bool },
}

impl Format {
    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Gzip => "gzip",
        }
    }

    /// The format of a disk's file; `None` for a raw disk, and for what can't be read.
    pub fn of(disk: &Path) -> Option<Self> {
        let file = File::open(disk).ok()?;
        let footer = file.metadata().ok()?.len().saturating_sub(FOOTER);
        found(&file, footer)
    }

    /// Its name for `qemu-img` and QEMU, if that has it.
    pub const fn of_qemu(self) -> Option<&'static str> {
        match self {
            Self::Vhd => Some("vpc"),
            Self::Gzip => None,
            other => Some(other.name()),
        }
    }

    /// The format that a file's name promises.
    pub fn named(file: &Path) -> Option<Self> {
        let suffix = file.extension()?.to_str()?.to_ascii_lowercase();
        Some(match &*suffix {
            "qcow2" | "qcow" => Self::Qcow2,
            "vhd" | "vpc" => Self::Vhd,
            "vhdx" => Self::Vhdx,
            "vmdk" => Self::Vmdk,
            "vdi" => Self::Vdi,
            "gz" | "tgz" => Self::Gzip,
            _ => return None,
        })
    }

    /// The command that makes `file` of this format from the raw disk that is named beside it.
    pub fn conversion(self, file: &Path) -> String {
        let raw = file.with_extension("img");
        let (raw, file) = (raw.display(), file.display());
        match self.of_qemu() {
            Some(name) => {
                format!("name it {raw}, and then: qemu-img convert -O {name} {raw} {file}")
            }
            None => format!("name it {raw}, and then: gzip {raw}"),
        }
    }

    /// The command that makes a raw disk of `file`.
    pub fn to_raw(self, file: &Path) -> String {
        let file = file.display();
        match self.of_qemu() {
            Some(_) => format!("qemu-img convert -O raw {file} disk.img"),
            None => format!("unpack it: gzip -dk {file}, or tar -xzf {file}"),
        }
    }
}

/// The format of a disk's file, by its magic number and that at `footer`; `None` for a raw disk.
fn found(file: &File, footer: u64) -> Option<Format> {
    let begins = |at: u64, magic: &[u8]| {
        let mut bytes = vec![0; magic.len()];
        file.read_exact_at(&mut bytes, at).is_ok() && bytes == magic
    };
    let known = [
        (0, &b"QFI\xfb"[..], Format::Qcow2),
        (0, b"conectix", Format::Vhd),
        (footer, b"conectix", Format::Vhd),
        (0, b"vhdxfile", Format::Vhdx),
        (0, b"KDMV", Format::Vmdk),
        (0, b"# Disk DescriptorFile", Format::Vmdk),
        (64, b"\x7f\x10\xda\xbe", Format::Vdi),
        (0, b"\x1f\x8b", Format::Gzip),
    ];
    let mut known = known.iter().filter(|(at, magic, _)| begins(*at, magic));
    known.next().map(|(.., format)| *format)
}

/// Checks that a disk's file is raw. One that can't be opened is left to the caller's own error.
pub fn check_raw(subject: impl AsRef<Path>, disk: &Path, access: Access) -> Result<(), Failure> {
    let Ok(known) = std::fs::metadata(disk) else {
        return Ok(());
    };
    // Opening other kinds of files could block.
    if !known.is_file() && !known.file_type().is_block_device() {
        return Ok(());
    }
    let footer = match access {
        Access::Read | Access::Program { read_only: true } => 0,
        Access::Write | Access::Program { read_only: false } => known.len().saturating_sub(FOOTER),
    };
    let Some(format) = File::open(disk).ok().and_then(|file| found(&file, footer)) else {
        return Ok(());
    };
    let reason = match format {
        Format::Gzip if matches!(access, Access::Program { .. }) => return Ok(()),
        Format::Gzip => "a compressed file, not a raw disk".to_owned(),
        format => format!("a disk in the format {}, not raw", format.name()),
    };
    Err(Failure::on(subject, reason).remedy(format.to_raw(disk)))
}

#[cfg(test)]
mod tests {
    use super::{Access, Format, check_raw};
    use std::io::Write as _;
    use std::path::Path;

    #[test]
    fn a_format_is_known_by_its_magic() {
        let mut vhd = vec![0; 1024];
        vhd[512..520].copy_from_slice(b"conectix");
        let mut vdi = vec![0; 512];
        vdi[64..68].copy_from_slice(b"\x7f\x10\xda\xbe");
        for (bytes, expected) in [
            (&b"QFI\xfb\0\0\0\x03"[..], Some(Format::Qcow2)),
            (b"\x1f\x8b\x08", Some(Format::Gzip)),
            (b"vhdxfile", Some(Format::Vhdx)),
            (b"KDMV\x01", Some(Format::Vmdk)),
            (b"# Disk DescriptorFile\nversion=1\n", Some(Format::Vmdk)),
            (b"conectix", Some(Format::Vhd)),
            (&vhd, Some(Format::Vhd)),
            (&vdi, Some(Format::Vdi)),
            (&[0; 1024], None),
            (b"", None),
        ] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(bytes).expect("written");
            let checked = check_raw("disk d", file.path(), Access::Write);
            assert_eq!(
                checked.is_err(),
                expected.is_some(),
                "{bytes:?}: {checked:?}"
            );
            if let (Err(failure), Some(format)) = (checked, expected) {
                let text = failure.to_string();
                let names = text.contains(format.name()) && text.starts_with("disk d: ");
                assert!(names, "{text}");
            }
        }
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"\x1f\x8b\x08").expect("written");
        let program = Access::Program { read_only: true };
        assert_eq!(check_raw("disk d", file.path(), program), Ok(()));
        // A fixed one is a raw disk up to its footer.
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&vhd).expect("written");
        assert_eq!(check_raw(file.path(), file.path(), Access::Read), Ok(()));
        for missing in ["/nowhere/d.img", "/"] {
            assert_eq!(check_raw(missing, missing.as_ref(), Access::Write), Ok(()));
        }
    }

    #[test]
    fn a_name_promises_a_format() {
        for (name, expected) in [
            ("a.qcow2", Some("qcow2")),
            ("a.b.QCOW2", Some("qcow2")),
            ("a.vhd", Some("vhd")),
            ("a.vhdx", Some("vhdx")),
            ("a.vmdk", Some("vmdk")),
            ("a.vdi", Some("vdi")),
            ("a.tar.gz", Some("gzip")),
            ("a.img", None),
            ("a.raw", None),
            ("qcow2", None),
        ] {
            assert_eq!(
                Format::named(Path::new(name)).map(Format::name),
                expected,
                "{name}"
            );
        }
        let command = Format::Vhd.conversion(Path::new("x/a.vhd"));
        assert!(
            command.ends_with("qemu-img convert -O vpc x/a.img x/a.vhd"),
            "{command}"
        );
    }
}
