//! Embedded files as a volume.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::new;
use crate::{Error, Health, Kind, OpenFlags, Volume};

const FILES: [(&str, &[u8]); 5] = [
    ("css/style.css", b"body {}"),
    ("empty/", b""),
    ("index.html", b"<html>"),
    ("quote\"d 'name'\\.txt", b"\0\xff\n"),
    ("zero", b""),
];

fn names(volume: &mut dyn Volume, path: &str) -> Vec<String> {
    let directory = volume.open(path, OpenFlags::DIRECTORY).unwrap();
    let mut names = Vec::new();
    let next = volume
        .list(directory, 0, &mut |entry| {
            names.push(entry.name.to_string());
            true
        })
        .unwrap();
    assert_eq!(next, None);
    names
}

#[test]
fn files_are_read_where_they_lie() {
    let mut volume = new(FILES).unwrap();
    let file = volume.open("/css/style.css", OpenFlags::READ).unwrap();
    let contents = volume.contents(file).unwrap().unwrap();
    assert!(core::ptr::eq(contents, FILES[0].1));
    let mut buf = [0; 10];
    assert_eq!(volume.read_at(file, 5, &mut buf), Ok(2));
    assert_eq!(&buf[..2], b"{}");
    assert_eq!(volume.read_at(file, 7, &mut buf), Ok(0));
    assert_eq!(volume.read_at(file, u64::MAX, &mut buf), Ok(0));
    let stat = volume.stat_file(file).unwrap();
    assert_eq!(
        (stat.kind, stat.size, stat.modified.seconds),
        (Kind::File, 7, 0)
    );
    volume.close(file).unwrap();
    assert_eq!(volume.contents(file), Err(Error::Closed));
}

#[test]
fn directories_are_listed() {
    let mut volume = new(FILES).unwrap();
    assert_eq!(
        names(&mut *volume, "/"),
        [
            "css",
            "empty",
            "index.html",
            "quote\"d 'name'\\.txt",
            "zero"
        ]
    );
    assert_eq!(names(&mut *volume, "/css"), ["style.css"]);
    assert!(names(&mut *volume, "/empty").is_empty());
    let directory = volume.open("/css", OpenFlags::DIRECTORY).unwrap();
    assert_eq!(volume.contents(directory), Err(Error::IsDirectory));
    let file = volume.open("/zero", OpenFlags::READ).unwrap();
    assert_eq!(volume.contents(file), Ok(Some(&b""[..])));
}

#[test]
fn nothing_changes() {
    let mut volume = new(FILES).unwrap();
    let new = OpenFlags::WRITE | OpenFlags::CREATE;
    for result in [
        volume.open("/x", new).map(|_| ()),
        volume.open("/zero", OpenFlags::WRITE).map(|_| ()),
        volume.mkdir("/x"),
        volume.rmdir("/css"),
        volume.unlink("/zero"),
        volume.rename("/zero", "/x"),
        volume.link("/zero", "/x"),
        volume.symlink("zero", "/x"),
    ] {
        assert_eq!(result, Err(Error::ReadOnly));
    }
    assert_eq!(
        volume.open("/css", OpenFlags::READ),
        Err(Error::IsDirectory)
    );
    assert_eq!(
        volume.open("/zero", OpenFlags::DIRECTORY),
        Err(Error::NotDirectory)
    );
    assert_eq!(volume.open("/none", OpenFlags::READ), Err(Error::NotFound));
    let file = volume.open("/zero", OpenFlags::READ).unwrap();
    assert_eq!(volume.write_at(file, 0, b"x"), Err(Error::PermissionDenied));
    assert_eq!(volume.truncate(file, 0), Err(Error::PermissionDenied));
    assert_eq!(volume.health(), Health::ReadOnly);
    assert_eq!((volume.sync(), volume.sync_file(file)), (Ok(()), Ok(())));
    let space = volume.space().unwrap();
    assert_eq!((space.total, space.free), (16, 0));
}

#[test]
fn entries_that_contradict_each_other_are_named() {
    for (entries, word) in [
        ([("a", b""), ("a", b"")], "twice"),
        ([("a", b""), ("a/b", b"")], "directory"),
        ([("a/b", b""), ("a", b"")], "twice"),
        ([("b", b""), ("../a", b"")], "name"),
    ] {
        let entries = entries.map(|(path, contents)| (path, &contents[..]));
        let refused = new(entries).err().unwrap();
        assert!(refused.detail.contains(word), "{}", refused.detail);
    }
}
