//! Devices that fail, and full volumes: an error value each time, and no other effect.

use crate::common::model::tiny;
use crate::common::operations::{self, fail, fill, has_failed, operations, with_witness};
use crate::common::{FAT, Image, NEW, fsck, mkfs, mount, mount_with, names, run, write_file};
use fs::fake::Disk;
use fs::{BlockError, Error, OpenFlags, Volume};

fn check_witness(disk: &Disk, when: &str) {
    let image = Image::with(&disk.bytes());
    run("fsck.fat", &["-a", image.0.to_str().unwrap()]);
    operations::check_witness(&FAT, image.bytes(), when);
}

#[test]
fn each_request_that_fails_is_an_error_value_and_harms_nothing_else() {
    let image = mkfs(1 << 20, &["-F", "12", "-s", "1"]);
    let before = with_witness(&FAT, &image).bytes();
    let mut failed = [0; 3];
    for kind in 0..3 {
        for nth in 1.. {
            let disk = Disk::new(before.clone(), 512);
            let mounted = fs::fat::mount(Box::new(disk.clone()), fs::fat::Options::default());
            let mut volume = mounted.unwrap();
            fail(&mut disk.state(), kind, nth);
            let result = operations(&mut *volume, false);
            if !has_failed(&disk.state()) {
                break;
            }
            // No request is retried silently: an operation, or the sync after it, reports the
            // error.
            assert_eq!(result, Err(Error::Io), "kind {kind}, request {nth}");
            failed[kind as usize] += 1;
            // The device works again: pending changes can be written.
            volume.sync().unwrap();
            let when = format!("kind {kind}, request {nth}");
            fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{when}: {text}"));
            check_witness(&disk, &when);
        }
    }
    let [reads, writes, flushes] = failed;
    assert!(reads > 1 && writes > 9 && flushes > 0, "{failed:?}");
}

/// A name that the disk fails to change is still there, in this mount and in the next one; and the
/// same change succeeds once the disk works again.
#[test]
fn a_rename_that_fails_leaves_both_directories_as_they_were() {
    // Directories of several clusters, whose names lie in different sectors.
    let disk = Disk::new(mkfs(1 << 20, &["-F", "12", "-s", "1"]), 512);
    let mut volume = mount(&disk);
    for directory in ["a", "b", "a/moved"] {
        volume.mkdir(directory).unwrap();
        for n in 0..30 {
            write_file(&mut *volume, &format!("{directory}/name number {n}"), b"x").unwrap();
        }
    }
    write_file(&mut *volume, "a/file", &[3; 3000]).unwrap();
    volume.sync().unwrap();
    drop(volume);
    let before = disk.bytes();
    let listed = |volume: &mut dyn Volume| {
        let list = |directory| names(volume, directory).unwrap();
        ["a", "b"].map(list)
    };
    let old = listed(&mut *mount(&disk));
    let long = format!("b/{}", "long ".repeat(40).trim_end());
    let mut failed = [0; 2];
    for (from, to) in [
        ("a/file", "a/another name"),
        ("a/file", long.as_str()),
        ("a/file", "b/name number 7"),
        ("a/moved", "b/moved"),
    ] {
        for (kind, nth) in [0, 1]
            .into_iter()
            .flat_map(|kind| (1..100).map(move |n| (kind, n)))
        {
            let disk = Disk::new(before.clone(), 512);
            let mut volume = mount_with(&disk, tiny());
            fail(&mut disk.state(), kind, nth);
            let renamed = volume.rename(from, to);
            let when = format!("{from} to {to}, kind {kind}, request {nth}");
            if renamed.is_err() {
                assert_eq!(renamed, Err(Error::Io), "{when}");
                failed[0] += 1;
                assert_eq!(listed(&mut *volume), old, "{when}");
                let found = volume.open(from, OpenFlags::READ | OpenFlags::DIRECTORY);
                let found = found.or_else(|_| volume.open(from, OpenFlags::READ));
                volume.close(found.expect(&when)).unwrap();
                assert_eq!(volume.rename(from, to), Ok(()), "{when}");
            }
            if volume.sync().is_err() {
                failed[1] += 1;
                assert_eq!(volume.sync(), Ok(()), "{when}");
            }
            if has_failed(&disk.state()) {
                let new = listed(&mut *volume);
                assert!(new != old, "{when}");
                drop(volume);
                fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{when}: {text}"));
                assert_eq!(listed(&mut *mount(&disk)), new, "{when}");
            }
        }
    }
    assert!(failed[0] > 4 && failed[1] > 4, "{failed:?}");
}

#[test]
fn a_device_that_disappears_causes_errors_and_no_panic() {
    let disk = with_witness(&FAT, &mkfs(9 << 20, &["-F", "16", "-s", "2"]));
    let mut volume = mount(&disk);
    let file = volume
        .open("witness", OpenFlags::READ | OpenFlags::WRITE)
        .unwrap();
    disk.state().gone = true;
    assert!(operations(&mut *volume, false).is_err());
    assert_eq!(volume.read_at(file, 0, &mut [0; 12_000]), Err(Error::Io));
    assert_eq!(volume.sync(), Err(Error::Io));
    let _ = volume.close(file);
    disk.state().gone = false;
    volume.sync().unwrap();
    check_witness(&disk, "gone and back");
}

