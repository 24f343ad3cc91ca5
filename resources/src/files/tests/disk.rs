//! Volumes on disks: shared disks, caches and reports.

use super::super::statistics;
use super::super::{
    directory, directory_next, drivers, file_sync, lease_end, lease_next, lend, mount, open, read,
    rename, seek, stat, sync, unlink, unmount, write,
};
use super::{
    IO, MODE, Orders, changed_by, completed, health, late, result, runtime, runtime_with, slow,
    step,
};
use crate::Runtime;
use crate::disks::install;
use crate::files::engine::driver::finish;
use crate::types::constants::OPEN_READ;
use crate::types::fake::Bigarray;
use crate::types::records::CacheStatistics;
use crate::types::{Int, IntsPiece, Piece};
use platform::error::{Error, Stop};
use reactor::table::Fd;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

const PENDING: platform::error::Answer = Err(Stop::Pending);

fn opened(rt: &mut Runtime, path: &str) -> Fd {
    let answer = open(rt, path, MODE, 1);
    Fd::decode(result(rt, 1, answer)).expect(path)
}

fn written(rt: &mut Runtime, fd: Fd, bytes: &mut [u8]) {
    let answer = write(rt, fd, Piece::of(bytes), 0, 1);
    assert_eq!(result(rt, 1, answer), bytes.len() as Int);
}

fn synced(rt: &mut Runtime) {
    let answer = sync(rt, 1);
    assert_eq!(result(rt, 1, answer), 0);
}

fn mounted(rt: &mut Runtime, word: &str) -> Int {
    let answer = mount(rt, word, 1);
    result(rt, 1, answer)
}

fn unmounted(rt: &mut Runtime, point: &str) -> Int {
    let answer = unmount(rt, point, 1);
    result(rt, 1, answer)
}

/// A read of cached data completes within the call, and is counted.
#[test]
fn what_is_in_memory_is_read_in_the_call() {
    const MAX_AT_ONCE: usize = 1 << 20;
    let (mut rt, _) = runtime("cached");
    let rt = &mut rt;
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut vec![3; MAX_AT_ONCE + 512]);
    synced(rt);
    let hits = |rt: &Runtime| statistics(rt, "/data").expect("mounted").hits;
    let mut back = vec![0; MAX_AT_ONCE + 512];
    // Data from bulk writes isn't cached.
    let answer = read(rt, fd, Piece::of(&mut back), 0, 2);
    assert_eq!(result(rt, 2, answer), MAX_AT_ONCE as Int + 512);
    let before = hits(rt);
    let (small, all) = back.split_at_mut(512);
    assert_eq!(read(rt, fd, Piece::of(small), -1, 2), Ok(512));
    assert_eq!(small, [3; 512]);
    assert_eq!(read(rt, fd, Piece::of(small), -1, 2), Ok(512));
    assert_eq!(seek(rt, fd, 0, 1, 2), Ok(1024));
    assert_eq!(hits(rt), before + 2);
    assert_eq!(read(rt, fd, Piece::of(all), 0, 2), Ok(MAX_AT_ONCE));
    assert!(all.iter().all(|byte| *byte == 3));
}

/// A rename is one job: no later operation runs before its end.
#[test]
fn a_rename_takes_one_turn_of_its_volume() {
    let (mut rt, orders) = runtime("turn");
    let rt = &mut rt;
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut [1; 100]);
    assert_eq!(rt.close(fd), Ok(0));
    assert_eq!(unmounted(rt, "/data"), 0);
    orders.hold.set(true);
    assert_eq!(open(rt, "/data/first", OPEN_READ, 2), PENDING);
    assert_eq!(rename(rt, "/data/a", "/data/b", 0, 3), PENDING);
    assert_eq!(open(rt, "/data/a", OPEN_READ, 4), PENDING);
    assert_eq!(unlink(rt, "/data/b", 5), PENDING);
    orders.hold.set(false);
    while !finish(rt) {
        step(rt);
    }
    let none = -(Error::NotFound as Int);
    assert_eq!(completed(rt), [(2, none), (3, 0), (4, none), (5, 0)]);
}

