//! Edge cases of the file system in memory; `model` has random operations.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::new;
use crate::{Clock, Error, FileId, Kind, OpenFlags, Time, Volume, Walk};

pub(super) const NEW: OpenFlags = OpenFlags::READ
    .union(OpenFlags::WRITE)
    .union(OpenFlags::CREATE);

fn write(volume: &mut dyn Volume, path: &str, data: &[u8]) -> Result<usize, Error> {
    let file = volume.open(path, NEW | OpenFlags::TRUNCATE)?;
    let written = volume.write_at(file, 0, data);
    volume.close(file).unwrap();
    written
}

pub(super) fn read(volume: &mut dyn Volume, file: FileId) -> Vec<u8> {
    let mut data = vec![0; volume.size(file).unwrap() as usize];
    assert_eq!(volume.read_at(file, 0, &mut data), Ok(data.len()));
    data
}

pub(super) fn read_path(volume: &mut dyn Volume, path: &str) -> Vec<u8> {
    let file = volume.open(path, OpenFlags::READ).unwrap();
    let data = read(volume, file);
    volume.close(file).unwrap();
    data
}

pub(super) fn names(volume: &mut dyn Volume, path: &str) -> Vec<String> {
    let directory = volume.open(path, OpenFlags::DIRECTORY).unwrap();
    let (mut names, mut cursor) = (Vec::new(), Some(0));
    while let Some(from) = cursor {
        cursor = volume
            .list(directory, from, &mut |entry| {
                names.push(entry.name.to_string());
                true
            })
            .unwrap();
    }
    volume.close(directory).unwrap();
    names
}

/// Creates a file system with plenty of room.
fn roomy() -> Box<dyn Volume> {
    new(64 << 20, None)
}

#[test]
fn an_open_file_outlives_its_names() {
    let mut volume = roomy();
    let free = volume.space().unwrap().free;
    write(&mut *volume, "/a", b"first").unwrap();
    let file = volume
        .open("/a", OpenFlags::READ | OpenFlags::WRITE)
        .unwrap();
    volume.unlink("/a").unwrap();
    assert_eq!(volume.stat("/a"), Err(Error::NotFound));
    write(&mut *volume, "/a", b"second").unwrap();
    volume.write_at(file, 5, b" goes on").unwrap();
    assert_eq!(read(&mut *volume, file), b"first goes on");
    assert_eq!(volume.stat_file(file).unwrap().links, 0);
    assert_eq!(read_path(&mut *volume, "/a"), b"second");
    write(&mut *volume, "/b", b"third").unwrap();
    volume.rename("/b", "/a").unwrap();
    volume.unlink("/a").unwrap();
    assert_eq!(read(&mut *volume, file), b"first goes on");
    volume.close(file).unwrap();
    assert_eq!(volume.close(file), Err(Error::Closed));
    assert_eq!(volume.space().unwrap().free, free);
}

#[test]
fn hard_links_share_one_file() {
    let mut volume = roomy();
    volume.mkdir("/d").unwrap();
    write(&mut *volume, "/a", b"one").unwrap();
    volume.link("/a", "/d/b").unwrap();
    write(&mut *volume, "/d/b", b"two").unwrap();
    assert_eq!(read_path(&mut *volume, "/a"), b"two");
    let (a, b) = (volume.stat("/a").unwrap(), volume.stat("/d/b").unwrap());
    assert_eq!((a.links, a.inode), (2, b.inode));
    volume.rename("/a", "/d/b").unwrap(); // names of one file: nothing happens
    assert_eq!(volume.stat("/a").unwrap().links, 2);
    volume.unlink("/a").unwrap();
    assert_eq!(volume.stat("/d/b").unwrap().links, 1);
    assert_eq!(volume.link("/d", "/e"), Err(Error::IsDirectory));
    assert_eq!(volume.link("/d/b", "/d"), Err(Error::Exists));
    assert_eq!(volume.link("/none", "/e"), Err(Error::NotFound));
}

