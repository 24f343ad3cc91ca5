//! Preallocation, holes and zeros in files.

use crate::common::ext4::VOLUMES;
use crate::common::{NEW, Random, ext4, mkfs, mount, read_file, write_file};
use fs::fake::{Disk, Event};
use fs::{Error, Fallocate, FileId, OpenFlags, Renaming, Seek, Volume};

const ALL: [Fallocate; 4] = [
    Fallocate::Allocate,
    Fallocate::KeepSize,
    Fallocate::PunchHole,
    Fallocate::ZeroRange,
];

/// Returns the data and holes of a file: the start of each, and its kind.
fn pieces(volume: &mut dyn Volume, file: FileId) -> Vec<(u64, Seek)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let size = volume.size(file).unwrap();
    while at < size {
        let data = volume.seek(file, Seek::Data, at).unwrap();
        let hole = volume.seek(file, Seek::Hole, at).unwrap().unwrap();
        let (what, next) = if data == Some(at) {
            (Seek::Data, hole)
        } else {
            assert_eq!(hole, at);
            (Seek::Hole, data.unwrap_or(size))
        };
        assert!(next > at && next <= size);
        pieces.push((at, what));
        at = next;
    }
    assert_eq!(volume.seek(file, Seek::Data, size), Ok(None));
    assert_eq!(volume.seek(file, Seek::Hole, size), Ok(None));
    pieces
}

/// Whether `blocks` blocks were allocated since `free` bytes were free, except a few for the map.
fn took(volume: &mut dyn Volume, free: u64, blocks: u64) -> bool {
    let space = volume.space().unwrap();
    let taken = (free - space.free) / u64::from(space.unit);
    (blocks..=blocks + 2).contains(&taken)
}

/// Fills the volume with a byte and removes the file, so that free blocks aren't zeros.
fn soil(volume: &mut dyn Volume) {
    let file = volume.open("dirt", NEW).unwrap();
    let mut at = 0;
    while let Ok(count) = volume.write_at(file, at, &[0xaa; 1 << 16]) {
        at += count as u64;
    }
    volume.close(file).unwrap();
    volume.unlink("dirt").unwrap();
    volume.sync().unwrap();
}

#[test]
fn room_reads_as_zeros_until_it_is_written() {
    for (kind, bytes, args) in VOLUMES {
        let lists = kind.starts_with("block lists");
        let disk = Disk::new(ext4::mkfs(*bytes, args), 512);
        let mut volume = ext4::mount(&disk);
        soil(&mut *volume);
        let block = u64::from(volume.space().unwrap().unit);
        let free = volume.space().unwrap().free;
        let file = volume.open("f", NEW).unwrap();
        if lists {
            let room = volume.fallocate(file, Fallocate::Allocate, 0, 5);
            assert_eq!(room, Err(Error::Unsupported));
            continue;
        }
        volume
            .fallocate(file, Fallocate::Allocate, 3 * block + 1, 100 * block)
            .unwrap();
        assert_eq!(volume.size(file), Ok(103 * block + 1));
        assert!(took(&mut *volume, free, 101), "{kind}");
        assert_eq!(pieces(&mut *volume, file), [(0, Seek::Hole)]);
        // Into the middle of it, and at its end.
        assert_eq!(volume.write_at(file, 50 * block + 7, b"middle"), Ok(6));
        assert_eq!(volume.write_at(file, 103 * block, b"end"), Ok(3));
        assert!(took(&mut *volume, free, 101), "{kind}");
        let mut expected = vec![0; 103 * block as usize + 3];
        expected[50 * block as usize + 7..][..6].copy_from_slice(b"middle");
        expected[103 * block as usize..].copy_from_slice(b"end");
        let data = [
            (0, Seek::Hole),
            (50 * block, Seek::Data),
            (51 * block, Seek::Hole),
            (103 * block, Seek::Data),
        ];
        assert_eq!(pieces(&mut *volume, file), data, "{kind}");
        // Beyond the end, which doesn't change.
        volume
            .fallocate(file, Fallocate::KeepSize, 200 * block, 10 * block)
            .unwrap();
        assert_eq!(volume.size(file), Ok(103 * block + 3));
        assert!(took(&mut *volume, free, 111), "{kind}");
        assert!(read_file(&mut *volume, "f").unwrap() == expected, "{kind}");
        volume.close(file).unwrap();
        drop(volume);
        ext4::fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{kind}: {text}"));
        let mut volume = ext4::mount(&disk);
        assert!(read_file(&mut *volume, "f").unwrap() == expected, "{kind}");
        let file = volume
            .open("f", OpenFlags::READ | OpenFlags::WRITE)
            .unwrap();
        assert_eq!(pieces(&mut *volume, file), data, "{kind}");
        // Truncation drops blocks beyond the end, which read as zeros when the file grows.
        volume.truncate(file, 205 * block).unwrap();
        expected.resize(205 * block as usize, 0);
        assert!(read_file(&mut *volume, "f").unwrap() == expected, "{kind}");
        volume.truncate(file, 0).unwrap();
        assert_eq!(volume.space().unwrap().free, free, "{kind}");
        volume.close(file).unwrap();
        drop(volume);
        ext4::fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{kind}: {text}"));
    }
}

