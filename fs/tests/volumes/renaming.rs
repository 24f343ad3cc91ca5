//! Forms of rename that replace nothing: no-replace and exchange.

use crate::common::ext4::VOLUMES;
use crate::common::{NEW, ext4, mkfs, mount, names, read_file, write_file};
use fs::fake::{Disk, Event};
use fs::{Error, Kind, OpenFlags, Renaming, Volume};

fn tree(volume: &mut dyn Volume) {
    for directory in ["/one", "/two", "/one/inner", "/two/deep", "/two/deep/er"] {
        volume.mkdir(directory).unwrap();
    }
    for file in ["/one/a", "/one/b", "/two/c", "/one/inner/x", "/two/deep/y"] {
        write_file(volume, file, file.as_bytes()).unwrap();
    }
}

fn contents(volume: &mut dyn Volume, path: &str) -> String {
    String::from_utf8(read_file(volume, path).unwrap()).unwrap()
}

/// An existing target of any kind is kept, and nothing else changes.
fn replaces_nothing(volume: &mut dyn Volume) {
    tree(volume);
    for (from, to) in [
        ("/one/a", "/one/b"),
        ("/one/a", "/two/c"),
        ("/one/a", "/one/inner"),
        ("/one/inner", "/one/a"),
        ("/two/deep/er", "/one/inner"),
        ("/one/a", "/one/a"),
    ] {
        let renamed = volume.rename_as(from, to, Renaming::NoReplace);
        assert_eq!(renamed, Err(Error::Exists), "{from} {to}");
    }
    let absent = volume.rename_as("/one/none", "/one/a", Renaming::NoReplace);
    assert_eq!(absent, Err(Error::NotFound));
    assert_eq!(contents(volume, "/one/b"), "/one/b");
    volume
        .rename_as("/one/a", "/two/new", Renaming::NoReplace)
        .unwrap();
    assert_eq!(contents(volume, "/two/new"), "/one/a");
    volume
        .rename_as("/one/inner", "/two/moved", Renaming::NoReplace)
        .unwrap();
    assert_eq!(contents(volume, "/two/moved/x"), "/one/inner/x");
    assert_eq!(names(volume, "/one").unwrap(), ["b"]);
    let inside = volume.rename_as("/two", "/two/deep/z", Renaming::NoReplace);
    assert_eq!(inside, Err(Error::Invalid));
}

fn exchanges(volume: &mut dyn Volume) {
    tree(volume);
    let mut exchange = |from: &str, to: &str| volume.rename_as(from, to, Renaming::Exchange);
    for (from, to, error) in [
        ("/one/none", "/one/a", Error::NotFound),
        ("/one/a", "/one/none", Error::NotFound),
        ("/one", "/one/inner", Error::Invalid),
        ("/one/inner", "/one", Error::Invalid),
        ("/two/deep/er", "/two", Error::Invalid),
    ] {
        assert_eq!(exchange(from, to), Err(error), "{from} {to}");
    }
    // A name and itself, two files of one directory and of two, a file and a directory in both
    // directions, directories.
    for (from, to) in [
        ("/one/a", "/one/a"),
        ("/one/a", "/one/b"),
        ("/one/a", "/two/c"),
        ("/one/inner", "/two/c"),
        ("/two/deep/y", "/one"),
        ("/two/deep/er", "/two/deep/y/inner"),
    ] {
        exchange(from, to).unwrap_or_else(|error| panic!("{from} {to}: {error}"));
    }
    let mut root = names(volume, "/").unwrap();
    root.retain(|name| name != "lost+found");
    assert_eq!(root, ["one", "two"]);
    assert_eq!(contents(volume, "/one"), "/two/deep/y");
    assert_eq!(names(volume, "/two").unwrap(), ["c", "deep"]);
    assert_eq!(contents(volume, "/two/c/x"), "/one/inner/x");
    assert_eq!(names(volume, "/two/deep").unwrap(), ["er", "y"]);
    assert_eq!(contents(volume, "/two/deep/er"), "/one/b");
    assert_eq!(names(volume, "/two/deep/y").unwrap(), ["a", "b", "inner"]);
    assert_eq!(contents(volume, "/two/deep/y/a"), "/two/c");
    assert_eq!(contents(volume, "/two/deep/y/b"), "/one/a");
    assert_eq!(names(volume, "/two/deep/y/inner").unwrap(), [""; 0]);
    // Open files stay open.
    let file = volume.open("/two/deep/er", OpenFlags::READ).unwrap();
    let list = OpenFlags::READ | OpenFlags::DIRECTORY;
    let directory = volume.open("/two/deep/y/inner", list).unwrap();
    let [from, to] = ["/two/deep/er", "/two/deep/y/inner"];
    volume.rename_as(from, to, Renaming::Exchange).unwrap();
    let mut buf = [0; 10];
    assert_eq!(volume.read_at(file, 0, &mut buf), Ok(6));
    assert_eq!(volume.stat_file(directory).unwrap().kind, Kind::Directory);
    volume.close(file).unwrap();
    volume.close(directory).unwrap();
    volume.rmdir("/two/deep/er").unwrap();
}

