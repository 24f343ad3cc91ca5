//! Like xfstests' fsstress and fsx: a tree of directories that grow and shrink, with renames and
//! links, and one file that is written, truncated and read at random; both against a model in
//! memory, and every thousand operations against e2fsprogs' view of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount_with};
use crate::common::{Image, NEW, Random, from_environment, names, read_all, run, write_file};
use fs::ext4::Options;
use fs::fake::Disk;
use fs::{Error, FileId, Health, OpenFlags, Volume, Walk};

/// Kinds of volume: bytes, and options of mkfs.ext4.
const KINDS: &[(u64, &[&str])] = &[
    (24 << 20, &["-b", "4096", "-J", "size=4"]),
    (12 << 20, &["-b", "1024", "-J", "size=1"]),
    // Full most of the time.
    (4 << 20, &["-b", "1024", "-J", "size=1", "-N", "1200"]),
    (16 << 20, &["-b", "2048", "-J", "size=2"]),
    (
        16 << 20,
        &["-b", "1024", "-O", "^64bit,orphan_file", "-J", "size=1"],
    ),
    (
        16 << 20,
        &[
            "-b",
            "1024",
            "-O",
            "^metadata_csum,uninit_bg",
            "-J",
            "size=1",
        ],
    ),
    (4 << 20, &["-b", "1024", "-O", "^has_journal"]),
    (
        12 << 20,
        &["-b", "1024", "-O", "^dir_index", "-J", "size=1"],
    ),
    (12 << 20, &["-b", "1024", "-I", "128", "-J", "size=1"]),
    (
        12 << 20,
        &["-b", "1024", "-O", "^extent,^64bit", "-J", "size=1"],
    ),
    (
        16 << 20,
        &["-b", "1024", "-g", "1024", "-O", "^flex_bg", "-J", "size=1"],
    ),
];

#[derive(Debug)]
enum Node {
    Directory(BTreeMap<String, usize>),
    File(Vec<u8>),
    Link(String),
}

/// Expected tree. Node 0 is the root.
struct Model {
    nodes: Vec<Node>,
    /// Directories with their paths.
    directories: BTreeMap<usize, String>,
    /// Open files.
    open: Vec<(FileId, usize)>,
    random: Random,
    /// Number of removals in 16 changes of names.
    removals: u64,
    full: u32,
    spare: u64,
}

/// Location of a name: directory, name, and the whole path.
type Place = (usize, String, String);

impl Model {
    fn entries(&self, directory: usize) -> &BTreeMap<String, usize> {
        match &self.nodes[directory] {
            Node::Directory(entries) => entries,
            other => panic!("{directory} is {other:?}"),
        }
    }

    fn entries_mut(&mut self, directory: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.nodes[directory] {
            Node::Directory(entries) => entries,
            other => panic!("{directory} is {other:?}"),
        }
    }

    fn directory(&mut self) -> (usize, String) {
        // Two of three in the root's first child, so that one directory is large.
        let count = self.directories.len() as u64;
        let pick = self.random.below(count * 3).min(count * 3 - 1);
        let pick = if pick < count {
            pick as usize
        } else {
            1.min(count as usize - 1)
        };
        let (number, path) = self.directories.iter().nth(pick).unwrap();
        (*number, path.clone())
    }

    fn new_place(&mut self) -> Place {
        let (directory, path) = self.directory();
        let number = self.random.below(30_000);
        let name = match self.random.below(8) {
            0 => format!("{number}{}", "é".repeat(self.random.below(120) as usize)),
            1 => format!("{}{number:05}", "x".repeat(250)),
            2..4 => format!("{number:x}"),
            _ => format!("a name of middle length {number}"),
        };
        let whole = format!("{path}/{name}");
        (directory, name, whole)
    }

    fn old_place(&mut self) -> Option<Place> {
        let (directory, path) = self.directory();
        let count = self.entries(directory).len() as u64;
        let pick = (count > 0).then(|| self.random.below(count) as usize)?;
        let name = self.entries(directory).keys().nth(pick)?.clone();
        let whole = format!("{path}/{name}");
        Some((directory, name, whole))
    }

    fn links(&self, node: usize) -> u32 {
        let all = self
            .directories
            .keys()
            .flat_map(|d| self.entries(*d).values());
        all.filter(|other| **other == node).count() as u32
    }