/// Data that isn't cached is read before it is leased, while other tasks run.
#[test]
fn a_lease_waits_for_the_disk() {
    let (mut rt, orders) = runtime("lease");
    let rt = &mut rt;
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut [3; 5000]);
    assert_eq!(rt.close(fd), Ok(0));
    assert_eq!(unmounted(rt, "/data"), 0);
    let fd = opened(rt, "/data/a");
    orders.hold.set(true);
    assert_eq!(lend(rt, fd, 1000, 9000, 2), PENDING);
    orders.hold.set(false);
    let lease = result(rt, 2, PENDING);
    let (mut array, mut seen) = (Bigarray::of(&mut []), 0);
    loop {
        match lease_next(rt, lease, &mut array.view()).expect("shown") {
            0 => break,
            n => seen += n,
        }
        assert!(array.shown().iter().all(|byte| *byte == 3));
    }
    assert_eq!(seen, 4000);
    assert_eq!(lease_end(rt, lease, &mut array.view()), Ok(0));
    // Now the data is cached.
    let lease = lend(rt, fd, 0, 100, 2).expect("at once") as Int;
    assert_eq!(lease_end(rt, lease, &mut array.view()), Ok(0));
}

#[test]
fn statistics_are_those_of_the_volume() {
    let (mut rt, _) = runtime("statistics");
    let rt = &mut rt;
    drivers::register(rt, drivers::MEMORY).expect("room");
    assert_eq!(statistics(rt, "/data"), None);
    let fd = opened(rt, "/data/a");
    assert_eq!(mounted(rt, "/m=memory"), 0);
    written(rt, fd, &mut [1; 5000]);
    let one = statistics(rt, "/data").expect("mounted");
    assert!(one.dirty > 0 && one.hits > 0 && one.misses > 0);
    assert_eq!((one.used, one.limit), (0, 0), "the memory is that of all");
    assert_eq!(statistics(rt, "/m"), Some(CacheStatistics::default()));
    assert_eq!(statistics(rt, "/dat"), None);
    let all = statistics(rt, "").expect("always");
    assert!(all.hits >= one.hits && all.misses >= one.misses && all.limit > 0);
    synced(rt);
    assert_eq!(statistics(rt, "/data").expect("mounted").dirty, 0);
}

/// A job may complete after its descriptor was closed and its key reused, without a change of the
/// new file's position.
#[test]
fn a_late_answer_moves_nobody_elses_position() {
    let (mut rt, orders) = runtime("late-position");
    let rt = &mut rt;
    drivers::register(rt, drivers::MEMORY).expect("room");
    assert_eq!(mounted(rt, "/m=memory"), 0);
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut [1; 5000]);
    assert_eq!(rt.close(fd), Ok(0));
    assert_eq!(unmounted(rt, "/data"), 0);
    let fd = opened(rt, "/data/a");
    orders.hold.set(true);
    assert_eq!(read(rt, fd, Piece::of(&mut [0; 1000]), -1, 2), PENDING);
    assert_eq!(seek(rt, fd, 0, 2, 3), PENDING);
    assert_eq!(rt.close(fd), Ok(0));
    let other = opened(rt, "/m/b");
    orders.hold.set(false);
    for _ in 0..100 {
        step(rt);
    }
    assert_eq!(completed(rt).len(), 2);
    assert_eq!(seek(rt, other, 0, 1, 4), Ok(0));
}

/// At exit each volume in use is synced, once.
#[test]
fn the_end_of_the_program_waits_for_every_volume() {
    let (mut rt, orders) = runtime("finish");
    let rt = &mut rt;
    assert!(finish(rt), "no file was ever used");
    drivers::register(rt, drivers::MEMORY).expect("room");
    assert_eq!(mounted(rt, "/m=memory"), 0);
    // Registered and never used.
    let answer = open(rt, "/none/a", OPEN_READ, 1);
    assert_eq!(result(rt, 1, answer), -(Error::NotFound as Int));
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut [9; 600]);
    assert!(!finish(rt));
    let rounds = (0..100).position(|_| {
        step(rt);
        finish(rt)
    });
    assert!(rounds.is_some());
    assert!(orders.log.borrow().ends_with('F'));
    let data = orders.data.borrow();
    assert!(data.windows(600).any(|bytes| bytes == [9; 600]));
}

