//! The formats of disks: raw, and those that are made of it.

use crate::cli::image::ImageFormat;
use crate::cli::value_name;
use crate::disk::format::{FOOTER, Format};
use crate::disk::image::Unfinished;
use crate::disk::make::text;
use crate::disk::tool::{QEMU_IMG, TAR};
use crate::failure::{Context as _, Failure};
use crate::progress;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

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

/// The format to write: the given one, else that of the file's name, else raw. A name that promises
/// another format is refused, since what opens the file goes by it.
pub fn wanted(given: Option<ImageFormat>, output: &Path) -> Result<ImageFormat, Failure> {
    if given == Some(ImageFormat::Oci) {
        return Ok(ImageFormat::Oci);
    }
    let Some(named) = Format::named(output) else {
        return Ok(given.unwrap_or(ImageFormat::Raw));
    };
    let written = match named {
        Format::Qcow2 => ImageFormat::Qcow2,
        Format::Vhd => ImageFormat::Vhd,
        Format::Gzip => ImageFormat::Gce,
        Format::Vhdx | Format::Vmdk | Format::Vdi => {
            let reason = format!("soil image doesn't write {}", named.name());
            return Err(Failure::on(output, reason).remedy(named.conversion(output)));
        }
    };
    match given {
        Some(given) if given != written => {
            let (given, name) = (value_name(&given), named.name());
            let reason = format!("--format {given} doesn't go with a file that is named {name}");
            let remedy = format!(
                "leave out --format, which writes {}, or change the name",
                value_name(&written)
            );
            Err(Failure::on(output, reason).remedy(remedy))
        }
        _ => Ok(written),
    }
}

#[cfg(test)]
mod tests {
    use super::{reproducible, wanted};
    use crate::cli::image::ImageFormat;
    use std::path::Path;

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
    fn the_format_is_that_of_the_name() {
        let of = |given, name: &str| wanted(given, Path::new(name));
        for (name, expected) in [
            ("a.img", ImageFormat::Raw),
            ("a", ImageFormat::Raw),
            ("a.qcow2", ImageFormat::Qcow2),
            ("a.vhd", ImageFormat::Vhd),
            ("a.tar.gz", ImageFormat::Gce),
        ] {
            assert_eq!(of(None, name), Ok(expected), "{name}");
            assert_eq!(of(Some(expected), name), Ok(expected), "{name}");
        }
        assert_eq!(
            of(Some(ImageFormat::Qcow2), "a.img"),
            Ok(ImageFormat::Qcow2)
        );
        assert_eq!(of(Some(ImageFormat::Oci), "a.qcow2"), Ok(ImageFormat::Oci));
        for (given, name, said) in [
            (
                None,
                "a.vmdk",
                "a.vmdk: soil image doesn't write vmdk: name it a.img, and then: qemu-img convert -O \
                vmdk a.img a.vmdk",
            ),
            (None, "a.vdi", "doesn't write vdi"),
            (None, "a.vhdx", "doesn't write vhdx"),
            (Some(ImageFormat::Raw), "a.vmdk", "doesn't write vmdk"),
            (
                Some(ImageFormat::Raw),
                "a.qcow2",
                "--format raw doesn't go with",
            ),
            (Some(ImageFormat::Vhd), "a.tar.gz", "which writes gce"),
        ] {
            let error = of(given, name).expect_err(name).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
