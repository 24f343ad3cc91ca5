//! The file-system drivers of a program. FAT comes with the file layer. Any other driver is
//! referenced only by its registration function, which one sublibrary calls at program start, so
//! that the linker leaves out unused drivers.

use crate::Runtime;
use crate::current::{Current, Offload};
pub use ::fs::VolumeOptions as Options;
use ::fs::{Block, MountError, cpio, ext4, fat, memory, partition, tar};
use alloc::boxed::Box;
use alloc::format;
use platform::error::{Answer, Error, Failure};
pub use platform::folders::Mounted;
use platform::folders::{Folders, MountFolder};
use platform::{Folders as _, System as _};

/// Block device of a file system.
pub type Disk = Box<dyn Block + Send>;

/// How a driver mounts a volume.
#[derive(Clone, Copy)]
pub enum Mount {
    /// Mounts a disk.
    Disk(fn(Disk, &Options) -> Mounted),
    /// Mounts the source after the colon. Its calls never wait for a device.
    Alone(fn(&str, &Options) -> Mounted),
    /// Mounts the source after the colon. Its calls may wait, on a fiber.
    Waiting(MountFolder<Offload>),
}

/// Grows a partition of a whole disk: its number, and its new number of sectors, if it grew.
pub type GrowPartition = fn(&mut dyn Block, u32) -> Result<Option<u64>, MountError>;

/// Whether the platform has volumes that wait for something other than our disks.
pub const WAITS: bool = Current::FOLDERS.is_some();

/// A file-system driver.
#[derive(Clone, Copy)]
pub struct FileSystem {
    /// Its name in `SOIL_MOUNT`.
    pub name: &'static str,
    /// Stack size for its calls, in bytes.
    pub stack: usize,
    /// See [`Mount`].
    pub mount: Mount,
    /// Grows the volume's partition, for a driver whose volumes grow at the mount.
    pub grow: Option<GrowPartition>,
}

/// Driver for folders of the host.
pub fn host(folders: Folders<Offload>) -> FileSystem {
    FileSystem {
        name: "host",
        stack: folders.stack,
        mount: Mount::Waiting(folders.mount),
        grow: None,
    }
}

/// FAT.
pub const FAT: FileSystem = FileSystem {
    name: "fat",
    // Five times the measured maximum (12 KiB, during a mount; `fs/examples/stack.rs`).
    stack: 64 << 10,
    mount: Mount::Disk(|disk, options| fat::mount(disk, *options)),
    grow: None,
};

/// ext4.
pub const EXT4: FileSystem = FileSystem {
    name: "ext4",
    stack: 256 << 10,
    mount: Mount::Disk(|disk, options| ext4::mount(disk, *options)),
    grow: Some(partition::grow),
};

/// Tar archives.
pub const TAR: FileSystem = FileSystem {
    name: "tar",
    stack: 64 << 10,
    mount: Mount::Disk(|disk, options| {
        let options = tar::Options {
            volume: *options,
            ..tar::Options::default()
        };
        tar::mount(disk, options)
    }),
    grow: None,
};

/// Files in memory. The source after the colon is the size limit in bytes.
pub const MEMORY: FileSystem = FileSystem {
    name: "memory",
    stack: 0,
    mount: Mount::Alone(mount_memory),
    grow: None,
};

/// Files in memory, at first the machine's initrd's. The source after the colon is the size
/// limit in bytes.
pub const INITRD: FileSystem = FileSystem {
    name: "initrd",
    stack: 0,
    mount: Mount::Alone(|source, options| {
        let mut volume = mount_memory(source, options)?;
        cpio::unpack(Current::initrd().unwrap_or_default(), &mut *volume)?;
        Ok(volume)
    }),
    grow: None,
};

fn mount_memory(source: &str, options: &Options) -> Mounted {
    let limit = size(source).ok_or_else(|| MountError {
        error: ::fs::Error::Invalid,
        detail: format!("\"{source}\" is no size such as 16M"),
    })?;
    Ok(memory::new(limit, options.clock))
}

