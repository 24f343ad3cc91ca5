//! Deliberately damaged disks: metadata fields with extreme values, blocks copied over others,
//! journals that claim memory. No panic, no endless requests, bounded memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;

use crate::common::ext4::{mkfs, mount};
use crate::common::memory;
use crate::common::{Image, NEW, Random, from_environment, run, write_file};
use crate::ext4_interop::HostFile;
use fs::fake::Disk;
use fs::{Kind, OpenFlags, Volume};

/// Fill byte of files, which distinguishes their blocks from metadata.
const FILLING: u8 = 0xdd;

fn populate(volume: &mut dyn Volume, block: u64) {
    for n in 0..40 {
        let path = format!("{n}{}", "x".repeat(200));
        write_file(volume, &path, &[FILLING; 3000]).unwrap();
    }
    volume.mkdir("d").unwrap();
    volume.mkdir("d/e").unwrap();
    volume.symlink(&"t".repeat(200), "d/slow").unwrap();
    volume.symlink("fast", "d/fast").unwrap();
    let file = volume.open("d/pieces", NEW).unwrap();
    for n in 0..400 {
        let data = vec![FILLING; block as usize];
        volume.write_at(file, n * 2 * block, &data).unwrap();
    }
    volume.close(file).unwrap();
    write_file(volume, "large", &vec![FILLING; 600_000]).unwrap();
}

/// Disks, unmounted and stopped: block size, and contents.
fn corpus() -> Vec<(usize, Vec<u8>)> {
    let kinds: [(usize, &[&str]); 4] = [
        (
            1024,
            &[
                "-b",
                "1024",
                "-J",
                "size=1",
                "-O",
                "^metadata_csum,orphan_file",
            ],
        ),
        (
            1024,
            &[
                "-b",
                "1024",
                "-J",
                "size=1",
                "-O",
                "^metadata_csum,^extent,^64bit",
            ],
        ),
        (
            4096,
            &["-b", "4096", "-J", "size=4", "-O", "^metadata_csum"],
        ),
        (
            1024,
            &[
                "-b",
                "1024",
                "-g",
                "1024",
                "-J",
                "size=1",
                "-O",
                "^metadata_csum,^flex_bg",
            ],
        ),
    ];
    let mut disks = Vec::new();
    for (block, args) in kinds {
        let disk = Disk::new(mkfs((block as u64 / 1024).max(2) << 22, args), 512);
        let mut volume = mount(&disk);
        populate(&mut *volume, block as u64);
        volume.sync().unwrap();
        let open = volume.open("large", OpenFlags::READ).unwrap();
        volume.unlink("large").unwrap();
        volume.sync().unwrap();
        disks.push((block, disk.bytes()));
        volume.close(open).unwrap();
        drop(volume);
        disks.push((block, disk.bytes()));
    }
    disks
}

/// Changes a number or a whole block.
fn damage(bytes: &mut [u8], block: usize, used: &[usize], random: &mut Random) -> String {
    let pick = |random: &mut Random| used[random.below(used.len() as u64) as usize];
    let number = pick(random);
    let start = number * block;
    match random.below(10) {
        0 => {
            let from = pick(random);
            bytes.copy_within(from * block..(from + 1) * block, start);
            format!("block {from} over {number}")
        }
        1 => {
            let value = [0, 0xff][random.below(2) as usize];
            bytes[start..start + block].fill(value);
            format!("block {number} all {value}")
        }
        _ => {
            // Preferably at the start, where headers are, or at nonzero bytes.
            let most = if random.below(2) == 0 {
                128
            } else {
                block as u64
            };
            let mut at = start + random.below(most) as usize / 2 * 2;
            for _ in 0..40 {
                if bytes[at..at + 2] != [0, 0] {
                    break;
                }
                at = start + random.below(most) as usize / 2 * 2;
            }
            let len = if random.below(2) == 0 || at + 4 > start + block {
                2
            } else {
                4
            };
            let mut old = [0; 4];
            old[..len].copy_from_slice(&bytes[at..at + len]);
            let old = u32::from_le_bytes(old);
            let new = match random.below(9) {
                0 => 0,
                1 => u32::MAX,
                2 => 0x7fff_ffff,
                3 => 0x8000_8000,
                4 => old.wrapping_add(1),
                5 => old.wrapping_sub(1),
                6 => old ^ (1 << random.below(len as u64 * 8)),
                7 => random.below(9000) as u32,
                _ => random.next() as u32,
            };
            bytes[at..at + len].copy_from_slice(&new.to_le_bytes()[..len]);
            format!("{old:#x} to {new:#x} at {at:#x}, {len} bytes")
        }
    }
}