    /// Returns whether the operation succeeded. It may fail for lack of space when there is little.
    fn done(&mut self, volume: &mut dyn Volume, made: Result<(), Error>, what: &str) -> bool {
        if made == Err(Error::NoSpace) {
            let free = volume.space().unwrap().free;
            assert!(free < self.spare, "{what}: no room in {free}");
            self.full += 1;
            return false;
        }
        assert_eq!(made, Ok(()), "{what}");
        true
    }

    fn add(&mut self, (directory, name, path): Place, node: Node) {
        let number = self.nodes.len();
        if matches!(node, Node::Directory(_)) {
            self.directories.insert(number, path);
        }
        self.nodes.push(node);
        self.entries_mut(directory).insert(name, number);
    }

    fn step(&mut self, volume: &mut dyn Volume) {
        let kind = self.random.below(40);
        match kind {
            0..16 if self.random.below(16) < self.removals => self.remove(volume),
            0..16 => self.make(volume),
            16..22 => self.rename(volume),
            22..24 => self.link(volume),
            24..34 => self.write(volume),
            34..36 => self.open_or_close(volume),
            36..38 => self.verify(volume),
            38 if self.random.below(3) == 0 => volume.sync().unwrap(),
            _ => {}
        }
    }

    fn make(&mut self, volume: &mut dyn Volume) {
        let place = self.new_place();
        let known = self.entries(place.0).contains_key(&place.1);
        let path = place.2.clone();
        match self.random.below(10) {
            0 if path.len() < 1500 => {
                let made = volume.mkdir(&path);
                if known {
                    assert_eq!(made, Err(Error::Exists));
                } else if self.done(volume, made, &path) {
                    self.add(place, Node::Directory(BTreeMap::new()));
                }
            }
            1 => {
                let len = 1 + self.random.below(300) as usize;
                let made = volume.symlink(&"t".repeat(len), &path);
                if known {
                    assert_eq!(made, Err(Error::Exists));
                } else if self.done(volume, made, &path) {
                    self.add(place, Node::Link("t".repeat(len)));
                }
            }
            _ => {
                let flags = NEW | OpenFlags::EXCLUSIVE;
                let made = volume.open(&path, flags);
                if known {
                    assert_eq!(made.err(), Some(Error::Exists));
                } else if self.done(volume, made.map(|_| ()), &path) {
                    let file = made.unwrap();
                    self.open.push((file, self.nodes.len()));
                    self.add(place, Node::File(Vec::new()));
                    self.close_some(volume, 20);
                }
            }
        }
    }

    fn close_some(&mut self, volume: &mut dyn Volume, most: usize) {
        while self.open.len() > most {
            let pick = self.random.below(self.open.len() as u64) as usize;
            let (file, _) = self.open.swap_remove(pick);
            volume.close(file).unwrap();
        }
    }

    fn remove(&mut self, volume: &mut dyn Volume) {
        let Some((directory, name, path)) = self.old_place() else {
            return;
        };
        let node = self.entries(directory)[&name];
        let is_empty = match &self.nodes[node] {
            Node::Directory(entries) => entries.is_empty(),
            _ => {
                assert_eq!(volume.rmdir(&path), Err(Error::NotDirectory));
                let removed = volume.unlink(&path);
                if self.done(volume, removed, &path) {
                    self.entries_mut(directory).remove(&name);
                }
                return;
            }
        };
        assert_eq!(volume.unlink(&path), Err(Error::IsDirectory));
        if !is_empty {
            assert_eq!(volume.rmdir(&path), Err(Error::NotEmpty), "{path}");
            return;
        }
        let removed = volume.rmdir(&path);
        if self.done(volume, removed, &path) {
            self.entries_mut(directory).remove(&name);
            self.directories.remove(&node);
        }
    }

    fn rename(&mut self, volume: &mut dyn Volume) {
        let Some(from) = self.old_place() else {
            return;
        };
        let to = match self.random.below(3) {
            0 => self.old_place(),
            _ => None,
        };
        let to = to.unwrap_or_else(|| self.new_place());
        let source = self.entries(from.0)[&from.1];
        let target = self.entries(to.0).get(&to.1).copied();
        let is_directory = |node: usize| matches!(self.nodes[node], Node::Directory(_));
        let expected = if to.2.starts_with(&format!("{}/", from.2)) {
            Err(Error::Invalid)
        } else {
            match target {
                None => Ok(()),
                Some(target) if target == source => Ok(()),
                Some(target) => match (is_directory(source), is_directory(target)) {
                    (true, false) => Err(Error::NotDirectory),
                    (false, true) => Err(Error::IsDirectory),
                    (true, true) if !self.entries(target).is_empty() => Err(Error::NotEmpty),
                    _ => Ok(()),
                },
            }
        };
        let what = format!("rename {} {}", from.2, to.2);
        let renamed = volume.rename(&from.2, &to.2);
        if expected.is_err() {
            return assert_eq!(renamed, expected, "{what}");
        }
        if !self.done(volume, renamed, &what) || target == Some(source) {
            return;
        }
        self.entries_mut(from.0).remove(&from.1);
        if let Some(target) = target {
            self.directories.remove(&target);
        }
        self.entries_mut(to.0).insert(to.1, source);
        if self.directories.contains_key(&source) {
            let (old, new) = (format!("{}/", from.2), format!("{}/", to.2));
            for path in self.directories.values_mut() {
                if *path == from.2 {
                    *path = to.2.clone();
                } else if let Some(rest) = path.strip_prefix(&old) {
                    *path = format!("{new}{rest}");
                }
            }
        }
    }

