//! Layouts in which counts and bitmaps are easily wrong: directories whose extents need an extent
//! tree, and block groups that are smaller than their bitmaps. Checks the disk after unmounting,
//! and the result of each commit when only its journal is replayed.

use crate::common::ext4::{fsck, mkfs, mount};
use crate::common::recorder::writes;
use crate::common::{Image, NEW, run, write_file};
use fs::Volume;
use fs::fake::{Disk, Event};

/// Two files that grow together with a directory, so that its blocks are scattered; then all of it
/// is removed.
struct Growing {
    files: [fs::FileId; 2],
    written: u64,
    names: usize,
}

impl Growing {
    fn begin(volume: &mut dyn Volume) -> Self {
        volume.mkdir("/names").unwrap();
        let files = ["/a", "/b"].map(|path| volume.open(path, NEW).unwrap());
        Self {
            files,
            written: 0,
            names: 0,
        }
    }

    fn path(&self, number: usize) -> String {
        format!("/names/{number:04}{}", "x".repeat(120))
    }

    fn grow(&mut self, volume: &mut dyn Volume, names: usize, block: usize) {
        let data = vec![7; block];
        for number in self.names..self.names + names {
            match number % 3 {
                0 => volume.mkdir(&self.path(number)).unwrap(),
                1 => write_file(volume, &self.path(number), b"").unwrap(),
                _ => volume.symlink("/a", &self.path(number)).unwrap(),
            }
            for file in self.files {
                volume.write_at(file, self.written, &data).unwrap();
            }
            self.written += data.len() as u64;
        }
        self.names += names;
    }

    fn remove(self, volume: &mut dyn Volume) {
        for number in 0..self.names {
            if number % 3 == 0 {
                volume.rmdir(&self.path(number)).unwrap();
            } else {
                volume.unlink(&self.path(number)).unwrap();
            }
        }
        volume.rmdir("/names").unwrap();
        for file in self.files {
            volume.close(file).unwrap();
        }
    }
}

/// Returns the findings of `e2fsck -fn` after a replay of only the journal.
fn fsck_replayed(bytes: &[u8]) -> Result<(), String> {
    let image = Image::with(bytes);
    let path = image.0.to_str().unwrap();
    let (_, replayed) = run("e2fsck", &["-y", "-E", "journal_only", path]);
    match run("e2fsck", &["-fn", path]) {
        (true, _) => Ok(()),
        (false, text) => Err(format!("{replayed}\n{text}")),
    }
}

/// Adds checksums to the journal, as the first mount by Linux does.
fn with_journal_checksums(bytes: &[u8], version: u32) -> Vec<u8> {
    let image = Image::with(bytes);
    let commands = Image::with(format!("jo -c -v {version}\njc\n").as_bytes());
    let (path, commands) = (image.0.to_str().unwrap(), commands.0.to_str().unwrap());
    let (ok, text) = run("debugfs", &["-w", "-f", commands, path]);
    assert!(ok, "{text}");
    image.bytes()
}

/// Returns the depth of the extent tree of a directory.
fn depth(bytes: &[u8], path: &str) -> u32 {
    let image = Image::with(bytes);
    let command = format!("ex {path}");
    let (_, text) = run("debugfs", &["-R", &command, image.0.to_str().unwrap()]);
    let line = text.lines().rfind(|line| line.contains('/')).unwrap();
    let (_, depth) = line.trim_start().split_once('/').unwrap();
    depth.split_whitespace().next().unwrap().parse().unwrap()
}

fn recorded(disk: &Disk) -> Vec<Event> {
    disk.state().log.take().unwrap()
}

/// Returns the disk at every `every`-th flush, with no write lost.
fn at_flushes(start: &[u8], events: &[Event], every: usize) -> Vec<Vec<u8>> {
    let mut bytes = start.to_vec();
    let mut disks = Vec::new();
    let mut flushes = 0;
    for event in events {
        for (sector, data) in writes(event) {
            let at = sector as usize * 512;
            bytes[at..at + data.len()].copy_from_slice(&data);
        }
        if *event == Event::Flush {
            flushes += 1;
            if flushes % every == 0 {
                disks.push(bytes.clone());
            }
        }
    }
    disks
}