#[test]
fn symbolic_links_are_reported_and_not_followed() {
    let mut volume = roomy();
    volume.mkdir("/d").unwrap();
    write(&mut *volume, "/d/file", b"x").unwrap();
    volume.symlink("d", "/link").unwrap();
    volume.symlink("/nowhere", "/d/dangling").unwrap();
    let link = |end, target: &str| {
        let target = target.to_string();
        Ok(Walk::Link { end, target })
    };
    assert_eq!(volume.resolve("/link/file", false), link(5, "d"));
    assert_eq!(volume.resolve("/link", true), link(5, "d"));
    assert_eq!(volume.resolve("/link", false), Ok(Walk::Plain));
    assert_eq!(volume.resolve("d/dangling", true), link(10, "/nowhere"));
    assert_eq!(volume.resolve("/d/file/x", true), Ok(Walk::Plain));
    assert_eq!(volume.resolve("/", true), Ok(Walk::Plain));
    let stat = volume.stat("/d/dangling").unwrap();
    assert_eq!((stat.kind, stat.size), (Kind::Symlink, 8));
    assert_eq!(
        volume.open("/link", OpenFlags::READ),
        Err(Error::Unsupported)
    );
    assert_eq!(volume.stat("/link/file"), Err(Error::NotDirectory));
    assert_eq!(volume.symlink("", "/e"), Err(Error::Invalid));
    assert_eq!(volume.symlink("x", "/link"), Err(Error::Exists));
    volume.unlink("/link").unwrap();
    assert_eq!(volume.stat("/d/file").unwrap().size, 1);
}

#[test]
fn the_limit_holds_for_everything() {
    let limit = 200 << 10;
    let mut volume = new(limit, None);
    let empty = volume.space().unwrap();
    let data = vec![1; 1 << 20];
    let written = write(&mut *volume, "/big", &data).unwrap();
    assert!(written > 150 << 10 && written < limit as usize, "{written}");
    let file = volume.open("/big", OpenFlags::WRITE).unwrap();
    assert_eq!(
        volume.write_at(file, written as u64, &data),
        Err(Error::NoSpace)
    );
    volume.close(file).unwrap();
    assert_eq!(read_path(&mut *volume, "/big"), data[..written]);
    let made = (0..10_000)
        .take_while(|n| volume.mkdir(&format!("/d{n}")).is_ok())
        .count();
    assert!(made > 5 && made < 1000, "{made}");
    // The rest is too little for a directory; links use it up.
    let links = (0..100)
        .take_while(|n| volume.link("/big", &format!("/l{n}")).is_ok())
        .count();
    let long = "n".repeat(200);
    assert_eq!(volume.mkdir(&long), Err(Error::NoSpace));
    assert_eq!(volume.symlink("target", &long), Err(Error::NoSpace));
    assert_eq!(volume.link("/big", &long), Err(Error::NoSpace));
    assert_eq!(volume.open(&long, NEW), Err(Error::NoSpace));
    assert_eq!(volume.rename("/big", &long), Err(Error::NoSpace));
    for n in 0..made {
        volume.rmdir(&format!("/d{n}")).unwrap();
    }
    for n in 0..links {
        volume.unlink(&format!("/l{n}")).unwrap();
    }
    volume.rename("/big", &long).unwrap();
    volume.unlink(&long).unwrap();
    assert_eq!(volume.space().unwrap(), empty);
}

