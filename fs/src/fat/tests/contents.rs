//! Reads and writes of files, also on a full volume.

use alloc::format;

use super::*;
use crate::{CacheBudget, Health};

/// Returns bytes that differ at each offset.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

/// Creates a disk with a FAT16 volume whose files have one run per cluster, of 512 bytes: every
/// other cluster of the area comes first, and then those between.
fn in_pieces(clusters: usize, files: &[&str]) -> Disk {
    let options = FatOptions::new()
        .with_kind(FatKind::Fat16)
        .with_cluster_size(512);
    let (mut volume, disk) = mounted(format(8 << 20, &options), 512);
    for name in files {
        let bytes = (0..clusters * 512).map(|at| (at / 512) as u8 ^ name.as_bytes()[0]);
        let bytes: Vec<u8> = bytes.collect();
        assert_eq!(write(&mut volume, name, &bytes), Ok(bytes.len()));
    }
    volume.sync().unwrap();
    let mut bytes = disk.bytes();
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (table, len, copies) = (number(14) * 512, number(22) * 512, usize::from(bytes[16]));
    for n in 0..files.len() {
        let first = 2 + n * clusters;
        let order = (0..clusters).step_by(2).chain((1..clusters).step_by(2));
        let order: Vec<usize> = order.map(|cluster| first + cluster).collect();
        for (place, cluster) in order.iter().enumerate() {
            let next = order.get(place + 1).map_or(0xffff, |next| *next as u16);
            for copy in 0..copies {
                let at = table + copy * len + cluster * 2;
                bytes[at..at + 2].copy_from_slice(&next.to_le_bytes());
            }
        }
    }
    Disk::new(bytes, 512)
}

/// Returns byte `at` of such a file.
fn piece(name: &str, at: usize, clusters: usize) -> u8 {
    let half = clusters.div_ceil(2);
    let place = at / 512;
    let cluster = if place < half {
        place * 2
    } else {
        (place - half) * 2 + 1
    };
    cluster as u8 ^ name.as_bytes()[0]
}

#[test]
fn what_was_written_is_read_wherever_it_is() {
    for kind in KINDS {
        let (mut volume, disk) = mounted(formatted(kind), 512);
        let wanted = pattern(300_000);
        let file = volume.open("file", WRITE | OpenFlags::READ).unwrap();
        let other = volume.open("other", WRITE).unwrap();
        for (n, part) in wanted.chunks(70_001).enumerate() {
            let at = n as u64 * 70_001;
            assert_eq!(volume.write_at(file, at, part), Ok(part.len()));
            // Fragments the file.
            assert_eq!(
                volume.write_at(other, n as u64 * 700, &[n as u8; 700]),
                Ok(700)
            );
        }
        let mut buf = vec![0; 40_000];
        for offset in [0, 1, 511, 512, 70_000, 70_001, 139_999, 270_000, 299_999] {
            let count = (wanted.len() - offset).min(buf.len());
            assert_eq!(volume.read_at(file, offset as u64, &mut buf), Ok(count));
            assert_eq!(buf[..count], wanted[offset..offset + count]);
        }
        for offset in [300_000, 300_001, u64::MAX] {
            assert_eq!(volume.read_at(file, offset, &mut buf), Ok(0));
        }
        assert_eq!(volume.read_at(file, 0, &mut []), Ok(0));
        assert_eq!(
            volume.read_at(other, 0, &mut buf),
            Err(Error::PermissionDenied)
        );
        for file in [file, other] {
            volume.close(file).unwrap();
        }
        let found = synced(&mut volume, &disk);
        assert_eq!(found["file"], Some(wanted));
        assert_eq!(found["other"].as_ref().map(Vec::len), Some(3500));
    }
}

