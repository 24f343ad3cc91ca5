//! Devices that fail under ext4, and full volumes: an error value each time, and no other effect.

use crate::common::ext4::{fsck, fsck_failed, fsck_stopped, mkfs, mount};
use crate::common::operations::{self, fail, fill, has_failed, operations, with_witness};
use crate::common::{EXT4, NEW, names, read_file, write_file};
use fs::fake::{Disk, Event};
use fs::{BlockError, Error, Health, OpenFlags};

fn check_witness(bytes: Vec<u8>, when: &str) {
    operations::check_witness(&EXT4, bytes, when);
}

#[test]
fn each_request_that_fails_is_an_error_value_and_harms_nothing_else() {
    let mut failed = [0; 3];
    for (block, kind) in ["1024", "4096"]
        .into_iter()
        .flat_map(|b| [(b, 0usize), (b, 1), (b, 2)])
    {
        let before = with_witness(&EXT4, &mkfs(8 << 20, &["-b", block])).bytes();
        for nth in 1.. {
            let disk = Disk::new(before.clone(), 512);
            let mut volume = mount(&disk);
            fail(&mut disk.state(), kind as u32, nth);
            let result = operations(&mut *volume, true);
            if !has_failed(&disk.state()) {
                break;
            }
            let when = format!("blocks of {block}, kind {kind}, request {nth}");
            // No request is retried silently. Once a flush has failed, the volume is read-only.
            assert!(
                matches!(result, Err(Error::Io | Error::ReadOnly)),
                "{when}: {result:?}"
            );
            failed[kind] += 1;
            // Data read before stays readable.
            assert!(
                read_file(&mut *volume, "witness").as_deref() == Ok(&[9; 12_345][..]),
                "{when}"
            );
            drop(volume);
            if nth % 3 == 1 {
                let repaired = fsck_failed(&disk.bytes());
                check_witness(
                    repaired.unwrap_or_else(|text| panic!("{when}: {text}")),
                    &when,
                );
            }
            check_witness(disk.bytes(), &when);
        }
    }
    let [reads, writes, flushes] = failed;
    assert!(reads > 2 && writes > 9 && flushes > 1, "{failed:?}");
}

#[test]
fn a_device_that_disappears_causes_errors_and_no_panic() {
    let disk = with_witness(&EXT4, &mkfs(8 << 20, &[]));
    let mut volume = mount(&disk);
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    let file = volume.open("witness", flags).unwrap();
    disk.state().gone = true;
    assert!(operations(&mut *volume, true).is_err());
    assert_eq!(volume.read_at(file, 0, &mut [0; 12_000]), Err(Error::Io));
    assert!(volume.sync().is_err());
    let _ = volume.close(file);
    drop(volume);
    disk.state().gone = false;
    check_witness(disk.bytes(), "gone and back");
    let refused = fs::ext4::mount(Box::new(Disk::new(Vec::new(), 512)), Default::default());
    assert!(refused.is_err());
}

#[test]
fn a_device_that_cannot_be_read_does_not_mount() {
    let disk = Disk::new(mkfs(8 << 20, &[]), 512);
    disk.state().gone = true;
    let mounted = fs::ext4::mount(Box::new(disk.clone()), Default::default());
    let error = mounted.err().unwrap();
    assert_eq!(error.error, Error::Io);
    assert!(error.detail.contains("check the disk"), "{error}");
}

