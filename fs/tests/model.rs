//! Random operations on a volume and on a model of it in memory; then `fsck.fat -n` and mtools.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::{Image, NEW, Random, VOLUMES, fsck, mkfs, mount, mount_with, names, read_file, run};
use fs::fake::Disk;
use fs::fat::Options;
use fs::{Error, FileId, Kind, OpenFlags, Volume};

/// A directory is `None`, a file its contents. Keys are full paths; the root isn't in it.
type Model = BTreeMap<String, Option<Vec<u8>>>;

const NAMES: &[&str] = &[
    "a",
    "FILE.TXT",
    "readme.md",
    "A rather long name with spaces.html",
    "naïve Übung.txt",
    "日本語のファイル",
    "x.y.z",
    "😀",
    ".hidden",
    "collides~1.txt",
    "collides with a short name.txt",
];

fn path(random: &mut Random, model: &Model) -> String {
    let directories: Vec<&String> = model
        .iter()
        .filter(|(_, data)| data.is_none())
        .map(|(path, _)| path)
        .collect();
    let pick = random.below(directories.len() as u64 + 2) as usize;
    let parent = directories.get(pick).map_or("", |path| path.as_str());
    format!(
        "{parent}/{}",
        NAMES[random.below(NAMES.len() as u64) as usize]
    )
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

fn has_children(model: &Model, path: &str) -> bool {
    let prefix = format!("{path}/");
    model.keys().any(|other| other.starts_with(&prefix))
}

/// What the file system should say of a path's parent.
fn parent_error(model: &Model, path: &str) -> Option<Error> {
    match parent_of(path) {
        "" => None,
        parent => match model.get(parent) {
            Some(None) => None,
            Some(Some(_)) => Some(Error::NotDirectory),
            None => Some(Error::NotFound),
        },
    }
}

struct Run {
    model: Model,
    /// Open files with their paths, which renaming changes.
    open: Vec<(FileId, String)>,
    random: Random,
    /// Writes for which the volume was too full.
    filled: u32,
}

impl Run {
    fn is_open(&self, path: &str) -> bool {
        self.open.iter().any(|(_, other)| other == path)
    }

    fn step(&mut self, volume: &mut dyn Volume) {
        let target = path(&mut self.random, &self.model);
        match self.random.below(100) {
            0..30 => self.write(volume, &target),
            30..38 => self.truncate(volume, &target),
            38..48 => self.read(volume, &target),
            48..58 => {
                let expected = match (parent_error(&self.model, &target), self.model.get(&target)) {
                    (Some(error), _) => Err(error),
                    (None, Some(_)) => Err(Error::Exists),
                    (None, None) => Ok(()),
                };
                let made = volume.mkdir(&target);
                let is_full = made == Err(Error::NoSpace) && volume.space().unwrap().free < 65536;
                assert!(
                    made == expected || is_full,
                    "mkdir {target}: {made:?}, {expected:?}"
                );
                if made.is_ok() {
                    self.model.insert(target, None);
                }
            }
            58..64 => {
                let expected = match (parent_error(&self.model, &target), self.model.get(&target)) {
                    (Some(error), _) => Err(error),
                    (None, None) => Err(Error::NotFound),
                    (None, Some(Some(_))) => Err(Error::NotDirectory),
                    (None, Some(None)) if has_children(&self.model, &target) => {
                        Err(Error::NotEmpty)
                    }
                    _ => Ok(()),
                };
                assert_eq!(volume.rmdir(&target), expected, "rmdir {target}");
                if expected.is_ok() {
                    self.model.remove(&target);
                }
            }
            64..74 => {
                let expected = match (parent_error(&self.model, &target), self.model.get(&target)) {
                    (Some(error), _) => Err(error),
                    (None, None) => Err(Error::NotFound),
                    (None, Some(None)) => Err(Error::IsDirectory),
                    _ if self.is_open(&target) => Err(Error::Busy),
                    _ => Ok(()),
                };
                assert_eq!(volume.unlink(&target), expected, "unlink {target}");
                if expected.is_ok() {
                    self.model.remove(&target);
                }
            }
            74..86 => self.rename(volume, &target),
            86..91 => {
                if let Ok(file) = volume.open(&target, OpenFlags::READ | OpenFlags::WRITE) {
                    self.open.push((file, target));
                }
            }
            91..96 if !self.open.is_empty() => {
                let pick = self.random.below(self.open.len() as u64) as usize;
                let (file, _) = self.open.swap_remove(pick);
                volume.close(file).unwrap();
                assert_eq!(volume.close(file), Err(Error::Closed));
            }
            96 => volume.sync().unwrap(),
            _ => {
                let of = if self.random.below(2) == 0 {
                    ""
                } else {
                    parent_of(&target)
                };
                if let Ok(listed) = names(volume, of) {
                    let inside = self.model.keys().filter(|path| parent_of(path) == of);
                    let expected: Vec<&str> = inside
                        .map(|path| path.rsplit_once('/').unwrap().1)
                        .collect();
                    assert_eq!(listed, expected, "list {of}");
                }
            }
        }
    }

    fn write(&mut self, volume: &mut dyn Volume, target: &str) {
        let len = match self.random.below(4) {
            0 => self.random.below(100),
            1 => self.random.below(5000),
            2 => self.random.below(40_000),
            _ => self.random.below(4) * 4096,
        } as usize;
        let data = self.random.bytes(len);
        let flags = match self.random.below(3) {
            0 => NEW,
            1 => OpenFlags::WRITE | OpenFlags::CREATE,
            _ => OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::APPEND,
        };
        let opened = volume.open(target, flags);
        let expected = match (parent_error(&self.model, target), self.model.get(target)) {
            (Some(error), _) => Some(error),
            (None, Some(None)) => Some(Error::IsDirectory),
            _ => None,
        };
        let file = match (opened, expected) {
            (Ok(file), None) => file,
            (Err(Error::NoSpace), None) => return self.filled += 1,
            (opened, expected) => {
                return assert_eq!(opened.err(), expected, "open {target}");
            }
        };
        let contents = self
            .model
            .entry(target.to_string())
            .or_insert(Some(Vec::new()));
        let contents = contents.as_mut().unwrap();
        if flags.contains(OpenFlags::TRUNCATE) {
            contents.clear();
        }
        let size = contents.len() as u64;
        let offset = if flags.contains(OpenFlags::APPEND) {
            size
        } else {
            self.random.below(size + size / 2 + 600)
        };
        let written = match volume.write_at(file, offset, &data) {
            Ok(written) => written,
            Err(error) => {
                assert_eq!(error, Error::NoSpace, "write {target}");
                0
            }
        };
        if written < len {
            let space = volume.space().unwrap();
            let needed = len as u64 + offset.saturating_sub(size) + u64::from(space.unit);
            assert!(
                space.free < needed,
                "write {target}: {written} of {len}, {space:?}"
            );
            self.filled += 1;
        }
        if written > 0 {
            let end = offset as usize + written;
            if contents.len() < end {
                contents.resize(end, 0);
            }
            contents[offset as usize..end].copy_from_slice(&data[..written]);
        }
        assert_eq!(volume.size(file), Ok(contents.len() as u64));
        if self.random.below(10) == 0 {
            volume.sync_file(file).unwrap();
        }
        volume.close(file).unwrap();
    }

    fn truncate(&mut self, volume: &mut dyn Volume, target: &str) {
        let Some(Some(contents)) = self.model.get_mut(target) else {
            return;
        };
        let size = self.random.below(contents.len() as u64 * 2 + 10);
        let file = volume.open(target, OpenFlags::WRITE).unwrap();
        match volume.truncate(file, size) {
            Ok(()) => contents.resize(size as usize, 0),
            Err(error) => assert_eq!(error, Error::NoSpace, "truncate {target}"),
        }
        volume.close(file).unwrap();
    }

    fn read(&mut self, volume: &mut dyn Volume, target: &str) {
        let expected = match (parent_error(&self.model, target), self.model.get(target)) {
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::NotFound),
            (None, Some(None)) => Err(Error::IsDirectory),
            (None, Some(Some(contents))) => Ok(contents),
        };
        let file = match (volume.open(target, OpenFlags::READ), expected) {
            (Ok(file), Ok(_)) => file,
            (opened, expected) => {
                return assert_eq!(opened.err(), expected.err(), "open {target}");
            }
        };
        let contents = expected.unwrap();
        let offset = self.random.below(contents.len() as u64 + 10) as usize;
        let mut buf = vec![0; self.random.below(20_000) as usize];
        let count = volume.read_at(file, offset as u64, &mut buf).unwrap();
        let rest = contents.get(offset..).unwrap_or_default();
        assert_eq!(count, rest.len().min(buf.len()), "read {target}");
        assert!(buf[..count] == rest[..count], "read {target} at {offset}");
        volume.close(file).unwrap();
    }

    fn rename(&mut self, volume: &mut dyn Volume, from: &str) {
        let to = path(&mut self.random, &self.model);
        let inside = to.starts_with(&format!("{from}/"));
        let model = &self.model;
        let expected = match (parent_error(model, from), parent_error(model, &to)) {
            (Some(error), _) | (None, Some(error)) => Err(error),
            _ => match (model.get(from), model.get(&to)) {
                (None, _) => Err(Error::NotFound),
                _ if from == to => Ok(()),
                (Some(None), _) if inside => Err(Error::Invalid),
                (Some(_), None) => Ok(()),
                (Some(Some(_)), Some(None)) => Err(Error::IsDirectory),
                (Some(None), Some(Some(_))) if !self.is_open(&to) => Err(Error::NotDirectory),
                (Some(None), Some(None)) if has_children(model, &to) => Err(Error::NotEmpty),
                _ if self.is_open(&to) => Err(Error::Busy),
                _ => Ok(()),
            },
        };
        let renamed = volume.rename(from, &to);
        if renamed == Err(Error::NoSpace) && volume.space().unwrap().free < 65536 {
            return self.filled += 1; // for another cluster of the directory
        }
        assert_eq!(renamed, expected, "rename {from} {to}");
        if expected.is_err() || from == to {
            return;
        }
        let below = format!("{from}/");
        let moved: Vec<String> = model
            .keys()
            .filter(|path| *path == from || path.starts_with(&below))
            .cloned()
            .collect();
        for old in moved {
            let data = self.model.remove(&old).unwrap();
            let new = format!("{to}{}", &old[from.len()..]);
            for (_, path) in self.open.iter_mut().filter(|(_, path)| *path == old) {
                path.clone_from(&new);
            }
            self.model.insert(new, data);
        }
    }
}