/// Zeros follow the end of a file up to the end of its sector, and no further.
#[test]
fn what_is_overwritten_in_part_keeps_the_rest() {
    for sector in [512, 4096] {
        let (mut volume, disk) = mounted(formatted(FatKind::Fat16), sector);
        let mut wanted = pattern(9000);
        write(&mut volume, "file", &wanted).unwrap();
        write(&mut volume, "other", &wanted).unwrap();
        let file = volume.open("file", OpenFlags::WRITE).unwrap();
        for (at, len) in [
            (0, 1),
            (512, 100),
            (1000, 24),
            (1536, 600),
            (4096, 4500),
            (8704, 296),
        ] {
            volume.write_at(file, at as u64, &vec![1; len]).unwrap();
            wanted[at..at + len].fill(1);
        }
        volume.close(file).unwrap();
        let found = synced(&mut volume, &disk);
        assert_eq!(found["file"].as_ref(), Some(&wanted));
        assert_eq!(found["other"], Some(pattern(9000)));
        if sector == 512 {
            // The file comes first; the clusters after its 9000 bytes contained remains of others.
            let bytes = disk.bytes();
            let end = volume.geometry().data as usize + 9000;
            assert_eq!(bytes[end..end + 216], [0; 216]);
        }
    }
}

/// A gap before written data, and the extension of a file, read as zeros, whatever the clusters
/// contained.
#[test]
fn what_was_never_written_reads_as_zeros() {
    let (mut volume, disk) = volume();
    let file = volume.open("file", WRITE | OpenFlags::READ).unwrap();
    volume.write_at(file, 0, b"begin").unwrap();
    volume.write_at(file, 5000, b"end").unwrap();
    let mut wanted = vec![0; 5003];
    wanted[..5].copy_from_slice(b"begin");
    wanted[5000..].copy_from_slice(b"end");
    assert_eq!(read_all(&mut volume, file).as_ref(), Ok(&wanted));
    volume.truncate(file, 2).unwrap();
    assert_eq!(volume.size(file), Ok(2));
    volume.truncate(file, 2).unwrap();
    volume.truncate(file, 1_500_000).unwrap();
    assert_eq!(volume.size(file), Ok(1_500_000));
    let mut wanted = vec![0; 1_500_000];
    wanted[..2].copy_from_slice(b"be");
    assert_eq!(read_all(&mut volume, file).as_ref(), Ok(&wanted));
    volume.close(file).unwrap();
    assert_eq!(synced(&mut volume, &disk)["file"].as_ref(), Some(&wanted));
    let free = volume.space().unwrap().free;
    let flags = WRITE | OpenFlags::TRUNCATE;
    let file = volume.open("file", flags).unwrap();
    assert_eq!(volume.size(file), Ok(0));
    volume.close(file).unwrap();
    assert!(volume.space().unwrap().free >= free + 1_500_000);
    assert_eq!(synced(&mut volume, &disk)["file"], Some(Vec::new()));
}

#[test]
fn each_write_that_appends_goes_to_the_end() {
    let (mut volume, disk) = volume();
    let first = volume.open("file", WRITE | OpenFlags::APPEND).unwrap();
    let second = volume
        .open("file", OpenFlags::WRITE | OpenFlags::APPEND)
        .unwrap();
    volume.write_at(first, 0, b"one ").unwrap();
    volume.write_at(second, 0, b"two ").unwrap();
    volume.write_at(first, 1000, b"three").unwrap();
    assert_eq!((volume.size(first), volume.size(second)), (Ok(13), Ok(13)));
    for file in [first, second] {
        volume.close(file).unwrap();
    }
    let found = synced(&mut volume, &disk);
    assert_eq!(found["file"].as_deref(), Some(b"one two three".as_slice()));
}

/// Creates a file that leaves `left` bytes of space.
fn fill(volume: &mut FatVolume, left: u64) {
    let room = volume.space().unwrap().free - left;
    let file = volume.open("filler", WRITE).unwrap();
    volume.truncate(file, room).unwrap();
    volume.close(file).unwrap();
    assert_eq!(volume.space().unwrap().free, left);
}

/// Creates a volume of 4 MiB in clusters of 2 KiB.
fn small() -> (FatVolume, Disk) {
    let options = FatOptions::new()
        .with_kind(FatKind::Fat12)
        .with_cluster_size(2048);
    mounted(format(4 << 20, &options), 512)
}

