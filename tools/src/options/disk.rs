//! Disks and their sizes.

use super::{SIZE, invalid};
use std::path::PathBuf;
use std::str::FromStr;

/// A disk's size in bytes, a multiple of 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSize(pub u64);

impl FromStr for DiskSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
        let unit = |(unit, shift): (char, u32)| {
            text.strip_suffix([unit, unit.to_ascii_lowercase()])
                .map(|digits| (digits, shift))
        };
        let Some((digits, shift)) = units.into_iter().find_map(unit) else {
            return invalid(SIZE);
        };
        match digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(1 << shift))
        {
            Some(bytes) if !(64 << 10..=16 << 40).contains(&bytes) => {
                invalid("a disk has between 64K and 16T")
            }
            Some(bytes) if bytes.is_multiple_of(4096) => Ok(Self(bytes)),
            Some(_) => invalid("a disk's size is a multiple of 4096 bytes"),
            None => invalid(SIZE),
        }
    }
}

/// A host file given to the program as the disk `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The device's serial number in a machine; part of an environment variable in a process.
    pub name: String,
    /// A file of sectors or a block device.
    pub file: PathBuf,
    /// The program can't write to it.
    pub read_only: bool,
    /// Bytes per sector, if given.
    pub sector: Option<u16>,
}

/// The longest disk name: virtio-blk's serial number has 20 bytes (virtio 1.2, 5.2.6).
const MAX_DISK_NAME: usize = 20;

/// Whether this is a valid disk name.
pub fn is_disk_name(name: &str) -> bool {
    (1..=MAX_DISK_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

pub(super) fn disk_name(name: &str) -> Result<(), String> {
    if is_disk_name(name) {
        return Ok(());
    }
    invalid(format!(
        "'{name}' is no disk name: 1 to {MAX_DISK_NAME} small letters, digits or '_' (such as data)"
    ))
}

impl FromStr for Disk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, file)) = text.split_once('=') else {
            return invalid("expected NAME=FILE[,sector=BYTES][,ro] (such as data=disk.img)");
        };
        disk_name(name)?;
        let (file, read_only) = match file.strip_suffix(",ro") {
            Some(file) => (file, true),
            None => (file, false),
        };
        let (file, sector) = match file.rsplit_once(",sector=") {
            None => (file, None),
            Some((file, "512")) => (file, Some(512)),
            Some((file, "4096")) => (file, Some(4096)),
            Some((_, bytes)) => {
                return invalid(format!(
                    "disk {name} has no sectors of '{bytes}' bytes: 512 or 4096 are possible"
                ));
            }
        };
        if file.is_empty() {
            return invalid(format!("disk {name} has no file: write {name}=FILE"));
        }
        Ok(Self {
            name: name.to_owned(),
            file: file.into(),
            read_only,
            sector,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, DiskSize};

    #[test]
    fn a_size_of_a_disk_has_units_and_bounds() {
        assert_eq!("64K".parse(), Ok(DiskSize(64 << 10)));
        assert_eq!("1g".parse(), Ok(DiskSize(1 << 30)));
        for bad in ["", "K", "8", "67108864", "63K", "65K", "17T"] {
            assert!(bad.parse::<DiskSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_disk_is_a_name_and_a_file() {
        let disk: Disk = "data=a=b,c.img,ro".parse().expect("valid");
        assert_eq!(
            (disk.name.as_str(), disk.file.to_str()),
            ("data", Some("a=b,c.img"))
        );
        assert!(disk.read_only && disk.sector.is_none());
        let disk: Disk = "data=a,sector=4096,ro".parse().expect("valid");
        assert_eq!(
            (disk.file.to_str(), disk.sector, disk.read_only),
            (Some("a"), Some(4096), true)
        );
        for bad in [
            "data",
            "=x",
            "data=",
            "data=,ro",
            "data=a,sector=520",
            "data=,sector=512",
            "a b=x",
            "a-name-of-21-characters=x",
            "a/b=x",
            "Data=x",
        ] {
            assert!(bad.parse::<Disk>().is_err(), "{bad}");
        }
    }
}
