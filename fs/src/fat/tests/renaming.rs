//! Renaming and replacing.

use super::*;
use crate::Renaming;

/// POSIX checks the kinds first ([EISDIR], [ENOTDIR]); FAT's own error for an open target comes
/// after them.
#[test]
fn a_rename_names_the_kinds_before_what_is_open() {
    let (mut volume, _) = volume();
    for directory in ["d", "empty", "full"] {
        volume.mkdir(directory).unwrap();
    }
    for file in ["f", "open", "full/x"] {
        write(&mut volume, file, b"").unwrap();
    }
    let open = volume.open("open", OpenFlags::READ).unwrap();
    for (from, to, expected) in [
        ("d", "open", Err(Error::NotDirectory)),
        ("d", "f", Err(Error::NotDirectory)),
        ("f", "empty", Err(Error::IsDirectory)),
        ("f", "full", Err(Error::IsDirectory)),
        ("d", "full", Err(Error::NotEmpty)),
        ("f", "open", Err(Error::Busy)),
        ("open", "open", Ok(())),
        ("d", "d/inside", Err(Error::Invalid)),
        ("d", "empty", Ok(())),
    ] {
        assert_eq!(volume.rename(from, to), expected, "{from} to {to}");
    }
    volume.close(open).unwrap();
    assert_eq!(volume.rename("f", "open"), Ok(()));
    assert_eq!(volume.stat("f").err(), Some(Error::NotFound));
    assert!(volume.stat("empty").is_ok() && volume.stat("d").is_err());
}