#[test]
fn as_much_is_written_as_there_is_room_for() {
    for (left, before, at, len, expected) in [
        // To the last byte of the volume: in one step, in several, and after a number of whole
        // ones.
        (6144, 0, 0, 7000, Ok(6144)),
        (6144, 0, 0, 6144, Ok(6144)),
        (1_499_136, 0, 0, 3 << 20, Ok(1_499_136)),
        (2 << 20, 0, 0, 3 << 20, Ok(2 << 20)),
        // The rest of the last cluster.
        (2048, 100, 100, 5000, Ok(1948)),
        (2048, 100, 50, 5000, Ok(1998)),
        (2048, 2048, 2048, 1, Err(Error::NoSpace)),
        // In place.
        (2048, 2048, 100, 1948, Ok(1948)),
        (2048, 2048, 100, 1949, Ok(1948)),
        // Behind a gap.
        (6144, 10, 5000, 5000, Ok(1144)),
        (6144, 10, 6143, 2, Ok(1)),
        (6144, 10, 6144, 1, Err(Error::NoSpace)),
        (6144, 10, 10_000, 1, Err(Error::NoSpace)),
    ] {
        let (mut volume, disk) = small();
        fill(&mut volume, left);
        let file = volume.open("file", WRITE | OpenFlags::READ).unwrap();
        let mut wanted = vec![7; before];
        assert_eq!(volume.write_at(file, 0, &wanted), Ok(before));
        let bytes = pattern(len);
        let written = volume.write_at(file, at, &bytes);
        assert_eq!(
            written, expected,
            "{left} left, {before} there, {len} at {at}"
        );
        if let Ok(count) = written {
            let end = at as usize + count;
            wanted.resize(end.max(before), 0);
            wanted[at as usize..end].copy_from_slice(&bytes[..count]);
        }
        assert_eq!(volume.size(file), Ok(wanted.len() as u64));
        assert_eq!(read_all(&mut volume, file).as_ref(), Ok(&wanted));
        volume.close(file).unwrap();
        let free = left - wanted.len().next_multiple_of(2048) as u64;
        assert_eq!(volume.space().unwrap().free, free);
        assert_eq!(synced(&mut volume, &disk)["file"].as_ref(), Some(&wanted));
    }
}

#[test]
fn a_file_that_has_no_room_to_grow_stays_as_it_was() {
    for (before, size) in [
        (0, 1 << 20),
        (3000, 1 << 20),
        (3000, 2 << 20),
        (3000, 3 << 20),
    ] {
        let (mut volume, disk) = small();
        fill(&mut volume, 1 << 20);
        let file = volume.open("file", WRITE | OpenFlags::READ).unwrap();
        let wanted = pattern(before);
        volume.write_at(file, 0, &wanted).unwrap();
        let fits = size <= 1 << 20;
        let expected = if fits { Ok(()) } else { Err(Error::NoSpace) };
        assert_eq!(volume.truncate(file, size), expected, "{before} to {size}");
        if !fits {
            assert_eq!(volume.size(file), Ok(before as u64));
            assert_eq!(read_all(&mut volume, file).as_ref(), Ok(&wanted));
            let free = (1 << 20) - before.next_multiple_of(2048) as u64;
            assert_eq!(volume.space().unwrap().free, free);
        }
        volume.close(file).unwrap();
        let len = if fits { size as usize } else { before };
        let found = synced(&mut volume, &disk);
        assert_eq!(found["file"].as_ref().map(Vec::len), Some(len));
    }
}

/// The size of a file has 32 bits ("FAT Directory Structure", `DIR_FileSize`).
#[test]
fn a_file_is_no_larger_than_its_size_can_say() {
    let (mut volume, _) = volume();
    let file = volume.open("file", WRITE).unwrap();
    let largest = u64::from(u32::MAX);
    assert_eq!(volume.truncate(file, largest + 1), Err(Error::TooLarge));
    assert_eq!(volume.truncate(file, largest), Err(Error::NoSpace));
    assert_eq!(volume.write_at(file, largest, b"x"), Err(Error::TooLarge));
    assert_eq!(volume.write_at(file, u64::MAX, b"x"), Err(Error::TooLarge));
    assert_eq!(volume.write_at(file, u64::MAX, b""), Ok(0));
    assert_eq!(
        volume.write_at(file, largest - 1, b"x"),
        Err(Error::NoSpace)
    );
    assert_eq!(volume.size(file), Ok(0));
}