#[test]
fn a_full_volume_refuses_each_operation_and_loses_nothing() {
    let volumes: &[&[&str]] = &[
        &["-b", "1024"],
        &["-b", "4096"],
        &["-b", "2048", "-O", "^extent,^64bit"],
    ];
    for args in volumes {
        let disk = with_witness(&EXT4, &mkfs(10 << 20, args));
        let mut volume = mount(&disk);
        volume.mkdir("directory").unwrap();
        write_file(&mut *volume, "small", &[1; 10]).unwrap();
        let unit = u64::from(volume.space().unwrap().unit);
        // In steps larger than a block: the last one doesn't fit as a whole.
        let first = fill(&mut *volume, "filler", 300_000);
        assert!(
            volume.space().unwrap().free <= unit * 4,
            "{args:?}: {:?}",
            volume.space()
        );
        assert_eq!(volume.mkdir("another"), Err(Error::NoSpace), "{args:?}");
        assert_eq!(
            volume.symlink(&"x".repeat(500), "link"),
            Err(Error::NoSpace),
            "{args:?}"
        );
        let small = volume
            .open("small", OpenFlags::READ | OpenFlags::WRITE)
            .unwrap();
        // The rest of its block belongs to the file.
        assert_eq!(volume.write_at(small, 10, &[2; 100]), Ok(100), "{args:?}");
        let _ = volume.write_at(small, 110, &[2; 9000]);
        assert_eq!(
            volume.write_at(small, 1 << 20, &[2; 9000]),
            Err(Error::NoSpace),
            "{args:?}"
        );
        volume.close(small).unwrap();
        volume.rename("small", "SMALL2").unwrap();
        volume.sync().unwrap();
        fsck_stopped(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        // The blocks of a removed file can be written again at once.
        volume.unlink("filler").unwrap();
        let second = fill(&mut *volume, "filler again", 4096);
        assert!(
            second + (64 << 10) > first,
            "{args:?}: {first}, then {second}"
        );
        volume.unlink("filler again").unwrap();
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        check_witness(disk.bytes(), "full");
    }
}

/// Blocks preallocated for a growing file are available to another when nothing else is free, in
/// any group; and to all files once that file is closed.
#[test]
fn the_last_blocks_are_written_though_another_file_keeps_them() {
    for kept in [8u64, 12, 100, 1000, 9000] {
        let disk = Disk::new(mkfs(28 << 20, &["-b", "1024", "-g", "8192"]), 512);
        let mut volume = mount(&disk);
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        for name in ["grows", "next", "last"] {
            write_file(&mut *volume, name, b"").unwrap();
        }
        let full = fill(&mut *volume, "filler", 300_000);
        let filler = volume.open("filler", flags).unwrap();
        volume.truncate(filler, full - kept * 1024).unwrap();
        volume.close(filler).unwrap();
        volume.sync().unwrap();
        let grows = volume.open("grows", flags).unwrap();
        let mut at = 0;
        while at < kept / 3 * 1024 {
            at += volume.write_at(grows, at, &[5; 2048]).unwrap() as u64;
        }
        let mut written = at;
        for (name, closes) in [("next", false), ("last", true)] {
            let space = volume.space().unwrap();
            let end = if closes { space.free } else { space.free / 2 };
            let file = volume.open(name, flags).unwrap();
            let (mut at, mut grown) = (0, 0);
            let stopped = loop {
                match volume.write_at(file, at, &[6; 1024]) {
                    Ok(count) => at += count as u64,
                    Err(error) => break Some(error),
                }
                if at >= end {
                    break None;
                }
                // The other continues to grow meanwhile.
                if !closes && at % 4096 == 0 {
                    grown += volume.write_at(grows, written + grown, &[5; 1024]).unwrap() as u64;
                }
            };
            let free = volume.space().unwrap().free;
            assert!(
                stopped.is_none() || free <= 4 * 1024,
                "{kept} {name}: {free} left"
            );
            volume.close(file).unwrap();
            written += grown;
            if !closes {
                volume.close(grows).unwrap();
            }
        }
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{kept}: {text}"));
    }
}

/// After a change failed on the disk, a sync also reports it, as long as the disk is unresponsive,
/// although nothing was left to write.
#[test]
fn a_sync_after_a_failed_change_flushes_the_disk() {
    let image = with_witness(&EXT4, &mkfs(8 << 20, &["-b", "1024"])).bytes();
    type Change = fn(&mut dyn fs::Volume, fs::FileId) -> Result<(), Error>;
    let changes: [(&str, Change); 3] = [
        ("cut", |volume, file| volume.truncate(file, 0)),
        ("extended", |volume, file| volume.truncate(file, 1 << 20)),
        ("written", |volume, file| {
            volume.write_at(file, 1 << 20, &[1; 3000]).map(drop)
        }),
    ];
    for (what, change) in changes {
        let disk = Disk::new(image.clone(), 512);
        let mut volume = mount(&disk);
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let file = volume.open("witness", flags).unwrap();
        assert_eq!(volume.sync(), Ok(()));
        let flushes = disk.state().flushes;
        disk.state().gone = true;
        let failed = change(&mut *volume, file);
        if failed.is_err() {
            assert_eq!(failed, Err(Error::Io), "{what}");
            assert_eq!(volume.sync(), Err(Error::Io), "{what}");
            assert!(disk.state().flushes > flushes, "{what}");
        }
        assert!(
            failed.is_err() || what != "cut",
            "its bitmap was not read yet"
        );
        disk.state().gone = false;
        let _ = volume.close(file);
        drop(volume);
        if failed.is_err() {
            check_witness(disk.bytes(), what);
        }
    }
}

#[test]
fn without_free_inodes_nothing_is_made_and_nothing_lost() {
    let disk = with_witness(&EXT4, &mkfs(8 << 20, &["-N", "64"]));
    let mut volume = mount(&disk);
    let mut made = 0;
    let refused = loop {
        match write_file(&mut *volume, &format!("file {made}"), b"x") {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::NoSpace);
    assert!(made > 10, "{made} files");
    assert_eq!(volume.mkdir("d"), Err(Error::NoSpace));
    volume.unlink("file 3").unwrap();
    write_file(&mut *volume, "another", b"y").unwrap();
    drop(volume);
    fsck(&disk.bytes()).unwrap();
    check_witness(disk.bytes(), "no inodes");
}

/// 4 000 entries, and 100 000 with `SOIL_FS_LONG`: indexed in several levels, listed during
/// changes.
#[test]
fn a_large_directory_is_listed_whole_while_it_changes() {
    let long = std::env::var_os("SOIL_FS_LONG").is_some();
    let (count, len, inodes) = if long {
        (100_000, 256 << 20, "120000")
    } else {
        (4000, 32 << 20, "8000")
    };
    let disk = Disk::new(mkfs(len, &["-b", "1024", "-N", inodes]), 512);
    let mut volume = mount(&disk);
    volume.mkdir("d").unwrap();
    let name = |n: u32| format!("d/an entry of a large directory, number {n}");
    for n in 0..count {
        let file = volume.open(&name(n), NEW).unwrap();
        volume.close(file).unwrap();
    }
    let directory = volume.open("d", OpenFlags::DIRECTORY).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = Some(0);
    let mut more = count;
    while let Some(from) = cursor {
        let mut given = 0;
        cursor = volume
            .list(directory, from, &mut |entry| {
                given += 1;
                if given > 100 {
                    return false;
                }
                assert!(seen.insert(entry.name.to_string()), "{} twice", entry.name);
                true
            })
            .unwrap();
        // Other names come and go meanwhile.
        for _ in 0..3 {
            let file = volume.open(&name(more), NEW).unwrap();
            volume.close(file).unwrap();
            more += 1;
        }
        volume.unlink(&name(more - 1)).unwrap();
    }
    for n in 0..count {
        assert!(seen.contains(&name(n)["d/".len()..]), "{n} was not listed");
    }
    volume.close(directory).unwrap();
    drop(volume);
    fsck(&disk.bytes()).unwrap();
    assert_eq!(
        names(&mut *mount(&disk), "d").unwrap().len() as u32,
        count + (more - count) / 3 * 2
    );
}

/// A directory that gets an index during a listing.
#[test]
fn a_listing_outlasts_the_change_to_an_index() {
    let disk = Disk::new(mkfs(8 << 20, &["-b", "1024"]), 512);
    let mut volume = mount(&disk);
    volume.mkdir("d").unwrap();
    for n in 0..20 {
        write_file(&mut *volume, &format!("d/{n}"), b"x").unwrap();
    }
    let directory = volume.open("d", OpenFlags::DIRECTORY).unwrap();
    let mut seen = Vec::new();
    let mut cursor = volume
        .list(directory, 0, &mut |entry| {
            let take = seen.len() < 7;
            if take {
                seen.push(entry.name.to_string());
            }
            take
        })
        .unwrap();
    for n in 0..200 {
        write_file(&mut *volume, &format!("d/new {n}"), b"x").unwrap();
    }
    volume.unlink("d/19").unwrap();
    while let Some(from) = cursor {
        let list = volume.list(directory, from, &mut |entry| {
            seen.push(entry.name.to_string());
            true
        });
        cursor = list.unwrap();
    }
    for n in 0..19 {
        let name = n.to_string();
        assert_eq!(
            seen.iter().filter(|seen| **seen == name).count(),
            1,
            "{name}"
        );
    }
    assert!(!seen.contains(&"19".to_string()) || seen.len() < 20);
}

/// Without a journal, directory blocks reach the disk in the same batch as contents of files. A
/// failed write may have left contents in a block that a directory then got.
#[test]
fn contents_of_a_write_that_failed_do_not_follow_their_block() {
    let disk = Disk::new(mkfs(8 << 20, &["-b", "1024", "-O", "^has_journal"]), 512);
    let mut volume = mount(&disk);
    let file = volume.open("f", NEW).unwrap();
    // Single blocks with gaps: their map is in a block of its own.
    for n in 0..20 {
        volume.write_at(file, n * 2048, &[1; 1024]).unwrap();
    }
    drop(volume);
    let image = disk.bytes();
    let mut failed = 0;
    for nth in 1..20 {
        let disk = Disk::new(image.clone(), 512);
        let mut volume = mount(&disk);
        // The very first change also writes the superblock.
        volume.mkdir("first").unwrap();
        volume.sync().unwrap();
        let file = volume.open("f", OpenFlags::WRITE).unwrap();
        disk.state().fail_read = Some(nth);
        // The first piece is new, the rest of the last one has to be read.
        let written = volume.write_at(file, 1024, &[0xee; 1024 + 100]);
        disk.state().fail_read = None;
        failed += u32::from(written.is_err());
        volume.close(file).unwrap();
        for n in 0..40 {
            volume.mkdir(&format!("d{n}")).unwrap();
        }
        disk.state().log = Some(Vec::new());
        volume.sync().unwrap();
        for event in disk.state().log.take().unwrap() {
            let Event::Batch(mut writes) = event else {
                continue;
            };
            writes.sort();
            for pair in writes.windows(2) {
                let end = pair[0].0 + (pair[0].1.len() / 512) as u64;
                assert!(end <= pair[1].0, "read {nth}: sector {} twice", pair[1].0);
            }
        }
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("read {nth}: {text}"));
    }
    assert!(failed > 0);
}

/// The host has no more room: changes fail with what the disk says, nothing synced is lost, and
/// once there is room everything goes on by itself, with what was written meanwhile.
#[test]
fn a_full_host_stops_changes_until_it_has_room() {
    let mut stopped = [0; 2];
    for (args, error) in [
        (&["-b", "1024"][..], BlockError::NoSpace),
        (&["-b", "4096"], BlockError::Io),
        (&["-b", "4096", "-O", "^has_journal"], BlockError::NoSpace),
    ] {
        let before = with_witness(&EXT4, &mkfs(16 << 20, args));
        for blocks in 0..40u64 {
            let disk = Disk::new(before.bytes(), 512);
            let mut volume = mount(&disk);
            // So many holes are filled before the host is full.
            write_file(&mut *volume, "first", &vec![1; blocks as usize * 1024]).unwrap();
            volume.sync().unwrap();
            disk.state().full = Some(error);
            let when = format!("{args:?}, {error}, after {blocks}");
            let error = Error::from(error);
            let mut made = Vec::new();
            let failed = loop {
                let name = format!("file {}", made.len());
                let written = write_file(&mut *volume, &name, &[2; 3000]);
                match written.and_then(|()| volume.sync()) {
                    Ok(()) => made.push(name),
                    Err(error) => break error,
                }
            };
            assert_eq!(failed, error, "{when}");
            let waits = matches!(volume.health(), Health::Waiting(_));
            stopped[usize::from(waits)] += 1;
            for _ in 0..3 {
                if waits {
                    assert_eq!(volume.mkdir("d"), Err(error), "{when}");
                    assert_eq!(volume.sync(), Err(error), "{when}");
                }
                assert_eq!(read_file(&mut *volume, "witness").unwrap(), [9; 12_345]);
            }
            // The power fails now: what was synced is there.
            let cut = Disk::new(disk.bytes(), 512);
            let mut after = mount(&cut);
            for name in made.iter().map(String::as_str) {
                assert_eq!(
                    read_file(&mut *after, name).as_deref(),
                    Ok(&[2; 3000][..]),
                    "{when}"
                );
            }
            drop(after);
            disk.state().full = None;
            volume
                .mkdir("d")
                .unwrap_or_else(|error| panic!("{when}: {error}"));
            assert_eq!(volume.sync(), Ok(()), "{when}");
            assert_eq!(volume.health(), Health::Writable, "{when}");
            write_file(&mut *volume, "last", &[3; 9000]).unwrap();
            drop(volume);
            fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{when}: {text}"));
            let mut volume = mount(&Disk::new(disk.bytes(), 512));
            for name in made.iter().map(String::as_str) {
                assert_eq!(
                    read_file(&mut *volume, name).as_deref(),
                    Ok(&[2; 3000][..]),
                    "{when}"
                );
            }
            assert_eq!(
                read_file(&mut *volume, "last").as_deref(),
                Ok(&[3; 9000][..]),
                "{when}"
            );
            drop(volume);
            check_witness(disk.bytes(), &when);
        }
    }
    assert!(stopped[1] > 60, "{stopped:?}");
}

/// Each write of a commit fails once, with a power cut at each write of its repetition: the
/// transaction is there as a whole or not at all, and the repetition is the same transaction.
#[test]
fn a_repeated_commit_is_the_same_commit() {
    let image = with_witness(&EXT4, &mkfs(8 << 20, &["-b", "1024"])).bytes();
    let mut repeated = 0;
    for nth in 1.. {
        let disk = Disk::new(image.clone(), 512);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "a", &[1; 2000]).unwrap();
        volume.mkdir("d").unwrap();
        disk.state().fail_write = Some(nth);
        let synced = volume.sync();
        if !has_failed(&disk.state()) {
            assert_eq!(synced, Ok(()));
            break;
        }
        assert_eq!(synced, Err(Error::Io), "write {nth}");
        let before = disk.bytes();
        disk.state().log = Some(Vec::new());
        // What comes next isn't in it.
        volume.unlink("a").unwrap();
        let log = disk.state().log.take().unwrap();
        drop(volume);
        let writes: Vec<(u64, Vec<u8>)> = log
            .into_iter()
            .flat_map(|event| match event {
                Event::Write(first, data) => vec![(first, data)],
                Event::Batch(writes) => writes,
                Event::Flush | Event::FlushUnordered => Vec::new(),
            })
            .collect();
        for cut in 0..=writes.len() {
            let mut bytes = before.clone();
            for (first, data) in &writes[..cut] {
                bytes[*first as usize * 512..][..data.len()].copy_from_slice(data);
            }
            let when = format!("write {nth}, cut after {cut}");
            let mut volume = mount(&Disk::new(bytes.clone(), 512));
            let file = read_file(&mut *volume, "a");
            let there = volume.stat("d").is_ok();
            assert_eq!(
                file.as_deref() == Ok(&[1; 2000][..]),
                there,
                "{when}: {file:?}"
            );
            assert!(there || cut < writes.len(), "{when}");
            drop(volume);
            fsck_failed(&bytes).unwrap_or_else(|text| panic!("{when}: {text}"));
            check_witness(bytes, &when);
            repeated += 1;
        }
    }
    assert!(repeated > 20, "{repeated}");
}
