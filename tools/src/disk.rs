//! `soil disk`: makes, lists, extracts, checks and grows disk images with file systems, without
//! root.
//!
//! The file systems of Soil's programs (the crate `fs`) read files from an image and copy files to
//! FAT. dosfstools, e2fsprogs and sfdisk make, check and grow images.

mod check;
pub mod device;
mod files;
pub mod format;
mod grow;
pub mod image;
pub mod make;
pub mod tool;

use crate::cli::{Disk, FileSystem};
use crate::failure::Failure;
use crate::image_lock::{self, Held};
use format::{Access, Format, check_raw};
use fs::Block as _;
use image::Content;
use lock::Usage;
use std::path::Path;

/// Runs the subcommand and returns the text to print at the end.
pub fn run(command: &Disk) -> Result<String, Failure> {
    match command {
        Disk::Make(options) => {
            if let Some(format) = Format::named(&options.image) {
                let reason = format!("soil disk make writes raw disks, not {}", format.name());
                let remedy = format.conversion(&options.image);
                return Err(Failure::on(&options.image, reason).remedy(remedy));
            }
            // A program using the image would keep writing to the replaced file.
            let _held = match options.force {
                true => image_lock::take(&options.image, Usage::Write)?,
                false => Held::default(),
            };
            make::run(options)
        }
        Disk::List {
            image,
            path,
            partition,
            json,
        } => {
            let _held = held(image, Access::Read, Usage::Read)?;
            files::list(image, path, partition.as_deref(), *json)
        }
        Disk::Extract {
            image,
            directory,
            path,
            partition,
        } => {
            let _held = held(image, Access::Read, Usage::Read)?;
            files::extract(image, directory, path, partition.as_deref())
        }
        Disk::Check {
            image,
            partition,
            json,
        } => {
            let _held = held(image, Access::Read, Usage::Read)?;
            check::run(image, partition.as_deref(), *json)
        }
        Disk::Grow {
            image,
            size,
            partition,
        } => {
            let _held = held(image, Access::Write, Usage::Write)?;
            grow::run(image, size.0, partition.as_deref())
        }
    }
}

/// Locks an image, which has to be raw.
fn held(image: &Path, access: Access, usage: Usage) -> Result<Held, Failure> {
    check_raw(image, image, access)?;
    image_lock::take(image, usage)
}

/// The contents of a disk.
#[derive(Debug, PartialEq, Eq)]
pub enum Contents {
    Fat,
    Ext4,
    Tar,
    /// This number of partitions; the caller selected none.
    Partitions(usize),
    /// Only zeros where a file system would begin.
    Blank,
    /// Unrecognized contents.
    Unknown,
}

/// Returns the contents and the size in bytes of a disk, or of one of its partitions.
pub fn contents(disk: &Path, partition: Option<&str>) -> Result<(Contents, u64), Failure> {
    let count = image::table(disk)?.partitions.len();
    if count > 1 && partition.is_none() {
        return Ok((Contents::Partitions(count), size(disk)?));
    }
    let place = image::place(disk, partition)?;
    let mut device = image::device(disk, place, false)?;
    let contents = match image::content(&mut *device) {
        Content::Tar => Contents::Tar,
        Content::Known(FileSystem::Ext4) => Contents::Ext4,
        Content::Known(FileSystem::Fat) if is_blank(&mut *device) => Contents::Blank,
        Content::Known(FileSystem::Fat) => match image::mount(disk, device, None) {
            Ok(_) => Contents::Fat,
            Err(_) => Contents::Unknown,
        },
    };
    Ok((contents, place.size))
}

/// Whether the device starts with zeros only, so that no file system can begin here.
fn is_blank(device: &mut dyn fs::Block) -> bool {
    let mut start = [0; 2048];
    device.read(0, &mut start).is_ok() && start.iter().all(|byte| *byte == 0)
}

/// Returns the size of a disk in bytes.
pub fn size(disk: &Path) -> Result<u64, Failure> {
    Ok(device::Image::open(disk)?.sectors() * device::SECTOR)
}

/// Formats a number of bytes in short form.
pub fn shown(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            let tenths = bytes.saturating_mul(10) / unit;
            return if tenths.is_multiple_of(10) {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{bytes} bytes")
}