#[test]
fn the_places_of_a_file_in_many_pieces_are_found_again() {
    const CLUSTERS: usize = 10_001;
    let disk = in_pieces(CLUSTERS, &["A"]);
    let (mut volume, _) = mounted(disk.bytes(), 512);
    let file = volume.open("A", OpenFlags::READ).unwrap();
    let wanted: Vec<u8> = (0..CLUSTERS * 512)
        .map(|at| piece("A", at, CLUSTERS))
        .collect();
    assert!(read_all(&mut volume, file).as_ref() == Ok(&wanted));
    let mut buf = [0; 1000];
    for at in [0, 4_000_000, 2_097_000, 100, 5_119_000, 2_096_128] {
        assert_eq!(volume.read_at(file, at, &mut buf), Ok(1000));
        assert!(buf == wanted[at as usize..][..1000], "at {at}");
        let chain = volume.handles.get(file).unwrap().chain.as_ref();
        let runs = chain.unwrap().runs();
        assert!(runs.len() <= 4096, "at {at}");
    }
}

/// More runs than are stored at a time.
#[test]
fn a_file_in_many_pieces_is_cut_and_removed() {
    const CLUSTERS: usize = 10_001;
    for len in [0, 1, 512, 2_500_000, 5_000_000, CLUSTERS * 512] {
        let (mut volume, disk) = mounted(in_pieces(CLUSTERS, &["A"]).bytes(), 512);
        let (before, total) = (volume.space().unwrap().free, volume.space().unwrap().total);
        let file = volume.open("A", WRITE).unwrap();
        volume.truncate(file, len as u64).unwrap();
        volume.close(file).unwrap();
        let kept = len.next_multiple_of(512) as u64;
        let free = before + CLUSTERS as u64 * 512 - kept;
        assert_eq!(volume.space().unwrap().free, free, "{len} bytes");
        let wanted: Vec<u8> = (0..len).map(|at| piece("A", at, CLUSTERS)).collect();
        assert!(synced(&mut volume, &disk)["A"].as_ref() == Some(&wanted));
        volume.unlink("A").unwrap();
        assert_eq!(synced(&mut volume, &disk), Tree::new());
        assert_eq!(volume.space().unwrap().free, total);
    }
}

/// A chain is followed to its end before anything is freed.
#[test]
fn a_file_in_many_pieces_that_is_damaged_loses_nothing() {
    let bytes = in_pieces(10_001, &["A"]).bytes();
    let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    let mut damaged = bytes.clone();
    // The last cluster of the file is the last but one of the area.
    damaged[table + (2 + 9_999) * 2..][..2].fill(0);
    let (mut volume, disk) = mounted(damaged.clone(), 512);
    assert_eq!(volume.unlink("A"), Err(Error::Corrupt));
    assert!(volume.sync().is_err() && disk.bytes() == damaged);
    for fail in 1.. {
        // A cache that reads the lines of the table one by one.
        let options = Options {
            cache_bytes: 0,
            ..Options::default()
        };
        let disk = Disk::new(bytes.clone(), 512);
        let mut volume = mount_volume(Box::new(disk.clone()), options).unwrap();
        volume.stat("A").unwrap();
        disk.state().fail_read = Some(fail);
        let removed = volume.unlink("A");
        if disk.state().fail_read.take().is_some() {
            assert!(removed.is_ok() && fail > 2);
            break;
        }
        assert_eq!(removed, Err(Error::Io), "read {fail}");
        volume.sync().unwrap();
        assert!(disk.bytes() == bytes, "read {fail}");
    }
}