/// Both disks have an MBR and two FAT partitions, at 64 and directly after it at 1088, of 1024
/// sectors each.
fn two_disks() -> (Runtime, [Rc<Orders>; 2]) {
    let volume = changed_by("part", &vec![0; 1024 * 512], &["mkfs.fat"]);
    let mut disk = vec![0; 64 * 512];
    for (at, first) in [(446, 64u32), (462, 1088)] {
        disk[at + 4] = 0x06;
        disk[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        disk[at + 12..at + 16].copy_from_slice(&1024u32.to_le_bytes());
        disk.extend_from_slice(&volume);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let (one, other) = (slow(disk.clone()), slow(disk));
    let mut rt = Runtime::new();
    let disks = vec![("data".to_string(), one.1), ("more".to_string(), other.1)];
    install(&mut rt, disks).expect("room");
    (rt, [one.0, other.0])
}

#[test]
fn partitions_side_by_side_are_volumes_of_their_own() {
    const BUSY: Int = -(Error::Busy as Int);
    let (mut rt, orders) = two_disks();
    let rt = &mut rt;
    for (word, expected) in [
        ("/b=fat:data/2", 0),
        ("/a=data/1", 0),
        ("/c=more/1", 0),
        ("/d=DATA/1", BUSY),
        ("/d=fat:data/2", BUSY),
        ("/d=data", BUSY),
        ("/d=more/3", -(Error::NotFound as Int)),
        ("/d=less/1", -(Error::NoDevice as Int)),
        ("/d=more/2", 0),
    ] {
        assert_eq!(mounted(rt, word), expected, "{word}");
    }
    for (n, point) in (1..).zip(["/a", "/b", "/c", "/d"]) {
        let fd = opened(rt, &(point.to_string() + "/f"));
        written(rt, fd, &mut [n; 3000]);
        assert_eq!(rt.close(fd), Ok(0));
    }
    synced(rt);
    let sector_of = |disk: usize, n: u8| {
        let data = orders[disk].data.borrow();
        data.chunks(512).position(|sector| sector == [n; 512])
    };
    assert!(sector_of(0, 1).is_some_and(|at| (64..1088).contains(&at)));
    assert!(sector_of(0, 2).is_some_and(|at| at >= 1088));
    assert!(sector_of(1, 3).is_some_and(|at| (64..1088).contains(&at)));
    assert!(sector_of(1, 4).is_some_and(|at| at >= 1088));
    // An unmounted partition can be mounted again.
    assert_eq!(unmounted(rt, "/a"), 0);
    assert_eq!(mounted(rt, "/e=data/2"), BUSY);
    assert_eq!(mounted(rt, "/e=data/1"), 0);
}

/// A disk of 40 MiB with a table for 19 MiB, whose second partition has this GUID and an ext4 file
/// system of 16 MiB.
fn larger_disk(guid: &str) -> Vec<u8> {
    let table = "label: gpt\nstart=2048, size=1MiB\nstart=4096, size=16MiB, uuid=";
    let (_, guid) = guid.split_once('=').expect("a GUID");
    let make = [
        "printf '",
        table,
        guid,
        "' | sfdisk -q \"$0\" && mkfs.ext4 -q -E offset=2097152 \"$0\" 16M",
    ];
    let mut larger = changed_by("gpt", &vec![0; 19 << 20], &["sh", "-c", &make.concat()]);
    larger.resize(40 << 20, 0);
    larger
}

/// The partition that a disk's name stands for is mounted, and grows when the device did; another
/// partition by its number only with the option.
#[test]
fn partitions_of_a_larger_disk_grow() {
    const GUID: &str = "PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4";
    let larger = larger_disk(GUID);
    for (partition, word, mib) in [
        (Some(GUID), "/a=ext4:data", 37),
        (Some(GUID), "/a=data", 37),
        (None, "/a=data/2,grow", 37),
        (
            None,
            "/a=ext4:data/PARTUUID=0FC63DAF-8483-4772-8E79-3D69D8477DE4,grow",
            37,
        ),
        (None, "/a=ext4:data/2", 16),
    ] {
        let (mut rt, orders) = runtime_with(larger.clone());
        orders.partition.set(partition);
        drivers::register(&mut rt, drivers::EXT4).expect("room");
        assert_eq!(mounted(&mut rt, word), 0, "{word}");
        // A partition has none.
        let error = match partition {
            Some(_) => Error::Invalid,
            None => Error::Busy,
        };
        assert_eq!(mounted(&mut rt, "/b=data/2"), -(error as Int), "{word}");
        assert_eq!(unmounted(&mut rt, "/a"), 0);
        let expected = partition.map_or(0, |_| -(Error::Invalid as Int));
        assert_eq!(mounted(&mut rt, "/b=ext4:data/2"), expected, "{word}");
        let data = orders.data.borrow();
        let word_at = |at: usize| {
            let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_le_bytes(bytes.expect("on the disk")) as usize
        };
        let blocks = word_at((2 << 20) + 1028) << (10 + word_at((2 << 20) + 1048));
        assert_eq!(blocks >> 20, mib, "{word}");
        // The last sector of the partition, in its entry.
        assert_eq!(word_at(1024 + 128 + 40), ((2 + mib) << 11) - 1, "{word}");
    }
}

/// A volume that is only read leaves the table of its disk alone, too.
#[test]
fn a_partition_that_is_only_read_does_not_grow() {
    const GUID: &str = "PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4";
    let larger = larger_disk(GUID);
    let (mut rt, orders) = runtime_with(larger.clone());
    orders.partition.set(Some(GUID));
    drivers::register(&mut rt, drivers::EXT4).expect("room");
    assert_eq!(mounted(&mut rt, "/a=ext4:data,ro"), 0);
    assert_eq!(unmounted(&mut rt, "/a"), 0);
    assert!(*orders.data.borrow() == larger);
}

/// A slow disk blocks operations on its own volumes, not those on another disk.
#[test]
fn a_late_disk_is_told_from_others() {
    let (mut rt, orders) = two_disks();
    let rt = &mut rt;
    for word in ["/a=data/1", "/c=more/1"] {
        assert_eq!(mounted(rt, word), 0);
    }
    let (kept, fd) = (opened(rt, "/a/kept"), opened(rt, "/a/g"));
    synced(rt);
    orders[0].hold_flush.set(true);
    written(rt, fd, &mut [1; 600]);
    assert_eq!(sync(rt, 2), PENDING);
    // No task waits for this; it completes when the disk answers.
    assert_eq!(file_sync(rt, kept, 3), PENDING);
    assert_eq!(rt.close(kept), Ok(0));
    for _ in 0..100 {
        step(rt);
    }
    late(rt);
    assert_eq!(completed(rt), [(2, IO), (3, IO)]);
    let mut line = [0; 300];
    let len = rt.messages.take(2, &mut line);
    let line = String::from_utf8_lossy(&line[..len]).into_owned();
    assert!(
        line.starts_with("disk data/1 has not responded for 30 s: "),
        "{line}"
    );
    assert_eq!(line.matches("disk data/1").count(), 1, "{line}");
    assert_eq!(mounted(rt, "/b=data/2"), IO);
    assert_eq!(mounted(rt, "/d=more/2"), 0);
    let fd = opened(rt, "/c/f");
    written(rt, fd, &mut [1; 600]);
    orders[0].hold_flush.set(false);
    for _ in 0..100 {
        step(rt);
    }
    assert_eq!(completed(rt), []);
    let answer = unlink(rt, "/a/kept", 4);
    assert_eq!(result(rt, 4, answer), 0, "it was closed");
    assert_eq!(mounted(rt, "/b=data/2"), 0);
}

/// An operation that waits for a flush can be cancelled, like one in the queue.
#[test]
fn one_of_several_that_wait_for_a_flush_is_taken_back() {
    let (mut rt, orders) = runtime("taken-back");
    let rt = &mut rt;
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut [7; 100]);
    orders.hold_flush.set(true);
    assert_eq!(file_sync(rt, fd, 2), PENDING);
    for _ in 0..10 {
        step(rt);
    }
    for token in 3..6 {
        assert_eq!(file_sync(rt, fd, token), PENDING);
    }
    assert_eq!((rt.cancel(4), rt.cancel(2)), (Ok(1), PENDING));
    orders.hold_flush.set(false);
    for _ in 0..100 {
        step(rt);
    }
    assert_eq!(completed(rt), [(2, 0), (3, 0), (5, 0)]);
}

/// A `sync` completes with the last volume, and reports a failure of any.
#[test]
fn a_sync_is_one_of_all_volumes() {
    let (mut rt, orders) = two_disks();
    let rt = &mut rt;
    for word in ["/a=data/1", "/c=more/1", "/d=more/2"] {
        assert_eq!(mounted(rt, word), 0);
    }
    for failing in [0, 1] {
        for path in ["/a/f", "/c/f", "/d/f"] {
            let fd = opened(rt, path);
            written(rt, fd, &mut [failing as u8 + 1; 100]);
            assert_eq!(rt.close(fd), Ok(0));
        }
        orders[1 - failing].hold_flush.set(true);
        orders[failing].fail_flush.set(true);
        assert_eq!(sync(rt, 2), PENDING);
        for _ in 0..100 {
            step(rt);
        }
        assert_eq!(completed(rt), []);
        orders[1 - failing].hold_flush.set(false);
        for _ in 0..100 {
            step(rt);
        }
        assert_eq!(completed(rt), [(2, IO)]);
        orders[failing].fail_flush.set(false);
        synced(rt);
    }
}

/// After a failed flush without anything left to write, the next sync flushes again and reports the
/// new result.
#[test]
fn a_sync_flushes_again_what_was_not_flushed() {
    let (mut rt, orders) = runtime("again");
    let rt = &mut rt;
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut [7; 3000]);
    orders.fail_flush.set(true);
    for token in 2..5 {
        orders.log.borrow_mut().clear();
        let answer = sync(rt, token);
        assert_eq!(result(rt, token, answer), IO);
        assert!(orders.log.borrow().ends_with('f'), "it tries");
    }
    orders.fail_flush.set(false);
    orders.log.borrow_mut().clear();
    let answer = file_sync(rt, fd, 5);
    assert_eq!(result(rt, 5, answer), 0);
    assert_eq!(*orders.log.borrow(), "fF");
    // Then nothing is left to do.
    synced(rt);
    assert_eq!(*orders.log.borrow(), "fF");
}

