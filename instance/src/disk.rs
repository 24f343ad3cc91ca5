//! Metadata on a disk: a disk or partition with the label `cidata` or `config-2`, with an ISO 9660
//! or FAT file system. Nothing is written.

use crate::folder::Folder;
use crate::iso9660::{self, Iso};
use crate::{Error, Instance, config_drive, nocloud};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use fs::partition::{self, Slice};
use fs::{Block, MountError, Volume, VolumeOptions};

/// Memory for the tables of a FAT file system, in bytes.
const CACHE: usize = 64 << 10;

/// Mounts a FAT file system, as `fs::fat::mount` does.
pub type MountFat = fn(Box<dyn Block + Send>, VolumeOptions) -> Result<Box<dyn Volume>, MountError>;

/// The layout of a disk, by its label.
#[derive(Clone, Copy)]
enum Layout {
    NoCloud,
    ConfigDrive,
}

impl Layout {
    fn of_label(label: &str) -> Option<Self> {
        [("cidata", Self::NoCloud), ("config-2", Self::ConfigDrive)]
            .into_iter()
            .find_map(|(name, layout)| label.eq_ignore_ascii_case(name).then_some(layout))
    }
}

/// Reads the instance from the disk that `open` opens at each call: `None` if neither it nor one of
/// its partitions has such a label. Waits for the disk. `fat` is `None` in a program without that
/// file system, which is as large as all else here.
///
/// # Errors
/// A disk with such a label whose metadata can't be read. A disk that can't be read at all has no
/// label.
pub fn read(
    open: &mut dyn FnMut() -> Box<dyn Block + Send>,
    fat: Option<MountFat>,
) -> Result<Option<Instance>, Error> {
    let mut device = open();
    if let Some(instance) = read_volume(&mut *device, &mut *open, fat)? {
        return Ok(Some(instance));
    }
    let Ok(table) = partition::read_table(&mut *device) else {
        return Ok(None);
    };
    for part in &table.partitions {
        let (first, sectors) = (part.first, part.sectors);
        let mut open = || Box::new(Slice::new(open(), first, sectors)) as Box<dyn Block + Send>;
        let mut slice = open();
        if let Some(instance) = read_volume(&mut *slice, &mut open, fat)? {
            return Ok(Some(instance));
        }
    }
    Ok(None)
}

/// Reads the instance from the file system on `device`, if its label is one of the two.
fn read_volume(
    device: &mut dyn Block,
    open: &mut dyn FnMut() -> Box<dyn Block + Send>,
    fat: Option<MountFat>,
) -> Result<Option<Instance>, Error> {
    let iso = iso9660::label(device).unwrap_or_default();
    if let Some(layout) = iso.as_deref().and_then(Layout::of_label) {
        let folder = Iso::open(open()).map(Folder::Iso);
        return read_folder(layout, folder).map(Some);
    }
    let label = fat_label(device);
    if let Some(layout) = label.as_deref().and_then(Layout::of_label) {
        let options = VolumeOptions {
            read_only: true,
            cache_bytes: CACHE,
            stream_bytes: 0,
            ..VolumeOptions::default()
        };
        let folder = match fat {
            Some(mount) => mount(open(), options)
                .map(Folder::Fat)
                .map_err(|error| Error::new(error.detail)),
            None => Err(Error::new(
                "the program uses no files and so can't read FAT: make it ISO 9660 (cloud-localds)",
            )),
        };
        return read_folder(layout, folder).map(Some);
    }
    Ok(None)
}

fn read_folder(layout: Layout, folder: Result<Folder, Error>) -> Result<Instance, Error> {
    let (label, read): (_, fn(&mut Folder) -> _) = match layout {
        Layout::NoCloud => ("cidata", nocloud::read),
        Layout::ConfigDrive => ("config-2", config_drive::read),
    };
    folder
        .and_then(|mut folder| read(&mut folder))
        .map_err(|error| error.within(&format!("the disk labelled {label}")))
}

/// The label in the boot sector of a FAT file system: `BS_VolLab` (Microsoft's FAT specification,
/// section 3.1). Every tool that labels a new file system writes it there.
fn fat_label(device: &mut dyn Block) -> Option<String> {
    let size = device.sector_size();
    if !(512..=4096).contains(&size) || device.sectors() == 0 {
        return None;
    }
    let mut sector = vec![0; size];
    device.read(0, &mut sector).ok()?;
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    // `BPB_FATSz16` is zero for FAT32, whose fields are further on. `BS_BootSig` is 0x29 where
    // there is a label.
    let at = match sector.get(22..24)? {
        [0, 0] => 66,
        _ => 38,
    };
    if sector.get(at)? != &0x29 {
        return None;
    }
    let label = sector.get(at + 5..at + 16)?;
    Some(String::from(String::from_utf8_lossy(label).trim_end()))
}

#[cfg(test)]
mod tests;