/// A step whose contents the device refuses takes no clusters.
#[test]
fn a_write_that_fails_leaves_the_file_as_long_as_it_was() {
    for kind in KINDS {
        for (before, at) in [(0, 0), (700, 700), (700, 100), (1024, 1024)] {
            let (mut volume, disk) = mounted(formatted(kind), 512);
            let file = volume.open("file", WRITE | OpenFlags::READ).unwrap();
            if before > 0 {
                volume.write_at(file, 0, &pattern(before)).unwrap();
            }
            volume.sync().unwrap();
            let free = volume.space().unwrap().free;
            disk.state().fail_write = Some(1);
            let large = vec![7; 300_000];
            assert_eq!(volume.write_at(file, at, &large), Err(Error::Io));
            assert_eq!(volume.size(file), Ok(before as u64), "{at} in {before}");
            assert_eq!(volume.space().unwrap().free, free);
            let found = synced(&mut volume, &disk)["file"].clone().unwrap();
            assert_eq!(found[..at as usize], pattern(before)[..at as usize]);
            assert_eq!(volume.write_at(file, at, &large), Ok(large.len()));
            let found = synced(&mut volume, &disk)["file"].clone().unwrap();
            assert_eq!(found[at as usize..], large);
            let taken = found.len().next_multiple_of(512) - before.next_multiple_of(512);
            assert_eq!(volume.space().unwrap().free, free - taken as u64);
        }
    }
}

/// Sequential writes are contiguous on the disk, in few requests.
#[test]
fn what_is_written_in_order_takes_clusters_in_a_row() {
    for kind in KINDS {
        let (mut volume, disk) = mounted(formatted(kind), 512);
        let file = volume.open("file", WRITE | OpenFlags::READ).unwrap();
        let wanted = pattern(600_000);
        disk.state().writes = 0;
        for (n, part) in wanted.chunks(8192).enumerate() {
            volume.write_at(file, n as u64 * 8192, part).unwrap();
        }
        assert!(disk.state().writes <= 2, "two full buffers of 256 KiB");
        // This reads nothing but the first sectors of tables and directories.
        assert!(disk.state().reads < 12, "{} reads", disk.state().reads);
        let found = synced(&mut volume, &disk);
        assert_eq!(found["file"].as_ref(), Some(&wanted));
        read_all(&mut volume, file).unwrap();
        let chain = volume.handles.get(file).unwrap().chain.as_ref();
        assert_eq!(chain.unwrap().runs().len(), 1, "{kind:?}");
    }
}

/// The limit applies to all open files together: the runs of some are dropped in favour of others.
#[test]
fn the_pieces_of_open_files_that_are_remembered_are_bounded() {
    let disk = in_pieces(4096, &["A", "B", "C"]);
    let (mut volume, _) = mounted(disk.bytes(), 512);
    volume.mkdir("d").unwrap();
    write(&mut volume, "small", &[1; 600]).unwrap();
    let files = ["A", "B", "small", "C"].map(|name| volume.open(name, OpenFlags::READ).unwrap());
    let known = |volume: &mut FatVolume| {
        files.map(|file| {
            let chain = &volume.handles.get(file).unwrap().chain;
            chain.as_ref().map_or(0, |chain| chain.runs().len())
        })
    };
    for (which, expected) in [
        (0, [4096, 0, 0, 0]),
        (1, [4096, 4096, 0, 0]),
        // The maximum number, and one more.
        (2, [4096, 4096, 1, 0]),
        // Reading known runs again drops none.
        (0, [4096, 4096, 1, 0]),
        (3, [0, 0, 0, 4096]),
        (1, [0, 4096, 0, 4096]),
    ] {
        read_all(&mut volume, files[which]).unwrap();
        assert_eq!(known(&mut volume), expected, "after file {which}");
    }
}

/// A read through one handle sees writes through another.
#[test]
fn all_handles_of_a_file_have_its_size() {
    let (mut volume, _) = volume();
    write(&mut volume, "other", b"other").unwrap();
    let writer = volume.open("file", WRITE).unwrap();
    let reader = volume.open("file", OpenFlags::READ).unwrap();
    let other = volume.open("other", OpenFlags::READ).unwrap();
    for (size, written) in [(0, 700), (700, 5), (705, 2000)] {
        assert_eq!(volume.size(reader), Ok(size));
        volume.write_at(writer, size, &vec![1; written]).unwrap();
        assert_eq!(
            read_all(&mut volume, reader).unwrap().len() as u64,
            size + written as u64
        );
    }
    volume.truncate(writer, 10).unwrap();
    assert_eq!(read_all(&mut volume, reader), Ok(vec![1; 10]));
    assert_eq!(volume.size(other), Ok(5));
    assert_eq!(read_all(&mut volume, other), Ok(b"other".to_vec()));
}