#[test]
fn holes_are_punched_and_give_their_room_back() {
    for (kind, bytes, args) in VOLUMES {
        let disk = Disk::new(ext4::mkfs(*bytes, args), 512);
        let mut volume = ext4::mount(&disk);
        let block = u64::from(volume.space().unwrap().unit);
        write_file(&mut *volume, "f", &vec![7; 40 * block as usize + 5]).unwrap();
        let mut expected = vec![7; 40 * block as usize + 5];
        volume.sync().unwrap();
        let free = volume.space().unwrap().free;
        let file = volume
            .open("f", OpenFlags::READ | OpenFlags::WRITE)
            .unwrap();
        let mut punch = |volume: &mut dyn Volume, from: u64, to: u64| {
            volume
                .fallocate(file, Fallocate::PunchHole, from, to - from)
                .unwrap();
            let end = (to as usize).min(expected.len());
            expected[from as usize..end].fill(0);
            assert!(read_file(volume, "f").unwrap() == expected, "{kind}");
        };
        // Within a block; over a boundary; from one block's middle to another's; whole ones.
        punch(&mut *volume, 5, 9);
        punch(&mut *volume, block - 1, block + 1);
        assert_eq!(volume.space().unwrap().free, free);
        assert_eq!(pieces(&mut *volume, file), [(0, Seek::Data)]);
        punch(&mut *volume, 2 * block + 5, 5 * block + 9);
        assert_eq!(volume.space().unwrap().free, free + 2 * block, "{kind}");
        punch(&mut *volume, 20 * block, 30 * block);
        assert_eq!(volume.space().unwrap().free, free + 12 * block, "{kind}");
        let data = [
            (0, Seek::Data),
            (3 * block, Seek::Hole),
            (5 * block, Seek::Data),
            (20 * block, Seek::Hole),
            (30 * block, Seek::Data),
        ];
        assert_eq!(pieces(&mut *volume, file), data, "{kind}");
        assert_eq!(
            volume.seek(file, Seek::Data, 4 * block),
            Ok(Some(5 * block))
        );
        assert_eq!(
            volume.seek(file, Seek::Hole, 4 * block),
            Ok(Some(4 * block))
        );
        assert_eq!(
            volume.seek(file, Seek::Data, block + 3),
            Ok(Some(block + 3))
        );
        // Past the end; the size doesn't change.
        punch(&mut *volume, 39 * block + 1, 100 * block);
        assert_eq!(volume.space().unwrap().free, free + 13 * block, "{kind}");
        assert_eq!(volume.size(file), Ok(40 * block + 5));
        volume.close(file).unwrap();
        drop(volume);
        ext4::fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{kind}: {text}"));
    }
}