    fn link(&mut self, volume: &mut dyn Volume) {
        let Some(from) = self.old_place() else {
            return;
        };
        let to = self.new_place();
        let source = self.entries(from.0)[&from.1];
        let linked = volume.link(&from.2, &to.2);
        if self.directories.contains_key(&source) {
            return assert_eq!(linked, Err(Error::IsDirectory));
        }
        if self.entries(to.0).contains_key(&to.1) {
            return assert_eq!(linked, Err(Error::Exists));
        }
        if self.done(volume, linked, &to.2) {
            self.entries_mut(to.0).insert(to.1, source);
        }
    }

    fn write(&mut self, volume: &mut dyn Volume) {
        if self.open.is_empty() {
            return;
        }
        let pick = self.random.below(self.open.len() as u64) as usize;
        let (file, node) = self.open[pick];
        let Node::File(contents) = &mut self.nodes[node] else {
            panic!("an open file isn't one")
        };
        let (random, size) = (&mut self.random, contents.len() as u64);
        if random.below(4) == 0 {
            let to = random.below(size * 2 + 20).min(300_000);
            volume.truncate(file, to).unwrap();
            contents.resize(to as usize, 0);
            return;
        }
        let at = match random.below(3) {
            0 => size,
            1 => random.below(size + 1),
            _ => random.below(size + 40_000),
        };
        let most = [60_000, 5000][usize::from(random.below(8) != 0)];
        let len = 1 + random.below(most);
        let data = random.bytes(len as usize);
        let written = volume.write_at(file, at, &data);
        let count = written.unwrap_or(0);
        if count > 0 {
            let end = at as usize + count;
            contents.resize(contents.len().max(end), 0);
            contents[at as usize..end].copy_from_slice(&data[..count]);
        }
        let fitted = if written == Ok(data.len()) {
            Ok(())
        } else {
            Err(Error::NoSpace)
        };
        assert!(
            written.is_ok() || written == Err(Error::NoSpace),
            "{written:?}"
        );
        self.spare += 61_000;
        self.done(volume, fitted, "write");
        self.spare -= 61_000;
    }

    fn open_or_close(&mut self, volume: &mut dyn Volume) {
        if self.random.below(2) == 0 {
            let most = self.open.len().saturating_sub(1);
            return self.close_some(volume, most);
        }
        let Some((directory, name, path)) = self.old_place() else {
            return;
        };
        let node = self.entries(directory)[&name];
        let opened = volume.open(&path, OpenFlags::READ | OpenFlags::WRITE);
        match self.nodes[node] {
            Node::File(_) => self.open.push((opened.unwrap(), node)),
            Node::Directory(_) => assert_eq!(opened.err(), Some(Error::IsDirectory)),
            Node::Link(_) => assert_eq!(opened.err(), Some(Error::Unsupported)),
        }
    }

    fn verify(&mut self, volume: &mut dyn Volume) {
        let (directory, path) = self.directory();
        let mut listed = names(volume, &path).unwrap();
        listed.retain(|name| name != "lost+found");
        let expected: Vec<&String> = self.entries(directory).keys().collect();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{path}");
        if let Some((directory, name, path)) = self.old_place() {
            let node = self.entries(directory)[&name];
            let stat = volume.stat(&path).unwrap();
            match &self.nodes[node] {
                Node::Directory(entries) => {
                    let inside = entries.values();
                    let inside = inside.filter(|node| self.directories.contains_key(node));
                    assert_eq!(stat.links as usize, 2 + inside.count(), "{path}");
                }
                Node::File(contents) => {
                    assert_eq!(stat.size, contents.len() as u64, "{path}");
                    assert_eq!(stat.links, self.links(node), "{path}");
                }
                Node::Link(target) => {
                    let walk = volume.resolve(&path, true).unwrap();
                    assert!(matches!(walk, Walk::Link { target: found, .. } if found == *target));
                }
            }
        }
        let absent = self.new_place();
        if !self.entries(absent.0).contains_key(&absent.1) {
            assert_eq!(volume.stat(&absent.2).err(), Some(Error::NotFound));
        }
    }

