//! Operations: results, errors, and the time at which they take effect on the disk.

use alloc::format;

use super::*;
use crate::fat::fat_volume::Change;
use crate::{Health, Kind, OpenFlags, Renaming, Time};

/// POSIX: [EEXIST], [EBUSY] and [EISDIR] of the root, which has no name.
#[test]
fn the_root_is_a_directory_that_stays() {
    let (mut volume, _) = volume();
    write(&mut volume, "file", b"x").unwrap();
    assert_eq!(volume.mkdir("/"), Err(Error::Exists));
    assert_eq!(volume.rmdir("/"), Err(Error::Busy));
    assert_eq!(volume.unlink("/"), Err(Error::IsDirectory));
    assert_eq!(volume.rename("/", "x"), Err(Error::Busy));
    assert_eq!(volume.rename("file", "/"), Err(Error::Busy));
    assert_eq!(volume.open("/", OpenFlags::READ), Err(Error::IsDirectory));
    let exchange = volume.rename_as("file", "file", Renaming::Exchange);
    assert_eq!(exchange, Err(Error::Unsupported));
    assert_eq!(volume.stat("/").unwrap().kind, Kind::Directory);
    assert_eq!(names(&mut volume, "/"), ["file"]);
}

#[test]
fn a_file_is_opened_as_its_flags_say() {
    let (mut volume, disk) = volume();
    volume.mkdir("folder").unwrap();
    write(&mut volume, "FILE", b"text").unwrap();
    let all = WRITE | OpenFlags::READ;
    for (path, flags, expected) in [
        ("none", OpenFlags::READ, Error::NotFound),
        ("none", OpenFlags::WRITE, Error::NotFound),
        ("none/x", all, Error::NotFound),
        ("file/x", all, Error::NotDirectory),
        ("file", all | OpenFlags::EXCLUSIVE, Error::Exists),
        ("folder", OpenFlags::READ, Error::IsDirectory),
        ("folder", all, Error::IsDirectory),
        ("file", OpenFlags::DIRECTORY, Error::NotDirectory),
        ("file", OpenFlags::empty(), Error::Invalid),
        ("file", OpenFlags::READ | OpenFlags::CREATE, Error::Invalid),
    ] {
        assert_eq!(volume.open(path, flags), Err(expected), "{path} {flags:?}");
    }
    assert_eq!(names(&mut volume, "/"), ["folder", "FILE"]);
    let file = volume.open("new", all | OpenFlags::EXCLUSIVE).unwrap();
    assert_eq!(volume.stat_file(file).unwrap().kind, Kind::File);
    volume.close(file).unwrap();
    assert_eq!(volume.close(file), Err(Error::Closed));
    assert_eq!(volume.size(file), Err(Error::Closed));
    let file = volume.open("file", OpenFlags::READ).unwrap();
    assert_eq!(volume.write_at(file, 0, b"x"), Err(Error::PermissionDenied));
    assert_eq!(volume.truncate(file, 0), Err(Error::PermissionDenied));
    assert_eq!(
        volume.list(file, 0, &mut |_| true),
        Err(Error::NotDirectory)
    );
    volume.close(file).unwrap();
    let folder = volume.open("folder", OpenFlags::DIRECTORY).unwrap();
    assert_eq!(volume.read_at(folder, 0, &mut [0]), Err(Error::IsDirectory));
    assert_eq!(volume.size(folder), Err(Error::IsDirectory));
    assert_eq!(volume.rmdir("folder"), Err(Error::Busy));
    volume.close(folder).unwrap();
    // Another directory may be open.
    let root = volume.open("/", OpenFlags::DIRECTORY).unwrap();
    let file = volume.open("file", OpenFlags::READ).unwrap();
    assert_eq!(volume.rmdir("folder"), Ok(()));
    for file in [root, file] {
        volume.close(file).unwrap();
    }
    assert_eq!(synced(&mut volume, &disk).len(), 2);
}

