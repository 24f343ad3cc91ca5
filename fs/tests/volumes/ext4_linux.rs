//! Linux and Soil change one disk in turns, and each continues where the other stopped. Requires
//! root, loop devices, and `SOIL_FS_LINUX` in the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount};
use crate::common::operations::fill;
use crate::common::{Image, NEW, Random, from_environment, read_file, run};
use fs::fake::Disk;
use fs::{Fallocate, Health, OpenFlags, Volume};

/// Files by path; those with the same number are one file.
#[derive(Default, Clone)]
struct Model {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    directories: Vec<String>,
}

/// Operations of both sides. Paths have no `/` at their start.
trait Side {
    fn create(&mut self, path: &str);
    fn write(&mut self, path: &str, at: u64, data: &[u8]);
    fn cut(&mut self, path: &str, size: u64);
    fn remove(&mut self, path: &str);
    fn rename(&mut self, from: &str, to: &str);
    fn link(&mut self, from: &str, to: &str);
    fn mkdir(&mut self, path: &str);
    fn read(&mut self, path: &str) -> Vec<u8>;
    fn list(&mut self, path: &str) -> Vec<String>;
    /// Allocates blocks without writing them.
    fn allocate(&mut self, path: &str, at: u64, len: u64);
    fn punch(&mut self, path: &str, at: u64, len: u64) -> bool;
}

/// A disk that Linux has mounted.
struct Linux {
    image: Image,
    place: Image,
}

impl Linux {
    fn mount(bytes: &[u8]) -> Self {
        let (image, place) = (Image::with(bytes), Image::new());
        std::fs::create_dir(&place.0).unwrap();
        let (from, to) = (image.0.to_str().unwrap(), place.0.to_str().unwrap());
        let (ok, text) = run("mount", &["-t", "ext4", "-o", "loop", from, to]);
        assert!(ok, "mount: {text}");
        Self { image, place }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.place.0.join(path)
    }

    /// Returns the contents of the mounted disk after making all changes durable.
    fn stopped(&self) -> Vec<u8> {
        let (ok, text) = run("sync", &["-f", self.place.0.to_str().unwrap()]);
        assert!(ok, "sync: {text}");
        self.image.bytes()
    }

    fn unmount(self) -> Vec<u8> {
        let (ok, text) = run("umount", &[self.place.0.to_str().unwrap()]);
        assert!(ok, "umount: {text}");
        self.image.bytes()
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        let _ = run("umount", &[self.place.0.to_str().unwrap()]);
        let _ = std::fs::remove_dir(&self.place.0);
    }
}