/// A failed mount fails the operations that were queued meanwhile with the same message.
#[test]
fn a_mount_that_fails_says_why_and_is_forgotten() {
    let (mut rt, orders) = runtime_with(vec![0xe5; 64 * 512]);
    let rt = &mut rt;
    orders.hold.set(true);
    assert_eq!(mount(rt, "/x=data", 2), PENDING);
    let mut numbers = [0; 9];
    let into = IntsPiece::of(&mut numbers);
    assert_eq!(stat(rt, "/x/a", true, into, 3), PENDING);
    assert_eq!(rt.cancel(3), Ok(1));
    assert_eq!(stat(rt, "/x/a", true, into, 4), PENDING);
    orders.hold.set(false);
    for _ in 0..10 {
        step(rt);
    }
    let corrupt = -(Error::Corrupt as Int);
    assert_eq!(
        completed(rt),
        [(2, corrupt), (4, -(Error::NotFound as Int))]
    );
    let mut line = [0; 300];
    let len = rt.messages.take(2, &mut line);
    let line = String::from_utf8_lossy(&line[..len]).into_owned();
    assert!(line.starts_with("disk data: "), "{line}");
    assert_eq!(line.matches("disk data").count(), 1, "{line}");
    assert_eq!(rt.messages.take(4, &mut [0; 300]), 0);
    // The disk and the mount point are free.
    assert_eq!(mounted(rt, "/x=fat:data"), corrupt);
}