/// Default size limit of a volume in memory, in bytes.
const USUAL_MEMORY: u64 = 16 << 20;

/// Parses a number of bytes with an optional suffix K, M or G (powers of 1024).
fn size(text: &str) -> Option<u64> {
    if text.is_empty() {
        return Some(USUAL_MEMORY);
    }
    let units = [('K', 10), ('M', 20), ('G', 30)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let digits = unit.map_or(text, |(unit, _)| text.strip_suffix(*unit).unwrap_or(text));
    let number: u64 = digits.parse().ok()?;
    number
        .checked_shl(unit.map_or(0, |(_, bits)| *bits))
        .filter(|n| n >> 50 == 0 && *n > 0)
}

/// Names of file systems, and the library that each needs in the program's `libraries`.
const LIBRARIES: [(&str, &str); 6] = [
    ("fat", "soil"),
    ("ext4", "soil.ext4"),
    ("tar", "soil.tar"),
    ("memory", "soil.memory"),
    ("initrd", "soil.initrd"),
    ("host", "soil"),
];

/// Whether a file system of that name exists, linked or not.
pub fn exists(name: &str) -> bool {
    LIBRARIES.iter().any(|(known, _)| *known == name)
}

/// Returns the driver called `name`, or the reason why it is missing.
pub fn find(drivers: &[FileSystem], name: &str) -> Result<FileSystem, Failure> {
    if let Some(driver) = drivers.iter().find(|driver| driver.name == name) {
        return Ok(*driver);
    }
    let detail = match LIBRARIES.iter().find(|(known, _)| *known == name) {
        Some(("host", _)) => {
            "host directories are the process form's: give the image a disk, or memory".into()
        }
        Some((_, library)) => {
            format!("this program has no {name}: add {library} to (libraries …) in its dune file")
        }
        None => {
            format!(
                "no file system is called {name}: there are fat, ext4, tar, memory, initrd and host"
            )
        }
    };
    Err(Failure::new(Error::Unsupported, detail))
}

/// Registers a driver; registering it again has no effect.
pub fn register(rt: &mut Runtime, driver: FileSystem) -> Answer {
    let drivers = &mut rt.resources.files.drivers;
    if !drivers.iter().any(|other| other.name == driver.name) {
        drivers.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        drivers.push(driver);
    }
    Ok(0)
}

/// Detects the file system of a disk that begins with `start`: FAT unless it is certainly another.
pub fn probe(start: &[u8]) -> &'static str {
    // The magic number in the superblock at 1024; "ustar" in the first header.
    if start.get(1080..1082) == Some(&[0x53, 0xef]) {
        "ext4"
    } else if start.get(257..262) == Some(b"ustar") {
        "tar"
    } else {
        "fat"
    }
}

#[cfg(test)]
mod tests {
    use super::{FAT, find, probe, size};
    use std::vec;

    #[test]
    fn what_is_missing_is_said() {
        assert!(find(&[FAT], "fat").is_ok());
        for (name, text) in [
            ("ext4", "soil.ext4"),
            ("host", "process"),
            ("ext9", "fat, ext4"),
        ] {
            let line = find(&[FAT], name).err().expect("missing").detail;
            assert!(line.contains(text) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("16M"), Some(16 << 20));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("1G"), Some(1 << 30));
        assert_eq!(size(""), Some(16 << 20));
        for wrong in [
            "M",
            "0",
            "16MM",
            "-1",
            "x",
            "99999999999999999999",
            "9999999999G",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn looks_at_the_start() {
        let mut start = vec![0; 4096];
        assert_eq!(probe(&start), "fat");
        start[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(probe(&start), "ext4");
        start.truncate(512);
        start[257..262].copy_from_slice(b"ustar");
        assert_eq!(probe(&start), "tar");
        assert_eq!(probe(&[]), "fat");
    }
}