/// Runs every operation and ignores the results.
fn use_it(volume: &mut dyn Volume, random: &mut Random) {
    let mut directories = vec![String::new()];
    let mut files = Vec::new();
    while let Some(path) = directories.pop() {
        let Ok(directory) = volume.open(&path, OpenFlags::DIRECTORY) else {
            continue;
        };
        let (mut cursor, mut count) = (Some(0), 0);
        while let Some(from) = cursor.filter(|_| count < 400) {
            let listed = volume.list(directory, from, &mut |entry| {
                count += 1;
                let path = format!("{path}/{}", entry.name);
                if entry.kind == Kind::Directory && path.len() < 300 {
                    directories.push(path);
                } else {
                    files.push(path);
                }
                true
            });
            cursor = listed.unwrap_or(None);
        }
        let _ = volume.close(directory);
        if directories.len() > 30 {
            break;
        }
    }
    let mut buf = vec![0; 20_000];
    for path in &files {
        let _ = volume.resolve(path, true);
        let Ok(file) = volume.open(path, OpenFlags::READ | OpenFlags::WRITE) else {
            continue;
        };
        let size = volume.size(file).unwrap_or(0);
        for at in [0, size / 2, size.saturating_sub(7000)] {
            let _ = volume.read_at(file, at, &mut buf);
        }
        match random.below(6) {
            0 => drop(volume.write_at(file, size / 2, &buf[..5000])),
            1 => drop(volume.write_at(file, size, &buf[..9000])),
            2 => drop(volume.truncate(file, size / 3)),
            3 => drop(volume.truncate(file, 0)),
            _ => {}
        }
        let _ = volume.close(file);
    }
    for path in &files {
        match random.below(5) {
            0 => drop(volume.unlink(path)),
            1 => drop(volume.rename(path, &format!("{path}2"))),
            2 => drop(volume.link(path, &format!("d/{}", random.below(1000)))),
            _ => {}
        }
    }
    for n in 0..30 {
        let _ = volume.mkdir(&format!("d/new {n}{}", "z".repeat(100)));
        let _ = write_file(volume, &format!("new {n}{}", "z".repeat(200)), &buf);
    }
    let _ = volume.rename("d", "moved");
    let _ = volume.rmdir("d/e");
    let _ = volume.sync();
}

#[test]
fn numbers_set_to_extremes_do_no_harm() {
    let count = from_environment("SOIL_FS_MUTATIONS", 400);
    let mut random = Random(from_environment("SOIL_FS_SEED", 0xbad));
    let corpus = corpus();
    let used: Vec<Vec<usize>> = corpus
        .iter()
        .map(|(block, bytes)| {
            let blocks = bytes.chunks(*block).enumerate();
            let metadata = blocks.filter(|(_, data)| {
                let filled = data.iter().filter(|byte| **byte == FILLING).count();
                filled < block / 2 && data.iter().any(|byte| *byte != 0)
            });
            metadata.map(|(n, _)| n).collect()
        })
        .collect();
    let (mut mounted, mut writable) = (0, 0);
    for n in 0..count {
        let which = (n % corpus.len() as u64) as usize;
        let (block, bytes) = &corpus[which];
        let mut bytes = bytes.clone();
        let mut what = Vec::new();
        for _ in 0..1 + random.below(3) {
            what.push(damage(&mut bytes, *block, &used[which], &mut random));
        }
        let disk = Disk::new(bytes, 512);
        let work = || {
            let volume = fs::ext4::mount(Box::new(disk.clone()), Default::default());
            if let Ok(mut volume) = volume {
                mounted += 1;
                use_it(&mut *volume, &mut random);
                writable += u32::from(volume.health() == fs::Health::Writable);
            }
        };
        let (done, taken) = memory::peak(|| std::panic::catch_unwind(AssertUnwindSafe(work)));
        let when = format!("mutation {n} of disk {which}: {what:?}");
        assert!(done.is_ok(), "{when}");
        assert!(taken < 64 << 20, "{when}: {taken} bytes");
        let state = disk.state();
        let requests = state.reads + state.writes;
        assert!(requests < 300_000, "{when}: {requests} requests");
    }
    println!("{count} mutations, {mounted} mounted, {writable} not noticed");
    assert!(mounted > count / 4);
}

/// A journal of 8 MiB that names two million blocks of a sparse volume of 4 GiB.
#[test]
fn a_journal_full_of_revoked_blocks_takes_no_memory() {
    let features = "^metadata_csum,^64bit,^resize_inode,^has_journal";
    let image = Image::new();
    let path = image.0.to_str().unwrap();
    let disk = File::create_new(&image.0).unwrap();
    disk.set_len(4 << 30).unwrap();
    let args = ["-q", "-F", "-b", "1024", "-O", features, path];
    assert!(run("mkfs.ext4", &args).0);
    assert!(run("tune2fs", &["-J", "size=8", path]).0);
    let (_, text) = run("debugfs", &["-R", "blocks <8>", path]);
    let numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    let places: Vec<u64> = numbers.map(|block: u64| block * 1024).collect();
    let disk = File::options().read(true).write(true).open(path).unwrap();
    let mut superblock = [0; 1024];
    disk.read_exact_at(&mut superblock, places[0]).unwrap();
    let len = u32::from_be_bytes(superblock[0x10..0x14].try_into().unwrap());
    let sequence = u32::from_be_bytes(superblock[0x18..0x1c].try_into().unwrap());
    superblock[0x1c..0x20].copy_from_slice(&1u32.to_be_bytes());
    disk.write_all_at(&superblock, places[0]).unwrap();
    let mut block = 1 << 20;
    for n in 1..len {
        let mut data = [0; 1024];
        let kind: u32 = if n + 1 == len { 2 } else { 5 };
        for (at, value) in [(0, 0xc03b_3998), (4, kind), (8, sequence), (12, 1024)] {
            data[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        for at in (16..1024).step_by(4) {
            data[at..at + 4].copy_from_slice(&u32::to_be_bytes(block));
            block += 1;
        }
        disk.write_all_at(&data, places[n as usize]).unwrap();
    }
    let mut incompatible = [0];
    disk.read_exact_at(&mut incompatible, 1024 + 0x60).unwrap();
    disk.write_all_at(&[incompatible[0] | 4], 1024 + 0x60)
        .unwrap();
    let disk = HostFile(disk, Default::default());
    let mounted = || fs::ext4::mount(Box::new(disk), Default::default()).map(drop);
    let (volume, taken) = memory::peak(mounted);
    volume.unwrap_or_else(|error| panic!("{error}"));
    assert!(taken < 16 << 20, "{taken} bytes");
    let (ok, text) = run("e2fsck", &["-fn", path]);
    assert!(ok, "{text}");
}