/// Two names of one file, links, and directories with an index.
fn exchanges_links(volume: &mut dyn Volume) {
    tree(volume);
    volume.link("/one/a", "/two/a").unwrap();
    let inode = volume.stat("/one/a").unwrap().inode;
    let same = volume.rename_as("/one/a", "/two/a", Renaming::Exchange);
    assert_eq!(same, Ok(()));
    assert_eq!(volume.stat("/two/a").unwrap().links, 2);
    let same = volume.rename_as("/one/a", "/two/a", Renaming::NoReplace);
    assert_eq!(same, Err(Error::Exists));
    volume.symlink("/nowhere", "/two/link").unwrap();
    volume
        .rename_as("/two/link", "/one/a", Renaming::Exchange)
        .unwrap();
    assert_eq!(volume.stat("/one/a").unwrap().kind, Kind::Symlink);
    assert_eq!(volume.stat("/two/link").unwrap().inode, inode);
    for directory in ["/one/many", "/two/more"] {
        volume.mkdir(directory).unwrap();
        for n in 0..300 {
            volume.mkdir(&format!("{directory}/{n}")).unwrap();
        }
    }
    for n in 0..300 {
        let [from, to] = [format!("/one/many/{n}"), format!("/two/more/{}", 299 - n)];
        if n % 3 == 0 {
            volume.rmdir(&to).unwrap();
            write_file(volume, &to, b"file").unwrap();
        }
        volume.rename_as(&from, &to, Renaming::Exchange).unwrap();
    }
    let files = (0..300).filter(|n| {
        let stat = volume.stat(&format!("/one/many/{n}")).unwrap();
        stat.kind == Kind::File
    });
    assert_eq!(files.count(), 100);
    assert_eq!(names(volume, "/two/more").unwrap().len(), 300);
}

#[test]
fn on_ext4() {
    for (kind, bytes, args) in VOLUMES {
        for test in [replaces_nothing, exchanges, exchanges_links] {
            let disk = Disk::new(ext4::mkfs(*bytes, args), 512);
            let mut volume = ext4::mount(&disk);
            test(&mut *volume);
            drop(volume);
            ext4::fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{kind}: {text}"));
        }
    }
}

/// An exchange changes both names or none, whenever the power fails.
#[test]
fn an_exchange_is_whole_after_a_power_cut() {
    let disk = Disk::new(ext4::mkfs(8 << 20, &["-b", "1024"]), 512);
    let mut volume = ext4::mount(&disk);
    tree(&mut *volume);
    volume.sync().unwrap();
    let mut bytes = disk.bytes();
    disk.state().log = Some(Vec::new());
    volume
        .rename_as("/one/inner", "/two/c", Renaming::Exchange)
        .unwrap();
    volume.sync().unwrap();
    let log = disk.state().log.take().unwrap();
    drop(volume);
    let writes = log.into_iter().flat_map(|event| match event {
        Event::Write(first, data) => vec![(first, data)],
        Event::Batch(writes) => writes,
        Event::Flush | Event::FlushUnordered => Vec::new(),
    });
    let mut seen = [false; 2];
    for (n, (first, data)) in writes.chain([(0, Vec::new())]).enumerate() {
        let stopped = Disk::new(bytes.clone(), 512);
        let mut volume = ext4::mount(&stopped);
        let kinds = ["/one/inner", "/two/c"].map(|path| volume.stat(path).unwrap().kind);
        assert_ne!(kinds[0], kinds[1], "{n}");
        seen[usize::from(kinds[0] == Kind::File)] = true;
        drop(volume);
        ext4::fsck(&stopped.bytes()).unwrap_or_else(|text| panic!("{n}: {text}"));
        let at = first as usize * 512;
        bytes[at..at + data.len()].copy_from_slice(&data);
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn in_memory() {
    for test in [replaces_nothing, exchanges, exchanges_links] {
        test(&mut *fs::memory::new(4 << 20, None));
    }
    // A listing that continues during an exchange has each name once.
    let mut volume = fs::memory::new(4 << 20, None);
    for n in 0..300 {
        let path = format!("/{n}");
        let file = volume.open(&path, NEW).unwrap();
        volume.close(file).unwrap();
    }
    let list = OpenFlags::READ | OpenFlags::DIRECTORY;
    let directory = volume.open("/", list).unwrap();
    let mut listed = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        next = volume
            .list(directory, from, &mut |entry| {
                listed.push(entry.name.to_string());
                true
            })
            .unwrap();
        volume.rename_as("/7", "/290", Renaming::Exchange).unwrap();
    }
    assert_eq!(listed.len(), 300);
}

#[test]
fn on_fat() {
    let disk = Disk::new(mkfs(4 << 20, &[]), 512);
    let mut volume = mount(&disk);
    replaces_nothing(&mut *volume);
    let exchanged = volume.rename_as("/one/b", "/two/c", Renaming::Exchange);
    assert_eq!(exchanged, Err(Error::Unsupported));
    assert_eq!(contents(&mut *volume, "/two/c"), "/two/c");
    volume.sync().unwrap();
    drop(volume);
    crate::common::fsck(&disk.bytes()).unwrap();
}
