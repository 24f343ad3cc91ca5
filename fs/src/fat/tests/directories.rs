//! Names, slots and clusters of directories.

use alloc::collections::BTreeSet;
use alloc::format;

use super::*;

/// Names with different numbers of slots; a name that is short except for its case has no long
/// name.
const NAMES: [&str; 9] = [
    "A",
    "lower.txt",
    "UPPER.txt",
    "Mixed.Txt",
    "with a space",
    "thirteen units",
    "twenty-six units are these",
    "\u{e4}\u{f6}\u{fc}",
    "\u{65e5}\u{672c}\u{8a9e} \u{1f600}",
];

#[test]
fn a_tree_is_on_the_disk_as_the_specification_has_it() {
    for kind in KINDS {
        let (mut volume, disk) = mounted(formatted(kind), 512);
        let mut expected = Tree::new();
        for folder in ["", "folder", "folder/a longer one", "folder/a longer one/x"] {
            if !folder.is_empty() {
                volume.mkdir(folder).unwrap();
                expected.insert(folder.to_string(), None);
            }
            for (n, name) in NAMES.iter().enumerate() {
                let path = match folder {
                    "" => name.to_string(),
                    _ => format!("{folder}/{name}"),
                };
                let bytes = vec![n as u8; n * 300];
                assert_eq!(write(&mut volume, &path, &bytes), Ok(bytes.len()));
                expected.insert(path, Some(bytes));
            }
        }
        assert_eq!(synced(&mut volume, &disk), expected);
        assert_eq!(names(&mut volume, "folder")[..9], NAMES);
        // Another mount finds them, in any case.
        let (mut volume, disk) = mounted(disk.bytes(), 512);
        for (path, bytes) in expected.clone() {
            let other = path.to_uppercase();
            assert!(volume.stat(&other).is_ok(), "{other}");
            if bytes.is_some() {
                assert_eq!(volume.rmdir(&other), Err(Error::NotDirectory));
                volume.unlink(&other).unwrap();
                assert_eq!(volume.stat(&path).err(), Some(Error::NotFound));
                expected.remove(&path);
                if path.len() % 3 == 0 {
                    assert_eq!(synced(&mut volume, &disk), expected);
                }
            }
        }
        for folder in ["folder/a longer one/x", "folder/a longer one", "folder"] {
            assert_eq!(volume.unlink(folder), Err(Error::IsDirectory));
            volume.rmdir(folder).unwrap();
        }
        assert_eq!(synced(&mut volume, &disk), Tree::new());
        let space = volume.space().unwrap();
        // Its root has had 17 slots, and keeps its two clusters.
        let root = if kind == FatKind::Fat32 { 1024 } else { 0 };
        assert_eq!(space.total - space.free, root);
    }
}

/// A directory grows by clusters, and reuses free slots first.
#[test]
fn slots_are_taken_where_they_are_free() {
    for kind in KINDS {
        let (mut volume, disk) = mounted(formatted(kind), 512);
        volume.mkdir("d").unwrap();
        let name = |n: u32| format!("d/one of many names {n:02}");
        for n in 0..40 {
            write(&mut volume, &name(n), b"").unwrap();
        }
        let full = synced(&mut volume, &disk);
        assert_eq!(full.len(), 41);
        let free = volume.space().unwrap().free;
        for n in [3, 4, 20, 39] {
            volume.unlink(&name(n)).unwrap();
        }
        // Slots: one and four in place of the six, three, and the remaining one.
        for path in [
            "d/s",
            "d/four slots, which are one entry",
            "d/a name in three of them",
            "d/NO",
        ] {
            write(&mut volume, path, b"").unwrap();
        }
        synced(&mut volume, &disk);
        assert_eq!(volume.space().unwrap().free, free);
        let listed = names(&mut volume, "d");
        assert_eq!(listed.len(), 40);
        assert_eq!(listed[3..6], ["s", "four slots, which are one entry", "NO"]);
    }
}

