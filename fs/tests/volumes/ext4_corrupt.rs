//! Disks that aren't ext4, are unsupported, or damaged: one clear line, no panic, no hang, bounded
//! memory, and no writes to a corrupt volume.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use crate::common::ext4::{fsck, fsck_failed, mkfs, mount, mount_with};
use crate::common::memory;
use crate::common::{Image, NEW, Random, check_line, names, read_file, run, write_file};
use fs::ext4::Options;
use fs::fake::Disk;
use fs::{Error, Health, Kind, OpenFlags, Volume};

fn refused(bytes: Vec<u8>, read_only: bool) -> (Error, String) {
    let options = Options {
        read_only,
        ..Options::default()
    };
    match fs::ext4::mount(Box::new(Disk::new(bytes, 512)), options) {
        Ok(_) => panic!("mounted"),
        Err(refused) => (refused.error, refused.detail),
    }
}

fn expect_refusal(bytes: Vec<u8>, expected: Error, words: &[&str]) {
    let (error, detail) = refused(bytes, false);
    assert_eq!(error, expected, "{detail}");
    check_line(&detail, words);
}

#[test]
fn what_cannot_be_used_is_named_with_a_remedy() {
    expect_refusal(Vec::new(), Error::Corrupt, &["too small", "mkfs.ext4"]);
    expect_refusal(
        vec![0; 1 << 20],
        Error::Corrupt,
        &["not an ext4", "mkfs.ext4"],
    );
    let mut short = mkfs(8 << 20, &[]);
    short.truncate(6 << 20);
    expect_refusal(
        short,
        Error::Corrupt,
        &["truncated", "8388608", "6291456", "restore"],
    );
    let unsupported: &[(&[&str], &[&str])] = &[
        (&["-O", "inline_data"], &["inline_data", "-O ^name"]),
        (&["-O", "encrypt,casefold"], &["encrypt, casefold"]),
        (&["-O", "bigalloc"], &["bigalloc", "read-only"]),
        (&["-O", "quota"], &["quota", "read-only"]),
        (&["-O", "mmp"], &["mmp"]),
        (&["-O", "fast_commit"], &["fast_commit", "tune2fs"]),
        (&["-O", "meta_bg,^resize_inode"], &["meta_bg"]),
        (&["-O", "ea_inode,large_dir"], &["ea_inode", "large_dir"]),
    ];
    for (args, words) in unsupported {
        expect_refusal(mkfs(16 << 20, args), Error::Unsupported, words);
    }
    let on_large_sectors = Disk::new(mkfs(8 << 20, &["-b", "1024"]), 4096);
    let error = fs::ext4::mount(Box::new(on_large_sectors), Options::default())
        .err()
        .unwrap();
    assert!(
        error.detail.contains("1024") && error.detail.contains("4096"),
        "{error}"
    );
}

#[test]
fn features_that_do_not_matter_to_readers_are_mounted_read_only() {
    let disk = Disk::new(mkfs(16 << 20, &["-O", "quota"]), 512);
    disk.state().read_only = true;
    let mut volume = mount(&disk);
    assert_eq!(volume.health(), Health::ReadOnly);
    assert_eq!(volume.stat("lost+found").unwrap().kind, Kind::Directory);
    assert_eq!(volume.mkdir("d"), Err(Error::ReadOnly));
}

/// A disk with a file, in the state of a machine that stops after a sync.
fn stopped() -> Vec<u8> {
    let disk = Disk::new(mkfs(8 << 20, &["-b", "1024"]), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "a", &[1; 20_000]).unwrap();
    volume.sync().unwrap();
    let bytes = disk.bytes();
    drop(volume);
    bytes
}

#[test]
fn a_journal_that_must_be_replayed_needs_a_disk_that_can_be_written() {
    let bytes = stopped();
    let (error, detail) = refused(bytes.clone(), true);
    assert_eq!(error, Error::ReadOnly);
    assert!(
        detail.contains("journal") && detail.contains("e2fsck -p"),
        "{detail}"
    );
    let disk = Disk::new(bytes, 512);
    let mut volume = mount(&disk);
    assert_eq!(read_file(&mut *volume, "a").unwrap(), [1; 20_000]);
    drop(volume);
    fsck(&disk.bytes()).unwrap();
    // Now the journal is empty.
    let before = disk.bytes();
    let options = Options {
        read_only: true,
        ..Options::default()
    };
    let mut volume = mount_with(&disk, options);
    assert_eq!(read_file(&mut *volume, "a").unwrap(), [1; 20_000]);
    assert_eq!(volume.open("b", NEW).err(), Some(Error::ReadOnly));
    volume.sync().unwrap();
    drop(volume);
    assert!(
        disk.bytes() == before,
        "written to a disk mounted read-only"
    );
}

