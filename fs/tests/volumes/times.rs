//! Times: those of the clock and those set by a program, as e2fsprogs and mtools read them.

use std::cell::Cell;

use crate::common::{Image, ext4, mkfs, mount_with, names, run, write_file};
use fs::fake::Disk;
use fs::{Clock, Error, OpenFlags, Stat, Time, VolumeOptions};

thread_local! {
    static NOW: Cell<Time> = const { Cell::new(Time::from_seconds(0)) };
}

static CLOCK: Clock = Clock::new(|| NOW.get());

fn at(seconds: i64, nanoseconds: u32) -> Time {
    let time = Time {
        seconds,
        nanoseconds,
    };
    NOW.set(time);
    time
}

fn options() -> VolumeOptions {
    VolumeOptions {
        clock: Some(&CLOCK),
        ..VolumeOptions::default()
    }
}

fn times(stat: &Stat) -> [Time; 3] {
    [stat.accessed, stat.modified, stat.changed]
}

/// Last second before 2038, the last that ext4 can store, and the first.
const SHORT_END: i64 = (1 << 31) - 1;
const END: i64 = (4 << 32) - (1 << 31) - 1;
const START: i64 = -(1 << 31);

#[test]
fn the_clocks_nanoseconds_are_kept() {
    let disk = Disk::new(ext4::mkfs(8 << 20, &[]), 512);
    let mut volume = ext4::mount_with(&disk, options());
    let made = at(1_700_000_000, 123_456_789);
    write_file(&mut *volume, "a", b"x").unwrap();
    assert_eq!(times(&volume.stat("a").unwrap()), [made; 3]);
    let linked = at(1_700_000_000, 999_999_999);
    volume.link("a", "b").unwrap();
    assert_eq!(times(&volume.stat("a").unwrap()), [made, made, linked]);
    let written = at(1_700_000_001, 1);
    let file = volume.open("a", OpenFlags::WRITE).unwrap();
    volume.write_at(file, 0, b"y").unwrap();
    assert_eq!(
        times(&volume.stat_file(file).unwrap()),
        [made, written, written]
    );
    let cut = at(1_700_000_002, 2);
    volume.truncate(file, 0).unwrap();
    assert_eq!(volume.stat("b").unwrap().modified, cut);
    let moved = at(1_700_000_003, 3);
    volume.rename("a", "c").unwrap();
    assert_eq!(times(&volume.stat("c").unwrap()), [made, cut, moved]);
    assert_eq!(volume.stat("").unwrap().modified, moved);
    drop(volume);
    ext4::fsck(&disk.bytes()).unwrap();
    let image = Image::with(&disk.bytes());
    let (_, text) = run("debugfs", &["-R", "stat c", image.0.to_str().unwrap()]);
    // Seconds, and nanoseconds times four.
    let seconds = |seconds: u32, ns: u32| format!("0x{seconds:08x}:{:08x}", ns << 2);
    for (name, time) in [
        ("crtime", seconds(1_700_000_000, 123_456_789)),
        ("atime", seconds(1_700_000_000, 123_456_789)),
        ("mtime", seconds(1_700_000_002, 2)),
        ("ctime", seconds(1_700_000_003, 3)),
    ] {
        assert!(text.contains(&format!("{name}: {time}")), "{name}: {text}");
    }
}

#[test]
fn ext4_keeps_what_it_has_room_for() {
    let wide: &[(i64, i64)] = &[
        (SHORT_END + 1, SHORT_END + 1),
        (-1, -1),
        (START, START),
        (1 << 32, 1 << 32),
        (END, END),
        (END + 1, END),
        (i64::MAX, END),
        (START - 1, START),
        (i64::MIN, START),
    ];
    let short: &[(i64, i64)] = &[
        (SHORT_END, SHORT_END),
        (SHORT_END + 1, SHORT_END),
        (-1, -1),
        (START - 1, START),
        (END, SHORT_END),
    ];
    for (size, cases) in [("256", wide), ("128", short)] {
        let disk = Disk::new(ext4::mkfs(8 << 20, &["-I", size]), 512);
        let mut volume = ext4::mount_with(&disk, options());
        for (n, (seconds, _)) in cases.iter().enumerate() {
            at(*seconds, 987_654_321);
            write_file(&mut *volume, &format!("made {n}"), b"x").unwrap();
            at(5, 0);
            write_file(&mut *volume, &format!("set {n}"), b"x").unwrap();
            let time = Some(Time {
                seconds: *seconds,
                nanoseconds: 987_654_321,
            });
            volume.set_times(&format!("set {n}"), time, time).unwrap();
        }
        drop(volume);
        ext4::fsck(&disk.bytes()).unwrap();
        let mut volume = ext4::mount_with(&disk, options());
        for (n, (seconds, kept)) in cases.iter().enumerate() {
            let whole = size == "128" || seconds != kept;
            let kept = Time {
                seconds: *kept,
                nanoseconds: if whole { 0 } else { 987_654_321 },
            };
            let made = volume.stat(&format!("made {n}")).unwrap();
            assert_eq!(times(&made), [kept; 3], "{size}: {seconds}");
            let set = volume.stat(&format!("set {n}")).unwrap();
            let five = Time::from_seconds(5);
            assert_eq!(times(&set), [kept, kept, five], "{size}: {seconds}");
        }
    }
}

