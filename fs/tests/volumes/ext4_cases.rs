//! Ordinary operations which once made healthy volumes read-only, and the growth and shrinking of
//! directories and extent trees; `e2fsck -fn` checks the disk each time.

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount};
use crate::common::{NEW, Random, names, read_file, write_file};
use fs::fake::Disk;
use fs::{Error, Health, OpenFlags, Volume};

const KINDS: &[&[&str]] = &[
    &["-b", "1024"],
    &["-b", "2048"],
    &["-b", "4096"],
    &["-b", "1024", "-O", "^metadata_csum,^64bit"],
    &["-b", "4096", "-O", "orphan_file"],
    &["-b", "1024", "-O", "^extent,^64bit"],
    &["-b", "1024", "-O", "^dir_index"],
];

/// Runs a closure on each kind of volume, then checks the disk.
fn on_each(what: impl Fn(&mut dyn Volume, u64)) {
    for args in KINDS {
        let disk = Disk::new(mkfs(40 << 20, args), 512);
        let mut volume = mount(&disk);
        let block = volume.space().unwrap().unit.into();
        what(&mut *volume, block);
        assert_eq!(volume.health(), Health::Writable, "{args:?}");
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
    }
}

/// The usual safe replacement of a file, in one directory, whose block splits meanwhile.
#[test]
fn names_are_moved_within_a_directory_that_grows() {
    let long = "x".repeat(44);
    on_each(|volume, _| {
        volume.mkdir("d").unwrap();
        for n in 0..400 {
            let (from, to) = (format!("d/tmp{n}{long}"), format!("d/done{n}{long}"));
            write_file(volume, &from, format!("{n}").as_bytes()).unwrap();
            volume
                .rename(&from, &to)
                .unwrap_or_else(|error| panic!("{n}: {error}"));
        }
        for n in 0..400 {
            let (from, to) = (format!("d/{n}.tmp"), format!("d/{n}"));
            write_file(volume, &from, b"x").unwrap();
            volume
                .rename(&from, &to)
                .unwrap_or_else(|error| panic!("{n}: {error}"));
        }
        assert_eq!(names(volume, "d").unwrap().len(), 800);
        for n in 0..400 {
            let contents = read_file(volume, &format!("d/done{n}{long}"));
            assert_eq!(contents.unwrap(), format!("{n}").as_bytes());
        }
        // And back, replacing the old files.
        for n in 0..400 {
            volume
                .rename(&format!("d/done{n}{long}"), &format!("d/{n}"))
                .unwrap();
        }
        assert_eq!(names(volume, "d").unwrap().len(), 400);
    });
}

/// Single blocks with gaps, enough for an extent tree of two levels.
#[test]
fn a_file_in_many_pieces_is_cut() {
    on_each(|volume, block| {
        let file = volume.open("f", NEW).unwrap();
        let pieces = if block == 4096 { 2000 } else { 700 };
        for n in 0..pieces {
            let data = [n as u8 | 1; 100];
            assert_eq!(volume.write_at(file, n * 2 * block, &data), Ok(100));
        }
        for left in [pieces - 1, pieces / 2, 100, 5, 1] {
            volume.truncate(file, left * 2 * block).unwrap();
            let mut buf = vec![0; 100];
            assert_eq!(
                volume.read_at(file, (left - 1) * 2 * block, &mut buf),
                Ok(100)
            );
            assert_eq!(buf, [(left - 1) as u8 | 1; 100]);
            volume.sync().unwrap();
        }
        volume.truncate(file, 0).unwrap();
        assert_eq!(volume.write_at(file, 0, b"again"), Ok(5));
        volume.close(file).unwrap();
    });
}

