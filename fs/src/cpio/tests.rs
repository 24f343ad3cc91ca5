//! Archives of GNU cpio and of this file, and their damage.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{find, unpack};
use crate::{Error, Kind, MountError, OpenFlags, Volume, memory};

const FILE: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_755;
const LINK: u32 = 0o120_777;

/// Adds an entry; `links` is the inode and the number of names.
fn push(archive: &mut Vec<u8>, name: &str, mode: u32, links: (u32, u32), contents: &[u8]) {
    let (size, name_len) = (contents.len() as u32, name.len() as u32 + 1);
    let numbers = [
        links.0, mode, 0, 0, links.1, 77, size, 8, 1, 0, 0, name_len, 0,
    ];
    archive.extend(b"070701");
    for number in numbers {
        archive.extend(format!("{number:08x}").bytes());
    }
    archive.extend(name.bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(contents);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

fn archive(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, contents) in entries {
        push(&mut archive, name, *mode, (0, 1), contents);
    }
    push(&mut archive, "TRAILER!!!", 0, (0, 1), b"");
    archive
}

fn unpacked(archive: &[u8]) -> Result<Box<dyn Volume>, MountError> {
    let mut volume = memory::new(1 << 20, None);
    unpack(archive, &mut *volume).map(|()| volume)
}

fn refused(archive: &[u8]) -> String {
    unpacked(archive).err().unwrap().detail
}

fn read(volume: &mut dyn Volume, path: &str) -> Result<Vec<u8>, Error> {
    let file = volume.open(path, OpenFlags::READ)?;
    let mut data = vec![0; volume.size(file)? as usize];
    assert_eq!(volume.read_at(file, 0, &mut data), Ok(data.len()));
    volume.close(file)?;
    Ok(data)
}

/// As `(cd tree && find . | cpio -o -H newc)` writes it, in blocks of 512 bytes.
#[test]
fn unpacks_what_gnu_cpio_writes() {
    let mut volume = unpacked(include_bytes!("../../tests/archives/gnu.cpio")).unwrap();
    assert_eq!(read(&mut *volume, "/etc/app/settings").unwrap(), b"a=b\n");
    assert_eq!(read(&mut *volume, "/etc/app/same").unwrap(), b"a=b\n");
    assert_eq!(volume.stat("/etc/app/settings").unwrap().links, 2);
    assert_eq!(
        volume.stat("/etc/app/settings").unwrap().modified.seconds,
        1_700_000_000
    );
    assert_eq!(read(&mut *volume, "/etc/empty").unwrap(), b"");
    assert_eq!(volume.stat("/var/empty").unwrap().kind, Kind::Directory);
    assert_eq!(volume.stat("/var/run").unwrap().kind, Kind::Symlink);
    assert_eq!(read(&mut *volume, "/large").unwrap().len(), 20_000);
}

/// urunc appends an archive: absolute names without their directories.
#[test]
fn a_later_archive_replaces_an_earlier_ones_files() {
    let mut both = archive(&[
        (".", DIRECTORY, b""),
        ("etc", DIRECTORY, b""),
        ("etc/resolv.conf", LINK, b"../run/resolv.conf"),
        ("etc/old", FILE, b"old"),
        ("run", DIRECTORY, b""),
        ("var/run", LINK, b"../run"),
        ("folder", FILE, b"none yet"),
        ("dev/console", 0o020_600, b""),
    ]);
    both.resize(both.len().next_multiple_of(512), 0);
    both.extend(archive(&[
        ("/etc/resolv.conf", FILE, b"nameserver 10.96.0.10\n"),
        ("/etc/old", FILE, b"n"),
        ("/var/run/secrets/token", FILE, b"secret"),
        ("/folder/file", FILE, b"in it"),
    ]));
    assert!(refused(&both).contains("\"/folder/file\" of the archive: not a directory"));
    let end = both.len() - archive(&[("/folder/file", FILE, b"in it")]).len();
    both.truncate(end);
    push(&mut both, "/folder", DIRECTORY, (0, 1), b"");
    push(&mut both, "TRAILER!!!", 0, (0, 1), b"");
    let mut volume = unpacked(&both).unwrap();
    assert_eq!(
        read(&mut *volume, "/etc/resolv.conf").unwrap(),
        b"nameserver 10.96.0.10\n"
    );
    assert_eq!(read(&mut *volume, "/etc/old").unwrap(), b"n");
    assert_eq!(read(&mut *volume, "/run/secrets/token").unwrap(), b"secret");
    assert_eq!(volume.stat("/folder").unwrap().kind, Kind::Directory);
    assert_eq!(volume.stat("/dev/console"), Err(Error::NotFound));
    assert_eq!(find(&both, "/etc/old"), Some(&b"n"[..]));
    assert_eq!(find(&both, "etc/./old"), Some(&b"n"[..]));
    assert_eq!(find(&both, "/etc"), None);
}

#[test]
fn names_of_one_file_share_its_contents() {
    let mut bytes = Vec::new();
    push(&mut bytes, "a", FILE, (7, 3), b"");
    push(&mut bytes, "b", FILE, (8, 2), b"other");
    push(&mut bytes, "c", FILE, (7, 3), b"");
    push(&mut bytes, "d", FILE, (7, 3), b"same");
    push(&mut bytes, "TRAILER!!!", 0, (0, 1), b"");
    // The same number in another archive is another file.
    push(&mut bytes, "e", FILE, (7, 2), b"else");
    push(&mut bytes, "TRAILER!!!", 0, (0, 1), b"");
    let mut volume = unpacked(&bytes).unwrap();
    for (name, contents) in [("a", "same"), ("b", "other"), ("c", "same"), ("d", "same")] {
        assert_eq!(
            read(&mut *volume, name).unwrap(),
            contents.as_bytes(),
            "{name}"
        );
    }
    assert_eq!(volume.stat("d").unwrap().links, 3);
    assert_eq!(read(&mut *volume, "e").unwrap(), b"else");
}

#[test]
fn nothing_is_no_archive() {
    for empty in [&b""[..], &[0; 1024]] {
        assert!(unpacked(empty).is_ok());
    }
    assert!(unpacked(&archive(&[])).is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_position() {
    let one = archive(&[("ab", FILE, b"cd")]);
    let changed = |at: usize, bytes: &[u8]| {
        let mut archive = one.clone();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&archive)
    };
    let mut late = vec![0; 5];
    late.extend(&one);
    for (detail, expected) in [
        (
            refused(b"\x1f\x8b\x08\0rest"),
            "at byte 0 is packed with gzip: unpack it first",
        ),
        (refused(b"070707 and so on"), "has cpio's old format"),
        (
            refused(b"070701 and so on"),
            "damaged at byte 0: it is cut short",
        ),
        (
            refused(&[b'x'; 200]),
            "not a cpio archive: make one with cpio -o -H newc",
        ),
        (changed(5, b"2"), "has checksums"),
        (
            changed(6 + 8, b"+"),
            "a number of the header isn't hexadecimal",
        ),
        (
            changed(6 + 6 * 8, b"ffffffff"),
            "longer than the rest of it",
        ),
        (
            changed(6 + 11 * 8, b"ffffffff"),
            "longer than the rest of it",
        ),
        (changed(6 + 11 * 8, b"00000000"), "a name isn't a path"),
        (
            changed(110, b".."),
            "a name isn't a path, or has a .. in it",
        ),
        (changed(110, b"\0"), "a name isn't a path"),
        (changed(110, b"\xff"), "a name isn't a path"),
        (changed(112, b"x"), "a name isn't a path"),
        (
            changed(116 + 4, b"1"),
            "damaged at byte 120: no entry begins there",
        ),
        (
            refused(&late),
            "at byte 5: an archive doesn't begin at a multiple of four bytes",
        ),
        (
            refused(&archive(&[("a/../b", FILE, b"")])),
            "has a .. in it",
        ),
        (
            refused(&archive(&[("l", LINK, b"")])),
            "\"l\" of the archive",
        ),
        (
            refused(&archive(&[("l", LINK, b"l"), ("l/x", FILE, b"")])),
            "too many links",
        ),
    ] {
        assert!(
            detail.contains(expected) && !detail.contains('\n'),
            "{detail}: {expected}"
        );
    }
}

#[test]
fn a_volume_without_room_is_named() {
    let bytes = archive(&[("big", FILE, &[1; 100_000])]);
    let mut volume = memory::new(65_536, None);
    let error = unpack(&bytes, &mut *volume).unwrap_err();
    assert_eq!(error.error, Error::Io);
    assert_eq!(
        error.detail,
        "\"big\" of the archive: no space left on the volume"
    );
}

/// Files by path, with names that make directories of each other seldom.
fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let path = vec("[a-c]{1,2}", 1..4).prop_map(|names| names.join("/d"));
    vec((path, vec(any::<u8>(), 0..9)), 0..9).prop_map(|files| {
        let mut kept = BTreeMap::new();
        for (path, contents) in files {
            kept.insert(format!("f{}{path}.t", kept.len()), contents);
        }
        kept
    })
}

proptest! {
    #[test]
    fn files_come_out_as_they_went_in(files in files(), padding in 0..3_usize) {
        let entries: Vec<(&str, u32, &[u8])> =
            files.iter().map(|(path, data)| (path.as_str(), FILE, &data[..])).collect();
        let mut bytes = archive(&entries);
        bytes.resize(bytes.len() + 4 * padding, 0);
        let mut volume = unpacked(&bytes).unwrap();
        for (path, data) in &files {
            prop_assert_eq!(&read(&mut *volume, path).unwrap(), data);
            prop_assert_eq!(find(&bytes, path), Some(&data[..]));
        }
    }

    /// A part of an archive is an error, and leaves the volume as it was.
    #[test]
    fn a_truncated_archive_is_refused(files in files(), at in any::<prop::sample::Index>()) {
        let entries: Vec<(&str, u32, &[u8])> =
            files.iter().map(|(path, data)| (path.as_str(), FILE, &data[..])).collect();
        let bytes = archive(&entries);
        // The last padding is missing in 2 bytes.
        let cut = at.index(bytes.len() - 3);
        let mut volume = memory::new(1 << 20, None);
        let before = volume.space().unwrap();
        let result = unpack(&bytes[..cut], &mut *volume);
        prop_assert_eq!(result.is_err(), cut > 0);
        prop_assert_eq!(volume.space().unwrap(), before);
    }

    /// Whatever the bytes are, the volume holds no more than they have.
    #[test]
    fn damage_takes_no_memory(
        files in files(),
        damage in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'f')]), 0..12),
    ) {
        let entries: Vec<(&str, u32, &[u8])> =
            files.iter().map(|(path, data)| (path.as_str(), FILE, &data[..])).collect();
        let mut bytes = archive(&entries);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut volume = memory::new(1 << 20, None);
        let _ = unpack(&bytes, &mut *volume);
        let _ = find(&bytes, "/f0a.t");
        let space = volume.space().unwrap();
        // Contents are kept in chunks of 16 KiB.
        let most = (files.len() as u64 + 1) * (16 << 10) * 2 + bytes.len() as u64;
        prop_assert!(space.total - space.free <= most, "{space:?}");
    }

    #[test]
    fn nothing_panics(bytes in vec(any::<u8>(), 0..300)) {
        let _ = unpacked(&bytes);
        let _ = find(&bytes, "x");
    }
}