#[test]
fn a_device_that_cannot_be_read_does_not_mount() {
    let disk = Disk::new(mkfs(1 << 20, &["-F", "12"]), 512);
    disk.state().gone = true;
    let error = fs::fat::mount(Box::new(disk.clone()), Default::default())
        .err()
        .unwrap();
    assert_eq!(error.error, Error::Io);
    assert!(error.detail.contains("check the disk"), "{error}");
    assert_eq!(Error::from(BlockError::OutOfRange), Error::Io);
}

/// Creates a volume with no free cluster, an empty directory, and a file that fills the rest.
fn full_volume(args: &[&str], len: u64) -> (Disk, Box<dyn Volume>) {
    let disk = with_witness(&FAT, &mkfs(len, args));
    let mut volume = mount(&disk);
    volume.mkdir("directory").unwrap();
    write_file(&mut *volume, "small", &[1; 10]).unwrap();
    fill(&mut *volume, "filler", 300_000);
    assert_eq!(volume.space().unwrap().free, 0);
    (disk, volume)
}

#[test]
fn a_full_volume_refuses_each_operation_and_loses_nothing() {
    let volumes: &[(&[&str], u64)] = &[
        (&["-F", "12", "-s", "1"], 1 << 20),
        (&["-F", "16", "-s", "2"], 9 << 20),
        (&["-F", "32", "-s", "1"], 34 << 20),
    ];
    for (args, len) in volumes {
        let (disk, mut volume) = full_volume(args, *len);
        let long = "directory/".to_string() + &"n".repeat(250);
        assert_eq!(volume.mkdir("another"), Err(Error::NoSpace));
        // An empty file needs no cluster but its entry may: the directory's cluster holds 16
        // entries of 32 bytes, of which two are taken and 20 are needed.
        let opened = volume.open(&long, NEW).err();
        let wanted = volume.space().unwrap().unit < 1024;
        assert!(
            !wanted || opened == Some(Error::NoSpace),
            "{args:?}: {opened:?}"
        );
        let small = volume
            .open("small", OpenFlags::READ | OpenFlags::WRITE)
            .unwrap();
        // The rest of its cluster belongs to the file.
        assert_eq!(volume.write_at(small, 10, &[2; 100]), Ok(100));
        let unit = u64::from(volume.space().unwrap().unit);
        assert_eq!(
            volume.write_at(small, 110, &[2; 5000]),
            Ok(unit as usize - 110)
        );
        assert_eq!(volume.write_at(small, unit, &[2; 1]), Err(Error::NoSpace));
        assert_eq!(
            volume.write_at(small, 1 << 20, &[2; 1]),
            Err(Error::NoSpace)
        );
        assert_eq!(volume.truncate(small, 1 << 20), Err(Error::NoSpace));
        assert_eq!(volume.size(small), Ok(unit));
        volume.close(small).unwrap();
        // Renaming within a directory, and removing, need no room.
        volume.rename("small", "SMALL2").unwrap();
        volume.sync().unwrap();
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        volume.unlink("filler").unwrap();
        write_file(&mut *volume, "fits again", &[5; 100_000]).unwrap();
        volume.sync().unwrap();
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        check_witness(&disk, "full");
    }
}

#[test]
fn a_full_root_directory_of_fixed_size_refuses_more() {
    let disk = Disk::new(mkfs(2 << 20, &["-F", "12", "-r", "32"]), 512);
    let mut volume = mount(&disk);
    let mut made = 0;
    let refused = loop {
        match write_file(&mut *volume, &format!("F{made}"), b"x") {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((made, refused), (32, Error::NoSpace));
    // Replacing one by another still works.
    volume.rename("F1", "F2").unwrap();
    volume.sync().unwrap();
    fsck(&disk.bytes()).unwrap();
}

#[test]
fn a_directory_that_could_not_be_removed_is_a_directory_still() {
    let before = Disk::new(mkfs(9 << 20, &["-F", "16", "-s", "1"]), 512);
    let mut volume = mount(&before);
    volume.mkdir("D").unwrap();
    for n in 0..300 {
        // The clusters are in several parts of the table.
        let name = format!("D/a name that takes some slots {n}");
        write_file(&mut *volume, &name, &[1; 5000]).unwrap();
    }
    for n in 0..300 {
        let name = format!("D/a name that takes some slots {n}");
        volume.unlink(&name).unwrap();
    }
    volume.sync().unwrap();
    drop(volume);
    for nth in 1.. {
        let disk = Disk::new(before.bytes(), 512);
        let mut volume = mount(&disk);
        fail(&mut disk.state(), 0, nth);
        let removed = volume.rmdir("D");
        if !has_failed(&disk.state()) {
            assert!(nth > 2);
            break;
        }
        let left = volume.stat("D").map(|stat| stat.kind);
        match removed {
            Ok(()) => assert_eq!(left, Err(Error::NotFound), "read {nth}"),
            Err(_) => assert_eq!(left, Ok(fs::Kind::Directory), "read {nth}"),
        }
        volume.sync().unwrap();
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("read {nth}: {text}"));
    }
}