#[test]
fn a_file_is_written_backwards() {
    on_each(|volume, block| {
        let file = volume.open("f", NEW).unwrap();
        let pieces = if block == 4096 { 2000 } else { 700 };
        for n in (0..pieces).rev() {
            let data = [n as u8 | 1; 100];
            assert_eq!(volume.write_at(file, n * 2 * block, &data), Ok(100));
        }
        // Then the blocks in between.
        for n in (0..pieces).rev() {
            let at = (n * 2 + 1) * block;
            let data = vec![n as u8 | 1; block as usize];
            assert_eq!(volume.write_at(file, at, &data), Ok(data.len()));
        }
        for n in 0..pieces {
            let mut buf = vec![0; 2 * block as usize];
            assert_eq!(volume.read_at(file, n * 2 * block, &mut buf), Ok(buf.len()));
            assert!(buf[..100] == [n as u8 | 1; 100] && buf[100] == 0, "{n}");
            assert!(
                buf[block as usize..]
                    .iter()
                    .all(|byte| *byte == n as u8 | 1)
            );
        }
        volume.close(file).unwrap();
        volume.unlink("f").unwrap();
    });
}

/// Random allocation and removal of pieces, in a file and in a model of it.
#[test]
fn a_file_in_pieces_is_what_was_written() {
    on_each(|volume, block| {
        let mut random = Random(block + 99);
        let file = volume.open("f", NEW).unwrap();
        let mut model: Vec<u8> = Vec::new();
        for step in 0..1500 {
            if step % 97 == 96 {
                let size = random.below(model.len() as u64 + 1);
                volume.truncate(file, size).unwrap();
                model.resize(size as usize, 0);
                continue;
            }
            let at = (random.below(1500) * block + random.below(2) * 77) as usize;
            let len = 1 + random.below(2 * block) as usize;
            let data = random.bytes(len);
            let end = at + data.len();
            if model.len() < end {
                model.resize(end, 0);
            }
            model[at..end].copy_from_slice(&data);
            assert_eq!(volume.write_at(file, at as u64, &data), Ok(data.len()));
        }
        assert_eq!(volume.size(file), Ok(model.len() as u64));
        assert!(crate::common::read_all(volume, file).unwrap() == model);
        volume.close(file).unwrap();
    });
}

/// The maximum number of subdirectories that links can count, and more, which are no longer
/// counted.
#[test]
fn a_directory_has_more_directories_than_links() {
    if std::env::var_os("SOIL_FS_LONG").is_none() {
        return;
    }
    let disk = Disk::new(mkfs(512 << 20, &["-b", "1024", "-N", "80000"]), 512);
    let mut volume = mount(&disk);
    for n in 0..65_500 {
        volume.mkdir(&format!("{n}")).unwrap();
    }
    assert_eq!(volume.stat("/").unwrap().links, 1);
    for n in 0..1000 {
        volume.rmdir(&format!("{n}")).unwrap();
    }
    drop(volume);
    fsck(&disk.bytes()).unwrap();
}

/// Moving and replacing directories: their link counts, and `..`.
#[test]
fn directories_move_and_replace_others() {
    on_each(|volume, _| {
        for path in ["a", "b", "a/x", "b/y", "b/y/z", "c"] {
            volume.mkdir(path).unwrap();
        }
        volume.rename("b/y", "a/y").unwrap();
        volume.rename("a/y", "a/x").unwrap();
        assert_eq!(volume.stat("a").unwrap().links, 3);
        volume.rename("a/x", "c").unwrap();
        let links = ["/", "a", "b", "c"].map(|path| volume.stat(path).unwrap().links);
        // lost+found is in the root as well.
        assert_eq!(links, [6, 2, 2, 3]);
        assert_eq!(volume.rename("c", "c/z/d"), Err(Error::Invalid));
        write_file(volume, "c/z/file", b"x").unwrap();
        assert_eq!(volume.rename("a", "c/z"), Err(Error::NotEmpty));
        assert_eq!(volume.rename("c/z/file", "a"), Err(Error::IsDirectory));
        assert_eq!(volume.rename("a", "c/z/file"), Err(Error::NotDirectory));
        volume.link("c/z/file", "same").unwrap();
        volume.rename("same", "c/z/file").unwrap();
        assert_eq!(volume.stat("same").unwrap().links, 2);
        let open = volume.open("c/z/file", OpenFlags::READ).unwrap();
        write_file(volume, "other", b"other").unwrap();
        volume.rename("other", "same").unwrap();
        volume.rename("same", "c/z/file").unwrap();
        let mut buf = [0; 9];
        assert_eq!(volume.read_at(open, 0, &mut buf), Ok(1));
        assert_eq!(volume.stat_file(open).unwrap().links, 0);
        volume.close(open).unwrap();
    });
}

