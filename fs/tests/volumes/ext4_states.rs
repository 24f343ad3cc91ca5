//! States that another system leaves on a disk, or a failing device in memory, and their outcome:
//! counts that Linux doesn't keep up to date, errors recorded in the journal, named files on the
//! orphan list, numbers at the limits of their fields.

use crate::common::ext4::{fsck, mkfs, mount};
use crate::common::operations::fill;
use crate::common::{Image, NEW, names, read_file, run, write_file};
use fs::fake::Disk;
use fs::{Error, Health, OpenFlags};

/// Runs `debugfs -w` requests on a disk.
fn debugfs(bytes: &[u8], requests: &[&str]) -> Vec<u8> {
    let image = Image::with(bytes);
    for request in requests {
        let (ok, text) = run("debugfs", &["-w", "-R", request, image.0.to_str().unwrap()]);
        assert!(ok, "debugfs {request}: {text}");
    }
    image.bytes()
}

/// Linux updates the superblock's counts when it unmounts; until then those of the groups are
/// valid. Too high or too low a count is no damage.
#[test]
fn what_is_free_is_what_the_groups_say() {
    for (blocks, inodes) in [(3, 2), (20_000, 5_000)] {
        let clean = mkfs(24 << 20, &["-b", "1024"]);
        let free = mount(&Disk::new(clean.clone(), 512)).space().unwrap().free;
        let requests = [
            format!("ssv free_blocks_count {blocks}"),
            format!("ssv free_inodes_count {inodes}"),
            String::from("ssv state 0"),
        ];
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        let disk = Disk::new(debugfs(&clean, &requests), 512);
        let mut volume = mount(&disk);
        assert_eq!(volume.space().unwrap().free, free);
        for n in 0..50 {
            write_file(&mut *volume, &format!("{n}"), &[n; 3000]).unwrap();
        }
        fill(&mut *volume, "all", 100_000);
        let mut made = 50;
        while volume.open(&format!("{made}"), NEW).is_ok() && made < 200 {
            made += 1;
        }
        assert_eq!(volume.health(), Health::Writable);
        drop(volume);
        fsck(&disk.bytes()).unwrap();
    }
}

/// Returns the location of the journal's superblock.
fn journal_of(bytes: &[u8], block: usize) -> usize {
    let starts = bytes.chunks(block);
    let found = starts.zip(0..).find(|(data, _)| {
        data.starts_with(&[0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4]) && data[0xc..0x10] != [0; 4]
    });
    found.unwrap().1 * block
}

/// Linux stores an abort in the journal, before it can do so in the superblock.
#[test]
fn an_error_noted_in_the_journal_counts_as_a_mark() {
    for (behaviour, continue_on_error) in [("continue", true), ("remount-ro", false)] {
        let args = ["-b", "1024", "-O", "^metadata_csum", "-e", behaviour];
        let mut bytes = mkfs(8 << 20, &args);
        let at = journal_of(&bytes, 1024);
        bytes[at + 0x20..at + 0x24].copy_from_slice(&(-5i32).to_be_bytes());
        let disk = Disk::new(bytes.clone(), 512);
        let mut volume = mount(&disk);
        if continue_on_error {
            assert!(matches!(volume.health(), Health::Damaged(text) if text.contains("e2fsck")));
            volume.mkdir("d").unwrap();
            drop(volume);
            assert_eq!(disk.bytes()[1024 + 0x3a], 3, "clean, with errors");
            continue;
        }
        assert!(matches!(volume.health(), Health::Corrupt(text) if text.contains("e2fsck")));
        assert_eq!(volume.mkdir("d"), Err(Error::ReadOnly));
        drop(volume);
        assert!(disk.bytes() == bytes);
    }
}

