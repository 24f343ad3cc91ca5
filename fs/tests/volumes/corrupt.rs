//! Disks that aren't FAT, or are damaged: one clear line, no panic, no hang, no writes.

use std::time::{Duration, Instant};

use crate::common::{
    Image, NEW, Random, check_line, fsck, mkfs, mount, mount_with, names, read_file, run,
    write_file,
};
use fs::fake::Disk;
use fs::fat::{self, Options};
use fs::{Error, Health, Kind, OpenFlags, Volume};

fn refused(bytes: Vec<u8>) -> (Error, String) {
    match fat::mount(Box::new(Disk::new(bytes, 512)), Options::default()) {
        Ok(_) => panic!("mounted"),
        Err(refused) => (refused.error, refused.detail),
    }
}

fn expect_refusal(bytes: Vec<u8>, words: &[&str]) {
    let (error, detail) = refused(bytes);
    assert_eq!(error, Error::Corrupt, "{detail}");
    check_line(&detail, words);
}

#[test]
fn what_is_not_fat_is_named_with_a_remedy() {
    expect_refusal(Vec::new(), &["empty", "mkfs.fat"]);
    expect_refusal(vec![0; 1 << 20], &["blank", "mkfs.fat"]);
    expect_refusal(vec![0xe5; 1 << 20], &["signature missing", "mkfs.fat"]);
    let mut partitioned = vec![0; 1 << 20];
    partitioned[446..462].copy_from_slice(&[0x80, 1, 1, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0]);
    partitioned[510..512].copy_from_slice(&[0x55, 0xaa]);
    expect_refusal(partitioned, &["MBR partition table", "whole disk"]);
    let mut ntfs = vec![0; 1 << 20];
    ntfs[3..11].copy_from_slice(b"NTFS    ");
    ntfs[510..512].copy_from_slice(&[0x55, 0xaa]);
    expect_refusal(ntfs, &["NTFS"]);
    let mut ext4 = vec![0; 1 << 20];
    ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
    expect_refusal(ext4, &["ext4"]);
    expect_refusal(
        b"QFI\xfb".iter().copied().chain([1; 5000]).collect(),
        &["qcow2", "qemu-img"],
    );
}

#[test]
fn a_truncated_image_says_how_much_is_missing() {
    let mut bytes = mkfs(16 << 20, &["-F", "16"]);
    bytes.truncate(10 << 20);
    expect_refusal(
        bytes.clone(),
        &["truncated", "16777216", "10485760", "restore"],
    );
    bytes.truncate(512);
    expect_refusal(bytes, &["truncated"]);
}

#[test]
fn a_boot_sector_that_contradicts_itself_is_refused() {
    let good = mkfs(16 << 20, &["-F", "16"]);
    for (at, value) in [
        (11, 3),
        (13, 3),
        (14, 0),
        (16, 0),
        (17, 1),
        (22, 0),
        (22, 0xff),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        if at == 14 || at == 22 {
            bytes[at + 1] = value;
        }
        let mounted = fat::mount(Box::new(Disk::new(bytes, 512)), Options::default());
        if let Err(error) = mounted {
            assert!(error.detail.contains("mkfs.fat") || error.detail.contains("restore"));
        } else {
            assert!(
                ![11, 13, 14, 16].contains(&at),
                "byte {at} = {value} was accepted"
            );
        }
    }
}

/// Creates a FAT16 volume with 2 KiB clusters, a file of 20 KiB in about clusters 2 to 11, and
/// another file. Also returns the location of its first table.
fn volume_to_damage() -> (Disk, usize) {
    let disk = Disk::new(mkfs(16 << 20, &["-F", "16", "-s", "4"]), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "a", &[1; 20 << 10]).unwrap();
    write_file(&mut *volume, "b", &[2; 20 << 10]).unwrap();
    volume.sync().unwrap();
    let bytes = disk.bytes();
    (
        disk,
        usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512,
    )
}

