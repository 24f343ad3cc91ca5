//! Frozen volumes: a copy of the disk is clean, nothing is written until the thaw, and everything
//! continues afterwards.

use crate::common::ext4::{VOLUMES, fsck, mkfs, mount};
use crate::common::{EXT4, FAT, NEW, names, read_file, write_file};
use fs::fake::Disk;
use fs::{Error, Health, OpenFlags, Volume};

/// Changes of every kind, in the `n`-th round.
fn change(volume: &mut dyn Volume, n: u32) {
    let directory = format!("d{n}");
    volume.mkdir(&directory).unwrap();
    for file in 0..20u32 {
        let data = vec![file as u8; 3000 * (file as usize + 1)];
        write_file(volume, &format!("{directory}/{file}"), &data).unwrap();
    }
    for file in 0..10u32 {
        volume.unlink(&format!("{directory}/{file}")).unwrap();
    }
    volume
        .rename(&format!("{directory}/11"), &format!("moved {n}"))
        .unwrap();
}

#[test]
fn a_copy_of_a_frozen_disk_is_clean() {
    for (name, len, args) in VOLUMES {
        let disk = Disk::new(mkfs(*len, args), 512);
        let mut volume = mount(&disk);
        for n in 0..4 {
            change(&mut *volume, n);
            volume.freeze().unwrap();
            let copy = disk.bytes();
            fsck(&copy).unwrap_or_else(|text| panic!("{name}, round {n}: {text}"));
            // Reads and syncs work, and write nothing.
            let path = format!("moved {n}");
            assert_eq!(read_file(&mut *volume, &path), Ok(vec![11; 36_000]));
            assert_eq!(names(&mut *volume, &format!("d{n}")).unwrap().len(), 9);
            volume.sync().unwrap();
            assert_eq!(volume.mkdir("no"), Err(Error::Busy));
            assert_eq!(volume.open("no", NEW), Err(Error::Busy));
            volume.freeze().unwrap();
            assert!(disk.bytes() == copy, "{name}: written while frozen");
            let copy = Disk::new(copy, 512);
            let mut other = mount(&copy);
            assert_eq!(read_file(&mut *other, &path), Ok(vec![11; 36_000]));
            drop(other);
            volume.thaw().unwrap();
        }
        assert_eq!(volume.health(), Health::Writable);
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{name}: {text}"));
    }
}

#[test]
fn a_copy_of_a_frozen_fat_is_clean() {
    let disk = Disk::new((FAT.mkfs)(36 << 20, &["-F", "32"]), 512);
    let mut volume = FAT.mount(&disk);
    for n in 0..4 {
        change(&mut *volume, n);
        volume.freeze().unwrap();
        (FAT.fsck)(&disk.bytes()).unwrap();
        volume.thaw().unwrap();
    }
}

/// The machine stops while the volume is frozen, or when it has changed after the thaw.
#[test]
fn a_stop_loses_nothing() {
    let disk = Disk::new(mkfs(12 << 20, &["-b", "1024"]), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "a", &[1; 10_000]).unwrap();
    volume.freeze().unwrap();
    let frozen = disk.bytes();
    volume.thaw().unwrap();
    write_file(&mut *volume, "b", &[2; 10_000]).unwrap();
    volume.sync().unwrap();
    let changed = disk.bytes();
    for (bytes, expected) in [(frozen, vec!["a"]), (changed, vec!["a", "b"])] {
        let disk = Disk::new(bytes, 512);
        let mut volume = mount(&disk);
        let mut found = names(&mut *volume, "/").unwrap();
        found.retain(|name| name != "lost+found");
        assert_eq!(found, expected);
        drop(volume);
        fsck(&disk.bytes()).unwrap();
    }
}

/// A file without a name loses its last handle while the volume is frozen: its space is free after
/// the thaw.
#[test]
fn a_removed_file_is_released_after_the_thaw() {
    let disk = Disk::new(mkfs(12 << 20, &["-b", "1024"]), 512);
    let mut volume = mount(&disk);
    let free = volume.space().unwrap().free;
    write_file(&mut *volume, "a", &[1; 2_000_000]).unwrap();
    let file = volume.open("a", OpenFlags::READ).unwrap();
    volume.unlink("a").unwrap();
    volume.freeze().unwrap();
    let copy = disk.bytes();
    volume.close(file).unwrap();
    assert!(disk.bytes() == copy, "written while frozen");
    volume.thaw().unwrap();
    volume.sync().unwrap();
    assert_eq!(volume.space().unwrap().free, free);
    drop(volume);
    fsck(&disk.bytes()).unwrap();
    // In the copy it is an unfinished removal, which a mount finishes.
    let copy = Disk::new(copy, 512);
    let mut other = mount(&copy);
    assert_eq!(other.space().unwrap().free, free);
    drop(other);
    fsck(&copy.bytes()).unwrap();
}

/// Dropping a frozen volume unmounts it in order.
#[test]
fn a_frozen_volume_can_be_unmounted() {
    let disk = Disk::new(mkfs(12 << 20, &[]), 512);
    let mut volume = EXT4.mount(&disk);
    write_file(&mut *volume, "a", &[1; 10_000]).unwrap();
    volume.freeze().unwrap();
    drop(volume);
    fsck(&disk.bytes()).unwrap();
}

/// A disk that fails at any point of a freeze: the freeze reports it, and nothing is damaged.
#[test]
fn a_disk_that_fails_during_a_freeze_is_reported() {
    let image = mkfs(12 << 20, &["-b", "1024"]);
    let mut failed = 0;
    for (n, flush) in (1..30).flat_map(|n| [(n, false), (n, true)]) {
        let disk = Disk::new(image.clone(), 512);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "a", &[1; 10_000]).unwrap();
        volume.sync().unwrap();
        write_file(&mut *volume, "b", &[2; 10_000]).unwrap();
        match flush {
            true => disk.state().fail_flush = Some(n),
            false => disk.state().fail_write = Some(n),
        }
        let frozen = volume.freeze();
        let was_met = disk.state().fail_flush.is_none() && disk.state().fail_write.is_none();
        assert_eq!(frozen.is_err(), was_met, "{n} {flush}: {frozen:?}");
        failed += u32::from(was_met);
        volume.thaw().unwrap();
        let _ = write_file(&mut *volume, "c", &[3; 10_000]);
        drop(volume);
        disk.state().fail_flush = None;
        disk.state().fail_write = None;
        let mut volume = mount(&disk);
        assert_eq!(read_file(&mut *volume, "a"), Ok(vec![1; 10_000]));
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{n} {flush}: {text}"));
    }
    assert!(failed > 8, "{failed}");
}
