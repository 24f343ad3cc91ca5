//! Archives of GNU tar and Python's tarfile (`tests/archives`), and their damage.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Options, mount};
use crate::fake::Disk;
use crate::{Error, Health, Kind, MountError, OpenFlags, Volume, VolumeOptions, Walk};

const ARCHIVES: [(&str, &[u8]); 5] = [
    ("gnu", include_bytes!("../../tests/archives/gnu.tar")),
    ("posix", include_bytes!("../../tests/archives/posix.tar")),
    ("python", include_bytes!("../../tests/archives/python.tar")),
    ("ustar", include_bytes!("../../tests/archives/ustar.tar")),
    ("v7", include_bytes!("../../tests/archives/v7.tar")),
];

const DEEP: &str = "/a-directory-with-a-rather-long-name-for-its-kind\
    /and-another-one-below-it-that-is-not-short-either\
    /a-file-whose-path-has-more-than-a-hundred-characters-in-all.txt";

fn open(bytes: &[u8], sector: usize) -> Result<Box<dyn Volume>, MountError> {
    mount(
        Box::new(Disk::new(bytes.to_vec(), sector)),
        Options::default(),
    )
}

fn refused(bytes: &[u8]) -> MountError {
    open(bytes, 512).err().unwrap()
}

fn read(volume: &mut dyn Volume, path: &str) -> Result<Vec<u8>, Error> {
    let file = volume.open(path, OpenFlags::READ)?;
    // A damaged archive may claim any size; the first bytes are enough.
    let mut data = vec![0; volume.size(file)?.min(100_000) as usize];
    let count = volume.read_at(file, 0, &mut data)?;
    assert_eq!(count, data.len());
    volume.close(file).unwrap();
    Ok(data)
}

fn names(volume: &mut dyn Volume, path: &str) -> Vec<(String, Kind)> {
    let directory = volume.open(path, OpenFlags::DIRECTORY).unwrap();
    let (mut names, mut cursor) = (Vec::new(), Some(0));
    while let Some(from) = cursor {
        cursor = volume
            .list(directory, from, &mut |entry| {
                names.push((entry.name.to_string(), entry.kind));
                true
            })
            .unwrap();
    }
    volume.close(directory).unwrap();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    names
}

#[test]
fn archives_of_every_format_are_read() {
    for (format, bytes) in ARCHIVES {
        let mut volume = open(bytes, 512).unwrap_or_else(|error| panic!("{format}: {error}"));
        let numbers: String = (1..=300).map(|n| format!("{n}\n")).collect();
        assert_eq!(
            read(&mut *volume, "/docs/numbers.txt").unwrap(),
            numbers.as_bytes(),
            "{format}"
        );
        assert_eq!(read(&mut *volume, "/hello.txt").unwrap(), b"hello\n");
        assert_eq!(
            read(&mut *volume, "/docs/Übung 日本.txt").unwrap(),
            "grüße\n".as_bytes()
        );
        assert_eq!(read(&mut *volume, "/nothing").unwrap(), b"");
        assert!(names(&mut *volume, "/empty").is_empty());
        let (a, b) = (
            volume.stat("/hello.txt").unwrap(),
            volume.stat("/docs/hard.txt").unwrap(),
        );
        assert_eq!((a.links, a.inode, a.size), (2, b.inode, 6), "{format}");
        let target = "../hello.txt".to_string();
        assert_eq!(
            volume.resolve("/docs/link", true),
            Ok(Walk::Link { end: 10, target })
        );
        assert!(volume.stat("/fixed").unwrap().read_only && !a.read_only);
        let fraction = if matches!(format, "posix" | "python") {
            250_000_000
        } else {
            0
        };
        assert_eq!(
            (a.modified.seconds, a.modified.nanoseconds),
            (1_700_000_000, fraction),
            "{format}"
        );
        if format != "v7" {
            assert_eq!(read(&mut *volume, DEEP).unwrap(), b"long\n");
        }
        if matches!(format, "gnu" | "posix" | "python") {
            let long = format!("/docs/{}", "n".repeat(180));
            assert_eq!(read(&mut *volume, &long).unwrap(), b"name\n");
            let target = DEEP[1..].to_string();
            assert_eq!(
                volume.resolve("/far", true),
                Ok(Walk::Link { end: 4, target })
            );
            assert_eq!(names(&mut *volume, "/docs").len(), 5);
        }
        assert_eq!(volume.health(), Health::ReadOnly);
        assert_eq!(volume.mkdir("/x"), Err(Error::ReadOnly));
    }
}

