//! Random operations on a file system in memory and on a model of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::new;
use super::tests::{NEW, names, read, read_path};
use crate::{Error, FileId, Kind, Lease, Volume, Walk};

/// Target of a name in the model: files by number, since names share them.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    File(usize),
    Directory,
    Link(String),
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Entry>,
    files: Vec<Vec<u8>>,
    /// Open files: handles and numbers.
    open: Vec<(FileId, usize)>,
    /// Leases, and their contents when they were taken.
    lent: Vec<(Lease, Vec<u8>)>,
    random: u64,
}

impl Model {
    fn below(&mut self, end: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) as usize % end
    }

    fn path(&mut self) -> String {
        let directories: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| **entry == Entry::Directory)
            .map(|(path, _)| path.clone())
            .collect();
        let pick = self.below(directories.len() + 2);
        let parent = directories.get(pick).cloned().unwrap_or_default();
        format!("{parent}/{}", self.below(9))
    }

    fn parent_error(&self, path: &str) -> Option<Error> {
        match path.rsplit_once('/').unwrap().0 {
            "" => None,
            parent => match self.entries.get(parent) {
                Some(Entry::Directory) => None,
                Some(_) => Some(Error::NotDirectory),
                None => Some(Error::NotFound),
            },
        }
    }

    fn has_children(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.entries.keys().any(|other| other.starts_with(&prefix))
    }

    fn data(&mut self) -> Vec<u8> {
        let len = match self.below(10) {
            0..4 => self.below(100),
            4..9 => self.below(5000),
            _ => self.below(50_000),
        };
        let first = self.below(256);
        (0..len).map(|n| (first + n * 7) as u8).collect()
    }

    fn write(&mut self, volume: &mut dyn Volume, file: FileId, number: usize) {
        let data = self.data();
        let at = self.below(self.files[number].len() * 2 + 10);
        let written = volume
            .write_at(file, at as u64, &data)
            .unwrap_or_else(|error| {
                assert_eq!(error, Error::NoSpace);
                0
            });
        if written < data.len() {
            // Overwriting needs no room; new data needs some.
            let space = volume.space().unwrap();
            assert!(
                space.free < (2 * data.len() as u64).max(64 << 10),
                "{space:?}"
            );
        }
        if written > 0 {
            let contents = &mut self.files[number];
            let end = at + written;
            if contents.len() < end {
                contents.resize(end, 0);
            }
            contents[at..end].copy_from_slice(&data[..written]);
        }
        assert_eq!(size_of(volume, file), self.files[number].len() as u64);
    }

    fn step(&mut self, volume: &mut dyn Volume) {
        let path = self.path();
        let (parent, found) = (self.parent_error(&path), self.entries.get(&path).cloned());
        match self.below(100) {
            0..35 => {
                let opened = volume.open(&path, NEW);
                let number = match (parent, found) {
                    (Some(error), _) => return assert_eq!(opened, Err(error), "{path}"),
                    (None, Some(Entry::Directory)) => {
                        return assert_eq!(opened, Err(Error::IsDirectory));
                    }
                    (None, Some(Entry::Link(_))) => {
                        return assert_eq!(opened, Err(Error::Unsupported));
                    }
                    (None, Some(Entry::File(number))) => number,
                    (None, None) => {
                        if opened == Err(Error::NoSpace) {
                            return;
                        }
                        self.files.push(Vec::new());
                        self.entries.insert(path, Entry::File(self.files.len() - 1));
                        self.files.len() - 1
                    }
                };
                let file = opened.unwrap();
                self.write(volume, file, number);
                if self.below(3) == 0 && self.open.len() < 20 {
                    self.open.push((file, number));
                } else {
                    volume.close(file).unwrap();
                }
            }
            35..45 if !self.open.is_empty() => {
                let pick = self.below(self.open.len());
                let (file, number) = self.open[pick];
                match self.below(4) {
                    0 => {
                        let size = self.below(self.files[number].len() * 2 + 10);
                        volume.truncate(file, size as u64).unwrap();
                        self.files[number].resize(size, 0);
                    }
                    1 => self.write(volume, file, number),
                    2 => {
                        let contents = &self.files[number];
                        let mut lent = Vec::new();
                        volume.lend(file, 0, 100_000, &mut lent).unwrap();
                        let bytes: Vec<u8> = lent.iter().flat_map(|lent| lent.to_vec()).collect();
                        assert!(bytes == contents[..contents.len().min(100_000)]);
                        self.lent.extend(lent.into_iter().zip([bytes]));
                        for (lent, before) in &self.lent {
                            assert!(before.starts_with(lent), "what was lent has changed");
                        }
                        let over = self.lent.len().saturating_sub(5);
                        self.lent.drain(..over);
                    }
                    _ => {
                        assert!(read(volume, file) == self.files[number]);
                        volume.close(file).unwrap();
                        self.open.swap_remove(pick);
                    }
                }
            }
            45..55 => {
                let expected = match (parent, found) {
                    (Some(error), _) => Err(error),
                    (None, Some(_)) => Err(Error::Exists),
                    (None, None) => Ok(()),
                };
                let made = volume.mkdir(&path);
                if made != Err(Error::NoSpace) || expected.is_err() {
                    assert_eq!(made, expected, "mkdir {path}");
                }
                if made.is_ok() {
                    self.entries.insert(path, Entry::Directory);
                }
            }
            55..62 => {
                let expected = match (parent, found) {
                    (Some(error), _) => Err(error),
                    (None, None) => Err(Error::NotFound),
                    (None, Some(Entry::Directory)) if self.has_children(&path) => {
                        Err(Error::NotEmpty)
                    }
                    (None, Some(Entry::Directory)) => Ok(()),
                    (None, Some(_)) => Err(Error::NotDirectory),
                };
                assert_eq!(volume.rmdir(&path), expected, "rmdir {path}");
                if expected.is_ok() {
                    self.entries.remove(&path);
                }
            }
            62..72 => {
                let expected = match (parent, found) {
                    (Some(error), _) => Err(error),
                    (None, None) => Err(Error::NotFound),
                    (None, Some(Entry::Directory)) => Err(Error::IsDirectory),
                    (None, Some(_)) => Ok(()),
                };
                assert_eq!(volume.unlink(&path), expected, "unlink {path}");
                if expected.is_ok() {
                    self.entries.remove(&path);
                }
            }
            72..78 => {
                let expected = match (parent, found) {
                    (Some(error), _) => Err(error),
                    (None, Some(_)) => Err(Error::Exists),
                    (None, None) => Ok(()),
                };
                let made = volume.symlink("target", &path);
                if made != Err(Error::NoSpace) || expected.is_err() {
                    assert_eq!(made, expected, "symlink {path}");
                }
                if made.is_ok() {
                    self.entries.insert(path, Entry::Link("target".to_string()));
                }
            }
            78..86 => self.link(volume, &path),
            _ => self.rename(volume, &path),
        }
    }

    fn link(&mut self, volume: &mut dyn Volume, path: &str) {
        let new = self.path();
        let expected = match (self.parent_error(path), self.entries.get(path)) {
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::NotFound),
            (None, Some(Entry::Directory)) => Err(Error::IsDirectory),
            (None, Some(entry)) => match (self.parent_error(&new), self.entries.get(&new)) {
                (Some(error), _) => Err(error),
                (None, Some(_)) => Err(Error::Exists),
                (None, None) => Ok(entry.clone()),
            },
        };
        match (volume.link(path, &new), expected) {
            (Ok(()), Ok(entry)) => {
                self.entries.insert(new, entry);
            }
            (Err(Error::NoSpace), Ok(_)) => {}
            (made, expected) => assert_eq!(made.err(), expected.err(), "link {path} {new}"),
        }
    }

    fn rename(&mut self, volume: &mut dyn Volume, from: &str) {
        let to = self.path();
        let (source, target) = (self.entries.get(from), self.entries.get(&to));
        let expected = match (self.parent_error(from), self.parent_error(&to)) {
            (Some(error), _) | (None, Some(error)) => Err(error),
            _ => match (source, target) {
                (None, _) => Err(Error::NotFound),
                _ if from == to => Ok(false),
                (Some(Entry::File(one)), Some(Entry::File(other))) if one == other => Ok(false),
                (Some(Entry::Directory), _) if to.starts_with(&format!("{from}/")) => {
                    Err(Error::Invalid)
                }
                (Some(_), None) => Ok(true),
                (Some(Entry::Directory), Some(Entry::Directory)) if self.has_children(&to) => {
                    Err(Error::NotEmpty)
                }
                (Some(Entry::Directory), Some(Entry::Directory)) => Ok(true),
                (Some(Entry::Directory), Some(_)) => Err(Error::NotDirectory),
                (Some(_), Some(Entry::Directory)) => Err(Error::IsDirectory),
                (Some(_), Some(_)) => Ok(true),
            },
        };
        let renamed = volume.rename(from, &to);
        if renamed == Err(Error::NoSpace) {
            return assert_eq!(expected, Ok(true));
        }
        // Two names of one link are the same file, too: the model doesn't number links.
        if renamed.is_ok() && volume.stat(from).is_ok() && from != to {
            return assert_eq!(source, target);
        }
        assert_eq!(renamed, expected.map(|_| ()), "rename {from} {to}");
        if expected != Ok(true) {
            return;
        }
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .entries
            .keys()
            .filter(|path| *path == from || path.starts_with(&below))
            .cloned()
            .collect();
        for old in moved {
            let entry = self.entries.remove(&old).unwrap();
            self.entries
                .insert(format!("{to}{}", &old[from.len()..]), entry);
        }
    }

    /// Frees the contents of files without names and handles.
    fn forget_unused(&mut self) {
        let named = self.entries.values().filter_map(|entry| match entry {
            Entry::File(number) => Some(*number),
            _ => None,
        });
        let open = self.open.iter().map(|(_, number)| *number);
        let used: BTreeSet<usize> = named.chain(open).collect();
        for (number, contents) in self.files.iter_mut().enumerate() {
            if !used.contains(&number) {
                *contents = Vec::new();
            }
        }
    }

    fn compare(&self, volume: &mut dyn Volume) {
        let mut directories = BTreeSet::from([String::new()]);
        for (path, entry) in &self.entries {
            let stat = volume.stat(path).unwrap();
            match entry {
                Entry::Directory => {
                    assert_eq!(stat.kind, Kind::Directory);
                    directories.insert(path.clone());
                }
                Entry::Link(target) => {
                    let end = path.len();
                    let target = target.clone();
                    assert_eq!(volume.resolve(path, true), Ok(Walk::Link { end, target }));
                }
                Entry::File(number) => {
                    assert!(read_path(volume, path) == self.files[*number], "{path}");
                    let same = |other: &&Entry| *other == entry;
                    assert_eq!(
                        stat.links as usize,
                        self.entries.values().filter(same).count()
                    );
                }
            }
        }
        for directory in directories {
            let mut listed = names(
                volume,
                if directory.is_empty() {
                    "/"
                } else {
                    &directory
                },
            );
            listed.sort();
            let expected: Vec<&str> = self
                .entries
                .keys()
                .filter_map(|path| {
                    path.rsplit_once('/')
                        .filter(|(parent, _)| **parent == *directory)
                })
                .map(|(_, name)| name)
                .collect();
            assert_eq!(listed, expected);
        }
    }
}