/// A volume whose unmount fails stays mounted; one whose file system has nothing to write is
/// unmounted at once.
#[test]
fn an_unmount_that_fails_keeps_the_volume() {
    let (mut rt, orders) = runtime("kept");
    let rt = &mut rt;
    orders.fail.set(true);
    let answer = open(rt, "/data/a", MODE, 1);
    assert_eq!(result(rt, 1, answer), IO);
    assert_eq!(unmounted(rt, "/data"), 0, "it was never mounted");
    orders.fail.set(false);
    let fd = opened(rt, "/data/a");
    written(rt, fd, &mut [7; 3000]);
    assert_eq!(rt.close(fd), Ok(0));
    orders.fail.set(true);
    assert_eq!(unmounted(rt, "/data"), IO);
    // There is nothing more to report.
    assert_eq!(rt.messages.take(1, &mut [0; 100]), 0);
    orders.fail.set(false);
    let fd = opened(rt, "/data/a");
    let mut back = [0; 3000];
    let answer = read(rt, fd, Piece::of(&mut back), 0, 1);
    assert_eq!(result(rt, 1, answer), 3000);
    assert_eq!(back, [7; 3000]);
    assert_eq!(rt.close(fd), Ok(0));
    assert_eq!(unmounted(rt, "/data"), 0);
    let data = orders.data.borrow();
    assert!(data.windows(3000).any(|bytes| bytes == [7; 3000]));
}

