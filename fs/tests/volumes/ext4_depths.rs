//! Directories whose names have the same hash at the boundaries of their blocks, extent trees of
//! three levels, and devices whose reads fail singly: operations are complete or have no effect.

use std::collections::BTreeMap;

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount, mount_with};
use crate::common::{NEW, Random, from_environment, names, read_all, read_file, run, write_file};
use fs::ext4::Options;
use fs::fake::Disk;
use fs::{Error, Health, OpenFlags, Volume};

/// One step of the legacy hash of directories (kernel documentation, "Hash Tree Directories").
fn hash_step((last, before): (u32, u32), byte: u8) -> (u32, u32) {
    let mixed = last ^ (byte as i8 as i32 as u32).wrapping_mul(7_152_373);
    let next = before.wrapping_add(mixed);
    let next = if next & 0x8000_0000 != 0 {
        next.wrapping_sub(0x7fff_ffff)
    } else {
        next
    };
    (next, last)
}

/// Names with the same hash, mostly in pairs: long ones, of which three fill a block.
fn colliding() -> Vec<Vec<String>> {
    let start = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
    let prefix = "p".repeat(230);
    let state = prefix.bytes().fold(start, hash_step);
    let name = |n: u32| format!("{:08x}", n.wrapping_mul(2_654_435_761));
    let mut hashed: Vec<(u32, u32)> = (0..3_000_000)
        .map(|n| (name(n).bytes().fold(state, hash_step).0 << 1, n))
        .collect();
    hashed.sort_unstable();
    let mut groups: Vec<Vec<String>> = hashed
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|group| group.len() > 1)
        .map(|group| {
            group
                .iter()
                .map(|(_, n)| format!("{prefix}{}", name(*n)))
                .collect()
        })
        .collect();
    groups.sort_by_key(|group| usize::MAX - group.len());
    groups.truncate(150);
    groups
}