/// A read fails in each of several steps of a truncation: the file keeps its name, and has its old
/// or its new size, also after it was closed.
#[test]
fn a_cut_that_fails_half_way_leaves_a_file() {
    let disk = Disk::new(mkfs(16 << 20, &["-b", "1024", "-J", "size=1"]), 512);
    let mut volume = mount(&disk);
    let file = volume.open("f", NEW).unwrap();
    let pieces = 3400;
    for n in 0..pieces {
        volume.write_at(file, n * 2048, &[7; 100]).unwrap();
    }
    volume.close(file).unwrap();
    drop(volume);
    let image = disk.bytes();
    let mut failed = 0;
    for nth in 1.. {
        let disk = Disk::new(image.clone(), 512);
        let mut volume = mount(&disk);
        let file = volume.open("f", OpenFlags::WRITE).unwrap();
        disk.state().fail_read = Some(nth);
        let cut = volume.truncate(file, 1000);
        let was_failure = disk.state().fail_read.take().is_none();
        assert_eq!(cut.is_err(), was_failure, "read {nth}");
        if cut.is_err() {
            failed += 1;
        }
        let size = volume.size(file).unwrap();
        volume.close(file).unwrap();
        assert_eq!(volume.health(), Health::Writable);
        let found = read_file(&mut *volume, "f").unwrap_or_else(|error| panic!("{nth}: {error}"));
        assert_eq!(found.len() as u64, size, "read {nth}");
        assert!(size == 1000 || size > 2_000_000, "read {nth}: {size}");
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{nth}: {text}"));
        if !was_failure {
            break;
        }
    }
    assert!(failed > 20, "{failed} reads failed");
}

/// Sizes that are too large for any file, in a file and in a directory.
#[test]
fn an_impossible_size_is_damage_and_nothing_overflows() {
    for size in [
        u64::MAX,
        u64::MAX - 1023,
        1 << 63,
        i64::MAX as u64,
        0xffff_ffff << 32,
    ] {
        let disk = Disk::new(mkfs(8 << 20, &["-b", "1024", "-O", "^metadata_csum"]), 512);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "f", &[1; 3000]).unwrap();
        volume.mkdir("d").unwrap();
        write_file(&mut *volume, "d/x", &[1; 3000]).unwrap();
        drop(volume);
        let requests = ["f", "d"].map(|path| format!("sif /{path} size {size}"));
        let disk = Disk::new(debugfs(&disk.bytes(), &[&requests[0], &requests[1]]), 512);
        let mut volume = mount(&disk);
        if let Ok(file) = volume.open("f", OpenFlags::READ | OpenFlags::WRITE) {
            assert_eq!(size, i64::MAX as u64);
            let mut buf = [0; 5000];
            for at in [0, size - 5000, size - 1, u64::MAX - 1] {
                let _ = volume.read_at(file, at, &mut buf);
            }
            assert_eq!(volume.write_at(file, size - 1, b"xx"), Err(Error::TooLarge));
            assert_eq!(volume.write_at(file, 100, b"xx"), Ok(2));
            assert_eq!(volume.truncate(file, 10), Ok(()));
            volume.close(file).unwrap();
        }
        let _ = names(&mut *volume, "d");
        let _ = volume.stat("d/nothing");
        let _ = write_file(&mut *volume, "d/new", b"x");
    }
}

/// Linux's ext4 ignores `chattr +c`, but retains the flag.
#[test]
fn a_flag_that_linux_ignores_is_ignored() {
    let disk = Disk::new(mkfs(8 << 20, &["-b", "1024", "-O", "^metadata_csum"]), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "f", &[1; 3000]).unwrap();
    drop(volume);
    let disk = Disk::new(debugfs(&disk.bytes(), &["sif /f flags 0x80004"]), 512);
    let mut volume = mount(&disk);
    assert_eq!(read_file(&mut *volume, "f").unwrap(), [1; 3000]);
}