#[test]
fn a_chain_that_ends_before_its_file_makes_the_volume_read_only() {
    let (mut volume, disk) = mounted(formatted(FatKind::Fat16), 512);
    write(&mut volume, "file", &pattern(5000)).unwrap();
    volume.sync().unwrap();
    let mut bytes = disk.bytes();
    let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    bytes[table + 5 * 2..][..2].copy_from_slice(&[0xff, 0xff]);
    let (mut volume, _) = mounted(bytes, 512);
    let file = volume.open("file", OpenFlags::READ).unwrap();
    let mut buf = [0; 2048];
    assert_eq!(volume.read_at(file, 0, &mut buf), Ok(2048));
    assert_eq!(buf[..], pattern(2048));
    assert_eq!(volume.health(), Health::Writable);
    assert_eq!(volume.read_at(file, 1, &mut buf), Err(Error::Corrupt));
    assert!(matches!(volume.health(), Health::Corrupt(text) if text.contains("reading a file")));
    // The handle drops all its cached state.
    let handle = volume.handles.get(file).unwrap();
    assert!(handle.size.is_none() && handle.chain.is_none());
}

#[test]
fn bytes_are_lent_where_the_cache_has_them() {
    static BUDGET: CacheBudget = CacheBudget::new(4 << 20);
    let disk = Disk::new(formatted(FatKind::Fat16), 512);
    let options = Options {
        budget: Some(&BUDGET),
        ..Options::default()
    };
    let mut volume = mount_volume(Box::new(disk.clone()), options).unwrap();
    let wanted = pattern(200_000);
    write(&mut volume, "file", &wanted).unwrap();
    volume.sync().unwrap();
    let file = volume.open("file", OpenFlags::READ).unwrap();
    let writer = volume.open("file", OpenFlags::WRITE).unwrap();
    for (offset, len) in [
        (0, 200_000),
        (1000, 100_000),
        (150_000, 100_000),
        (199_999, 1),
    ] {
        let mut lent = Vec::new();
        let wanted = &wanted[offset..(offset + len).min(200_000)];
        assert_eq!(volume.lend(file, offset as u64, len, &mut lent), Ok(()));
        let bytes = lent.iter().flat_map(|lease| lease.iter().copied());
        let bytes: Vec<u8> = bytes.collect();
        assert!(
            !bytes.is_empty() && wanted.starts_with(&bytes),
            "{len} at {offset}"
        );
        // Not copied: copies are limited to 64 KiB.
        assert!(
            bytes.len() == wanted.len(),
            "{} of {len} at {offset}",
            bytes.len()
        );
    }
    for offset in [200_000, 200_001, u64::MAX] {
        let mut lent = Vec::new();
        assert_eq!(volume.lend(file, offset, 10, &mut lent), Ok(()));
        assert!(lent.iter().all(|lease| lease.is_empty()));
    }
    let mut lent = Vec::new();
    let refused = volume.lend(writer, 0, 10, &mut lent);
    assert_eq!((refused, lent.len()), (Err(Error::PermissionDenied), 0));
}

#[test]
fn volumes_say_how_much_room_they_have() {
    let (mut volume, disk) = small();
    let space = volume.space().unwrap();
    assert_eq!((space.unit, space.free), (2048, space.total));
    assert_eq!(space.available, space.free);
    assert!((3 << 20..4 << 20).contains(&space.total));
    for (n, size) in [1, 2048, 2049].into_iter().enumerate() {
        write(&mut volume, &format!("{n}"), &vec![0; size]).unwrap();
    }
    let after = volume.space().unwrap();
    assert_eq!(
        (after.total, after.free),
        (space.total, space.free - 4 * 2048)
    );
    synced(&mut volume, &disk);
}