#[test]
fn a_file_system_marked_as_having_errors_is_read_only_or_continues() {
    for (behaviour, continue_on_error) in
        [("continue", true), ("remount-ro", false), ("panic", false)]
    {
        let args = ["-O", "^metadata_csum", "-e", behaviour];
        let disk = Disk::new(mkfs(8 << 20, &args), 512);
        disk.state().bytes[1024 + 0x3a] |= 2;
        let before = disk.bytes();
        let mut volume = mount(&disk);
        match volume.health() {
            Health::Damaged(text) if continue_on_error => check_line(&text, &["e2fsck -f"]),
            Health::Corrupt(text) if !continue_on_error => check_line(&text, &["e2fsck -f"]),
            health => panic!("{behaviour}: {health:?}"),
        }
        if continue_on_error {
            volume.mkdir("d").unwrap();
            volume.sync().unwrap();
            drop(volume);
            assert!(header(&disk.bytes()).contains("clean with errors"));
            continue;
        }
        assert_eq!(volume.mkdir("d"), Err(Error::ReadOnly));
        assert_eq!(volume.sync(), Err(Error::Corrupt));
        drop(volume);
        assert!(disk.bytes() == before, "{behaviour}");
    }
}

/// Returns `dumpe2fs -h`, with single spaces.
fn header(bytes: &[u8]) -> String {
    let image = Image::with(bytes);
    let (_, text) = run("dumpe2fs", &["-h", image.0.to_str().unwrap()]);
    let lines = text.lines();
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    words.collect::<Vec<_>>().join("\n")
}

/// A volume with a directory `d` whose block is damaged.
fn with_damaged_directory(behaviour: &str) -> Disk {
    let disk = Disk::new(mkfs(8 << 20, &["-b", "1024", "-e", behaviour]), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "a", &[1; 20_000]).unwrap();
    volume.mkdir("d").unwrap();
    write_file(&mut *volume, "d/b", &[2; 20_000]).unwrap();
    drop(volume);
    // The directory's block, found by its contents; the journal has a copy.
    let bytes = disk.bytes();
    for at in (0..bytes.len() - 4).filter(|at| bytes[*at..at + 4] == [1, 1, b'b', 0]) {
        disk.state().bytes[at / 1024 * 1024 + 4] = 3; // the length of the first record
    }
    disk
}

/// Earlier changes are kept, together with the mark for e2fsck; nothing is written later.
#[test]
fn damage_that_is_met_ends_all_writing_where_the_superblock_says_so() {
    for behaviour in ["remount-ro", "panic"] {
        let disk = with_damaged_directory(behaviour);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "fresh", b"fresh").unwrap();
        assert_eq!(volume.stat("d/b"), Err(Error::Corrupt));
        assert!(matches!(volume.health(), Health::Corrupt(text) if text.contains("director")));
        let before = disk.bytes();
        assert_eq!(volume.mkdir("new"), Err(Error::ReadOnly));
        assert_eq!(volume.unlink("a"), Err(Error::ReadOnly));
        assert_eq!(volume.sync(), Err(Error::Corrupt));
        assert_eq!(read_file(&mut *volume, "a").unwrap(), [1; 20_000]);
        drop(volume);
        assert!(disk.bytes() == before, "written to a corrupt volume");
        let mut volume = mount(&disk);
        assert!(matches!(volume.health(), Health::Corrupt(text) if text.contains("e2fsck")));
        assert_eq!(read_file(&mut *volume, "fresh").unwrap(), b"fresh");
        drop(volume);
        assert!(header(&disk.bytes()).contains("FS Error count: 1"));
        fsck_failed(&disk.bytes()).unwrap();
    }
}

/// The operation fails, all others continue, and the superblock requests e2fsck.
#[test]
fn damage_that_is_met_is_marked() {
    let disk = with_damaged_directory("continue");
    let mut volume = mount(&disk);
    for _ in 0..2 {
        assert_eq!(volume.stat("d/b"), Err(Error::Corrupt));
        assert!(matches!(volume.health(), Health::Damaged(text) if text.contains("director")));
    }
    volume.mkdir("new").unwrap();
    volume.unlink("a").unwrap();
    write_file(&mut *volume, "fresh", b"fresh").unwrap();
    volume.sync().unwrap();
    // After a power cut the mark is in the journal.
    let stopped = Disk::new(disk.bytes(), 512);
    drop(volume);
    let mut again = mount(&stopped);
    assert!(matches!(
        again.health(),
        Health::Writable | Health::Damaged(_)
    ));
    assert_eq!(read_file(&mut *again, "fresh").unwrap(), b"fresh");
    drop(again);
    for disk in [stopped, disk] {
        let text = header(&disk.bytes());
        let expected = [
            "state: clean with errors",
            "FS Error count: 2",
            "First error function: a directory's entries",
            "Last error function: a directory's entries",
        ];
        for words in expected {
            assert!(text.contains(words), "{words}: {text}");
        }
        let image = Image::with(&disk.bytes());
        let (_, text) = run("e2fsck", &["-p", image.0.to_str().unwrap()]);
        assert!(text.contains("check forced"), "{text}");
        let disk = Disk::new(fsck_failed(&disk.bytes()).unwrap(), 512);
        assert_eq!(mount(&disk).health(), Health::Writable);
    }
}