fn size_of(volume: &mut dyn Volume, file: FileId) -> u64 {
    volume.stat_file(file).unwrap().size
}

/// Runs the model, then removes everything: all charged memory has to be free again.
fn run(seed: u64, limit: u64, steps: usize) {
    let mut volume = new(limit, None);
    let empty = volume.space().unwrap();
    let mut model = Model {
        random: seed,
        ..Model::default()
    };
    for step in 0..steps {
        model.step(&mut *volume);
        if step % (steps / 4) == 0 {
            model.compare(&mut *volume);
        }
        if step % 1000 == 0 {
            model.forget_unused();
        }
    }
    model.compare(&mut *volume);
    for (file, _) in model.open.drain(..) {
        volume.close(file).unwrap();
    }
    for (path, entry) in model.entries.iter().rev() {
        match entry {
            Entry::Directory => volume.rmdir(path),
            _ => volume.unlink(path),
        }
        .unwrap();
    }
    assert_eq!(volume.space().unwrap(), empty);
}

#[test]
fn behaves_as_the_model() {
    let steps = std::env::var("SOIL_FS_STEPS")
        .ok()
        .and_then(|n| n.parse().ok());
    let seed = std::env::var("SOIL_FS_SEED")
        .ok()
        .and_then(|n| n.parse().ok());
    for (n, limit) in [8 << 20, 400 << 10, 64 << 20].into_iter().enumerate() {
        run(seed.unwrap_or(77) + n as u64, limit, steps.unwrap_or(4000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn behaves_as_the_model_from_any_start(seed in any::<u64>(), limit in 1_u64 << 12..1 << 20) {
        run(seed, limit, 300);
    }
}