    /// Compares everything through the volume.
    fn compare(&mut self, volume: &mut dyn Volume) {
        let mut seen = BTreeSet::new();
        for (directory, path) in self.directories.clone() {
            for (name, node) in self.entries(directory) {
                let path = format!("{path}/{name}");
                if let Node::File(contents) = &self.nodes[*node]
                    && seen.insert(*node)
                {
                    let file = volume.open(&path, OpenFlags::READ);
                    let file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
                    assert!(read_all(volume, file).unwrap() == *contents, "{path}");
                    volume.close(file).unwrap();
                }
            }
        }
        for (file, node) in &self.open {
            if let (Node::File(contents), Ok(_)) = (&self.nodes[*node], volume.size(*file)) {
                assert!(
                    read_all(volume, *file).unwrap() == *contents,
                    "an open file"
                );
            }
        }
    }

    /// Compares everything with debugfs.
    fn compare_outside(&self, bytes: &[u8]) {
        let (image, target) = (Image::with(bytes), Image::new());
        std::fs::create_dir(&target.0).unwrap();
        let command = format!("rdump / {}", target.0.to_str().unwrap());
        let (ok, text) = run("debugfs", &["-R", &command, image.0.to_str().unwrap()]);
        assert!(ok, "debugfs: {text}");
        for (directory, path) in &self.directories {
            let copy = target.0.join(path.trim_start_matches('/'));
            self.compare_directory(*directory, path, &copy);
        }
        std::fs::remove_dir_all(&target.0).unwrap();
    }

    fn compare_directory(&self, directory: usize, path: &str, copy: &Path) {
        let mut left: BTreeSet<String> = std::fs::read_dir(copy)
            .unwrap_or_else(|error| panic!("{path} by debugfs: {error}"))
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        for (name, node) in self.entries(directory) {
            assert!(left.remove(name), "{path}/{name} by debugfs");
            match &self.nodes[*node] {
                Node::Directory(_) => {}
                Node::File(contents) => assert!(
                    std::fs::read(copy.join(name)).unwrap() == *contents,
                    "{path}/{name} by debugfs"
                ),
                Node::Link(target) => {
                    let found = std::fs::read_link(copy.join(name)).unwrap();
                    assert_eq!(found.to_str(), Some(target.as_str()));
                }
            }
        }
        left.remove("lost+found");
        assert_eq!(left, BTreeSet::new(), "{path} by debugfs");
    }
}

/// A tree that grows for a thousand operations, and shrinks for the next.
#[test]
fn a_tree_is_what_the_model_says() {
    let each = from_environment("SOIL_FS_STEPS", 11_000) / KINDS.len() as u64;
    for (len, args) in KINDS {
        let disk = Disk::new(mkfs(*len, args), 512);
        let has_journal = !args.contains(&"^has_journal");
        let options = Options {
            cache_bytes: 64 << 10,
            ..Options::default()
        };
        let mut volume = mount_with(&disk, options);
        let mut model = Model {
            nodes: vec![Node::Directory(BTreeMap::new())],
            directories: BTreeMap::from([(0, String::new())]),
            open: Vec::new(),
            random: Random(from_environment("SOIL_FS_SEED", 0x5011) + len + args.len() as u64),
            removals: 3,
            full: 0,
            spare: 64 << 10,
        };
        let is_small = *len <= 4 << 20;
        if is_small {
            // Leaves little room for the rest.
            let most = volume.space().unwrap().free as usize - (250 << 10);
            let filler = model.random.bytes(most);
            write_file(&mut *volume, "filler", &filler).unwrap();
            let place = (0, String::from("filler"), String::from("/filler"));
            model.add(place, Node::File(filler));
        }
        for step in 1..=each {
            model.removals = if step / 1000 % 3 == 2 { 12 } else { 3 };
            model.step(&mut *volume);
            if step % 1000 == 0 || step == each {
                volume.sync().unwrap();
                if has_journal {
                    let replayed = fsck_stopped(&disk.bytes())
                        .unwrap_or_else(|text| panic!("{args:?}, step {step}: {text}"));
                    model.compare_outside(&replayed);
                }
                model.compare(&mut *volume);
            }
        }
        if is_small {
            // Whatever the steps have left, there is no room for these.
            let mut data = vec![1; volume.space().unwrap().free as usize + 4096];
            let rest = volume.open("rest", NEW).unwrap();
            let written = volume.write_at(rest, 0, &data).unwrap_or(0);
            volume.close(rest).unwrap();
            assert!(written < data.len(), "{args:?}: {written} bytes");
            data.truncate(written);
            let place = (0, String::from("rest"), String::from("/rest"));
            model.add(place, Node::File(data));
            model.removals = 0;
            for _ in 0..400 {
                model.step(&mut *volume);
            }
            assert!(model.full > 0, "{args:?} was never full");
            model.compare(&mut *volume);
        }
        assert_eq!(volume.health(), Health::Writable);
        drop(volume);
        model.open.clear();
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        model.compare_outside(&disk.bytes());
        let mut volume = mount_with(&disk, options);
        model.compare(&mut *volume);
        let count = model
            .entries(*model.directories.keys().nth(1).unwrap())
            .len();
        println!(
            "{args:?}: {count} in one directory, {} times full",
            model.full
        );
    }
}

