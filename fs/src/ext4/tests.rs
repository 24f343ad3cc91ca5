//! Cost of operations, as the number of metadata lookups.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::process::Command;
use std::{env, fs, process};

use super::ext4_volume::Ext4Volume;
use super::{Options, mount_volume};
use crate::fake::Disk;
use crate::{Error, OpenFlags, Renaming, Volume, Walk};

/// Creates a volume of 32 MiB with blocks of 4 KiB and a directory `/many` of 1000 files.
fn volume(name: &str) -> (Disk, Ext4Volume) {
    let path = env::temp_dir().join(format!("soil-ext4-{name}-{}.img", process::id()));
    fs::write(&path, [])
        .and_then(|()| {
            fs::OpenOptions::new()
                .write(true)
                .open(&path)?
                .set_len(32 << 20)
        })
        .unwrap();
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-b", "4096"])
        .args(["-E", "hash_seed=01234567-89ab-cdef-0123-456789abcdef"])
        .arg(&path)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .status();
    assert!(made.unwrap().success());
    let disk = Disk::new(fs::read(&path).unwrap(), 512);
    fs::remove_file(&path).unwrap();
    let mut volume = mount(&disk);
    volume.mkdir("/many").unwrap();
    for n in 0..1000 {
        create(&mut volume, &file(n)).unwrap();
    }
    (disk, volume)
}

fn mount(disk: &Disk) -> Ext4Volume {
    let mounted = mount_volume(Box::new(disk.clone()), Options::default());
    mounted.unwrap_or_else(|error| panic!("{error}"))
}

fn file(n: u32) -> String {
    format!("/many/a file called {n:06}")
}

fn create(volume: &mut Ext4Volume, path: &str) -> Result<(), Error> {
    volume.resolve(path, true)?;
    let file = volume.open(path, OpenFlags::WRITE | OpenFlags::CREATE)?;
    volume.close(file)
}

/// Median number of lookups of these operations: some of them split a block.
fn usual(
    volume: &mut Ext4Volume,
    files: core::ops::Range<u32>,
    mut work: impl FnMut(&mut Ext4Volume, u32),
) -> u64 {
    let lookups = files.map(|n| {
        let before = volume.fs.blocks.lookups();
        work(volume, n);
        volume.fs.blocks.lookups() - before
    });
    let mut lookups: Vec<u64> = lookups.collect();
    lookups.sort_unstable();
    lookups[lookups.len() / 2]
}

/// Every call of a program resolves the path first.
#[test]
fn a_name_is_looked_up_once_by_an_operation() {
    let (_, mut volume) = volume("lookups");
    let renamed = |n| file(n) + " and renamed";
    let rename = usual(&mut volume, 0..100, |volume, n| {
        assert_eq!(volume.resolve(&file(n), false), Ok(Walk::Plain));
        assert_eq!(volume.resolve(&renamed(n), false), Ok(Walk::Plain));
        volume
            .rename_as(&file(n), &renamed(n), Renaming::Replace)
            .unwrap();
    });
    let unlink = usual(&mut volume, 0..100, |volume, n| {
        assert_eq!(volume.resolve(&renamed(n), false), Ok(Walk::Plain));
        volume.unlink(&renamed(n)).unwrap();
    });
    let create = usual(&mut volume, 0..100, |volume, n| {
        create(volume, &file(n)).unwrap();
    });
    let stat = usual(&mut volume, 100..200, |volume, n| {
        assert_eq!(volume.resolve(&file(n), true), Ok(Walk::Plain));
        volume.stat(&file(n)).unwrap();
    });
    let most = [
        ("rename", rename, 26),
        ("unlink", unlink, 21),
        ("create", create, 20),
    ];
    for (what, lookups, most) in most.into_iter().chain([("stat", stat, 9)]) {
        assert!(lookups <= most, "{what}: {lookups} lookups at blocks");
    }
}

#[test]
fn a_directory_that_moved_is_not_found_at_its_old_path() {
    let (_, mut volume) = volume("moved");
    for directory in ["/other", "/many/a", "/many/a/b"] {
        volume.mkdir(directory).unwrap();
    }
    let stat = |volume: &mut Ext4Volume, path: &str| {
        volume.resolve(path, true)?;
        volume.stat(path).map(|stat| stat.inode)
    };
    let inode = stat(&mut volume, &file(1)).unwrap();
    create(&mut volume, "/many/a/b/c").unwrap();
    volume
        .rename_as("/many", "/moved", Renaming::Replace)
        .unwrap();
    assert_eq!(stat(&mut volume, &file(1)), Err(Error::NotFound));
    assert_eq!(stat(&mut volume, "/many/a/b/c"), Err(Error::NotFound));
    let moved = file(1).replace("many", "moved");
    assert_eq!(stat(&mut volume, &moved), Ok(inode));
    volume
        .rename_as("/moved", "/other", Renaming::Exchange)
        .unwrap();
    assert_eq!(stat(&mut volume, &moved), Err(Error::NotFound));
    stat(&mut volume, "/other/a/b/c").unwrap();
    volume.unlink("/other/a/b/c").unwrap();
    volume.rmdir("/other/a/b").unwrap();
    assert_eq!(create(&mut volume, "/other/a/b/c"), Err(Error::NotFound));
    volume.mkdir("/other/a/new").unwrap();
    create(&mut volume, "/other/a/new/c").unwrap();
    volume.unlink("/other/a/new/c").unwrap();
    volume
        .rename_as("/moved", "/other/a/new", Renaming::Replace)
        .unwrap();
    assert_eq!(create(&mut volume, "/moved/c"), Err(Error::NotFound));
    create(&mut volume, "/other/a/new/c").unwrap();
}

#[test]
fn neighbours_in_a_directory_are_read_together() {
    let (disk, volume) = volume("list");
    drop(volume);
    let mut volume = mount(&disk);
    let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
    let directory = volume.open("/many", flags).unwrap();
    let before = disk.state().reads;
    let (mut next, mut names) = (Some(0), 0);
    while let Some(cursor) = next {
        let listed = volume.list(directory, cursor, &mut |_| {
            names += 1;
            true
        });
        next = listed.unwrap();
    }
    let reads = disk.state().reads - before;
    let blocks = volume
        .fs
        .inode(volume.handles.get(directory).unwrap().inode);
    let blocks = blocks.unwrap().size / 4096;
    assert_eq!(names, 1000);
    // The index is the first block, read when the directory was opened or on its own.
    let most = blocks.div_ceil(8) + 1;
    assert!(reads <= most, "{reads} reads of {blocks} blocks");
}