/// A directory that moves has the cluster of the one above it in its `..`, and 0 for the root
/// (Microsoft's specification, "FAT Directory Structure").
#[test]
fn a_directory_that_moves_says_what_is_above_it() {
    for kind in KINDS {
        let (mut volume, disk) = mounted(formatted(kind), 512);
        for path in ["a", "a/b", "a/b/c", "d", "d/e"] {
            volume.mkdir(path).unwrap();
        }
        write(&mut volume, "a/b/c/file", b"text").unwrap();
        for (from, to) in [("a/b", "d/e/moved"), ("d/e", "top"), ("top", "d/again")] {
            volume.rename(from, to).unwrap();
            synced(&mut volume, &disk);
        }
        let found = synced(&mut volume, &disk);
        let expected = tree([
            ("a", None),
            ("d", None),
            ("d/again", None),
            ("d/again/moved", None),
            ("d/again/moved/c", None),
            ("d/again/moved/c/file", Some(b"text".as_slice())),
        ]);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_directory_is_not_moved_into_itself_however_deep() {
    let (mut volume, disk) = volume();
    for path in ["a", "a/b", "a/b/c", "other"] {
        volume.mkdir(path).unwrap();
    }
    for to in ["a/x", "a/b/x", "a/b/c/x", "a/b", "a/b/c"] {
        assert_eq!(volume.rename("a", to), Err(Error::Invalid), "{to}");
    }
    assert_eq!(volume.rename("a/b", "a/b/c/x"), Err(Error::Invalid));
    assert_eq!(volume.rename("a/b/c", "a/x"), Ok(()));
    assert_eq!(volume.rename("a/x", "other/x"), Ok(()));
    let found = synced(&mut volume, &disk);
    let paths = ["a", "a/b", "other", "other/x"];
    assert_eq!(found, tree(paths.map(|path| (path, None))));
}

#[test]
fn a_file_that_is_renamed_has_its_archive_bit_set_and_a_directory_none() {
    let (mut volume, disk) = volume();
    write(&mut volume, "FILE", b"x").unwrap();
    volume.mkdir("FOLDER").unwrap();
    volume.sync().unwrap();
    let mut bytes = disk.bytes();
    let at = |bytes: &[u8], name: &[u8]| {
        let found = bytes.chunks(32).position(|slot| slot.starts_with(name));
        found.unwrap() * 32 + 11
    };
    // Read-only and hidden, without the archive bit.
    let place = at(&bytes, b"FILE   ");
    bytes[place] = 0x03;
    let (mut volume, disk) = mounted(bytes, 512);
    volume.rename("FILE", "MOVED").unwrap();
    volume.rename("FOLDER", "OTHER").unwrap();
    synced(&mut volume, &disk);
    let bytes = disk.bytes();
    assert_eq!(bytes[at(&bytes, b"MOVED  ")], 0x23);
    assert_eq!(bytes[at(&bytes, b"OTHER  ")], 0x10);
}

#[test]
fn only_a_rename_that_replaces_takes_the_place_of_another() {
    let (mut volume, disk) = volume();
    write(&mut volume, "a", &[1; 3000]).unwrap();
    write(&mut volume, "b", &[2; 2000]).unwrap();
    volume.mkdir("d").unwrap();
    volume.mkdir("e").unwrap();
    let free = volume.space().unwrap().free;
    let keep = Renaming::NoReplace;
    assert_eq!(volume.rename_as("a", "b", keep), Err(Error::Exists));
    assert_eq!(volume.rename_as("d", "e", keep), Err(Error::Exists));
    assert_eq!(volume.rename_as("a", "a", keep), Err(Error::Exists));
    assert_eq!(volume.rename_as("none", "b", keep), Err(Error::NotFound));
    assert_eq!(volume.rename_as("a", "d/a", keep), Ok(()));
    assert_eq!(volume.rename("d/a", "b"), Ok(()));
    assert_eq!(volume.rename("d", "e"), Ok(()));
    let expected = tree([("b", Some([1; 3000].as_slice())), ("e", None)]);
    assert_eq!(synced(&mut volume, &disk), expected);
    assert!(volume.space().unwrap().free > free);
}

#[test]
fn a_name_changes_its_case_only() {
    let (mut volume, disk) = volume();
    for (from, to) in [
        ("Readme.txt", "README.TXT"),
        ("README.TXT", "readme.txt"),
        ("readme.txt", "rEADME.txt"),
        ("rEADME.txt", "A longer name.text"),
        ("a LONGER name.text", "A LONGER NAME.TEXT"),
    ] {
        if volume.stat(from).is_err() {
            write(&mut volume, from, b"same").unwrap();
        }
        volume.rename(from, to).unwrap();
        let expected = tree([(to, Some(b"same".as_slice()))]);
        assert_eq!(synced(&mut volume, &disk), expected);
        assert_eq!(names(&mut volume, "/"), [to]);
    }
}

/// Handles belong to the file, not to its name.
#[test]
fn what_is_open_follows_a_rename() {
    let (mut volume, disk) = volume();
    for directory in ["d", "e"] {
        volume.mkdir(directory).unwrap();
    }
    write(&mut volume, "other", b"other").unwrap();
    let both = OpenFlags::READ | WRITE;
    let first = volume.open("d/file", both).unwrap();
    let second = volume.open("d/file", OpenFlags::READ).unwrap();
    let listing = volume.open("d", OpenFlags::DIRECTORY).unwrap();
    volume.write_at(first, 0, &[7; 1500]).unwrap();
    volume.rename("d/file", "e/a longer name").unwrap();
    volume.rename("d", "moved").unwrap();
    volume.write_at(first, 1500, &[8; 500]).unwrap();
    let wanted = [vec![7; 1500], vec![8; 500]].concat();
    for file in [first, second] {
        assert_eq!(read_all(&mut volume, file).as_ref(), Ok(&wanted));
        assert_eq!(volume.stat_file(file).unwrap().size, 2000);
    }
    assert_eq!(volume.unlink("e/a longer name"), Err(Error::Busy));
    assert_eq!(volume.rmdir("moved"), Err(Error::Busy));
    let mut seen = 0;
    let listed = volume.list(listing, 0, &mut |_| {
        seen += 1;
        true
    });
    assert_eq!((listed, seen), (Ok(None), 0));
    for file in [first, second, listing] {
        volume.close(file).unwrap();
    }
    let expected = tree([
        ("e", None),
        ("e/a longer name", Some(wanted.as_slice())),
        ("moved", None),
        ("other", Some(b"other".as_slice())),
    ]);
    assert_eq!(synced(&mut volume, &disk), expected);
    assert_eq!(volume.unlink("e/a longer name"), Ok(()));
    assert_eq!(volume.rmdir("moved"), Ok(()));
}

/// The root of FAT12 can't grow: the replaced entry, or the old name, makes the room.
#[test]
fn a_rename_takes_the_slots_that_it_gives_up() {
    let options = FatOptions::new().with_kind(FatKind::Fat12);
    let (mut volume, disk) = mounted(format(1 << 20, &options.with_root_entries(16)), 512);
    volume.mkdir("D").unwrap();
    write(&mut volume, "D/from a long name", b"moved").unwrap();
    write(&mut volume, "a long name", b"1").unwrap();
    for n in 2..15 {
        write(&mut volume, &alloc::format!("F{n}"), &[n]).unwrap();
    }
    let is_full = |volume: &mut FatVolume| {
        assert_eq!(write(volume, "MORE", b""), Err(Error::NoSpace));
    };
    is_full(&mut volume);
    let before = synced(&mut volume, &disk);
    // Two slots are needed, and one or none would be free.
    assert_eq!(volume.rename("F2", "a name"), Err(Error::NoSpace));
    assert_eq!(
        volume.rename("D/from a long name", "fOUR"),
        Err(Error::NoSpace)
    );
    assert_eq!(volume.rename("D/from a long name", "f3"), Ok(()));
    volume.rename("f3", "D/from a long name").unwrap();
    write(&mut volume, "F3", &[3]).unwrap();
    assert_eq!(synced(&mut volume, &disk), before);
    is_full(&mut volume);
    // As many slots as before.
    assert_eq!(volume.rename("a long name", "another nam"), Ok(()));
    assert_eq!(volume.rename("D/from a long name", "ANOTHER nam"), Ok(()));
    is_full(&mut volume);
    let found = synced(&mut volume, &disk);
    assert_eq!(found["ANOTHER nam"].as_deref(), Some(b"moved".as_slice()));
    assert_eq!(found.len(), before.len() - 1);
}

/// Locks and mappings know an open file by its inode number: a rename doesn't change it, and a new
/// file in the old slot gets another one.
#[test]
fn an_open_file_keeps_its_inode_number() {
    for kind in KINDS {
        let (mut volume, _) = mounted(formatted(kind), 512);
        for path in ["d", "e"] {
            volume.mkdir(path).unwrap();
        }
        write(&mut volume, "d/a", b"1").unwrap();
        let open = volume.open("d/a", OpenFlags::READ).unwrap();
        let inode = volume.stat("d/a").unwrap().inode;
        volume.rename("d/a", "e/b").unwrap();
        // It takes the slot of the first one.
        write(&mut volume, "d/c", b"2").unwrap();
        let other = volume.open("d/c", OpenFlags::READ).unwrap();
        let second = volume.stat_file(other).unwrap().inode;
        assert_eq!(volume.stat_file(open).unwrap().inode, inode, "{kind:?}");
        assert_eq!(volume.stat("e/b").unwrap().inode, inode, "{kind:?}");
        assert_ne!(second, inode, "{kind:?}");
        assert_eq!(volume.stat("d/c").unwrap().inode, second, "{kind:?}");
        volume.close(open).unwrap();
        assert_eq!(volume.stat_file(other).unwrap().inode, second, "{kind:?}");
        assert_ne!(volume.stat("e/b").unwrap().inode, second, "{kind:?}");
    }
}