/// `ATTR_READ_ONLY`: writes to the file fail ("FAT Directory Structure").
#[test]
fn a_file_marked_read_only_is_read_only() {
    let (mut volume, disk) = volume();
    write(&mut volume, "LOCKED", b"text").unwrap();
    volume.sync().unwrap();
    let mut bytes = disk.bytes();
    let slots = bytes.chunks(32);
    let slot = slots
        .into_iter()
        .position(|slot| slot.starts_with(b"LOCKED  "));
    bytes[slot.unwrap() * 32 + 11] |= 1;
    let (mut volume, _) = mounted(bytes, 512);
    assert!(volume.stat("LOCKED").unwrap().read_only);
    for flags in [WRITE, WRITE | OpenFlags::TRUNCATE] {
        assert_eq!(volume.open("locked", flags), Err(Error::PermissionDenied));
    }
    assert_eq!(read(&mut volume, "locked"), Ok(b"text".to_vec()));
    write(&mut volume, "other", b"").unwrap();
    let stat = volume.stat("other").unwrap();
    assert!(!stat.read_only && stat.size == 0 && stat.links == 1);
}

#[test]
fn a_list_goes_on_where_it_stopped() {
    let (mut volume, _) = volume();
    volume.mkdir("d").unwrap();
    volume.mkdir("d/folder").unwrap();
    for n in 0..300 {
        write(&mut volume, &format!("d/F{n}"), b"").unwrap();
    }
    let directory = volume.open("d", OpenFlags::DIRECTORY).unwrap();
    // One call returns a limited number of entries.
    let mut count = 0;
    let rest = volume.list(directory, 0, &mut |_| {
        count += 1;
        true
    });
    let rest = rest.unwrap().unwrap();
    assert_eq!(count, 256);
    let mut seen = Vec::new();
    let listed = volume.list(directory, rest, &mut |entry| {
        seen.push((entry.name.to_string(), entry.kind));
        true
    });
    assert_eq!((listed, seen.len()), (Ok(None), 45));
    // An entry that `visit` rejects is listed again.
    let mut seen = Vec::new();
    let mut cursor = Some(0);
    for _ in 0..5 {
        let mut taken = 0;
        let listed = volume.list(directory, cursor.unwrap(), &mut |entry| {
            taken += 1;
            if taken <= 2 {
                seen.push((entry.name.to_string(), entry.kind));
            }
            taken <= 2
        });
        cursor = listed.unwrap();
    }
    assert_eq!(seen.len(), 10);
    assert_eq!(seen[0], ("folder".to_string(), Kind::Directory));
    for (n, entry) in seen[1..].iter().enumerate() {
        assert_eq!(entry, &(format!("F{n}"), Kind::File));
    }
}

/// Commits are delayed until necessary: changes that allocate and changes that free aren't written
/// together.
#[test]
fn changes_of_one_kind_are_written_together() {
    let (mut volume, disk) = volume();
    disk.state().writes = 0;
    volume.mkdir("a").unwrap();
    volume.mkdir("b").unwrap();
    write(&mut volume, "file", b"text").unwrap();
    assert_eq!((volume.change, disk.state().writes), (Change::Taking, 0));
    volume.rmdir("a").unwrap();
    let writes = disk.state().writes;
    assert!(writes > 0);
    let tree = judge::read(&disk.bytes());
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["a", "b", "file"]);
    volume.rmdir("b").unwrap();
    volume.unlink("file").unwrap();
    assert_eq!(
        (volume.change, disk.state().writes),
        (Change::Giving, writes)
    );
    volume.mkdir("c").unwrap();
    assert_eq!(volume.change, Change::Taking);
    assert_eq!(judge::read(&disk.bytes()), Tree::new());
    assert_eq!(disk.state().flushes, 0);
    for _ in 0..2 {
        // Only once: nothing changes in between.
        volume.sync().unwrap();
        assert_eq!((volume.change, disk.state().flushes), (Change::None, 1));
    }
    let file = volume.open("c/file", WRITE).unwrap();
    volume.write_at(file, 0, b"text").unwrap();
    volume.sync_file(file).unwrap();
    let tree = judge::read(&disk.bytes());
    assert_eq!(tree["c/file"].as_deref(), Some(b"text".as_slice()));
    volume.close(file).unwrap();
    assert_eq!(volume.sync_file(file), Err(Error::Closed));
}