/// A file with unreadable contents still exists.
#[test]
fn a_file_with_verity_is_listed() {
    let disk = Disk::new(mkfs(8 << 20, &["-b", "1024", "-O", "^metadata_csum"]), 512);
    let mut volume = mount(&disk);
    for name in ["a", "f", "z"] {
        write_file(&mut *volume, name, &[1; 3000]).unwrap();
    }
    drop(volume);
    let disk = Disk::new(debugfs(&disk.bytes(), &["sif /f flags 0x180000"]), 512);
    let mut volume = mount(&disk);
    let listed = names(&mut *volume, "/").unwrap();
    assert_eq!(listed, ["a", "f", "lost+found", "z"]);
    let opened = volume.open("f", OpenFlags::READ);
    assert_eq!(opened.err(), Some(Error::Unsupported));
    assert_eq!(volume.health(), Health::Writable);
}

/// Returns the metadata of a disk of 1 KiB blocks with a copy of the superblock in its second
/// group.
fn metadata_of(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (first, second) = (2 * 1024, 2 * 1024 + 32);
    let mut found = vec![
        1,
        2,
        3,
        8193,
        8194,
        8195,
        journal_of(bytes, 1024) / 1024 + 5,
    ];
    for group in [first, second] {
        let table = number(group + 8);
        found.extend([
            number(group),
            number(group + 4),
            table,
            table + 1,
            table + 9,
        ]);
    }
    found
}

/// A file whose damaged map contains blocks of the file system: the volume neither reads nor writes
/// nor frees them.
#[test]
fn no_file_has_the_file_systems_own_blocks() {
    let kinds = [
        ("^extent,^64bit,^metadata_csum", 0),
        ("^64bit,^metadata_csum", 5),
    ];
    for (features, word) in kinds {
        let disk = Disk::new(mkfs(12 << 20, &["-b", "1024", "-O", features]), 512);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "f", &[1; 1024]).unwrap();
        drop(volume);
        let clean = disk.bytes();
        for place in metadata_of(&clean) {
            let request = format!("sif /f block[{word}] {place}");
            let damaged = debugfs(&clean, &[&request]);
            for what in 0..3 {
                let disk = Disk::new(damaged.clone(), 512);
                let mut volume = mount(&disk);
                let file = volume
                    .open("f", OpenFlags::READ | OpenFlags::WRITE)
                    .unwrap();
                let done = match what {
                    0 => volume.write_at(file, 0, &[0xee; 1024]).map(drop),
                    1 => volume.read_at(file, 0, &mut [0; 100]).map(drop),
                    _ => volume.truncate(file, 0),
                };
                assert_eq!(done, Err(Error::Corrupt), "{features}: {what} at {place}");
                drop(volume);
                let range = place * 1024..(place + 1) * 1024;
                assert!(place == 1 || disk.bytes()[range.clone()] == damaged[range]);
            }
        }
    }
}

/// A bitmap that marks metadata of another group or the journal as free: no file gets those blocks.
#[test]
fn no_bitmap_frees_the_file_systems_own_blocks() {
    let disk = Disk::new(
        mkfs(12 << 20, &["-b", "1024", "-O", "^64bit,^metadata_csum"]),
        512,
    );
    let clean = disk.bytes();
    for place in metadata_of(&clean).into_iter().skip(1) {
        let mut damaged = clean.clone();
        let (group, bit) = ((place - 1) / 8192, (place - 1) % 8192);
        let at = 2 * 1024 + group * 32;
        let bitmap = u32::from_le_bytes(damaged[at..at + 4].try_into().unwrap()) as usize;
        damaged[bitmap * 1024 + bit / 8..][..25].fill(0);
        let disk = Disk::new(damaged, 512);
        let mut volume = mount(&disk);
        let file = volume.open("f", NEW).unwrap();
        let written =
            (0..200).try_for_each(|n| volume.write_at(file, n << 16, &[0xee; 1 << 16]).map(drop));
        assert_eq!(written, Err(Error::Corrupt), "block {place}");
        drop(volume);
        assert!(
            disk.bytes()[place * 1024..][..16] != [0xee; 16],
            "block {place}"
        );
    }
}