impl Side for Linux {
    fn create(&mut self, path: &str) {
        std::fs::File::create(self.path(path)).unwrap();
    }
    fn write(&mut self, path: &str, at: u64, data: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(self.path(path));
        file.unwrap().write_all_at(data, at).unwrap();
    }
    fn cut(&mut self, path: &str, size: u64) {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(self.path(path));
        file.unwrap().set_len(size).unwrap();
    }
    fn remove(&mut self, path: &str) {
        std::fs::remove_file(self.path(path)).unwrap();
    }
    fn rename(&mut self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }
    fn link(&mut self, from: &str, to: &str) {
        std::fs::hard_link(self.path(from), self.path(to)).unwrap();
    }
    fn mkdir(&mut self, path: &str) {
        std::fs::create_dir(self.path(path)).unwrap();
    }
    fn read(&mut self, path: &str) -> Vec<u8> {
        std::fs::read(self.path(path)).unwrap_or_else(|error| panic!("{path} by Linux: {error}"))
    }
    fn list(&mut self, path: &str) -> Vec<String> {
        let listed = std::fs::read_dir(self.path(path)).unwrap();
        let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
    fn allocate(&mut self, path: &str, at: u64, len: u64) {
        let file = self.path(path);
        let (at, len) = (at.to_string(), len.to_string());
        let args = ["-n", "-o", &at, "-l", &len, file.to_str().unwrap()];
        // Block maps don't support it.
        let _ = run("fallocate", &args);
    }
    fn punch(&mut self, path: &str, at: u64, len: u64) -> bool {
        let file = self.path(path);
        let (at, len) = (at.to_string(), len.to_string());
        run(
            "fallocate",
            &["-p", "-o", &at, "-l", &len, file.to_str().unwrap()],
        )
        .0
    }
}

impl Side for Box<dyn Volume> {
    fn create(&mut self, path: &str) {
        let file = self.open(path, NEW).unwrap();
        self.close(file).unwrap();
    }
    fn write(&mut self, path: &str, at: u64, data: &[u8]) {
        let file = self.open(path, OpenFlags::WRITE).unwrap();
        assert_eq!(self.write_at(file, at, data), Ok(data.len()));
        self.close(file).unwrap();
    }
    fn cut(&mut self, path: &str, size: u64) {
        let file = self.open(path, OpenFlags::WRITE).unwrap();
        self.truncate(file, size).unwrap();
        self.close(file).unwrap();
    }
    fn remove(&mut self, path: &str) {
        self.unlink(path).unwrap();
    }
    fn rename(&mut self, from: &str, to: &str) {
        (**self).rename(from, to).unwrap();
    }
    fn link(&mut self, from: &str, to: &str) {
        (**self).link(from, to).unwrap();
    }
    fn mkdir(&mut self, path: &str) {
        (**self).mkdir(path).unwrap();
    }
    fn read(&mut self, path: &str) -> Vec<u8> {
        read_file(&mut **self, path).unwrap_or_else(|error| panic!("{path} by Soil: {error}"))
    }
    fn list(&mut self, path: &str) -> Vec<String> {
        crate::common::names(&mut **self, path).unwrap()
    }
    fn allocate(&mut self, path: &str, at: u64, len: u64) {
        let file = self.open(path, OpenFlags::WRITE).unwrap();
        // Block maps don't support it.
        let _ = self.fallocate(file, Fallocate::KeepSize, at, len);
        self.close(file).unwrap();
    }
    fn punch(&mut self, path: &str, at: u64, len: u64) -> bool {
        let file = self.open(path, OpenFlags::WRITE).unwrap();
        let punched = self.fallocate(file, Fallocate::PunchHole, at, len);
        self.close(file).unwrap();
        punched.is_ok()
    }
}

impl Model {
    fn any(&self, random: &mut Random) -> Option<String> {
        let count = self.names.len() as u64;
        let pick = (count > 0).then(|| random.below(count) as usize)?;
        self.names.keys().nth(pick).cloned()
    }

    fn new_path(&self, random: &mut Random) -> String {
        let pick = random.below(self.directories.len() as u64 + 1) as usize;
        let directory = self.directories.get(pick).map_or("", String::as_str);
        let number = random.below(100_000);
        let long = if random.below(3) == 0 {
            "long".repeat(40)
        } else {
            String::new()
        };
        format!("{directory}{number} é {long}")
    }

    fn step(&mut self, side: &mut dyn Side, random: &mut Random) {
        let new = self.new_path(random);
        let (old, kind) = (self.any(random), random.below(20));
        let Some(old) = old.filter(|_| kind > 5 && !self.names.contains_key(&new)) else {
            if kind == 0 && self.directories.len() < 12 {
                side.mkdir(&new);
                return self.directories.push(format!("{new}/"));
            }
            if !self.names.contains_key(&new) {
                side.create(&new);
                self.names.insert(new, self.files.len());
                self.files.push(Vec::new());
            }
            return;
        };
        let number = self.names[&old];
        let contents = &mut self.files[number];
        match kind {
            6..12 => {
                let len = random.below(30_000) as usize;
                let (at, data) = (random.below(120_000) as usize, random.bytes(len));
                side.write(&old, at as u64, &data);
                if len > 0 {
                    contents.resize(contents.len().max(at + len), 0);
                    contents[at..at + len].copy_from_slice(&data);
                }
            }
            12 => {
                let size = random.below(contents.len() as u64 * 2 + 10) as usize;
                side.cut(&old, size as u64);
                contents.resize(size, 0);
            }
            13 => side.allocate(&old, random.below(100_000), 1 + random.below(100_000)),
            14 => {
                let (at, len) = (random.below(100_000), 1 + random.below(60_000));
                if side.punch(&old, at, len) {
                    let end = (at + len).min(contents.len() as u64) as usize;
                    if let Some(hole) = contents.get_mut(at as usize..end) {
                        hole.fill(0);
                    }
                }
            }
            15 => {
                side.remove(&old);
                self.names.remove(&old);
            }
            16 | 17 => {
                side.rename(&old, &new);
                self.names.remove(&old);
                self.names.insert(new, number);
            }
            18 => {
                side.link(&old, &new);
                self.names.insert(new, number);
            }
            _ => {
                let other = self.any(random).unwrap();
                side.rename(&old, &other);
                if self.names[&other] != number {
                    self.names.remove(&old);
                    self.names.insert(other, number);
                }
            }
        }
    }