fn set_entry(disk: &Disk, table: usize, cluster: usize, value: u16) {
    let at = table + cluster * 2;
    disk.state().bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// After corruption is found, nothing is written, and every change fails with the reason.
fn expect_read_only(volume: &mut dyn Volume, disk: &Disk) {
    assert!(matches!(volume.health(), Health::Corrupt(text) if !text.is_empty()));
    let before = disk.bytes();
    assert_eq!(volume.mkdir("new").err(), Some(Error::ReadOnly));
    assert_eq!(volume.open("new", NEW).err(), Some(Error::ReadOnly));
    assert_eq!(volume.unlink("b").err(), Some(Error::ReadOnly));
    assert_eq!(volume.rename("b", "c").err(), Some(Error::ReadOnly));
    assert_eq!(volume.sync().err(), Some(Error::Corrupt));
    assert!(disk.bytes() == before, "written to a corrupt volume");
}

#[test]
fn a_chain_that_loops_makes_the_volume_read_only() {
    let (disk, table) = volume_to_damage();
    set_entry(&disk, table, 6, 4);
    let mut volume = mount(&disk);
    // Appending walks the whole chain, which has no end.
    let file = volume
        .open("a", OpenFlags::WRITE | OpenFlags::APPEND)
        .unwrap();
    assert_eq!(volume.write_at(file, 0, &[3; 5000]), Err(Error::Corrupt));
    expect_read_only(&mut *volume, &disk);
}

#[test]
fn a_chain_that_leads_nowhere_makes_the_volume_read_only() {
    for value in [0, 1, 0xfff7, 0xff00] {
        let (disk, table) = volume_to_damage();
        set_entry(&disk, table, 6, value);
        let mut volume = mount(&disk);
        assert_eq!(
            read_file(&mut *volume, "a"),
            Err(Error::Corrupt),
            "{value:#x}"
        );
        expect_read_only(&mut *volume, &disk);
        // Undamaged files stay readable.
        assert_eq!(read_file(&mut *volume, "b").unwrap(), [2; 20 << 10]);
    }
}

#[test]
fn uncommitted_changes_are_not_written_to_a_volume_found_corrupt() {
    let (disk, table) = volume_to_damage();
    set_entry(&disk, table, 6, 0);
    let mut volume = mount(&disk);
    let before = disk.bytes();
    write_file(&mut *volume, "fresh", b"fresh").unwrap();
    assert_eq!(read_file(&mut *volume, "a"), Err(Error::Corrupt));
    assert_eq!(volume.sync(), Err(Error::Corrupt));
    assert!(disk.bytes() == before);
}

#[test]
fn names_that_are_no_names_are_damage_or_not_shown() {
    // The long name is invalid: the file has its short name. If that is invalid as well, it is
    // damage.
    for (short, listed) in [
        (b"PRECI~1    ", Ok(vec!["PRECI~1".to_string()])),
        (b"..         ", Ok(vec![])),
        (b"A/B        ", Err(Error::Corrupt)),
        (b"A\0B        ", Err(Error::Corrupt)),
        (b"           ", Err(Error::Corrupt)),
    ] {
        for long in ["../../../other", "/a", "..", ".", ""] {
            let disk = Disk::new(mkfs(16 << 20, &["-F", "16", "-s", "4"]), 512);
            let mut volume = mount(&disk);
            volume.mkdir("d").unwrap();
            write_file(&mut *volume, "d/precious file", b"").unwrap();
            write_file(&mut *volume, "b", b"").unwrap();
            volume.sync().unwrap();
            drop(volume);
            let bytes = disk.bytes();
            let at = bytes.chunks(32).position(|slot| slot.starts_with(b"PRECI"));
            let at = at.unwrap() * 32;
            let sum = short
                .iter()
                .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
            let mut units: Vec<u16> = long.encode_utf16().collect();
            units.push(0);
            units.resize(26, 0xffff);
            // Two slots before it, the last part first.
            for (slot, part) in [(at - 64, 1), (at - 32, 0)] {
                let mut places = (1..11).step_by(2).chain((14..26).step_by(2));
                let tail = [28, 30];
                let mut of = units[part * 13..][..13].iter();
                for place in places.by_ref().chain(tail) {
                    let unit = of.next().unwrap().to_le_bytes();
                    disk.state().bytes[slot + place..][..2].copy_from_slice(&unit);
                }
                disk.state().bytes[slot + 13] = sum;
            }
            disk.state().bytes[at..at + 11].copy_from_slice(short);
            let mut volume = mount(&disk);
            assert_eq!(names(&mut *volume, "d"), listed, "{short:?}, {long:?}");
            if listed.is_err() {
                expect_read_only(&mut *volume, &disk);
            }
        }
    }
}

/// Runs operations on a volume, within bounds.
fn exercise(volume: &mut dyn Volume, random: &mut Random) {
    let mut paths = vec![(String::new(), Kind::Directory)];
    let mut at = 0;
    while let Some((path, kind)) = paths.get(at).cloned() {
        at += 1;
        if kind == Kind::File || paths.len() > 300 {
            continue;
        }
        let Ok(directory) = volume.open(&path, OpenFlags::DIRECTORY) else {
            continue;
        };
        let mut cursor = Some(0);
        while let Some(from) = cursor.filter(|_| paths.len() < 400) {
            let listed = volume.list(directory, from, &mut |entry| {
                paths.push((format!("{path}/{}", entry.name), entry.kind));
                true
            });
            cursor = listed.unwrap_or(None);
        }
        let _ = volume.close(directory);
    }
    let mut buf = vec![0; 70_000];
    for (n, (path, _)) in paths.iter().enumerate().take(60) {
        let _ = volume.stat(path);
        if let Ok(file) = volume.open(path, OpenFlags::READ | OpenFlags::WRITE) {
            let _ = volume.read_at(file, random.below(9000), &mut buf);
            match n % 4 {
                0 => drop(volume.write_at(file, random.below(40_000), &buf[..3000])),
                1 => drop(volume.truncate(file, random.below(30_000))),
                _ => {}
            }
            let _ = volume.close(file);
        }
        match n % 5 {
            0 => drop(volume.rename(path, &format!("renamed {n}"))),
            1 => drop(volume.unlink(path)),
            2 => drop(volume.rmdir(path)),
            _ => {}
        }
    }
    let _ = volume.mkdir("made");
    let _ = write_file(volume, "made/file with a long name", &buf[..5000]);
    let _ = volume.space();
    let _ = volume.sync();
}

/// Creates a volume with files of all kinds, filled by mtools.
fn seed_image(len: u64, args: &[&str]) -> Vec<u8> {
    let image = Image::with(&mkfs(len, args));
    let to = image.0.to_str().unwrap();
    let source = Image::with(&Random(5).bytes(9000));
    let from = source.0.to_str().unwrap();
    for directory in ["::/dir", "::/dir/Deeper Directory", "::/empty"] {
        assert!(run("mmd", &["-i", to, directory]).0);
    }
    for name in [
        "::/FILE.BIN",
        "::/A long name.data",
        "::/dir/ünï, a longer name.txt",
        "::/dir/Deeper Directory/x",
    ] {
        let (ok, text) = run("mcopy", &["-i", to, from, name]);
        assert!(ok, "{text}");
    }
    image.bytes()
}

#[test]
fn mutated_images_neither_panic_nor_hang() {
    let seeds = [
        seed_image(1 << 20, &["-F", "12", "-s", "1"]),
        seed_image(9 << 20, &["-F", "16", "-s", "2"]),
        seed_image(34 << 20, &["-F", "32", "-s", "1"]),
    ];
    let rounds: u64 = std::env::var("SOIL_FS_MUTATIONS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(90);
    let (mut mounted, mut corrupt) = (0, 0);
    for round in 0..rounds {
        let mut random = Random(0x9e37_79b9 + round * 77);
        let mut bytes = seeds[(round % 3) as usize].clone();
        let used = 64 + bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
        // Only the boot sector, the tables and directories, or anywhere.
        let reach = [512, 64 << 10, used][(round / 3 % 3) as usize].min(bytes.len() as u64);
        for _ in 0..=random.below(if reach == 512 { 3 } else { 60 }) {
            // Mostly in areas that are in use.
            let mut at = random.below(reach) as usize;
            for _ in 0..100 {
                if bytes[at] == 0 {
                    at = random.below(reach) as usize;
                }
            }
            match random.below(4) {
                0 => bytes[at] = 0xff,
                1 => bytes[at] = 0,
                2 => bytes[at] ^= 1 << random.below(8),
                _ => bytes[at] = random.next() as u8,
            }
        }
        if random.below(20) == 0 {
            let len = random.below(bytes.len() as u64) as usize;
            bytes.truncate(len);
        }
        let disk = Disk::new(bytes, 512);
        let start = Instant::now();
        match fat::mount(Box::new(disk.clone()), Options::default()) {
            Ok(mut volume) => {
                mounted += 1;
                exercise(&mut *volume, &mut random);
                corrupt += u32::from(matches!(volume.health(), Health::Corrupt(_)));
            }
            Err(error) => assert!(!error.detail.is_empty()),
        }
        let reads = disk.state().reads;
        let requests = reads + disk.state().writes;
        assert!(requests < 200_000, "round {round}: {requests} requests");
        // Each takes milliseconds: a longer time means an endless loop, on any machine.
        assert!(start.elapsed() < Duration::from_secs(300), "round {round}");
    }
    println!("{rounds} images: {mounted} mounted, {corrupt} of them found corrupt later");
    assert!(mounted > rounds / 3 && corrupt > 0);
}

#[test]
fn read_only_devices_and_mounts_are_never_written() {
    let bytes = seed_image(1 << 20, &["-F", "12"]);
    for protected in [true, false] {
        let disk = Disk::new(bytes.clone(), 512);
        disk.state().read_only = protected;
        let options = Options {
            read_only: !protected,
            ..Options::default()
        };
        let mut volume = mount_with(&disk, options);
        assert_eq!(volume.health(), Health::ReadOnly);
        assert_eq!(
            names(&mut *volume, "/dir").unwrap(),
            ["Deeper Directory", "ünï, a longer name.txt"]
        );
        assert_eq!(volume.mkdir("x"), Err(Error::ReadOnly));
        assert_eq!(volume.open("FILE.BIN", NEW).err(), Some(Error::ReadOnly));
        assert_eq!(volume.unlink("FILE.BIN"), Err(Error::ReadOnly));
        assert_eq!(volume.sync(), Ok(()));
        assert_eq!(disk.state().writes, 0);
        fsck(&disk.bytes()).unwrap();
    }
}

#[test]
fn a_damaged_directory_is_neither_removed_nor_moved() {
    for looped in [true, false] {
        let (disk, table) = volume_to_damage();
        let mut volume = mount(&disk);
        volume.mkdir("D").unwrap();
        volume.sync().unwrap();
        let bytes = disk.bytes();
        let mut slots = bytes.chunks(32);
        let above = slots.position(|slot| slot.starts_with(b"..         "));
        volume.mkdir("E").unwrap();
        volume.sync().unwrap();
        if looped {
            set_entry(&disk, table, 22, 22);
        } else {
            disk.state().bytes[above.unwrap() * 32] = b'x';
        }
        let mut volume = mount(&disk);
        let refused = match looped {
            true => volume.rmdir("D"),
            false => volume.rename("D", "E/D"),
        };
        assert_eq!(refused, Err(Error::Corrupt), "looped {looped}");
        expect_read_only(&mut *volume, &disk);
    }
}