#[test]
fn a_disk_that_is_read_only_makes_a_volume_that_is() {
    let (mut rt, orders) = runtime("read-only");
    let rt = &mut rt;
    orders.read_only.set(true);
    let answer = open(rt, "/data/a", MODE, 1);
    assert_eq!(result(rt, 1, answer), -(Error::ReadOnly as Int));
    assert_eq!(health(rt, 2), 1);
    assert_eq!(*orders.log.borrow(), "");
}

/// Returns the names in the root: mount points, and each disk that a first use would mount.
#[test]
fn disks_that_are_not_mounted_are_seen_in_the_root() {
    let (mut rt, _) = two_disks();
    let rt = &mut rt;
    drivers::register(rt, drivers::MEMORY).expect("room");
    let names = |rt: &mut Runtime| {
        let answer = directory(rt, "/", 1);
        let fd = Fd::decode(result(rt, 1, answer)).expect("a directory");
        let mut bytes = [0; 100];
        let answer = directory_next(rt, fd, Piece::of(&mut bytes), 1);
        let n = result(rt, 1, answer) as usize;
        assert_eq!(rt.close(fd), Ok(0));
        let (mut names, mut rest) = (Vec::new(), &bytes[..n]);
        while let [_, low, _, more @ ..] = rest {
            let (name, more) = more.split_at(usize::from(*low));
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = more;
        }
        names.sort();
        names
    };
    assert_eq!(names(rt), ["data", "more"]);
    assert_eq!(mounted(rt, "/x=DATA/1"), 0);
    assert_eq!(names(rt), ["more", "x"]);
    // A mount at `/DISK` hides the automatic mount of that disk.
    assert_eq!(mounted(rt, "/more=memory"), 0);
    assert_eq!(names(rt), ["more", "x"]);
    assert_eq!(unmounted(rt, "/x"), 0);
    assert_eq!(names(rt), ["data", "more"]);
    assert_eq!(mounted(rt, "/=memory"), 0);
    assert_eq!(names(rt), ["more"]);
}

/// Queued transfers at the descriptor's position begin where the previous one ended; after a close
/// they can't start.
#[test]
fn a_position_is_that_of_the_moment_when_a_job_begins() {
    let (mut rt, orders) = runtime("positions");
    let rt = &mut rt;
    let answer = open(rt, "/data/a", MODE, 1);
    let fd = Fd::decode(result(rt, 1, answer)).expect("opened");
    let mut text = *b"abcdefghi";
    let answer = write(rt, fd, Piece::of(&mut text[..8]), 0, 2);
    assert_eq!(result(rt, 2, answer), 8);
    orders.hold.set(true);
    assert_eq!(sync(rt, 3), Err(Stop::Pending));
    let (mut first, mut second) = ([0; 3], [0; 3]);
    assert_eq!(
        read(rt, fd, Piece::of(&mut first), -1, 4),
        Err(Stop::Pending)
    );
    assert_eq!(
        read(rt, fd, Piece::of(&mut second), -1, 5),
        Err(Stop::Pending)
    );
    orders.hold.set(false);
    let ends = |rt: &mut Runtime| {
        let mut ended = Vec::new();
        for _ in 0..1000 {
            step(rt);
            ended.extend(completed(rt));
        }
        ended.sort_unstable();
        ended
    };
    assert_eq!(ends(rt), [(3, 0), (4, 3), (5, 3)]);
    assert_eq!((&first, &second), (b"abc", b"def"));
    let answer = write(rt, fd, Piece::of(&mut text[8..]), 8, 2);
    assert_eq!(result(rt, 2, answer), 1);
    orders.hold.set(true);
    assert_eq!(sync(rt, 6), Err(Stop::Pending));
    assert_eq!(
        read(rt, fd, Piece::of(&mut first), -1, 7),
        Err(Stop::Pending)
    );
    assert_eq!(
        read(rt, fd, Piece::of(&mut second), 0, 8),
        Err(Stop::Pending)
    );
    assert_eq!(rt.close(fd), Ok(0));
    orders.hold.set(false);
    assert_eq!(ends(rt), [(6, 0), (7, -(Error::Closed as Int)), (8, 3)]);
    assert_eq!(&second, b"abc");
}