fn compare(volume: &mut dyn Volume, model: &Model) {
    for (path, contents) in model {
        let stat = volume
            .stat(path)
            .unwrap_or_else(|error| panic!("stat {path}: {error}"));
        match contents {
            None => assert_eq!(stat.kind, Kind::Directory, "{path}"),
            Some(contents) => {
                assert_eq!(
                    (stat.kind, stat.size),
                    (Kind::File, contents.len() as u64),
                    "{path}"
                );
                assert!(
                    read_file(volume, path).unwrap() == *contents,
                    "contents of {path}"
                );
            }
        }
    }
}

fn run_model(name: &str, len: u64, args: &[&str], steps: u32, options: Options) {
    let disk = Disk::new(mkfs(len, args), 512);
    let mut volume = mount_with(&disk, options);
    let seed = std::env::var("SOIL_FS_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0x5011);
    let random = Random(seed + len + args.len() as u64);
    let mut run = Run {
        model: Model::new(),
        open: Vec::new(),
        random,
        filled: 0,
    };
    for step in 1..=steps {
        run.step(&mut *volume);
        if step % (steps / 4) == 0 {
            volume.sync().unwrap();
            fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{name}, step {step}: {text}"));
        }
    }
    // The smallest volume is there to be filled.
    assert!(
        len > 2 << 20 || steps < 1500 || run.filled > 0,
        "{name} was never full"
    );
    compare(&mut *volume, &run.model);
    let mut fresh = mount(&disk);
    compare(&mut *fresh, &run.model);
    read_by_mtools(&disk.bytes(), &run.model);
}

/// Every file as `mcopy` gives it, names and contents.
fn read_by_mtools(bytes: &[u8], model: &Model) {
    let image = Image::with(bytes);
    let target = Image::new();
    std::fs::create_dir(&target.0).unwrap();
    let (from, to) = (image.0.to_str().unwrap(), target.0.to_str().unwrap());
    if !model.is_empty() {
        let (ok, text) = run("mcopy", &["-s", "-n", "-Q", "-i", from, "::*", to]);
        assert!(ok, "mcopy: {text}");
    }
    // mtools knows no characters outside the Basic Multilingual Plane and gives them as others.
    for (path, contents) in model.iter().filter(|(path, _)| !path.contains('😀')) {
        let copy = target.0.join(&path[1..]);
        match contents {
            None => assert!(copy.is_dir(), "{path} by mtools"),
            Some(contents) => {
                assert!(
                    std::fs::read(&copy).unwrap() == *contents,
                    "{path} by mtools"
                );
            }
        }
    }
    std::fs::remove_dir_all(&target.0).unwrap();
}

#[test]
fn every_kind_of_volume_behaves_as_the_model() {
    let steps = std::env::var("SOIL_FS_STEPS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1500);
    for (name, len, args) in VOLUMES {
        run_model(name, *len, args, steps, Options::default());
    }
}

#[test]
fn a_tiny_cache_and_no_stream_buffers_change_nothing() {
    let options = Options {
        cache_bytes: 0,
        stream_bytes: 0,
        ..Options::default()
    };
    for (name, len, args) in [VOLUMES[0], VOLUMES[3], VOLUMES[6]] {
        run_model(name, len, args, 1000, options);
    }
}
