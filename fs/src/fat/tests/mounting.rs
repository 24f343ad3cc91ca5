//! Mounts, failed mounts, and read-only volumes.

use super::*;
use crate::fat::mount;
use crate::{Health, MountError};

fn refusal(disk: &Disk) -> MountError {
    let mounted = mount_volume(Box::new(disk.clone()), Options::default());
    mounted.err().unwrap()
}

#[test]
fn sectors_are_of_512_to_4096_bytes() {
    let image = formatted(FatKind::Fat16);
    for sector in [512, 1024, 2048, 4096] {
        let disk = Disk::new(image.clone(), sector);
        assert!(
            mount(Box::new(disk), Options::default()).is_ok(),
            "{sector}"
        );
    }
    for sector in [128, 256, 768, 520, 8192] {
        let refused = refusal(&Disk::new(image.clone(), sector));
        assert_eq!(refused.error, Error::Unsupported, "{sector}");
        assert!(refused.detail.contains(&sector.to_string()), "{sector}");
    }
}

#[test]
fn what_is_only_read_is_never_written() {
    let (mut volume, disk) = volume();
    write(&mut volume, "file", b"text").unwrap();
    volume.sync().unwrap();
    let bytes = disk.bytes();
    for (by_option, by_device) in [(true, false), (false, true), (true, true)] {
        let disk = Disk::new(bytes.clone(), 512);
        disk.state().read_only = by_device;
        let options = Options {
            read_only: by_option,
            ..Options::default()
        };
        let mut volume = mount_volume(Box::new(disk.clone()), options).unwrap();
        assert_eq!(volume.health(), Health::ReadOnly);
        for flags in [OpenFlags::WRITE, WRITE | OpenFlags::TRUNCATE] {
            assert_eq!(volume.open("file", flags), Err(Error::ReadOnly));
        }
        assert_eq!(volume.open("new", WRITE), Err(Error::ReadOnly));
        assert_eq!(volume.mkdir("new"), Err(Error::ReadOnly));
        assert_eq!(volume.unlink("file"), Err(Error::ReadOnly));
        assert_eq!(volume.rename("file", "new"), Err(Error::ReadOnly));
        let set = volume.set_times("file", None, Some(Default::default()));
        assert_eq!(set, Err(Error::ReadOnly));
        assert_eq!(read(&mut volume, "file"), Ok(b"text".to_vec()));
        assert_eq!(volume.sync(), Ok(()));
        let state = disk.state();
        assert_eq!((state.writes, state.flushes), (0, 0));
    }
}

#[test]
fn tables_and_data_are_where_the_boot_sector_says() {
    for kind in KINDS {
        let (volume, disk) = mounted(formatted(kind), 512);
        let bytes = disk.bytes();
        let number = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let (start, copies) = (number(14), u64::from(bytes[16]));
        let table = if kind == FatKind::Fat32 {
            number(36)
        } else {
            number(22)
        };
        let root = start + copies * table;
        let geometry = volume.geometry();
        assert_eq!((geometry.kind, copies), (kind, 2));
        assert_eq!(geometry.table, start * 512);
        assert_eq!(geometry.mirror, Some((start + table) * 512));
        assert_eq!(geometry.tables_end, root * 512);
        assert_eq!(geometry.data, (root + number(17) / 16) * 512);
    }
}

#[test]
fn a_refusal_says_what_is_wrong_with_the_disk() {
    let good = formatted(FatKind::Fat16);
    // Truncated disk: the message compares the boot sector's size with the actual one.
    let mut bytes = good.clone();
    bytes.truncate(3 << 20);
    let refused = refusal(&Disk::new(bytes, 512));
    assert_eq!(refused.error, Error::Corrupt);
    for part in ["truncated", "4194304", "3145728"] {
        assert!(refused.detail.contains(part), "{}", refused.detail);
    }
    // As large as the boot sector says, or larger, but contradictory.
    for more in [0, 1 << 20] {
        let mut bytes = good.clone();
        bytes[14..16].fill(0);
        bytes.resize(bytes.len() + more, 0);
        let refused = refusal(&Disk::new(bytes, 512));
        assert_eq!(refused.error, Error::Corrupt);
        assert!(refused.detail.contains("can't be used") || refused.detail.contains("fsck.fat"));
        assert!(!refused.detail.contains("truncated"), "{}", refused.detail);
    }
    // The device fails: at the first read, and later.
    for fail in 1..4 {
        let disk = Disk::new(good.clone(), 512);
        disk.state().fail_read = Some(fail);
        let mounted = mount_volume(Box::new(disk.clone()), Options::default());
        let reads = disk.state().reads;
        let Err(refused) = mounted else {
            assert!(reads < fail, "read {fail} of {reads}");
            continue;
        };
        assert_eq!(refused.error, Error::Io);
        assert!(
            refused.detail.contains("check the disk"),
            "{}",
            refused.detail
        );
    }
    let refused = refusal(&Disk::new(Vec::new(), 512));
    assert_eq!(refused.error, Error::Corrupt);
    assert!(refused.detail.contains("empty"));
}

/// A mount doesn't clear the dirty mark: `fsck.fat` does, after its check.
#[test]
fn a_volume_that_was_in_use_is_mounted() {
    for kind in [FatKind::Fat16, FatKind::Fat32] {
        let mut bytes = formatted(kind);
        let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
        let mark = if kind == FatKind::Fat16 {
            table + 3
        } else {
            table + 7
        };
        assert!(bytes[mark] & 0x08 != 0);
        bytes[mark] &= if kind == FatKind::Fat16 { 0x7f } else { 0xf7 };
        let (mut volume, disk) = mounted(bytes.clone(), 512);
        write(&mut volume, "file", b"text").unwrap();
        volume.sync().unwrap();
        assert_eq!(disk.bytes()[mark], bytes[mark]);
        assert_eq!(read(&mut volume, "file"), Ok(b"text".to_vec()));
    }
}
