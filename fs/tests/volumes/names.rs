//! Directories with indexed names: lookups, free slots, and the view of other implementations.

use std::collections::BTreeMap;

use crate::common::{
    Image, NEW, Random, fsck, mkfs, mount, mount_with, names, read_file, run, write_file,
};
use fs::fake::Disk;
use fs::fat::Options;
use fs::{Error, OpenFlags, Volume};
use proptest::prelude::*;

/// Returns mtools' listing of the root: each file's short name, and its long one if it has one.
fn listed(disk: &Disk) -> Vec<(String, String)> {
    let image = Image::with(&disk.bytes());
    let (_, text) = run("mdir", &["-i", image.0.to_str().unwrap(), "::"]);
    // NAME     EXT   SIZE DATE       TIME  long name
    let entries = text.lines().filter_map(|line| {
        let date = line
            .find('-')
            .filter(|at| *at > 12 && !line.starts_with(' '))?
            - 4;
        let (base, extension) = (line[..8].trim_end(), line[9..12].trim_end());
        let dot = if extension.is_empty() { "" } else { "." };
        let long = line.get(date + 19..).unwrap_or("").trim();
        Some((format!("{base}{dot}{extension}"), long.to_string()))
    });
    entries.collect()
}

fn check(disk: &Disk, when: &str) {
    fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{when}: {text}"));
}

#[test]
fn many_names_with_one_beginning() {
    // Each cluster has room for five of them.
    for args in [["-F", "16", "-s", "1"], ["-F", "32", "-s", "1"]] {
        let len = if args[1] == "16" { 16 << 20 } else { 40 << 20 };
        let disk = Disk::new(mkfs(len, &args), 512);
        let mut volume = mount(&disk);
        volume.mkdir("d").unwrap();
        let mut random = Random(3);
        let mut there = BTreeMap::new();
        for n in 0..1200 {
            let path = format!("d/a file called {n:06}");
            write_file(&mut *volume, &path, format!("{n}").as_bytes()).unwrap();
            there.insert(path, n);
            let first = there.keys().nth(random.below(there.len() as u64) as usize);
            let old = first.unwrap().clone();
            match n % 5 {
                0 => {
                    volume.unlink(&old).unwrap();
                    there.remove(&old);
                }
                1 => {
                    let new = format!("d/{}{n}", "x".repeat(random.below(60) as usize));
                    volume.rename(&old, &new).unwrap();
                    let which = there.remove(&old).unwrap();
                    there.insert(new, which);
                }
                _ => {}
            }
        }
        volume.sync().unwrap();
        check(&disk, "many");
        for mut volume in [volume, mount(&disk)] {
            for (path, n) in &there {
                let found = volume.open(&path.to_uppercase(), OpenFlags::READ).unwrap();
                let mut text = [0; 8];
                let count = volume.read_at(found, 0, &mut text).unwrap();
                volume.close(found).unwrap();
                assert_eq!(text[..count], *format!("{n}").as_bytes(), "{path}");
            }
            let mut listed = names(&mut *volume, "d").unwrap();
            listed.sort();
            let wanted: Vec<_> = there.keys().map(|path| path[2..].to_string()).collect();
            assert_eq!(listed, wanted);
        }
    }
}

#[test]
fn what_is_not_there_is_known_without_reading() {
    let disk = Disk::new(mkfs(64 << 20, &["-F", "32", "-s", "1"]), 512);
    let mut volume = mount(&disk);
    for n in 0..2000 {
        write_file(&mut *volume, &format!("number {n} of many"), b"").unwrap();
    }
    volume.sync().unwrap();
    let mut volume = mount(&disk);
    volume.stat("number 7 of many").unwrap();
    let before = disk.state().reads;
    for n in 2000..4000 {
        let path = format!("number {n} of many");
        assert_eq!(volume.stat(&path), Err(Error::NotFound));
    }
    let reads = disk.state().reads - before;
    assert!(reads < 100, "{reads} reads");
    // Existing files are found with the reads of their own entries and of their path.
    for n in 0..500 {
        volume.stat(&format!("NUMBER {n} OF MANY")).unwrap();
    }
    let reads = disk.state().reads - before;
    assert!(reads < 2000, "{reads} reads");
}

#[test]
fn a_short_name_is_a_name_as_well() {
    let disk = Disk::new(mkfs(8 << 20, &["-F", "12"]), 512);
    let mut volume = mount(&disk);
    for n in 0..40 {
        write_file(&mut *volume, &format!("longer than eight {n}"), b"").unwrap();
    }
    write_file(&mut *volume, "Readme.txt", b"").unwrap();
    volume.sync().unwrap();
    let found = listed(&disk);
    assert_eq!(found.len(), 41, "{found:?}");
    for (short, _) in &found {
        volume.stat(&short.to_lowercase()).unwrap();
        assert_eq!(
            volume.open(short, NEW | OpenFlags::EXCLUSIVE).err(),
            Some(Error::Exists)
        );
    }
    let (short, long) = found.iter().find(|(short, _)| short.contains('~')).unwrap();
    volume.unlink(short).unwrap();
    assert_eq!(volume.stat(long), Err(Error::NotFound));
    volume.sync().unwrap();
    check(&disk, "short names");
}