#[test]
fn zeroed_ranges_keep_their_room() {
    let disk = Disk::new(ext4::mkfs(12 << 20, &["-b", "1024"]), 512);
    let mut volume = ext4::mount(&disk);
    soil(&mut *volume);
    write_file(&mut *volume, "f", &[7; 20 << 10]).unwrap();
    let file = volume
        .open("f", OpenFlags::READ | OpenFlags::WRITE)
        .unwrap();
    let free = volume.space().unwrap().free;
    volume
        .fallocate(file, Fallocate::ZeroRange, 2000, 5000)
        .unwrap();
    let mut expected = vec![7; 20 << 10];
    expected[2000..7000].fill(0);
    assert!(read_file(&mut *volume, "f").unwrap() == expected);
    assert_eq!(volume.space().unwrap().free, free);
    let data = [(0, Seek::Data), (2048, Seek::Hole), (6144, Seek::Data)];
    assert_eq!(pieces(&mut *volume, file), data);
    // A file that ends in the range grows.
    volume
        .fallocate(file, Fallocate::ZeroRange, 20_000, 20_000)
        .unwrap();
    expected[20_000..].fill(0);
    expected.resize(40_000, 0);
    assert!(read_file(&mut *volume, "f").unwrap() == expected);
    assert_eq!(volume.space().unwrap().free, free - 20 * 1024);
    volume.write_at(file, 21_000, &[1; 3000]).unwrap();
    expected[21_000..24_000].fill(1);
    assert_eq!(volume.space().unwrap().free, free - 20 * 1024);
    volume.close(file).unwrap();
    drop(volume);
    ext4::fsck(&disk.bytes()).unwrap();
    let mut volume = ext4::mount(&disk);
    assert!(read_file(&mut *volume, "f").unwrap() == expected);
}

/// More than one unwritten extent holds, and more than the volume has. Tests beside the code show
/// which extents are merged.
#[test]
fn large_ranges() {
    let disk = Disk::new(
        ext4::mkfs(80 << 20, &["-b", "1024", "-O", "^resize_inode"]),
        512,
    );
    let mut volume = ext4::mount(&disk);
    let free = volume.space().unwrap().free;
    let file = volume.open("f", NEW).unwrap();
    let too_much = volume.fallocate(file, Fallocate::Allocate, 0, free + 1024);
    assert_eq!(too_much, Err(Error::NoSpace));
    assert_eq!(volume.size(file), Ok(0));
    assert_eq!(volume.space().unwrap().free, free);
    volume
        .fallocate(file, Fallocate::Allocate, 0, 70_000 << 10)
        .unwrap();
    assert!(took(&mut *volume, free, 70_000));
    volume.write_at(file, 40_000 << 10, b"x").unwrap();
    // Written as one extent of 32,768 blocks, and zeroed.
    let data = vec![5; 34_000 << 10];
    volume.write_at(file, 0, &data).unwrap();
    volume
        .fallocate(file, Fallocate::ZeroRange, 1 << 10, 33_998 << 10)
        .unwrap();
    let expected = [
        (0, Seek::Data),
        (1 << 10, Seek::Hole),
        (33_999 << 10, Seek::Data),
        (34_000 << 10, Seek::Hole),
        (40_000 << 10, Seek::Data),
        (40_001 << 10, Seek::Hole),
    ];
    assert_eq!(pieces(&mut *volume, file), expected);
    volume
        .fallocate(file, Fallocate::PunchHole, 0, u64::MAX >> 1)
        .unwrap();
    assert_eq!(volume.space().unwrap().free, free);
    assert_eq!(pieces(&mut *volume, file), [(0, Seek::Hole)]);
    volume.close(file).unwrap();
    drop(volume);
    ext4::fsck(&disk.bytes()).unwrap();
}

fn refusals(volume: &mut dyn Volume) {
    write_file(volume, "/f", b"contents").unwrap();
    let file = volume.open("/f", OpenFlags::READ).unwrap();
    let writes = volume.open("/f", OpenFlags::WRITE).unwrap();
    for how in ALL {
        let denied = volume.fallocate(file, how, 0, 100);
        assert!(matches!(
            denied,
            Err(Error::PermissionDenied | Error::Unsupported)
        ));
        assert_eq!(volume.fallocate(writes, how, 0, 0), Err(Error::Invalid));
        let far = volume.fallocate(writes, how, u64::MAX, 2);
        assert_eq!(far, Err(Error::TooLarge), "{how:?}");
    }
    let far = volume.fallocate(writes, Fallocate::Allocate, 1 << 62, 5);
    assert_eq!(far, Err(Error::TooLarge));
    assert_eq!(read_file(volume, "/f").unwrap(), b"contents");
    volume.close(file).unwrap();
    volume.close(writes).unwrap();
    assert_eq!(volume.fallocate(file, ALL[0], 0, 1), Err(Error::Closed));
    assert_eq!(volume.seek(file, Seek::Data, 0), Err(Error::Closed));
}

#[test]
fn what_cant_be_is_refused() {
    let disk = Disk::new(ext4::mkfs(8 << 20, &[]), 512);
    refusals(&mut *ext4::mount(&disk));
    refusals(&mut *fs::memory::new(1 << 20, None));
    refusals(&mut *mount(&Disk::new(mkfs(4 << 20, &[]), 512)));
}