#[test]
fn times_are_set_on_ext4() {
    let disk = Disk::new(ext4::mkfs(8 << 20, &[]), 512);
    let mut volume = ext4::mount_with(&disk, options());
    let made = at(1_000, 1);
    volume.mkdir("d").unwrap();
    volume.symlink("nowhere", "d/link").unwrap();
    let now = at(2_000, 2);
    let [accessed, modified] = [at(3_000, 3), at(4_000, 4)];
    NOW.set(now);
    volume.set_times("d/link", Some(accessed), None).unwrap();
    assert_eq!(
        times(&volume.stat("d/link").unwrap()),
        [accessed, made, now]
    );
    volume.set_times("d", None, Some(modified)).unwrap();
    assert_eq!(times(&volume.stat("d").unwrap()), [made, modified, now]);
    volume
        .set_times("", Some(accessed), Some(modified))
        .unwrap();
    let root = volume.stat("").unwrap();
    assert_eq!(times(&root), [accessed, modified, now]);
    let absent = volume.set_times("d/absent", Some(made), None);
    assert_eq!(absent, Err(Error::NotFound));
    drop(volume);
    ext4::fsck(&disk.bytes()).unwrap();
    let read_only = VolumeOptions {
        read_only: true,
        ..options()
    };
    let mut volume = ext4::mount_with(&disk, read_only);
    let set = volume.set_times("d", Some(made), None);
    assert_eq!(set, Err(Error::ReadOnly));
    assert_eq!(times(&volume.stat("d").unwrap()), [made, modified, now]);
}

#[test]
fn times_are_set_on_fat() {
    let disk = Disk::new(mkfs(4 << 20, &[]), 512);
    let mut volume = mount_with(&disk, options());
    at(1_700_000_001, 5);
    volume.mkdir("a long directory").unwrap();
    let path = "a long directory/and a file";
    write_file(&mut *volume, path, b"x").unwrap();
    let file = volume.open(path, OpenFlags::WRITE).unwrap();
    volume.write_at(file, 1, b"y").unwrap();
    for (seconds, kept) in [
        (1_600_000_003, 1_600_000_002),
        // The years 1980 to 2107.
        (0, 315_532_800),
        (i64::MIN, 315_532_800),
        (i64::MAX, 4_354_819_198),
    ] {
        let time = Some(Time {
            seconds,
            nanoseconds: 999_999_999,
        });
        volume.set_times(path, time, time).unwrap();
        let modified = volume.stat(path).unwrap().modified;
        assert_eq!(modified, Time::from_seconds(kept), "{seconds}");
    }
    let time = Some(Time::from_seconds(1_500_000_000));
    volume.set_times(path, None, time).unwrap();
    volume.set_times("a long directory", None, time).unwrap();
    assert_eq!(volume.stat_file(file).unwrap().size, 2);
    // Closing the file writes nothing: the times are already stored.
    volume.close(file).unwrap();
    for path in [path, "a long directory"] {
        let modified = volume.stat(path).unwrap().modified;
        assert_eq!(modified, Time::from_seconds(1_500_000_000), "{path}");
    }
    assert_eq!(volume.set_times("", time, time), Err(Error::Unsupported));
    assert_eq!(volume.set_times("x", time, time), Err(Error::NotFound));
    assert_eq!(
        names(&mut *volume, "a long directory").unwrap(),
        ["and a file"]
    );
    volume.sync().unwrap();
    drop(volume);
    crate::common::fsck(&disk.bytes()).unwrap();
    let image = Image::with(&disk.bytes());
    let (_, text) = run("mdir", &["-i", image.0.to_str().unwrap(), "::"]);
    assert!(text.contains("2017-07-14   2:40"), "{text}");
}

#[test]
fn times_are_set_in_memory() {
    let mut volume = fs::memory::new(1 << 20, Some(&CLOCK));
    let made = at(1_000, 1);
    write_file(&mut *volume, "/a", b"x").unwrap();
    let now = at(2_000, 2);
    let time = Time {
        seconds: i64::MIN,
        nanoseconds: 3,
    };
    volume.set_times("/a", None, Some(time)).unwrap();
    assert_eq!(times(&volume.stat("/a").unwrap()), [made, time, now]);
    let absent = volume.set_times("/b", None, None);
    assert_eq!(absent, Err(Error::NotFound));
}