#[test]
fn what_is_after_the_last_entry_stays_out_of_sight() {
    let mut bytes = mkfs(2 << 20, &["-F", "12", "-s", "1", "-f", "1"]);
    // The root directory follows the table, and some systems leave old entries after its end.
    let sectors = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let root = (sectors(14) + sectors(22)) * 512;
    for slot in 1..16 {
        let at = root + slot * 32;
        bytes[at..at + 11].copy_from_slice(format!("OLD{slot:05}TXT").as_bytes());
        bytes[at + 11] = 0x20;
    }
    let disk = Disk::new(bytes, 512);
    let mut volume = mount(&disk);
    assert_eq!(names(&mut *volume, "/").unwrap(), [""; 0]);
    for n in 0..4 {
        write_file(&mut *volume, &format!("N{n}"), b"").unwrap();
    }
    volume.sync().unwrap();
    assert_eq!(
        names(&mut *mount(&disk), "/").unwrap(),
        ["N0", "N1", "N2", "N3"]
    );
    assert_eq!(listed(&disk).len(), 4);
}

/// 65,536 entries, the maximum of a directory; with the memory of a large machine, and with that of
/// a small one, which has no index of that size. Fewer without `SOIL_FS_LONG`.
#[test]
fn the_largest_directory() {
    let long = std::env::var_os("SOIL_FS_LONG").is_some();
    for (cache_bytes, count) in [(256 << 10, 65_536), (64 << 10, 4096)] {
        let count = if long { count } else { count / 16 };
        let disk = Disk::new(mkfs(96 << 20, &["-F", "32", "-s", "1"]), 512);
        let options = Options {
            cache_bytes,
            ..Options::default()
        };
        let mut volume = mount_with(&disk, options);
        volume.mkdir("d").unwrap();
        let mut made = 0;
        let refused = loop {
            if !long && made == count {
                break Error::NoSpace;
            }
            match volume.open(&format!("d/{made:x}"), NEW) {
                Ok(file) => volume.close(file).unwrap(),
                Err(error) => break error,
            }
            made += 1;
            if cache_bytes < 256 << 10 && made == count {
                break Error::NoSpace;
            }
        };
        assert_eq!(refused, Error::NoSpace);
        // `.` and `..` are two of them.
        assert!(made == count || made == 65_534, "{made}");
        for n in (0..made).step_by(97) {
            volume.stat(&format!("d/{n:X}")).unwrap();
        }
        assert_eq!(volume.stat("d/none"), Err(Error::NotFound));
        for n in (0..made).step_by(2) {
            volume.unlink(&format!("d/{n:x}")).unwrap();
        }
        assert_eq!(names(&mut *volume, "d").unwrap().len(), made / 2);
        volume.sync().unwrap();
        check(&disk, "the largest");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,3}",
        "[A-Ca-c]{1,9}(\\.[a-cA-C]{1,4})?",
        "[a-b .+]{1,12}[a-b]",
        "(prefix of a name)[a-c]{0,3}",
        "[àÀéßøØЖж日]{1,4}[ab]{0,30}",
        "[a-b]{200,255}",
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Make(String),
    Directory(String),
    Remove(usize),
    Rename(usize, String),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => name().prop_map(Step::Make),
        1 => name().prop_map(Step::Directory),
        2 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), name()).prop_map(|(which, name)| Step::Rename(which, name)),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// A volume with its index and one that is mounted again before each step return the same, and
    /// so does fsck.fat.
    #[test]
    fn an_index_that_is_kept_says_what_one_made_afresh_does(steps in steps(), root in any::<bool>()) {
        let disks = [(); 2].map(|()| Disk::new(mkfs(1 << 20, &["-F", "12", "-s", "1"]), 512));
        let folder = if root { "" } else { "folder/" };
        for disk in &disks {
            let mut volume = mount(disk);
            volume.mkdir("folder").unwrap();
            volume.sync().unwrap();
        }
        let mut kept = mount(&disks[0]);
        for step in &steps {
            let mut fresh = mount(&disks[1]);
            let there = names(&mut *fresh, folder).unwrap();
            let act = |volume: &mut dyn Volume| -> Result<(), Error> {
                match step {
                    Step::Make(name) => {
                        let file = volume.open(&format!("{folder}{name}"), NEW | OpenFlags::EXCLUSIVE)?;
                        volume.write_at(file, 0, name.as_bytes())?;
                        volume.close(file)
                    }
                    Step::Directory(name) => volume.mkdir(&format!("{folder}{name}")),
                    Step::Remove(which) => {
                        let Some(name) = there.get(which % there.len().max(1)) else { return Ok(()) };
                        let path = format!("{folder}{name}");
                        match volume.unlink(&path) {
                            Err(Error::IsDirectory) => volume.rmdir(&path),
                            removed => removed,
                        }
                    }
                    Step::Rename(which, new) => {
                        let Some(name) = there.get(which % there.len().max(1)) else { return Ok(()) };
                        volume.rename(&format!("{folder}{name}"), &format!("{folder}{new}"))
                    }
                }
            };
            let outcomes = [act(&mut *kept), act(&mut *fresh)];
            prop_assert_eq!(outcomes[0], outcomes[1], "{:?}", step);
            fresh.sync().unwrap();
        }
        kept.sync().unwrap();
        for disk in &disks {
            check(disk, "afresh");
        }
        let lists = [names(&mut *kept, folder).unwrap(), names(&mut *mount(&disks[1]), folder).unwrap()];
        prop_assert_eq!(&lists[0], &lists[1]);
        for name in &lists[0] {
            kept.stat(&format!("{folder}{name}")).unwrap();
        }
    }
}