/// FAT has no holes: its files grow with zeros.
#[test]
fn fat_allocates_by_growing() {
    let disk = Disk::new(mkfs(4 << 20, &[]), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "f", &[7; 5000]).unwrap();
    let file = volume
        .open("f", OpenFlags::READ | OpenFlags::WRITE)
        .unwrap();
    let free = volume.space().unwrap().free;
    for how in [
        Fallocate::KeepSize,
        Fallocate::PunchHole,
        Fallocate::ZeroRange,
    ] {
        assert_eq!(volume.fallocate(file, how, 0, 10), Err(Error::Unsupported));
    }
    volume
        .fallocate(file, Fallocate::Allocate, 0, 4000)
        .unwrap();
    assert_eq!(volume.size(file), Ok(5000));
    volume
        .fallocate(file, Fallocate::Allocate, 1000, 99_000)
        .unwrap();
    assert!(volume.space().unwrap().free + 90_000 < free);
    let mut expected = vec![7; 5000];
    expected.resize(100_000, 0);
    assert!(read_file(&mut *volume, "f").unwrap() == expected);
    assert_eq!(pieces(&mut *volume, file), [(0, Seek::Data)]);
    let all = volume.fallocate(file, Fallocate::Allocate, 0, 8 << 20);
    assert_eq!(all, Err(Error::NoSpace));
    assert_eq!(volume.size(file), Ok(100_000));
    volume.close(file).unwrap();
    volume.sync().unwrap();
    drop(volume);
    crate::common::fsck(&disk.bytes()).unwrap();
}

/// Preallocation takes memory, and punching a hole frees it.
#[test]
fn in_memory_room_is_counted() {
    let mut volume = fs::memory::new(1 << 20, None);
    let file = volume.open("/f", NEW).unwrap();
    let free = volume.space().unwrap().free;
    volume
        .fallocate(file, Fallocate::Allocate, 5, 600_000)
        .unwrap();
    assert_eq!(volume.size(file), Ok(600_005));
    let left = volume.space().unwrap().free;
    assert!(left + 600_000 <= free);
    let more = volume.fallocate(file, Fallocate::KeepSize, 600_000, 600_000);
    assert_eq!(more, Err(Error::NoSpace));
    assert_eq!(volume.space().unwrap().free, left);
    let other = volume.open("/other", NEW).unwrap();
    let mut at = 0;
    while let Ok(count) = volume.write_at(other, at, &[1; 4096]) {
        at += count as u64;
    }
    // The range was preallocated.
    assert_eq!(volume.write_at(file, 300_000, &[2; 100_000]), Ok(100_000));
    volume
        .fallocate(file, Fallocate::ZeroRange, 0, 600_005)
        .unwrap();
    assert!(
        read_file(&mut *volume, "/f")
            .unwrap()
            .iter()
            .all(|byte| *byte == 0)
    );
    volume.unlink("/other").unwrap();
    volume.close(other).unwrap();
    volume
        .fallocate(file, Fallocate::PunchHole, 0, 1 << 30)
        .unwrap();
    assert_eq!(volume.space().unwrap().free, free);
    assert_eq!(pieces(&mut *volume, file), [(0, Seek::Hole)]);
}