/// Names with the same hash span two blocks, so a lookup in one continues in the next.
#[test]
fn names_with_the_same_hash_lie_across_blocks() {
    let groups = colliding();
    assert!(groups.len() > 100, "{} groups", groups.len());
    for args in [&["-b", "1024"][..], &["-b", "1024", "-O", "^metadata_csum"]] {
        let mut bytes = mkfs(16 << 20, args);
        bytes = {
            let image = crate::common::Image::with(&bytes);
            let path = image.0.to_str().unwrap();
            let (ok, text) = run("tune2fs", &["-E", "hash_alg=legacy", path]);
            assert!(ok, "{text}");
            image.bytes()
        };
        let disk = Disk::new(bytes, 512);
        let mut volume = mount(&disk);
        volume.mkdir("d").unwrap();
        let mut random = Random(5);
        let mut all: Vec<&String> = groups.iter().flatten().collect();
        for n in (1..all.len()).rev() {
            all.swap(n, random.below(n as u64 + 1) as usize);
        }
        for (n, name) in all.iter().enumerate() {
            write_file(&mut *volume, &format!("d/{name}"), &name.as_bytes()[230..]).unwrap();
            // Others in between, so that blocks split everywhere.
            if n % 3 == 0 {
                volume.mkdir(&format!("d/{n}")).unwrap();
                volume.rmdir(&format!("d/{n}")).unwrap();
            }
        }
        volume.sync().unwrap();
        let mut expected: Vec<&str> = all.iter().map(|name| name.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(names(&mut *volume, "d").unwrap(), expected);
        // One entry at a time, each call continuing at the end of the last one.
        let directory = volume.open("d", OpenFlags::DIRECTORY).unwrap();
        let (mut cursor, mut listed) = (Some(0), Vec::new());
        while let Some(from) = cursor {
            let mut taken = false;
            cursor = volume
                .list(directory, from, &mut |entry| {
                    let takes = !taken;
                    if takes {
                        listed.push(entry.name.to_string());
                    }
                    taken = true;
                    takes
                })
                .unwrap();
        }
        volume.close(directory).unwrap();
        listed.sort();
        assert_eq!(listed, expected);
        for name in &all {
            let found = read_file(&mut *volume, &format!("d/{name}"));
            assert!(found.as_deref() == Ok(&name.as_bytes()[230..]), "{name}");
        }
        for (n, group) in groups.iter().enumerate() {
            let [first, second, ..] = &group[..] else {
                panic!()
            };
            let (first, second) = (format!("d/{first}"), format!("d/{second}"));
            match n % 3 {
                0 => volume.unlink(&second).unwrap(),
                1 => volume.rename(&second, &first).unwrap(),
                _ => volume.rename(&first, &second).unwrap(),
            }
            let gone = if n % 3 == 2 { &first } else { &second };
            assert_eq!(volume.stat(gone), Err(Error::NotFound), "{gone}");
            assert!(n % 3 == 2 || volume.stat(&first).is_ok());
        }
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
    }
}

/// Lists a directory, `each` entries at a time, and calls a function after each call.
fn list_in_pieces(
    volume: &mut dyn Volume,
    path: &str,
    each: usize,
    then: &mut dyn FnMut(&mut dyn Volume, &str),
) -> Vec<String> {
    let directory = volume.open(path, OpenFlags::DIRECTORY).unwrap();
    let (mut cursor, mut listed) = (Some(0), Vec::new());
    while let Some(from) = cursor {
        let mut taken = 0;
        cursor = volume
            .list(directory, from, &mut |entry| {
                let takes = taken < each;
                if takes {
                    listed.push(entry.name.to_string());
                }
                taken += 1;
                takes
            })
            .unwrap();
        if let Some(last) = listed.last() {
            then(volume, last);
        }
    }
    volume.close(directory).unwrap();
    listed
}

/// Among names with the same hash, listed ones are removed and others added.
#[test]
fn names_with_the_same_hash_are_listed_once_while_others_go() {
    let disk = Disk::new(mkfs(16 << 20, &["-b", "1024", "-O", "^metadata_csum"]), 512);
    disk.state().bytes[1024 + 0xfc] = 0; // the legacy hash
    let mut volume = mount(&disk);
    volume.mkdir("d").unwrap();
    let mut names: Vec<String> = colliding().into_iter().flatten().collect();
    for name in &names {
        write_file(&mut *volume, &format!("d/{name}"), b"").unwrap();
    }
    for each in [1, 2, 300] {
        let mut gone = Vec::new();
        let mut seen = list_in_pieces(&mut *volume, "d", each, &mut |volume, last| {
            if gone.last().is_none_or(|gone| gone != last) {
                volume.unlink(&format!("d/{last}")).unwrap();
                gone.push(last.to_string());
            }
        });
        seen.sort();
        names.sort();
        assert!(
            seen == names,
            "{each} at a time: {} of {}",
            seen.len(),
            names.len()
        );
        names.retain(|name| !gone.contains(name));
        for name in gone {
            write_file(&mut *volume, &format!("d/{name}"), b"").unwrap();
            names.push(name);
        }
    }
}

/// An index that marks each block as continuing the hash of its predecessor: normally this needs
/// thousands of equal hashes, which take long to find.
#[test]
fn a_hash_that_continues_in_hundreds_of_blocks_is_listed() {
    let disk = Disk::new(mkfs(24 << 20, &["-b", "1024", "-O", "^metadata_csum"]), 512);
    let mut volume = mount(&disk);
    volume.mkdir("d").unwrap();
    let mut expected = Vec::new();
    for n in 0..2600 {
        expected.push(format!("{n:04}{}", "y".repeat(240)));
        write_file(&mut *volume, &format!("d/{}", expected[n]), b"").unwrap();
    }
    drop(volume);
    let mut bytes = disk.bytes();
    let mut leaves = 0;
    for data in bytes.chunks_mut(1024) {
        // The root has room for 124 entries, the others for 127.
        let at = match (&data[0x20..0x22], &data[..6], &data[8..10]) {
            ([124, 0], ..) if data[0x1d] == 8 && data[0x1e] == 1 => 0x20,
            (_, [0, 0, 0, 0, 0, 4], [127, 0]) => 8,
            _ => continue,
        };
        let count = usize::from(data[at + 2]);
        leaves += if at == 8 { count } else { 0 };
        for entry in 1..count {
            data[at + entry * 8] |= 1;
        }
    }
    assert!(leaves > 600, "{leaves} blocks");
    fsck(&bytes).unwrap();
    let mut volume = mount(&Disk::new(bytes, 512));
    assert!(names(&mut *volume, "d").unwrap() == expected);
    let mut listed = list_in_pieces(&mut *volume, "d", 1000, &mut |_, _| {});
    listed.sort();
    assert!(listed == expected);
    assert_eq!(volume.health(), Health::Writable);
}

/// Single blocks with gaps, in no order, enough for an extent tree of three levels below the inode;
/// then the gaps are filled, and the file is truncated in steps.
#[test]
fn a_tree_of_extents_of_three_levels() {
    let disk = Disk::new(mkfs(128 << 20, &["-b", "1024", "-g", "8192"]), 512);
    let mut volume = mount(&disk);
    let pieces = 30_000u64;
    let file = volume.open("f", NEW).unwrap();
    // Every number once: 7919 is a prime.
    for n in 0..pieces {
        let at = n * 7919 % pieces;
        assert_eq!(volume.write_at(file, at * 2048, &at.to_le_bytes()), Ok(8));
    }
    let mut buf = [0; 8];
    let mut check = |volume: &mut dyn Volume, end: u64| {
        for at in (0..end).step_by(7) {
            assert_eq!(volume.read_at(file, at * 2048, &mut buf), Ok(8));
            assert_eq!(buf, at.to_le_bytes());
        }
    };
    check(&mut *volume, pieces);
    volume.sync().unwrap();
    let image = crate::common::Image::with(&fsck_stopped(&disk.bytes()).unwrap());
    let (_, text) = run("debugfs", &["-R", "ex /f", image.0.to_str().unwrap()]);
    assert!(text.contains(" 3/ 3 "), "three levels");
    drop(image);
    for n in 0..pieces / 2 {
        let at = n * 7919 % (pieces / 2);
        assert_eq!(
            volume.write_at(file, at * 2048 + 1024, &[7; 1024]),
            Ok(1024)
        );
    }
    check(&mut *volume, pieces);
    for left in [29_999, 20_000, 14_000, 336, 4, 1, 0] {
        volume.truncate(file, left * 2048).unwrap();
        check(&mut *volume, left);
    }
    assert_eq!(volume.write_at(file, 5000, b"x"), Ok(1));
    volume.close(file).unwrap();
    drop(volume);
    fsck(&disk.bytes()).unwrap();
}

/// Single reads fail: each operation succeeds, or everything stays as before.
#[test]
fn a_read_that_fails_undoes_its_operation() {
    let kinds: [&[&str]; 3] = [
        &["-b", "1024", "-J", "size=1"],
        &["-b", "4096", "-J", "size=4", "-O", "orphan_file"],
        &[
            "-b",
            "1024",
            "-J",
            "size=1",
            "-O",
            "^extent,^64bit,^metadata_csum",
        ],
    ];
    let steps = from_environment("SOIL_FS_STEPS", 6000) / kinds.len() as u64;
    for args in kinds {
        let disk = Disk::new(mkfs(24 << 20, args), 512);
        let mut volume = mount_with(&disk, Options::default());
        let mut random = Random(from_environment("SOIL_FS_SEED", 3) + args.len() as u64);
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for n in 0..16 {
            volume.mkdir(&format!("d{n}")).unwrap();
        }
        let mut failed = 0;
        let place = |random: &mut Random| {
            let (directory, name) = (random.below(16), random.below(60));
            format!("d{directory}/{name}{}", "y".repeat(100))
        };
        for step in 0..steps {
            let (path, other) = (place(&mut random), place(&mut random));
            if step % 12 == 11 {
                // An empty cache causes reads.
                drop(volume);
                volume = mount_with(&disk, Options::default());
            }
            disk.state().fail_read = (random.below(3) == 0).then(|| 1 + random.below(8));
            let known = model.contains_key(&path);
            let what = random.below(5);
            let done = match what {
                0 | 1 => volume
                    .open(&path, OpenFlags::WRITE | OpenFlags::CREATE)
                    .and_then(|file| {
                        disk.state().fail_read = None;
                        model.entry(path.clone()).or_default();
                        volume.close(file)
                    }),
                2 if known => volume.unlink(&path).map(|()| drop(model.remove(&path))),
                3 if known && path != other => volume.rename(&path, &other).map(|()| {
                    let contents = model.remove(&path).unwrap();
                    model.insert(other.clone(), contents);
                }),
                _ if known => match volume.open(&path, OpenFlags::READ | OpenFlags::WRITE) {
                    Ok(file) => {
                        let contents = model.get_mut(&path).unwrap();
                        let data = random.bytes(1 + random.0 as usize % 9000);
                        let at = random.below(60_000) as usize;
                        let written = if random.below(3) == 0 {
                            volume
                                .truncate(file, at as u64)
                                .map(|()| contents.resize(at, 0))
                        } else {
                            volume.write_at(file, at as u64, &data).map(|count| {
                                assert_eq!(count, data.len());
                                contents.resize(contents.len().max(at + count), 0);
                                contents[at..at + count].copy_from_slice(&data);
                            })
                        };
                        disk.state().fail_read = None;
                        if written.is_err() {
                            // The write may have changed the range that it overwrites, but nothing
                            // else.
                            assert_eq!(volume.size(file), Ok(contents.len() as u64));
                            *contents = read_all(&mut *volume, file).unwrap();
                        }
                        volume.close(file).and(written)
                    }
                    Err(error) => Err(error),
                },
                _ => Ok(()),
            };
            disk.state().fail_read = None;
            if let Err(error) = done {
                assert_eq!(error, Error::Io, "{args:?}, step {step}: {what} {path}");
                failed += 1;
            }
            assert_eq!(volume.health(), Health::Writable, "{args:?}, step {step}");
            assert_eq!(
                volume.stat(&path).is_ok(),
                model.contains_key(&path),
                "{step}: {path}"
            );
        }
        for (path, contents) in &model {
            assert!(
                read_file(&mut *volume, path).unwrap() == *contents,
                "{path}"
            );
        }
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        println!("{args:?}: {failed} of {steps} operations failed");
        assert!(failed > steps / 100, "{failed} failed");
    }
}