/// A write also updates the entry; nothing is left to do at the close.
#[test]
fn closing_what_was_written_is_no_change() {
    let (mut volume, disk) = volume();
    let file = volume.open("file", WRITE).unwrap();
    volume.write_at(file, 0, b"text").unwrap();
    volume.sync().unwrap();
    let writes = disk.state().writes;
    volume.close(file).unwrap();
    assert_eq!(volume.change, Change::None);
    volume.sync().unwrap();
    assert_eq!(disk.state().writes, writes);
}

/// Pending changes never fill the cache: half of it is left for the next operation.
#[test]
fn changes_are_written_before_the_cache_is_full_of_them() {
    let disk = Disk::new(formatted(FatKind::Fat16), 512);
    let options = Options {
        cache_bytes: 64 << 10,
        ..Options::default()
    };
    let mut volume = mount_volume(Box::new(disk.clone()), options).unwrap();
    let filling = |volume: &mut FatVolume| volume.cache.is_filling();
    for n in 0..300 {
        let path = format!("F{n}");
        volume.mkdir(&path).unwrap();
        assert!(!filling(&mut volume), "{n}");
    }
    let writes = disk.state().writes;
    assert!(writes > 0 && disk.state().flushes == 0);
    for n in 0..300 {
        volume.rmdir(&format!("F{n}")).unwrap();
        assert!(!filling(&mut volume), "{n}");
    }
    assert_eq!(synced(&mut volume, &disk), Tree::new());
}

/// The first sign of corruption stops all writes, and `health` reports it.
#[test]
fn what_fails_decides_what_is_still_trusted() {
    let failed = |volume: &mut FatVolume, error, what| {
        assert_eq!(volume.done::<()>(Err(error), what), Err(error));
    };
    let (mut volume, disk) = volume();
    volume.mkdir("d").unwrap();
    let indexed = |volume: &mut FatVolume| {
        volume.stat("d/x").unwrap_err();
        volume.directories.find(0).is_some()
    };
    let is_indexed = |volume: &mut FatVolume| volume.directories.find(0).is_some();
    // A missing name isn't a failure.
    assert!(indexed(&mut volume));
    failed(&mut volume, Error::NoSpace, "x");
    assert!(is_indexed(&mut volume));
    // A device that the caller must not wait for has executed nothing.
    disk.state().away = true;
    failed(&mut volume, Error::Io, "x");
    assert!(is_indexed(&mut volume));
    disk.state().away = false;
    failed(&mut volume, Error::Io, "x");
    assert!(!is_indexed(&mut volume) && indexed(&mut volume));
    volume.sync().unwrap();
    assert_eq!(volume.health(), Health::Writable);
    for what in ["reading: the first", "reading: the second"] {
        failed(&mut volume, Error::Corrupt, what);
        let found = Health::Corrupt("reading: the first".to_string());
        assert_eq!(volume.health(), found);
    }
    for flags in [WRITE, OpenFlags::WRITE] {
        write(&mut volume, "d", b"").unwrap_err();
        assert!(volume.open("new", flags).is_err());
    }
    assert_eq!(volume.sync(), Err(Error::Corrupt));
}

/// The volume retries failed requests, and every operation happens completely or not at all.
#[test]
fn an_operation_whose_write_failed_is_whole_or_never_was() {
    for fail in 1..40 {
        let (mut volume, disk) = mounted(formatted(FatKind::Fat16), 512);
        volume.mkdir("d").unwrap();
        for n in 0..20 {
            write(&mut volume, &format!("d/file {n}"), &[n; 600]).unwrap();
        }
        volume.sync().unwrap();
        disk.state().fail_write = Some(fail);
        for n in 0..20 {
            let (old, new) = (format!("d/file {n}"), format!("d/another {n}"));
            match n % 4 {
                0 => drop(volume.unlink(&old)),
                1 => drop(volume.rename(&old, &new)),
                2 => drop(volume.mkdir(&new)),
                _ => drop(write(&mut volume, &new, &[n; 1200])),
            }
        }
        let _ = volume.sync();
        disk.state().fail_write = None;
        let found = synced(&mut volume, &disk);
        for n in 0..20 {
            let (old, new) = (format!("d/file {n}"), format!("d/another {n}"));
            let old = found.contains_key(&old);
            let new = found.contains_key(&new);
            match n % 4 {
                0 => assert!(!new),
                1 => assert!(old != new, "{n} at write {fail}"),
                _ => assert!(old),
            }
        }
    }
}