/// Slots past the end contain old data: the slot after the last entry marks the end.
#[test]
fn an_entry_at_the_end_is_followed_by_the_end() {
    let mut bytes = format(4 << 20, &FatOptions::new().with_kind(FatKind::Fat12));
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let root = (number(14) + usize::from(bytes[16]) * number(22)) * 512;
    for slot in 1..64 {
        bytes[root + slot * 32..][..32]
            .copy_from_slice(b"REMAINS TXT \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
    bytes[root..root + 32].fill(0);
    let (mut volume, disk) = mounted(bytes, 512);
    let mut wanted = Vec::new();
    for name in ["A", "a longer name", "B", "another name that is longer"] {
        write(&mut volume, name, b"").unwrap();
        wanted.push(name);
        assert_eq!(names(&mut volume, "/"), wanted);
        volume.sync().unwrap();
        let (mut volume, _) = mounted(disk.bytes(), 512);
        assert_eq!(names(&mut volume, "/"), wanted);
        assert_eq!(volume.stat("remains.txt").err(), Some(Error::NotFound));
    }
    volume.unlink("another name that is longer").unwrap();
    volume.unlink("A").unwrap();
    assert_eq!(synced(&mut volume, &disk).len(), 2);
}

/// A root of fixed size has the number of slots in the boot sector, and creating a name that
/// doesn't fit changes nothing.
#[test]
fn a_root_of_fixed_size_is_used_to_its_last_slot() {
    let options = FatOptions::new()
        .with_kind(FatKind::Fat12)
        .with_root_entries(16);
    let (mut volume, disk) = mounted(format(1 << 20, &options), 512);
    for n in 0..15 {
        write(&mut volume, &format!("F{n}"), &[n]).unwrap();
    }
    assert_eq!(write(&mut volume, "two slots", b""), Err(Error::NoSpace));
    assert_eq!(volume.mkdir("Two"), Err(Error::NoSpace));
    write(&mut volume, "LAST", b"").unwrap();
    assert_eq!(write(&mut volume, "MORE", b""), Err(Error::NoSpace));
    assert_eq!(volume.mkdir("MORE"), Err(Error::NoSpace));
    assert_eq!(synced(&mut volume, &disk).len(), 16);
    volume.unlink("F3").unwrap();
    volume.unlink("F5").unwrap();
    assert_eq!(write(&mut volume, "two slots", b""), Err(Error::NoSpace));
    volume.unlink("F4").unwrap();
    write(&mut volume, "two slots", b"text").unwrap();
    assert_eq!(synced(&mut volume, &disk).len(), 14);
}

/// The root of FAT32 and directories grow when no slot is free, even if all files are open.
#[test]
fn a_directory_full_to_its_last_slot_grows_while_what_is_in_it_is_open() {
    for kind in KINDS {
        let (mut volume, disk) = mounted(formatted(kind), 512);
        volume.mkdir("D").unwrap();
        let mut files = Vec::new();
        // 16 slots in a cluster, two of which hold a directory's `.` and `..`.
        for n in 0..40 {
            for folder in ["", "D/"] {
                let path = format!("{folder}F{n}");
                let file = volume.open(&path, WRITE).unwrap();
                volume.write_at(file, 0, path.as_bytes()).unwrap();
                files.push((path, file));
            }
        }
        for (path, file) in &files {
            volume.write_at(*file, path.len() as u64, b"!").unwrap();
        }
        for (_, file) in &files {
            volume.close(*file).unwrap();
        }
        let found = synced(&mut volume, &disk);
        for (path, _) in &files {
            assert_eq!(found[path], Some(format!("{path}!").into_bytes()));
        }
        assert_eq!(found.len(), files.len() + 1);
    }
}

/// The specification's names with a numeric tail: each long name has a unique short name.
#[test]
fn long_names_have_short_names_of_their_own() {
    let (mut volume, disk) = volume();
    volume.mkdir("d").unwrap();
    let mut there = BTreeSet::new();
    for n in 0..30 {
        let path = format!("d/same beginning {n}.text");
        write(&mut volume, &path, &[n]).unwrap();
        there.insert((path, n));
    }
    // Occupies the next tail.
    write(&mut volume, "d/SAMEBE~9.TEX", b"").err();
    synced(&mut volume, &disk);
    for (path, n) in &there {
        assert_eq!(read(&mut volume, path), Ok(vec![*n]));
    }
    // A short name is also a valid name.
    assert_eq!(read(&mut volume, "d/samebe~1.tex"), Ok(vec![0]));
    assert_eq!(volume.mkdir("d/SameBe~1.Tex"), Err(Error::Exists));
    volume.unlink("d/SAMEBE~2.TEX").unwrap();
    assert_eq!(
        volume.stat("d/same beginning 1.text").err(),
        Some(Error::NotFound)
    );
    volume.rename("d/samebe~1.tex", "d/samebe~2.tex").unwrap();
    synced(&mut volume, &disk);
    assert_eq!(read(&mut volume, "d/SAMEBE~2.TEX"), Ok(vec![0]));
}

/// A volume whose sectors are smaller than the disk's: one sector holds several clusters and
/// tables.
#[test]
fn sectors_of_the_disk_may_be_larger_than_the_volumes() {
    for kind in [FatKind::Fat12, FatKind::Fat16] {
        let (mut volume, disk) = mounted(formatted(kind), 4096);
        volume.mkdir("a folder").unwrap();
        for n in 0..30 {
            let path = format!("a folder/file number {n}");
            write(&mut volume, &path, &vec![n; 700]).unwrap();
            volume.mkdir(&format!("folder {n}")).unwrap();
        }
        for n in (0..30).step_by(3) {
            volume.unlink(&format!("a folder/file number {n}")).unwrap();
            volume
                .rename(&format!("folder {n}"), &format!("a folder/{n}"))
                .unwrap();
        }
        assert_eq!(synced(&mut volume, &disk).len(), 1 + 20 + 30);
    }
}

#[test]
fn clusters_of_many_sectors_are_cleared_for_directories() {
    let options = FatOptions::new()
        .with_kind(FatKind::Fat16)
        .with_cluster_size(4096);
    let (mut volume, disk) = mounted(format(20 << 20, &options), 512);
    volume.mkdir("d").unwrap();
    for n in 0..150 {
        write(&mut volume, &format!("d/F{n}"), b"").unwrap();
    }
    volume.mkdir("d/e").unwrap();
    assert_eq!(names(&mut volume, "d/e"), [""; 0]);
    assert_eq!(names(&mut volume, "d").len(), 151);
    assert_eq!(synced(&mut volume, &disk).len(), 152);
}

/// An index takes memory only while there is room; lookups without it return the same.
#[test]
fn many_directories_are_used_by_turns() {
    let disk = Disk::new(formatted(FatKind::Fat16), 512);
    let options = Options {
        cache_bytes: 4096,
        ..Options::default()
    };
    let mut volume = mount_volume(Box::new(disk.clone()), options).unwrap();
    for n in 0..60 {
        volume.mkdir(&format!("{n}")).unwrap();
    }
    for turn in 0..3 {
        for n in 0..60 {
            write(&mut volume, &format!("{n}/file {turn}"), &[n, turn]).unwrap();
        }
    }
    for n in 0..30 {
        let (from, to) = (format!("{n}/file 1"), format!("{}/file 1", 59 - n));
        volume.rename(&from, &to).unwrap();
    }
    let found = synced(&mut volume, &disk);
    assert_eq!(found.len(), 60 + 180 - 30);
    for n in 0..60 {
        assert_eq!(found[&format!("{n}/file 2")], Some(vec![n, 2]));
    }
    for n in 30..60 {
        assert_eq!(found[&format!("{n}/file 1")], Some(vec![59 - n, 1]));
    }
}

/// In a directory with a broken chain lookups find the entries before the break, and fail for
/// missing names.
#[test]
fn a_directory_that_is_damaged_is_found_out() {
    let (mut volume, disk) = mounted(formatted(FatKind::Fat16), 512);
    volume.mkdir("D").unwrap();
    for n in 0..40 {
        write(&mut volume, &format!("D/F{n}"), &[n]).unwrap();
    }
    volume.sync().unwrap();
    let mut bytes = disk.bytes();
    // The directory's second cluster links to its first, which is the volume's first.
    let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    let second = u16::from_le_bytes([bytes[table + 4], bytes[table + 5]]);
    bytes[table + usize::from(second) * 2..][..2].copy_from_slice(&[2, 0]);
    let (mut volume, disk) = mounted(bytes.clone(), 512);
    assert!(volume.stat("D/F5").is_ok());
    assert_eq!(volume.health(), crate::Health::Writable);
    assert_eq!(volume.stat("D/none").err(), Some(Error::Corrupt));
    assert!(matches!(volume.health(), crate::Health::Corrupt(_)));
    assert_eq!(volume.mkdir("E"), Err(Error::ReadOnly));
    assert_eq!(volume.unlink("D/F5"), Err(Error::ReadOnly));
    assert_eq!(volume.sync(), Err(Error::Corrupt));
    assert_eq!(disk.bytes(), bytes);
}