#[test]
fn a_listing_keeps_its_place_while_entries_come_and_go() {
    let mut volume = roomy();
    volume.mkdir("/d").unwrap();
    for n in 0..1000 {
        write(&mut *volume, &format!("/d/{n}"), b"").unwrap();
    }
    let directory = volume.open("/d", OpenFlags::DIRECTORY).unwrap();
    let (mut seen, mut cursor, mut pauses) = (Vec::new(), Some(0), 0);
    while let Some(from) = cursor {
        let mut left = 37;
        cursor = volume
            .list(directory, from, &mut |entry| {
                left -= 1;
                if left > 0 {
                    seen.push(entry.name.to_string());
                }
                left > 0
            })
            .unwrap();
        if pauses < 40 {
            volume.unlink(&format!("/d/{}", pauses * 2)).unwrap();
            write(&mut *volume, &format!("/d/new{pauses}"), b"").unwrap();
        }
        pauses += 1;
    }
    for n in (0..1000).filter(|n| *n >= 80 || n % 2 == 1) {
        let count = seen.iter().filter(|name| **name == n.to_string()).count();
        assert_eq!(count, 1, "{n}");
    }
    assert!(volume.rmdir("/d").is_err());
    assert_eq!(names(&mut *volume, "/d").len(), 1000);
}

#[test]
fn handles_and_flags_are_checked() {
    let mut volume = roomy();
    write(&mut *volume, "/a", b"abc").unwrap();
    let file = volume.open("/a", OpenFlags::READ).unwrap();
    assert_eq!(volume.write_at(file, 0, b"x"), Err(Error::PermissionDenied));
    assert_eq!(volume.truncate(file, 0), Err(Error::PermissionDenied));
    let other = volume
        .open("/a", OpenFlags::WRITE | OpenFlags::APPEND)
        .unwrap();
    assert_eq!(volume.write_at(other, 0, b"d"), Ok(1));
    assert_eq!(
        volume.read_at(other, 0, &mut [0]),
        Err(Error::PermissionDenied)
    );
    assert_eq!(read(&mut *volume, file), b"abcd");
    let exclusive = NEW | OpenFlags::EXCLUSIVE;
    assert_eq!(volume.open("/a", exclusive), Err(Error::Exists));
    assert_eq!(volume.open("/", OpenFlags::READ), Err(Error::IsDirectory));
    assert_eq!(
        volume.open("/a", OpenFlags::DIRECTORY),
        Err(Error::NotDirectory)
    );
    assert_eq!(volume.open("/a/b", NEW), Err(Error::NotDirectory));
    assert_eq!(volume.open(&"n".repeat(256), NEW), Err(Error::NameTooLong));
    assert_eq!(volume.truncate(other, u64::MAX), Err(Error::TooLarge));
    assert_eq!(
        volume.write_at(file, u64::MAX, b""),
        Err(Error::PermissionDenied)
    );
    let third = volume.open("/a", OpenFlags::WRITE).unwrap();
    assert_eq!(volume.write_at(third, u64::MAX, b"x"), Err(Error::TooLarge));
    let directory = volume.open("/", OpenFlags::DIRECTORY).unwrap();
    assert_eq!(
        volume.read_at(directory, 0, &mut [0]),
        Err(Error::IsDirectory)
    );
    assert_eq!(volume.rmdir("/"), Err(Error::Busy));
    volume.mkdir("/d").unwrap();
    let open = volume.open("/d", OpenFlags::DIRECTORY).unwrap();
    volume.rmdir("/d").unwrap();
    assert_eq!(volume.list(open, 0, &mut |_| true), Ok(None));
    assert_eq!(volume.mkdir("/d/below"), Err(Error::NotFound));
    volume.close(open).unwrap();
    assert_eq!(volume.list(open, 0, &mut |_| true), Err(Error::Closed));
    for _ in 0..4096 - 4 {
        volume.open("/a", OpenFlags::READ).unwrap();
    }
    assert_eq!(volume.open("/a", OpenFlags::READ), Err(Error::TooManyOpen));
}

#[test]
fn times_are_the_clocks() {
    const NOW: Time = Time {
        seconds: 1_700_000_000,
        nanoseconds: 123_456_789,
    };
    static CLOCK: Clock = Clock::new(|| NOW);
    let mut volume = new(1 << 20, Some(&CLOCK));
    write(&mut *volume, "/a", b"x").unwrap();
    let stat = volume.stat("/a").unwrap();
    assert_eq!((stat.modified, stat.changed), (NOW, NOW));
}