/// As above for failed reads, after a mount with an empty cache.
#[test]
fn an_operation_whose_read_failed_is_whole_or_never_was() {
    let (mut volume, disk) = mounted(formatted(FatKind::Fat16), 512);
    volume.mkdir("d").unwrap();
    volume.mkdir("d/e").unwrap();
    for n in 0..20 {
        write(&mut volume, &format!("d/file {n}"), &[n; 600]).unwrap();
    }
    let before = synced(&mut volume, &disk);
    let bytes = disk.bytes();
    type Step = fn(&mut FatVolume) -> Result<(), Error>;
    let steps: [(Step, &str, Option<&str>); 5] = [
        (|volume| volume.unlink("d/file 3"), "d/file 3", None),
        (
            |volume| volume.rename("d/file 3", "new"),
            "d/file 3",
            Some("new"),
        ),
        (
            |volume| volume.rename("d/file 3", "d/file 4"),
            "d/file 3",
            Some("d/file 4"),
        ),
        (|volume| volume.rename("d/e", "e"), "d/e", Some("e")),
        (|volume| volume.rmdir("d/e"), "d/e", None),
    ];
    for (step, old, new) in steps {
        let mut done = before.clone();
        let contents = done.remove(old).unwrap();
        if let Some(new) = new {
            done.insert(new.to_string(), contents);
        }
        for fail in 1..30 {
            let (mut volume, disk) = mounted(bytes.clone(), 512);
            disk.state().fail_read = Some(fail);
            let result = step(&mut volume);
            disk.state().fail_read = None;
            let found = synced(&mut volume, &disk);
            let expected = if result.is_ok() { &done } else { &before };
            assert!(found == *expected, "{old}: {result:?} at read {fail}");
        }
    }
}

#[test]
fn entries_have_the_time_of_the_clock() {
    use core::sync::atomic::{AtomicI64, Ordering};
    static NOW: AtomicI64 = AtomicI64::new(1_000_000_000);
    static CLOCK: crate::Clock =
        crate::Clock::new(|| Time::from_seconds(NOW.load(Ordering::Relaxed)));
    let disk = Disk::new(format(4 << 20, &FatOptions::new()), 512);
    let options = Options {
        clock: Some(&CLOCK),
        ..Options::default()
    };
    let mut volume = mount_volume(Box::new(disk.clone()), options).unwrap();
    volume.mkdir("d").unwrap();
    let file = volume.open("file", WRITE).unwrap();
    let large = vec![1; 1 << 20];
    volume.write_at(file, 0, &large).unwrap();
    volume.sync().unwrap();
    let later = Time::from_seconds(1_200_000_000);
    NOW.store(later.seconds, Ordering::Relaxed);
    // The same bytes in the same place, none of them cached: only the entry changes.
    volume.write_at(file, 0, &large).unwrap();
    volume.sync().unwrap();
    let (mut other, _) = mounted(disk.bytes(), 512);
    assert_eq!(other.stat("file").unwrap().modified, later);
    assert_eq!(
        other.stat("d").unwrap().modified,
        Time::from_seconds(1_000_000_000)
    );
    let earlier = Time::from_seconds(1_100_000_000);
    let set = volume.set_times("d", Some(earlier), Some(earlier));
    assert_eq!(set, Ok(()));
    assert_eq!(volume.stat("d").unwrap().modified, earlier);
    for (time, kept) in [(0, 315_532_800), (i64::MAX, 4_354_819_198)] {
        let time = Some(Time::from_seconds(time));
        assert_eq!(volume.set_times("file", None, time), Ok(()));
        let modified = volume.stat("file").unwrap().modified;
        assert_eq!(modified, Time::from_seconds(kept));
    }
    let set = volume.set_times("/", Some(earlier), None);
    assert_eq!(set, Err(Error::Unsupported));
    let set = volume.set_times("none", Some(earlier), None);
    assert_eq!(set, Err(Error::NotFound));
}