/// Joined to a path, such a name would be a file elsewhere, even on another volume.
#[test]
fn names_that_are_no_names_are_damage() {
    for name in ["/precious", "../../../", "preci\0uss"] {
        // One block, blocks without an index, and blocks with one.
        for (count, features) in [
            (0, "^metadata_csum"),
            (40, "^metadata_csum,^dir_index"),
            (40, "^metadata_csum"),
        ] {
            let disk = Disk::new(mkfs(8 << 20, &["-b", "1024", "-O", features]), 512);
            let mut volume = mount(&disk);
            volume.mkdir("d").unwrap();
            for n in 0..count {
                let long = format!("d/{n:0>120}");
                write_file(&mut *volume, &long, b"").unwrap();
            }
            write_file(&mut *volume, "d/preciouss", b"").unwrap();
            write_file(&mut *volume, "good", b"good").unwrap();
            drop(volume);
            let bytes = disk.bytes();
            for at in 0..bytes.len() - 9 {
                if bytes[at..].starts_with(b"preciouss") {
                    disk.state().bytes[at..at + 9].copy_from_slice(name.as_bytes());
                }
            }
            let mut volume = mount(&disk);
            let listed = names(&mut *volume, "d");
            assert_eq!(listed, Err(Error::Corrupt), "{name:?}, {count}");
            let health = volume.health();
            assert!(
                matches!(&health, Health::Damaged(text) if text.contains("name")),
                "{health:?}"
            );
            assert_eq!(read_file(&mut *volume, "good").unwrap(), b"good");
        }
    }
}

/// A group with damaged bitmaps is skipped once the damage was found: others have room.
#[test]
fn a_group_with_a_damaged_bitmap_is_avoided() {
    for field in [0, 4] {
        let disk = Disk::new(mkfs(24 << 20, &["-b", "1024", "-O", "^flex_bg"]), 512);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "a", &[1; 20_000]).unwrap();
        drop(volume);
        // The first group's, according to its descriptor.
        let bytes = disk.bytes();
        let at = 2048 + field;
        let bitmap = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        disk.state().bytes[bitmap * 1024 + 100] ^= 1;
        let mut volume = mount(&disk);
        let failed = write_file(&mut *volume, "b", &[2; 20_000]);
        assert_eq!(failed, Err(Error::Corrupt), "field {field}");
        for n in 0..100 {
            write_file(&mut *volume, &format!("f{n}"), &[n; 5000]).unwrap();
        }
        volume.sync().unwrap();
        drop(volume);
        let disk = Disk::new(fsck_failed(&disk.bytes()).unwrap(), 512);
        let mut volume = mount(&disk);
        assert_eq!(read_file(&mut *volume, "f99").unwrap(), [99; 5000]);
    }
}

/// Reads everything reachable, and changes some of it.
fn use_it(volume: &mut dyn Volume, random: &mut Random) {
    let mut paths = vec![String::new()];
    let mut looked = 0;
    while let Some(path) = paths.pop().filter(|_| looked < 40) {
        looked += 1;
        if let Ok(file) = volume.open(&path, OpenFlags::READ) {
            let mut buf = vec![0; 10_000];
            let _ = volume.read_at(file, random.below(40_000), &mut buf);
            let _ = volume.close(file);
        }
        let _ = volume.resolve(&path, true);
        let Ok(directory) = volume.open(&path, OpenFlags::DIRECTORY) else {
            continue;
        };
        let mut cursor = Some(0);
        for _ in 0..5 {
            let Some(from) = cursor else { break };
            let listed = volume.list(directory, from, &mut |entry| {
                if paths.len() < 60 {
                    paths.push(format!("{path}/{}", entry.name));
                }
                true
            });
            cursor = listed.unwrap_or(None);
        }
        let _ = volume.close(directory);
    }
    let _ = write_file(volume, "new", &[5; 9000]);
    let _ = volume.mkdir("made");
    let _ = write_file(volume, "made/another file", &[6; 3000]);
    for path in ["big", "dir/name 7", "link", "sparse"] {
        if let Ok(file) = volume.open(path, OpenFlags::WRITE | OpenFlags::APPEND) {
            let _ = volume.write_at(file, 0, &[7; 5000]);
            let _ = volume.truncate(file, 2500);
            let _ = volume.close(file);
        }
        let _ = volume.rename(path, "made/moved");
        let _ = volume.sync();
    }
    let _ = volume.unlink("made/moved");
    let _ = volume.rmdir("dir");
    let _ = volume.sync();
}