    fn compare(&self, side: &mut dyn Side, when: &str) {
        for (path, number) in &self.names {
            let found = side.read(path);
            assert!(found == self.files[*number], "{when}: contents of {path}");
        }
        for directory in &self.directories {
            let mut listed = side.list(directory.trim_end_matches('/'));
            listed.sort();
            let all = self.names.keys().chain(&self.directories);
            let inside = all.filter_map(|path| path.strip_prefix(directory)?.split('/').next());
            let mut expected: Vec<&str> = inside.filter(|name| !name.is_empty()).collect();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(listed, expected, "{when}: {directory}");
        }
    }
}

const KINDS: &[(u64, &[&str])] = &[
    (64 << 20, &["-b", "4096"]),
    (48 << 20, &["-b", "1024", "-J", "size=4"]),
    (
        48 << 20,
        &[
            "-b",
            "2048",
            "-O",
            "^metadata_csum,^64bit,^flex_bg,uninit_bg",
        ],
    ),
    (48 << 20, &["-b", "1024", "-O", "^extent,^64bit"]),
    (48 << 20, &["-b", "4096", "-I", "128", "-O", "orphan_file"]),
];

fn skipped() -> bool {
    let skipped = std::env::var_os("SOIL_FS_LINUX").is_none();
    if skipped {
        println!("skipped: SOIL_FS_LINUX isn't set");
    }
    skipped
}

/// Each side unmounts, and every other time stops without unmounting, with open files without a
/// name, which the other side has to release.
#[test]
fn linux_and_soil_change_one_disk_in_turns() {
    if skipped() {
        return;
    }
    let steps = from_environment("SOIL_FS_STEPS", 1500) / 5;
    for (len, args) in KINDS {
        let mut random = Random(from_environment("SOIL_FS_SEED", 0x5011) + len);
        let mut bytes = mkfs(*len, args);
        let mut model = Model::default();
        for round in 0..6 {
            let when = format!("{args:?}, round {round}");
            let mut linux = Linux::mount(&bytes);
            model.compare(&mut linux, &when);
            for _ in 0..steps {
                model.step(&mut linux, &mut random);
            }
            if round % 2 == 0 {
                bytes = linux.unmount();
                fsck(&bytes).unwrap_or_else(|text| panic!("{when}, Linux: {text}"));
            } else {
                let orphans: Vec<_> = (0..4)
                    .filter_map(|_| {
                        let path = model.any(&mut random)?;
                        let file = std::fs::File::open(linux.path(&path)).unwrap();
                        linux.remove(&path);
                        model.names.remove(&path);
                        Some(file)
                    })
                    .collect();
                bytes = linux.stopped();
                drop(orphans);
            }
            let disk = Disk::new(bytes, 512);
            let mut soil = mount(&disk);
            model.compare(&mut soil, &when);
            for _ in 0..steps {
                model.step(&mut soil, &mut random);
            }
            model.compare(&mut soil, &when);
            assert_eq!(soil.health(), Health::Writable, "{when}");
            if round % 3 == 0 {
                for _ in 0..4 {
                    let path = model.any(&mut random).unwrap();
                    soil.open(&path, OpenFlags::READ).unwrap();
                    soil.remove(&path);
                    model.names.remove(&path);
                }
                soil.sync().unwrap();
                bytes = disk.bytes();
                fsck_stopped(&bytes).unwrap_or_else(|text| panic!("{when}, Soil: {text}"));
            } else {
                drop(soil);
                bytes = disk.bytes();
                fsck(&bytes).unwrap_or_else(|text| panic!("{when}, Soil: {text}"));
            }
        }
    }
}

/// Linux stops; then the volume is only mounted and unmounted, and then the disk is filled.
#[test]
fn what_linux_left_is_counted() {
    if skipped() {
        return;
    }
    for (len, args) in KINDS {
        let mut random = Random(7);
        let mut linux = Linux::mount(&mkfs(*len, args));
        let mut model = Model::default();
        for _ in 0..200 {
            model.step(&mut linux, &mut random);
        }
        let bytes = linux.stopped();
        drop(linux);
        let disk = Disk::new(bytes, 512);
        drop(mount(&disk));
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        let mut soil = mount(&disk);
        fill(&mut *soil, "all", 300_000);
        assert!(soil.space().unwrap().free < 100_000, "{args:?}");
        assert_eq!(soil.health(), Health::Writable, "{args:?}");
        model.compare(&mut soil, "full");
        drop(soil);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
    }
}