/// A directory that grows to several levels and becomes empty again.
#[test]
fn a_directory_grows_and_shrinks() {
    let long = "y".repeat(200);
    let disk = Disk::new(mkfs(64 << 20, &["-b", "1024", "-N", "16384"]), 512);
    let mut volume = mount(&disk);
    volume.mkdir("d").unwrap();
    for round in 0..2 {
        for n in 0..3000 {
            let file = volume.open(&format!("d/{long}{n}"), NEW).unwrap();
            volume.close(file).unwrap();
        }
        assert_eq!(names(&mut *volume, "d").unwrap().len(), 3000, "{round}");
        for n in 0..3000 {
            volume.unlink(&format!("d/{long}{n}")).unwrap();
        }
        assert_eq!(names(&mut *volume, "d").unwrap().len(), 0, "{round}");
    }
    volume.rmdir("d").unwrap();
    drop(volume);
    fsck(&disk.bytes()).unwrap();
}

/// An open file without a name, truncated and written: its rest is freed when it is closed, and
/// after a power cut with the next mount.
#[test]
fn an_open_file_without_a_name_is_cut() {
    for args in KINDS {
        let disk = Disk::new(mkfs(16 << 20, args), 512);
        let mut volume = mount(&disk);
        let files: Vec<_> = (0..5)
            .map(|n| {
                let path = format!("{n}");
                write_file(&mut *volume, &path, &[n; 50_000]).unwrap();
                let flags = OpenFlags::READ | OpenFlags::WRITE;
                let file = volume.open(&path, flags).unwrap();
                volume.unlink(&path).unwrap();
                file
            })
            .collect();
        for (n, file) in files.iter().enumerate() {
            volume.truncate(*file, 10_000 * n as u64).unwrap();
            volume.write_at(*file, 30_000, &[9; 7000]).unwrap();
        }
        // From the middle of the orphan list, its end and its start.
        for n in [2, 4, 0] {
            volume.close(files[n]).unwrap();
        }
        volume.sync().unwrap();
        let stopped = disk.bytes();
        fsck_stopped(&stopped).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        drop(mount(&Disk::new(stopped.clone(), 512)));
        let again = Disk::new(stopped, 512);
        drop(mount(&again));
        fsck(&again.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
    }
}

/// A directory that is removed or replaced while it is open is empty until it is closed; after a
/// power cut the next mount frees its blocks.
#[test]
fn an_open_directory_without_a_name_is_empty() {
    for args in KINDS {
        let disk = Disk::new(mkfs(16 << 20, args), 512);
        let mut volume = mount(&disk);
        let open: Vec<_> = ["removed", "closed", "replaced"]
            .map(|path| {
                volume.mkdir(path).unwrap();
                // More than one block, which are retained when it is empty again.
                for n in 0..100 {
                    write_file(&mut *volume, &format!("{path}/{n:060}"), b"").unwrap();
                }
                for n in 0..100 {
                    volume.unlink(&format!("{path}/{n:060}")).unwrap();
                }
                volume.open(path, OpenFlags::DIRECTORY).unwrap()
            })
            .into();
        volume.mkdir("other").unwrap();
        volume.rmdir("removed").unwrap();
        volume.rmdir("closed").unwrap();
        volume.rename("other", "replaced").unwrap();
        for directory in &open {
            let next = volume.list(*directory, 0, &mut |_| panic!("an entry"));
            assert_eq!(next, Ok(None), "{args:?}");
            assert_eq!(volume.stat_file(*directory).unwrap().links, 0);
        }
        volume.close(open[1]).unwrap();
        assert_eq!(volume.stat("removed").err(), Some(Error::NotFound));
        volume.sync().unwrap();
        let stopped = disk.bytes();
        fsck_stopped(&stopped).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        let again = Disk::new(stopped, 512);
        drop(mount(&again));
        fsck(&again.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
    }
}

/// The mount marks the volume as in use. If the first sync did, it would need a third flush, which
/// nothing can overtake.
#[test]
fn the_first_sync_has_as_few_flushes_as_all_others() {
    let disk = Disk::new(mkfs(64 << 20, &["-b", "4096", "-N", "8192"]), 512);
    let mut volume = mount(&disk);
    let before = disk.state().flushes;
    volume.mkdir("d").unwrap();
    volume.sync().unwrap();
    assert_eq!(disk.state().flushes - before, 2);
}

/// The number of requests that reach the disk, which determines the time.
#[test]
fn requests_are_few() {
    // The seed determines how full the blocks of a directory are.
    let seed = "hash_seed=4a8e5e2c-6f0b-4f0e-9d55-0c7d2a6f3b11";
    let options = ["-b", "4096", "-N", "8192", "-E", seed];
    let disk = Disk::new(mkfs(64 << 20, &options), 512);
    let mut volume = mount(&disk);
    volume.mkdir("d").unwrap();
    volume.sync().unwrap();
    let count = || {
        let state = disk.state();
        (state.reads, state.writes, state.flushes)
    };
    // 2000 contiguous files of a block each.
    let (_, before, _) = count();
    for n in 0..2000 {
        write_file(
            &mut *volume,
            &format!("d/a file with number {n}"),
            &[1; 100],
        )
        .unwrap();
    }
    volume.sync().unwrap();
    let (_, after, _) = count();
    assert!(after - before < 150, "{} writes", after - before);
    // Each append writes its block, the journal's, and the commit block, between two flushes.
    let log = volume.open("log", NEW).unwrap();
    volume.sync().unwrap();
    let before = count();
    for n in 0..100 {
        volume.write_at(log, n * 4096, &[2; 4096]).unwrap();
        volume.sync_file(log).unwrap();
    }
    let after = count();
    assert_eq!(after.2 - before.2, 200);
    // And at times a checkpoint of earlier changes.
    assert!(after.1 - before.1 <= 350, "{} writes", after.1 - before.1);
    volume.close(log).unwrap();
    drop(volume);
    // Each block of entries once, and no inode except the directory's.
    let mut volume = mount(&disk);
    let (before, ..) = count();
    assert_eq!(names(&mut *volume, "d").unwrap().len(), 2000);
    let (after, ..) = count();
    assert!(after - before < 30, "{} reads", after - before);
    drop(volume);
    // Removals change few blocks repeatedly.
    let mut volume = mount(&disk);
    let before = count();
    for n in 0..2000 {
        volume.unlink(&format!("d/a file with number {n}")).unwrap();
    }
    volume.sync().unwrap();
    let after = count();
    assert!(
        after.1 - before.1 < 20 && after.2 - before.2 < 12,
        "{before:?}, {after:?}"
    );
    drop(volume);
    fsck(&disk.bytes()).unwrap();
}

/// A replay reads the journal in large pieces.
#[test]
fn a_replay_takes_few_requests() {
    let args = ["-b", "1024", "-N", "8192", "-J", "size=8"];
    let disk = Disk::new(mkfs(32 << 20, &args), 512);
    let mut volume = mount(&disk);
    for n in 0..60 {
        volume.mkdir(&format!("d{n}")).unwrap();
        for m in 0..40 {
            let name = format!("d{n}/{m}{}", "x".repeat(60));
            volume.symlink("target", &name).unwrap();
        }
        volume.sync().unwrap();
    }
    let stopped = Disk::new(disk.bytes(), 512);
    drop(volume);
    let mut volume = mount(&stopped);
    let (reads, writes) = {
        let state = stopped.state();
        (state.reads, state.writes)
    };
    assert!(writes > 100, "{writes} writes");
    assert!(reads < 90, "{reads} reads");
    assert_eq!(names(&mut *volume, "d59").unwrap().len(), 40);
}