/// Images to damage: without checksums, which would hide most damage.
fn corpus() -> Vec<Vec<u8>> {
    let kinds: &[&[&str]] = &[
        &["-b", "1024", "-O", "^metadata_csum"],
        &["-b", "1024", "-O", "^metadata_csum,^has_journal,^64bit"],
        &["-b", "4096", "-O", "^metadata_csum,^resize_inode"],
        &["-b", "1024", "-O", "^metadata_csum,^extent,^64bit"],
        &["-b", "1024"],
    ];
    let mut images = Vec::new();
    for (n, args) in kinds.iter().enumerate() {
        let disk = Disk::new(mkfs(6 << 20, args), 512);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "big", &[1; 300_000]).unwrap();
        volume.mkdir("dir").unwrap();
        for n in 0..60 {
            write_file(&mut *volume, &format!("dir/name {n}"), &[2; 700]).unwrap();
        }
        let sparse = volume.open("sparse", NEW).unwrap();
        for n in 0..12 {
            volume.write_at(sparse, n * 9000, &[3; 1500]).unwrap();
        }
        volume.close(sparse).unwrap();
        volume.symlink("dir/name 3", "link").unwrap();
        volume.sync().unwrap();
        if n % 2 == 0 {
            images.push(disk.bytes()); // its journal is to be replayed
        }
        drop(volume);
        images.push(disk.bytes());
    }
    images
}

/// Changes some bytes in areas that are in use.
fn damage(bytes: &mut [u8], used: &[usize], random: &mut Random) -> Vec<(usize, u8)> {
    let mut changes = Vec::new();
    for _ in 0..1 + random.below(6) {
        // The superblock and the descriptors more often than their share.
        let at = match random.below(6) {
            0 => 1024 + random.below(256) as usize,
            1 => 2048 + random.below(2048) as usize,
            _ => used[random.below(used.len() as u64) as usize] + random.below(64) as usize,
        };
        let value = match random.below(5) {
            0 => 0,
            1 => 0xff,
            2 => bytes[at] ^ 1 << random.below(8),
            3 => bytes[at].wrapping_add(1),
            _ => random.next() as u8,
        };
        bytes[at] = value;
        changes.push((at, value));
    }
    changes
}

#[test]
fn damaged_images_neither_panic_nor_hang_nor_take_memory_without_end() {
    let count: u64 = std::env::var("SOIL_FS_MUTATIONS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(240);
    let seed = std::env::var("SOIL_FS_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(77);
    let corpus = corpus();
    let mut panics = Vec::new();
    for (image, bytes) in corpus.iter().enumerate() {
        let used: Vec<usize> = (0..bytes.len() / 64)
            .map(|n| n * 64)
            .filter(|at| bytes[*at..at + 64].iter().any(|byte| *byte > 7))
            .collect();
        for n in 0..count / corpus.len() as u64 {
            let mut random = Random(seed + n * 1000 + image as u64 + 1);
            let mut damaged = bytes.clone();
            let changes = damage(&mut damaged, &used, &mut random);
            let disk = Disk::new(damaged, 512);
            let start = Instant::now();
            if std::env::var_os("SOIL_FS_LOG").is_some() {
                println!("image {image}, mutation {n}: {changes:x?}");
            }
            let work = || {
                if let Ok(mut volume) = fs::ext4::mount(Box::new(disk.clone()), Options::default())
                {
                    use_it(&mut *volume, &mut random);
                }
            };
            let (used_it, taken) =
                memory::peak(|| std::panic::catch_unwind(AssertUnwindSafe(work)));
            let memory = taken >> 20;
            let requests = {
                let state = disk.state();
                state.reads + state.writes
            };
            let name = format!("image {image}, {changes:x?}");
            if used_it.is_err() {
                panics.push(name.clone());
            }
            assert!(memory < 64, "{name}: {memory} MiB");
            assert!(requests < 200_000, "{name}: {requests} requests");
            // Each takes milliseconds: a longer time means an endless loop, on any machine.
            assert!(
                start.elapsed().as_secs() < 300,
                "{name}: {:?}",
                start.elapsed()
            );
        }
    }
    assert!(
        panics.is_empty(),
        "{} panics: {:#?}",
        panics.len(),
        &panics[..panics.len().min(5)]
    );
}

#[test]
fn tools_are_there() {
    assert!(run("e2fsck", &["-V"]).0);
}