fn grow(what: &str, start: Vec<u8>, block: usize, names: usize, wanted_depth: u32) {
    let disk = Disk::new(start.clone(), 512);
    let mut volume = mount(&disk);
    disk.state().log = Some(Vec::new());
    let mut growing = Growing::begin(&mut *volume);
    for _ in 0..8 {
        growing.grow(&mut *volume, names / 8, block);
        volume.sync().unwrap();
    }
    drop(volume);
    let events = recorded(&disk);
    let found = depth(&disk.bytes(), "/names");
    assert_eq!(
        found, wanted_depth,
        "{what}: the test's directory has another tree"
    );
    fsck(&disk.bytes()).unwrap_or_else(|found| panic!("{what}: {found}"));
    for (number, bytes) in at_flushes(&start, &events, 3).iter().enumerate() {
        fsck_replayed(bytes).unwrap_or_else(|found| panic!("{what}: flush {number}: {found}"));
    }

    // It continues to grow after another mount, and is removed completely, in the same mount in
    // which it grew.
    let mut volume = mount(&disk);
    growing.files = ["/a", "/b"].map(|path| volume.open(path, fs::OpenFlags::WRITE).unwrap());
    growing.grow(&mut *volume, names / 2, block);
    growing.remove(&mut *volume);
    volume.sync().unwrap();
    drop(volume);
    fsck(&disk.bytes()).unwrap_or_else(|found| panic!("{what}: removed: {found}"));
}

#[test]
fn directories_in_many_pieces() {
    let small = mkfs(16 << 20, &["-b", "1024"]);
    grow("1 KiB", small.clone(), 1024, 120, 1);
    for version in [2, 3] {
        let checked = with_journal_checksums(&small, version);
        grow(
            &format!("1 KiB, journal's checksums {version}"),
            checked,
            1024,
            120,
            1,
        );
    }
    grow("2 KiB", mkfs(32 << 20, &["-b", "2048"]), 2048, 240, 1);
    grow("4 KiB", mkfs(48 << 20, &[]), 4096, 480, 1);
    grow(
        "no checksums",
        mkfs(16 << 20, &["-b", "1024", "-O", "^metadata_csum,^64bit"]),
        1024,
        120,
        1,
    );
    grow(
        "small inodes",
        mkfs(16 << 20, &["-b", "1024", "-I", "128"]),
        1024,
        120,
        1,
    );
}

/// A file system without adjacent free blocks.
fn shredded(len: u64, args: &[&str], free: u64) -> Vec<u8> {
    let disk = Disk::new(mkfs(len, args), 512);
    let mut volume = mount(&disk);
    let space = volume.space().unwrap();
    let filler = space.free - 2 * free * u64::from(space.unit);
    write_file(&mut *volume, "/filler", &vec![3; filler as usize]).unwrap();
    volume.mkdir("/small").unwrap();
    let mut made = 0;
    while write_file(&mut *volume, &format!("/small/{made}"), b"small").is_ok() {
        made += 1;
    }
    for number in (0..made).step_by(2) {
        volume.unlink(&format!("/small/{number}")).unwrap();
    }
    drop(volume);
    disk.bytes()
}

#[test]
fn a_directory_in_hundreds_of_pieces() {
    let start = shredded(32 << 20, &["-b", "1024", "-N", "12288"], 4000);
    // The files take little: the room is for the directory.
    grow("two levels", start, 1, 3600, 2);
}

#[test]
fn groups_smaller_than_their_bitmaps() {
    for (block, group) in [("1024", "2048"), ("2048", "4096"), ("4096", "8192")] {
        let start = mkfs(48 << 20, &["-b", block, "-g", group]);
        let disk = Disk::new(start.clone(), 512);
        let mut volume = mount(&disk);
        disk.state().log = Some(Vec::new());
        // More than one group has room for, so that others are used first.
        for number in 0..24 {
            let path = format!("/{number}");
            write_file(&mut *volume, &path, &vec![number; 1 << 20]).unwrap();
            volume.sync().unwrap();
        }
        drop(volume);
        let what = format!("mkfs.ext4 -b {block} -g {group}");
        fsck(&disk.bytes()).unwrap_or_else(|found| panic!("{what}: {found}"));
        for (number, bytes) in at_flushes(&start, &recorded(&disk), 5).iter().enumerate() {
            fsck_replayed(bytes).unwrap_or_else(|found| panic!("{what}: flush {number}: {found}"));
        }
    }
}
