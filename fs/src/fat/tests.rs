//! What FAT does with names, sizes and errors, on small volumes in memory.

use alloc::boxed::Box;
use alloc::vec;

use hadris_fat::FatOptions;

use super::{Options, mount};
use crate::fake::Disk;
use crate::{Error, OpenFlags, Volume};

const WRITE: OpenFlags = OpenFlags::WRITE.union(OpenFlags::CREATE);

/// A new volume of 4 MiB, and its disk.
fn volume() -> (Box<dyn Volume>, Disk) {
    let mut image = vec![0; 4 << 20];
    hadris_fat::sync::format(&mut image, &FatOptions::new()).unwrap();
    let disk = Disk::new(image, 512);
    let volume = mount(Box::new(disk.clone()), Options::default()).unwrap();
    (volume, disk)
}

/// Makes an empty file.
fn touch(volume: &mut dyn Volume, path: &str) {
    let file = volume.open(path, WRITE).unwrap();
    volume.close(file).unwrap();
}

/// POSIX names the kinds first ([EISDIR], [ENOTDIR]): that what is replaced is open is FAT's own
/// reason, and comes after them.
#[test]
fn a_rename_names_the_kinds_before_what_is_open() {
    let (mut volume, _) = volume();
    for directory in ["d", "empty", "full"] {
        volume.mkdir(directory).unwrap();
    }
    for file in ["f", "open", "full/x"] {
        touch(&mut *volume, file);
    }
    let open = volume.open("open", OpenFlags::READ).unwrap();
    for (from, to, expected) in [
        ("d", "open", Err(Error::NotDirectory)),
        ("d", "f", Err(Error::NotDirectory)),
        ("f", "empty", Err(Error::IsDirectory)),
        ("f", "full", Err(Error::IsDirectory)),
        ("d", "full", Err(Error::NotEmpty)),
        ("f", "open", Err(Error::Busy)),
        ("open", "open", Ok(())),
        ("d", "d/inside", Err(Error::Invalid)),
        ("d", "empty", Ok(())),
    ] {
        assert_eq!(volume.rename(from, to), expected, "{from} to {to}");
    }
    volume.close(open).unwrap();
    assert_eq!(volume.rename("f", "open"), Ok(()));
    assert_eq!(volume.stat("f").err(), Some(Error::NotFound));
    assert!(volume.stat("empty").is_ok() && volume.stat("d").is_err());
}