/// A directory grows while files in it, also those in its first slots, are open.
#[test]
fn a_directory_that_is_full_to_its_last_slot_grows() {
    for (args, cache_bytes) in [
        (["-F", "32", "-s", "1"], 256 << 10),
        (["-F", "32", "-s", "16"], 64 << 10),
    ] {
        let disk = Disk::new(
            mkfs(if args[3] == "1" { 40 << 20 } else { 600 << 20 }, &args),
            512,
        );
        let options = Options {
            cache_bytes,
            ..Options::default()
        };
        let mut volume = mount_with(&disk, options);
        volume.mkdir("d").unwrap();
        // In the first slots, and open while others use their slots.
        let open = ["A", "d/A"].map(|path| volume.open(path, NEW).unwrap());
        volume.sync().unwrap();
        for n in 0..700 {
            for folder in ["", "d/"] {
                write_file(&mut *volume, &format!("{folder}F{n}"), b"contents").unwrap();
            }
            for file in open {
                volume.write_at(file, n, &[n as u8]).unwrap();
            }
        }
        for file in open {
            volume.close(file).unwrap();
        }
        volume.sync().unwrap();
        check(&disk, "grown");
        let mut volume = mount(&disk);
        for folder in ["", "d/"] {
            for n in 0..700 {
                let found = read_file(&mut *volume, &format!("{folder}f{n}")).unwrap();
                assert_eq!(found, b"contents");
            }
            let wanted: Vec<u8> = (0..700).map(|n| n as u8).collect();
            assert_eq!(
                read_file(&mut *volume, &format!("{folder}a")).unwrap(),
                wanted
            );
        }
    }
}

/// Renaming finds room before it removes the replaced entry, and an open file follows its name.
#[test]
fn a_rename_without_room_changes_nothing() {
    let disk = Disk::new(mkfs(2 << 20, &["-F", "12", "-r", "16"]), 512);
    let mut volume = mount(&disk);
    for n in 0..15 {
        write_file(&mut *volume, &format!("F{n}"), &[n]).unwrap();
    }
    volume.mkdir("D").unwrap();
    write_file(&mut *volume, "D/a name that is longer", b"longer").unwrap();
    let open = volume
        .open("F3", OpenFlags::READ | OpenFlags::WRITE)
        .unwrap();
    volume.write_at(open, 1, b"more").unwrap();
    assert_eq!(
        volume.rename("F1", "a name that is longer"),
        Err(Error::NoSpace)
    );
    assert_eq!(
        volume.rename("D/a name that is longer", "f2 as well"),
        Err(Error::NoSpace)
    );
    // In another case the name takes two slots, and only one is free.
    assert_eq!(volume.rename("F3", "f4.Txt"), Err(Error::NoSpace));
    assert_eq!(volume.rename("D/a name that is longer", "f2"), Ok(()));
    assert_eq!(volume.rename("F3", "f4"), Ok(()));
    volume.write_at(open, 5, b" still").unwrap();
    volume.sync().unwrap();
    check(&disk, "renamed");
    let mut fresh = mount(&disk);
    for volume in [&mut volume, &mut fresh] {
        assert_eq!(read_file(&mut **volume, "F1").unwrap(), [1]);
        assert_eq!(read_file(&mut **volume, "F2").unwrap(), b"longer");
        assert_eq!(read_file(&mut **volume, "f4").unwrap(), b"\x03more still");
        assert_eq!(volume.stat("F3"), Err(Error::NotFound));
        assert_eq!(names(&mut **volume, "D").unwrap(), [""; 0]);
    }
}

#[test]
fn entries_in_the_first_sector_of_a_disk_with_large_ones() {
    // Two sectors of 512 bytes and then the root, all of it in the first of the disk's.
    let image = mkfs(256 << 10, &["-F", "12", "-S", "512", "-f", "1", "-r", "16"]);
    let disk = Disk::new(image, 4096);
    let mut volume = mount(&disk);
    for name in ["a", "b", "c"] {
        write_file(&mut *volume, name, name.as_bytes()).unwrap();
    }
    volume.rename("a", "d").unwrap();
    volume.unlink("c").unwrap();
    volume.sync().unwrap();
    check(&disk, "large sectors");
    for mut volume in [volume, mount(&disk)] {
        assert_eq!(read_file(&mut *volume, "d").unwrap(), b"a");
        assert_eq!(read_file(&mut *volume, "b").unwrap(), b"b");
        assert_eq!(volume.stat("c"), Err(Error::NotFound));
    }
}
