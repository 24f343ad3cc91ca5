//! Metadata on a disk: a disk or partition with the label `cidata` or `config-2`, with an ISO 9660
//! or FAT file system. Nothing is written. A disk that the machine boots from has none.

use crate::folder::Folder;
use crate::{Error, Instance, config_drive, nocloud};
use alloc::boxed::Box;
use alloc::format;
use fs::Block;
use fs::partition::{self, Slice};

/// The label of the partition with the program on a disk of `soil image`, which Secure Boot's
/// signature covers. The program writes to the data partition there, and what it wrote must not
/// configure it.
const BOOT: &str = "soil-boot";

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
/// its partitions has such a label, or if it is a disk of `soil image`. Waits for the disk.
///
/// # Errors
/// A disk with such a label whose metadata can't be read. A disk that can't be read at all has no
/// label.
pub fn read(open: &mut dyn FnMut() -> Box<dyn Block + Send>) -> Result<Option<Instance>, Error> {
    let table = partition::read_table(&mut *open()).map(|table| table.partitions);
    let partitions = table.unwrap_or_default();
    if partitions.iter().any(|partition| partition.label == BOOT) {
        return Ok(None);
    }
    if let Some(instance) = read_volume(open)? {
        return Ok(Some(instance));
    }
    for part in &partitions {
        let (first, sectors) = (part.first, part.sectors);
        let mut open = || Box::new(Slice::new(open(), first, sectors)) as Box<dyn Block + Send>;
        if let Some(instance) = read_volume(&mut open)? {
            return Ok(Some(instance));
        }
    }
    Ok(None)
}

/// Reads the instance from the file system on a device, if its label is one of the two.
fn read_volume(open: &mut dyn FnMut() -> Box<dyn Block + Send>) -> Result<Option<Instance>, Error> {
    let Some((mut folder, layout)) = Folder::open(open, Layout::of_label) else {
        return Ok(None);
    };
    let (label, instance) = match layout {
        Layout::NoCloud => ("cidata", nocloud::read(&mut folder)),
        Layout::ConfigDrive => ("config-2", config_drive::read(&mut folder)),
    };
    let instance = instance.map_err(|error| error.within(&format!("the disk labelled {label}")));
    instance.map(Some)
}

#[cfg(test)]
mod tests;