#[test]
fn large_sectors_and_any_offset_are_read_alike() {
    let mut bytes = ARCHIVES[0].1.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    let numbers: Vec<u8> = (1..=300)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    for sector in [512, 1024, 4096] {
        let mut volume = open(&bytes, sector).unwrap();
        let file = volume.open("docs/numbers.txt", OpenFlags::READ).unwrap();
        for (offset, len) in [
            (0, 1092),
            (1, 600),
            (511, 2),
            (512, 512),
            (700, 5000),
            (1092, 1),
            (5000, 9),
        ] {
            let mut buf = vec![0; len];
            let count = volume.read_at(file, offset, &mut buf).unwrap();
            let expected = numbers.get(offset as usize..).unwrap_or_default();
            let expected = &expected[..expected.len().min(len)];
            assert_eq!(buf[..count], *expected, "{sector} {offset}");
        }
    }
}

/// A header with a correct checksum, and its contents.
fn member(name: &str, kind: u8, size: &[u8], contents: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size);
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    sign(&mut block);
    block.extend_from_slice(contents);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn sign(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    block[154] = 0;
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

#[test]
fn the_last_of_a_name_counts_and_odd_members_are_left_out() {
    let bytes = archive(&[
        member("a", b'0', b"3", b"one"),
        member("pipe", b'6', b"0", b""),
        member("../out", b'0', b"1", b"x"),
        member("/abs//./name", b'0', b"1", b"y"),
        member("a", b'0', b"3", b"two"),
        member("dir/", 0, b"0", b""),
        member("a/below", b'0', b"1", b"z"),
        member("x", b'x', b"14", b"12 path=a\0b\n"),
        member("nul", b'0', b"1", b"n"),
        member("odd", b'Q', b"2", b"qq"),
    ]);
    let mut volume = open(&bytes, 512).unwrap();
    assert_eq!(read(&mut *volume, "/a").unwrap(), b"two");
    assert_eq!(read(&mut *volume, "/abs/name").unwrap(), b"y");
    assert_eq!(read(&mut *volume, "/odd").unwrap(), b"qq");
    let listed = names(&mut *volume, "/");
    let listed: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, ["a", "abs", "dir", "odd"]);
    assert_eq!(volume.stat("/dir").unwrap().kind, Kind::Directory);
}

#[test]
fn sizes_in_every_form_are_read() {
    let bytes = archive(&[
        member("x", b'x', b"11", b"9 size=5\n"),
        member("pax", b'0', b"0", b"12345"),
        member("binary", b'0', b"\x80\0\0\0\0\0\0\0\0\0\0\x04", b"1234"),
        member("next", b'0', b"00000000001 ", b"n"),
    ]);
    let mut volume = open(&bytes, 512).unwrap();
    assert_eq!(read(&mut *volume, "/pax").unwrap(), b"12345");
    assert_eq!(read(&mut *volume, "/binary").unwrap(), b"1234");
    assert_eq!(read(&mut *volume, "/next").unwrap(), b"n");
}

/// A member that links to another.
fn link(name: &str, kind: u8, size: &[u8], target: &str, contents: &[u8]) -> Vec<u8> {
    let mut bytes = member(name, kind, size, contents);
    bytes[157..157 + target.len()].copy_from_slice(target.as_bytes());
    sign(&mut bytes);
    bytes
}

#[test]
fn what_has_no_contents_may_name_a_size() {
    let bytes = archive(&[
        member("a", b'0', b"3", b"one"),
        link("soft", b'2', b"700", "a", b""),
        member("dir", b'5', b"600", b""),
        member("pipe", b'6', b"512", b""),
        // Hard links: without contents, with some (as pax may), and at the end of an archive.
        link("hard", b'1', b"3", "a", b""),
        link("whole", b'1', b"3", "a", b"two"),
        link("last", b'1', b"3", "a", b""),
    ]);
    let mut volume = open(&bytes, 512).unwrap();
    let listed = names(&mut *volume, "/");
    let listed: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, ["a", "dir", "hard", "last", "soft", "whole"]);
    assert_eq!(volume.stat("/a").unwrap().links, 3);
    assert_eq!(read(&mut *volume, "/hard").unwrap(), b"one");
    assert_eq!(read(&mut *volume, "/last").unwrap(), b"one");
    assert_eq!(read(&mut *volume, "/whole").unwrap(), b"two");
    assert_eq!(volume.stat("/whole").unwrap().links, 1);
    assert_eq!(volume.space().unwrap().total, 6);
}