/// One file, written, truncated, extended and read at random places with random lengths, near the
/// ends of blocks as often as not; the volume is unmounted and mounted now and then.
#[test]
fn one_file_is_what_was_written() {
    let each = from_environment("SOIL_FS_STEPS", 11_000) / KINDS.len() as u64;
    for (len, args) in KINDS {
        let disk = Disk::new(mkfs(*len, args), 512);
        let mut volume = mount_with(&disk, Options::default());
        let block = u64::from(volume.space().unwrap().unit);
        let mut random = Random(from_environment("SOIL_FS_SEED", 0x0f57) + len);
        let mut file = volume.open("f", NEW).unwrap();
        let mut model: Vec<u8> = Vec::new();
        let most = (600 * block.min(2048)).min(len / 4);
        for step in 0..each {
            let place = |random: &mut Random| match random.below(2) {
                0 => random.below(most),
                _ => (random.below(most / block) * block + random.below(5)).saturating_sub(2),
            };
            let at = place(&mut random);
            let count = match random.below(3) {
                0 => 1 + random.below(20),
                1 => 1 + random.below(3 * block),
                _ => 1 + random.below(40 * block),
            };
            let (from, end) = (at as usize, (at + count) as usize);
            match random.below(20) {
                0..8 => {
                    let data = random.bytes(count as usize);
                    assert_eq!(volume.write_at(file, at, &data), Ok(data.len()), "{step}");
                    model.resize(model.len().max(end), 0);
                    model[from..end].copy_from_slice(&data);
                }
                8..10 => {
                    volume.truncate(file, at).unwrap();
                    model.resize(from, 0);
                }
                10 => {
                    volume.close(file).unwrap();
                    drop(volume);
                    if random.below(8) == 0 {
                        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
                    }
                    volume = mount_with(&disk, Options::default());
                    let flags = OpenFlags::READ | OpenFlags::WRITE;
                    file = volume.open("f", flags).unwrap();
                }
                11 => volume.sync_file(file).unwrap(),
                12 => {
                    let data = random.bytes((count % 3000) as usize);
                    let flags = OpenFlags::WRITE | OpenFlags::APPEND;
                    let other = volume.open("f", flags).unwrap();
                    assert_eq!(volume.write_at(other, 0, &data), Ok(data.len()));
                    volume.close(other).unwrap();
                    model.extend_from_slice(&data);
                }
                _ => {
                    let mut buf = vec![0xa5; count as usize];
                    let read = volume.read_at(file, at, &mut buf).unwrap();
                    let rest = model.get(from..).unwrap_or_default();
                    assert_eq!(read, rest.len().min(buf.len()), "{step}");
                    assert!(
                        buf[..read] == rest[..read],
                        "{args:?}, step {step}: {at}, {count}"
                    );
                }
            }
            assert_eq!(volume.size(file), Ok(model.len() as u64));
        }
        assert!(read_all(&mut *volume, file).unwrap() == model, "{args:?}");
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        let image = Image::with(&disk.bytes());
        let out = Image::new();
        let command = format!("dump /f {}", out.0.to_str().unwrap());
        let (ok, text) = run("debugfs", &["-R", &command, image.0.to_str().unwrap()]);
        assert!(ok && out.bytes() == model, "{args:?} by debugfs: {text}");
    }
}