/// Random work on one file and on a model of it.
fn work(volume: &mut dyn Volume, seed: u64, steps: u64) {
    let mut random = Random(seed | 1);
    let mut model: Vec<u8> = Vec::new();
    let file = volume.open("/f", NEW).unwrap();
    for step in 0..steps {
        let at = random.below(400_000);
        let len = 1 + random.below(if step % 3 == 0 { 60_000 } else { 900 });
        let end = (at + len) as usize;
        let part = at as usize..end;
        match random.below(8) {
            0..3 => {
                let data = vec![step as u8 | 1; len as usize];
                assert_eq!(volume.write_at(file, at, &data), Ok(data.len()));
                model.resize(model.len().max(end), 0);
                model[part].copy_from_slice(&data);
            }
            3 => {
                volume.truncate(file, at).unwrap();
                model.resize(at as usize, 0);
            }
            pick => {
                let how = ALL[pick as usize - 4];
                match volume.fallocate(file, how, at, len) {
                    Err(Error::Unsupported) if how != Fallocate::PunchHole => continue,
                    done => done.unwrap_or_else(|error| panic!("{step}: {how:?}: {error}")),
                }
                if matches!(how, Fallocate::Allocate | Fallocate::ZeroRange) {
                    model.resize(model.len().max(end), 0);
                }
                if matches!(how, Fallocate::PunchHole | Fallocate::ZeroRange) {
                    let end = end.min(model.len());
                    model[part.start.min(end)..end].fill(0);
                }
            }
        }
        if step % 10 == 0 {
            assert!(read_file(volume, "/f").unwrap() == model, "{seed}: {step}");
            let mut pieces = pieces(volume, file);
            pieces.push((model.len() as u64, Seek::Hole));
            for pair in pieces.windows(2) {
                if let [(from, Seek::Hole), (to, _)] = pair {
                    let hole = &model[*from as usize..*to as usize];
                    assert!(hole.iter().all(|byte| *byte == 0), "{seed}: {step}");
                }
            }
        }
    }
    assert!(read_file(volume, "/f").unwrap() == model, "{seed}");
    volume.close(file).unwrap();
}

#[test]
fn a_file_is_what_was_done_to_it() {
    let steps = crate::common::from_environment("SOIL_FS_STEPS", 300);
    for (kind, bytes, args) in VOLUMES {
        let disk = Disk::new(ext4::mkfs(*bytes, args), 512);
        let mut volume = ext4::mount(&disk);
        let free = volume.space().unwrap().free;
        work(&mut *volume, *bytes + args.len() as u64, steps);
        drop(volume);
        ext4::fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{kind}: {text}"));
        let mut volume = ext4::mount(&disk);
        volume.unlink("/f").unwrap();
        assert_eq!(volume.space().unwrap().free, free, "{kind}");
    }
    work(&mut *fs::memory::new(4 << 20, None), 5, 3 * steps);
}

/// After a power cut a file has zeros or its own data, never the old contents of the disk.
#[test]
fn foreign_contents_are_never_seen() {
    let disk = Disk::new(ext4::mkfs(3 << 20, &["-b", "1024"]), 512);
    let mut volume = ext4::mount(&disk);
    soil(&mut *volume);
    write_file(&mut *volume, "f", &[3; 100_000]).unwrap();
    write_file(&mut *volume, "g", &[3; 100_000]).unwrap();
    volume.sync().unwrap();
    let mut bytes = disk.bytes();
    disk.state().log = Some(Vec::new());
    let file = volume.open("f", OpenFlags::WRITE).unwrap();
    let steps = [
        (Fallocate::Allocate, 50_000, 150_000),
        (Fallocate::ZeroRange, 10_000, 30_000),
        (Fallocate::PunchHole, 20_000, 50_000),
        (Fallocate::KeepSize, 200_000, 30_000),
    ];
    for (n, (how, at, len)) in steps.into_iter().enumerate() {
        volume.fallocate(file, how, at, len).unwrap();
        volume.write_at(file, at + len / 2, &[4; 3000]).unwrap();
        if n % 2 == 1 {
            volume.sync().unwrap();
        }
        // Reuses freed blocks.
        write_file(&mut *volume, &format!("more {n}"), &[5; 40_000]).unwrap();
    }
    volume.rename_as("f", "g", Renaming::Exchange).unwrap();
    volume.sync().unwrap();
    let log = disk.state().log.take().unwrap();
    drop(volume);
    let writes = log.into_iter().flat_map(|event| match event {
        Event::Write(first, data) => vec![(first, data)],
        Event::Batch(writes) => writes,
        Event::Flush | Event::FlushUnordered => Vec::new(),
    });
    let mut cuts = 0;
    for (n, (first, data)) in writes.chain([(0, Vec::new())]).enumerate() {
        let stopped = Disk::new(bytes.clone(), 512);
        let mut volume = ext4::mount(&stopped);
        for path in ["f", "g"] {
            let contents = read_file(&mut *volume, path).unwrap();
            assert!(contents.iter().all(|byte| [0, 3, 4].contains(byte)), "{n}");
        }
        drop(volume);
        ext4::fsck(&stopped.bytes()).unwrap_or_else(|text| panic!("{n}: {text}"));
        let at = first as usize * 512;
        bytes[at..at + data.len()].copy_from_slice(&data);
        cuts += 1;
    }
    assert!(cuts > 10, "{cuts}");
}