#[test]
fn what_is_about_members_is_none() {
    let bytes = archive(&[
        member("label", b'V', b"0", b""),
        member("global", b'g', b"11", b"9 size=9\n"),
        member("a", b'0', b"3", b"one"),
        // The size applies to the member, not to the long name between.
        member("x", b'x', b"11", b"9 size=3\n"),
        member("@", b'L', b"12", b"some-name\0"),
        member("cut", b'0', b"0", b"two"),
        member("b", b'0', b"1", b"b"),
    ]);
    let mut volume = open(&bytes, 512).unwrap();
    let listed = names(&mut *volume, "/");
    let listed: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, ["a", "b", "some-name"]);
    assert_eq!(read(&mut *volume, "/a").unwrap(), b"one");
    assert_eq!(read(&mut *volume, "/some-name").unwrap(), b"two");
}

#[test]
fn extended_headers_are_a_mebibyte_at_most() {
    let of = |size: usize| {
        let record = format!("{size} comment=");
        let contents = format!("{record}{}\n", "c".repeat(size - record.len() - 1));
        let header = member(
            "x",
            b'x',
            format!("{size:o}").as_bytes(),
            contents.as_bytes(),
        );
        archive(&[header, member("a", b'0', b"3", b"one")])
    };
    let mut volume = open(&of(1 << 20), 512).unwrap();
    assert_eq!(read(&mut *volume, "/a").unwrap(), b"one");
    let error = refused(&of((1 << 20) + 1));
    assert_eq!(error.error, Error::Corrupt);
    assert!(error.detail.contains("more than 1 MiB"), "{error}");
}

#[test]
fn contents_are_lent_as_they_are_read() {
    let mut volume = open(ARCHIVES[0].1, 512).unwrap();
    let file = volume.open("/docs/numbers.txt", OpenFlags::READ).unwrap();
    let numbers: String = (1..=300).map(|n| format!("{n}\n")).collect();
    for (offset, len) in [(0, numbers.len()), (5, 100), (700, numbers.len() - 700)] {
        let mut lent = Vec::new();
        volume.lend(file, offset as u64, len, &mut lent).unwrap();
        let bytes: Vec<u8> = lent.iter().flat_map(|lent| lent.to_vec()).collect();
        assert_eq!(bytes, numbers.as_bytes()[offset..offset + len]);
    }
}

