//! The formats of disks: raw, and those that are made of it.

use crate::cli::image::ImageFormat;
use crate::disk::image::Unfinished;
use crate::disk::make::text;
use crate::disk::tool::{QEMU_IMG, TAR};
use crate::failure::{Context as _, Failure};
use crate::progress;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of the footer of a VHD (Virtual Hard Disk Image Format Specification 1.0).
const FOOTER: u64 = 512;

/// The raw disk that is being made.
pub struct Raw<'a> {
    format: ImageFormat,
    target: &'a Unfinished,
    /// A file of its own, unless the disk stays raw.
    own: Option<Unfinished>,
}

impl<'a> Raw<'a> {
    /// Begins a disk that ends in `target`.
    pub fn new(target: &'a Unfinished, format: ImageFormat) -> Result<Self, Failure> {
        let own = match format {
            ImageFormat::Raw | ImageFormat::Oci => None,
            ImageFormat::Qcow2 | ImageFormat::Vhd | ImageFormat::Gce => Some(target.beside()?),
        };
        Ok(Self {
            format,
            target,
            own,
        })
    }

    pub fn path(&self) -> &Path {
        self.own.as_ref().unwrap_or(self.target).path()
    }

    /// Writes the disk in its format to the target.
    pub fn convert(self) -> Result<(), Failure> {
        let (from, to) = (text(self.path())?, text(self.target.path())?);
        let convert = |options: &[&str]| {
            let words = [&["convert", "-f", "raw"], options, &[&from, &to]].concat();
            progress::during("converting", || QEMU_IMG.must(&words, ""))
        };
        match self.format {
            ImageFormat::Raw | ImageFormat::Oci => Ok(()),
            ImageFormat::Qcow2 => convert(&["-O", "qcow2"]),
            ImageFormat::Vhd => {
                convert(&["-O", "vpc", "-o", "subformat=fixed,force_size=on"])?;
                fix_footer(self.target.path())
            }
            ImageFormat::Gce => progress::during("compressing", || {
                TAR.must(
                    &[
                        "--create",
                        "--format=oldgnu",
                        "--sparse",
                        // Not by the host's file system, so the same disk gives the same archive.
                        "--hole-detection=raw",
                        "--owner=0",
                        "--group=0",
                        "--numeric-owner",
                        "--mode=0644",
                        "--mtime=@0",
                        "--transform=s|.*|disk.raw|",
                        "--absolute-names",
                        "--use-compress-program=gzip -n",
                        &format!("--file={to}"),
                        &from,
                    ],
                    "",
                )
            }),
        }
    }
}

/// Removes what qemu-img makes different each time: the footer's time and unique ID.
fn fix_footer(disk: &Path) -> Result<(), Failure> {
    let file = File::options().read(true).write(true).open(disk).on(disk)?;
    let at = file.metadata().on(disk)?.len().saturating_sub(FOOTER);
    let mut footer = [0; FOOTER as usize];
    file.read_exact_at(&mut footer, at).on(disk)?;
    reproducible(&mut footer);
    file.write_all_at(&footer, at).on(disk)
}

fn reproducible(footer: &mut [u8; FOOTER as usize]) {
    // The time stamp at 24, the checksum at 64, the unique ID from 68 on.
    for range in [24..28, 64..68, 68..84] {
        if let Some(field) = footer.get_mut(range) {
            field.fill(0);
        }
    }
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(field) = footer.get_mut(64..68) {
        field.copy_from_slice(&(!sum).to_be_bytes());
    }
}

/// The format of a disk, unless it is raw.
pub fn of(disk: &Path) -> Result<Option<&'static str>, Failure> {
    let file = File::open(disk).on(disk)?;
    let len = file.metadata().on(disk)?.len();
    let begins = |at: u64, magic: &[u8]| {
        let mut bytes = vec![0; magic.len()];
        file.read_exact_at(&mut bytes, at).is_ok() && bytes == magic
    };
    let known = [
        (0, &b"QFI\xfb"[..], ImageFormat::Qcow2),
        (len.saturating_sub(FOOTER), b"conectix", ImageFormat::Vhd),
        (0, b"\x1f\x8b", ImageFormat::Gce),
    ];
    let mut known = known.iter().filter(|(at, magic, _)| begins(*at, magic));
    Ok(known.next().map(|(.., format)| format.name()))
}

#[cfg(test)]
mod tests {
    use super::{of, reproducible};
    use std::io::Write as _;

    #[test]
    fn a_footer_has_no_time_and_a_checksum() {
        let mut footer = [0x55; 512];
        reproducible(&mut footer);
        assert_eq!(footer[24..28], [0; 4]);
        assert_eq!(footer[68..84], [0; 16]);
        let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = footer[64..68].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(footer[64..68], (!(sum - own)).to_be_bytes());
    }

    #[test]
    fn a_format_is_known_by_its_magic() {
        let format = |bytes: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(bytes).expect("written");
            of(file.path()).expect("readable")
        };
        assert_eq!(format(b"QFI\xfb\0\0\0\x03"), Some("qcow2"));
        assert_eq!(format(b"\x1f\x8b\x08"), Some("gce"));
        let mut vhd = vec![0; 1024];
        vhd[512..520].copy_from_slice(b"conectix");
        assert_eq!(format(&vhd), Some("vhd"));
        assert_eq!(format(&[0; 1024]), None);
        assert_eq!(format(b""), None);
    }
}