#[test]
fn what_cannot_be_mounted_says_why() {
    let good = archive(&[
        member("a", b'0', b"3", b"one"),
        member("b", b'0', b"3", b"two"),
    ]);
    let mut damaged = good.clone();
    damaged[1024 + 3] ^= 1;
    let mut endless = good.clone();
    endless[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    sign(&mut endless);
    for (bytes, error, words) in [
        (damaged, Error::Corrupt, ["byte 1024", "checksum"]),
        (good[..1024].to_vec(), Error::Corrupt, ["", ""]), // see below
        (endless, Error::Corrupt, ["truncated", "\"a\""]),
        (vec![0; 4096], Error::Corrupt, ["blank", "tar -cf"]),
        (
            vec![7; 4096],
            Error::Corrupt,
            ["not a tar archive", "checksum"],
        ),
        (vec![], Error::Corrupt, ["", ""]),
        (
            [&b"\x1f\x8b\x08"[..], &[9; 2000]].concat(),
            Error::Corrupt,
            ["gzip", "unpack"],
        ),
        (
            archive(&[member("s", b'S', b"0", b"")]),
            Error::Unsupported,
            ["sparse", "\"s\""],
        ),
        (
            archive(&[member("p", b'x', b"77777777", b"")]),
            Error::Corrupt,
            ["truncated", ""],
        ),
        (
            archive(&[member("p", b'x', b"12", b"nonsense=1\n")]),
            Error::Corrupt,
            ["extended header", "byte 0"],
        ),
    ] {
        match open(&bytes, 512) {
            // Archives without an end mark mount with a warning if their members are complete.
            Ok(_) => assert!(words[0].is_empty()),
            Err(refused) => {
                assert_eq!(refused.error, error, "{refused}");
                for word in words {
                    assert!(refused.detail.contains(word), "{refused}");
                }
                assert!(!refused.detail.contains('\n'));
            }
        }
    }
    let cut = refused(&good[..512]);
    assert!(cut.detail.contains("truncated"), "{cut}");
}

#[test]
fn an_index_without_room_is_refused() {
    let members: Vec<Vec<u8>> = (0..3000)
        .map(|n| member(&format!("{n}"), b'0', b"0", b""))
        .collect();
    let disk = Disk::new(archive(&members), 512);
    let options = |index_bytes| Options {
        index_bytes,
        ..Options::default()
    };
    let full = mount(Box::new(disk.clone()), options(100_000))
        .err()
        .unwrap();
    assert_eq!(full.error, Error::OutOfMemory);
    let mut volume = mount(Box::new(disk), options(1 << 20)).unwrap();
    assert_eq!(names(&mut *volume, "/").len(), 3000);
}

#[test]
fn a_disk_that_fails_is_an_error() {
    for n in 1..4 {
        let disk = Disk::new(ARCHIVES[1].1.to_vec(), 512);
        disk.state().fail_read = Some(n);
        let volume = VolumeOptions {
            stream_bytes: 0,
            ..Options::default().volume
        };
        let options = Options {
            volume,
            ..Options::default()
        };
        let refused = mount(Box::new(disk), options).err().unwrap();
        assert_eq!(refused.error, Error::Io, "{refused}");
    }
    let disk = Disk::new(ARCHIVES[1].1.to_vec(), 512);
    let mut volume = mount(
        Box::new(disk.clone()),
        Options {
            volume: VolumeOptions {
                cache_bytes: 0,
                stream_bytes: 0,
                ..VolumeOptions::default()
            },
            ..Options::default()
        },
    )
    .unwrap();
    let file = volume.open("/docs/numbers.txt", OpenFlags::READ).unwrap();
    disk.state().gone = true;
    let mut buf = vec![0; 1092];
    // Data from the cache or an error, never other data.
    match volume.read_at(file, 0, &mut buf) {
        Ok(count) => assert_eq!((count, &buf[..4]), (1092, &b"1\n2\n"[..])),
        Err(error) => assert_eq!(error, Error::Io),
    }
}

/// All members of any archive can be read, and nothing is written.
fn survives(bytes: Vec<u8>) {
    let disk = Disk::new(bytes, 512);
    let options = Options {
        index_bytes: 1 << 16,
        ..Options::default()
    };
    let Ok(mut volume) = mount(Box::new(disk.clone()), options) else {
        return;
    };
    let mut waiting = vec![String::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        seen += 1;
        assert!(seen < 5000, "a listing without an end");
        let stat = volume.stat(&path);
        if path.len() < 4000 && stat.is_ok_and(|stat| stat.kind == Kind::Directory) {
            for (name, _) in names(&mut *volume, &path) {
                waiting.push(format!("{path}/{name}"));
            }
        } else {
            let _ = read(&mut *volume, &path);
            let _ = volume.resolve(&path, true);
        }
    }
    assert_eq!(disk.state().writes, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn mutated_archives_do_no_harm(
        which in 0_usize..5,
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..512, any::<u8>()),
            1..10,
        ),
        signed in any::<bool>(),
        len in any::<prop::sample::Index>(),
        cut in 0..4,
    ) {
        let mut bytes = ARCHIVES[which].1.to_vec();
        // Most of a header is before byte 300.
        for (block, at, value) in changes {
            let block = block.index(bytes.len() / 512) * 512;
            bytes[block + at % 300] = value;
            if signed && bytes[block + 257..].starts_with(b"ustar") {
                sign(&mut bytes[block..]);
            }
        }
        if cut == 0 {
            bytes.truncate(len.index(bytes.len() / 512) * 512);
        }
        survives(bytes);
    }

    #[test]
    fn headers_of_noise_do_no_harm(
        headers in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 512), any::<bool>(), 0_u32..3000),
            1..12,
        ),
    ) {
        let mut bytes = Vec::new();
        for (mut block, is_pax, size) in headers {
            block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
            block[257..265].copy_from_slice(b"ustar\x0000");
            if is_pax {
                block[156] = b"xgLK1250S"[block[0] as usize % 9];
            }
            sign(&mut block);
            bytes.extend(block);
            let contents = b"12 path=abc\n".iter().cycle();
            bytes.extend(contents.take(size.next_multiple_of(512) as usize));
        }
        survives(bytes);
    }
}
