//! Random operations on a volume and on a model of it in memory: several files and handles at once,
//! and links if supported.

use std::collections::BTreeMap;

use fs::fake::Disk;
use fs::{Error, FileId, Kind, OpenFlags, Volume, VolumeOptions, Walk};

use super::leases::Leases;
use super::{FileSystem, NEW, Random, from_environment, names, read_all};

/// Differences between the models of file systems.
pub struct Rules {
    /// Names of files.
    pub names: &'static [&'static str],
    /// Links exist, and open files can be removed and replaced.
    pub posix: bool,
    /// Bytes that may be free when the volume counts as full.
    pub spare: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    Directory,
    /// Number of a file; several names may share it.
    File(usize),
    Link(String),
}

pub struct Run {
    rules: &'static Rules,
    /// Full paths, without the root.
    pub names: BTreeMap<String, Entry>,
    /// Directories for new names, in any order.
    directories: Vec<String>,
    /// Contents of files, by number.
    pub files: Vec<Vec<u8>>,
    /// Open files and their numbers; a file may have lost its names.
    open: Vec<(FileId, usize)>,
    /// Leases of the volume.
    leases: Leases,
    disk: Disk,
    /// Maximum number of files, directories and links: the inodes that were free at first. `None`
    /// on FAT.
    inodes: Option<usize>,
    /// Number of reads served from memory while the disk was unresponsive.
    answered: u32,
    random: Random,
    /// Number of writes for which the volume was too full.
    pub filled: u32,
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

impl Run {
    fn path(&mut self) -> String {
        let pick = self.random.below(self.directories.len() as u64 + 2) as usize;
        let parent = self.directories.get(pick).map_or("", |path| path.as_str());
        let mut name =
            self.rules.names[self.random.below(self.rules.names.len() as u64) as usize].to_string();
        match self.random.below(24) {
            0 => name = "n".repeat(255),
            1 => name += &format!("{}", self.random.below(500)),
            _ => {}
        }
        format!("{parent}/{name}")
    }

    /// Returns which files have names or are open.
    fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.files.len()];
        for (_, number) in &self.open {
            used[*number] = true;
        }
        for entry in self.names.values() {
            if let Entry::File(number) = entry {
                used[*number] = true;
            }
        }
        used
    }

    /// Drops the contents of files that no longer exist.
    fn forget(&mut self) {
        let used = self.used();
        for (contents, used) in self.files.iter_mut().zip(used) {
            if !used {
                *contents = Vec::new();
            }
        }
    }

    /// Iterates over the paths below a directory.
    fn below(&self, path: &str) -> impl Iterator<Item = &String> {
        let prefix = format!("{path}/");
        let from = self.names.range(prefix.clone()..);
        from.map(|(path, _)| path)
            .take_while(move |other| other.starts_with(&prefix))
    }

    fn has_children(&self, path: &str) -> bool {
        self.below(path).next().is_some()
    }

    /// Records a directory that was created or moved here.
    fn note_directory(&mut self, path: &str) {
        if path.len() < 700 {
            self.directories.push(path.to_string());
        }
    }

    fn forget_directory(&mut self, path: &str) {
        if let Some(place) = self.directories.iter().position(|other| other == path) {
            self.directories.swap_remove(place);
        }
    }

    /// Returns the expected error for a path's parent.
    fn parent_error(&self, path: &str) -> Option<Error> {
        match parent_of(path) {
            "" => None,
            parent => match self.names.get(parent) {
                Some(Entry::Directory) => None,
                Some(_) => Some(Error::NotDirectory),
                None => Some(Error::NotFound),
            },
        }
    }

    fn links(&self, file: usize) -> u32 {
        self.names
            .values()
            .filter(|entry| **entry == Entry::File(file))
            .count() as u32
    }

    /// Whether no inode is left for another file, directory or link. A link with two names counts
    /// twice here, so a few may remain.
    fn is_out_of_inodes(&self) -> bool {
        let is_file = |entry: &&Entry| matches!(entry, Entry::File(_));
        let others = self.names.values().filter(|entry| !is_file(entry)).count();
        let files = self.used().into_iter().filter(|used| *used).count();
        self.inodes.is_some_and(|inodes| files + others >= inodes)
    }

    /// Checks a result, and returns whether it was a success.
    fn check(
        &mut self,
        volume: &mut dyn Volume,
        made: Result<(), Error>,
        expected: Result<(), Error>,
        what: &str,
    ) -> bool {
        let is_full = made == Err(Error::NoSpace)
            && (volume.space().unwrap().free < self.rules.spare || self.is_out_of_inodes());
        if is_full {
            self.filled += 1;
            return false;
        }
        assert_eq!(made, expected, "{what}");
        made.is_ok()
    }

    fn step(&mut self, volume: &mut dyn Volume) {
        let target = self.path();
        let found = self.names.get(&target).cloned();
        let parent = self.parent_error(&target);
        let absent = match (parent, &found) {
            (Some(error), _) => Err(error),
            (None, Some(_)) => Err(Error::Exists),
            (None, None) => Ok(()),
        };
        match self.random.below(100) {
            0..28 => self.write(volume, &target),
            28..36 => self.truncate(volume),
            36..44 => self.read(volume, &target),
            44..53 => {
                let made = volume.mkdir(&target);
                if self.check(volume, made, absent, &format!("mkdir {target}")) {
                    self.note_directory(&target);
                    self.names.insert(target, Entry::Directory);
                }
            }
            53..58 => {
                let expected = match (parent, &found) {
                    (Some(error), _) => Err(error),
                    (None, None) => Err(Error::NotFound),
                    (None, Some(Entry::Directory)) if self.has_children(&target) => {
                        Err(Error::NotEmpty)
                    }
                    (None, Some(Entry::Directory)) => Ok(()),
                    _ => Err(Error::NotDirectory),
                };
                assert_eq!(volume.rmdir(&target), expected, "rmdir {target}");
                if expected.is_ok() {
                    self.forget_directory(&target);
                    self.names.remove(&target);
                }
            }
            58..67 => {
                let expected = match (parent, &found) {
                    (Some(error), _) => Err(error),
                    (None, None) => Err(Error::NotFound),
                    (None, Some(Entry::Directory)) => Err(Error::IsDirectory),
                    _ if self.is_pinned(&target) => Err(Error::Busy),
                    _ => Ok(()),
                };
                assert_eq!(volume.unlink(&target), expected, "unlink {target}");
                if expected.is_ok() {
                    self.names.remove(&target);
                }
            }
            67..77 => self.rename(volume, &target),
            77..81 if self.rules.posix => self.link(volume, &target, absent),
            81..84 if self.rules.posix => {
                let says = self.path().repeat(1 + self.random.below(4) as usize);
                let says: String = says.chars().take(250).collect();
                let made = volume.symlink(&says, &target);
                if self.check(volume, made, absent, &format!("symlink {target}")) {
                    self.names.insert(target, Entry::Link(says));
                }
            }
            84..90 if self.open.len() < 30 => {
                let flags = OpenFlags::READ | OpenFlags::WRITE;
                if let Ok(file) = volume.open(&target, flags)
                    && let Some(Entry::File(number)) = found
                {
                    self.open.push((file, number));
                }
            }
            90..95 if !self.open.is_empty() => {
                let pick = self.random.below(self.open.len() as u64) as usize;
                let (file, _) = self.open.swap_remove(pick);
                volume.close(file).unwrap();
                assert_eq!(volume.close(file), Err(Error::Closed));
            }
            95 => volume.sync().unwrap(),
            _ => self.verify(volume, &target),
        }
    }

    fn verify(&mut self, volume: &mut dyn Volume, target: &str) {
        let of = if self.random.below(2) == 0 {
            ""
        } else {
            parent_of(target)
        };
        if let Ok(listed) = names(volume, of) {
            let inside = self.below(of).filter(|path| parent_of(path) == of);
            let mut expected: Vec<&str> = inside
                .map(|path| path.rsplit_once('/').unwrap().1)
                .collect();
            expected.sort_unstable();
            let listed: Vec<&str> = listed
                .iter()
                .map(String::as_str)
                .filter(|name| *name != "lost+found")
                .collect();
            assert_eq!(listed, expected, "list {of}");
        }
        let walk = volume.resolve(target, true).unwrap();
        match self.names.get(target) {
            Some(Entry::Link(says)) if self.parent_error(target).is_none() => {
                assert_eq!(
                    walk,
                    Walk::Link {
                        end: target.len(),
                        target: says.clone()
                    }
                );
                assert_eq!(volume.resolve(target, false), Ok(Walk::Plain));
                let stat = volume.stat(target).unwrap();
                assert_eq!((stat.kind, stat.size), (Kind::Symlink, says.len() as u64));
            }
            Some(Entry::File(number)) => {
                let stat = volume.stat(target).unwrap();
                assert!(
                    !self.rules.posix || stat.links == self.links(*number),
                    "{target}"
                );
                assert_eq!(stat.size, self.files[*number].len() as u64, "{target}");
                assert_eq!(walk, Walk::Plain);
            }
            _ => {}
        }
    }

    fn write(&mut self, volume: &mut dyn Volume, target: &str) {
        let len = match self.random.below(5) {
            0 => self.random.below(100),
            1 => self.random.below(5000),
            2 => self.random.below(40_000),
            3 => self.random.below(200_000),
            _ => self.random.below(4) * 4096,
        } as usize;
        let data = self.random.bytes(len);
        let mut flags = match self.random.below(3) {
            0 => NEW,
            1 => OpenFlags::WRITE | OpenFlags::CREATE,
            _ => OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::APPEND,
        };
        // One of the open files, or one by name.
        let (file, number, opened) = match self.random.below(3) {
            0 if !self.open.is_empty() => {
                let pick = self.random.below(self.open.len() as u64) as usize;
                flags = OpenFlags::WRITE;
                (self.open[pick].0, self.open[pick].1, false)
            }
            _ => {
                let opened = volume.open(target, flags);
                let expected = match (self.parent_error(target), self.names.get(target)) {
                    (Some(error), _) => Some(error),
                    (None, Some(Entry::Directory)) => Some(Error::IsDirectory),
                    (None, Some(Entry::Link(_))) => Some(Error::Unsupported),
                    _ => None,
                };
                let file = match (opened, expected) {
                    (Ok(file), None) => file,
                    (Err(Error::NoSpace), None) => return self.filled += 1,
                    (opened, expected) => {
                        return assert_eq!(opened.err(), expected, "open {target}");
                    }
                };
                let next = self.files.len();
                let entry = self
                    .names
                    .entry(target.to_string())
                    .or_insert(Entry::File(next));
                let Entry::File(number) = *entry else {
                    panic!("{target} was opened")
                };
                if number == next {
                    self.files.push(Vec::new());
                }
                if flags.contains(OpenFlags::TRUNCATE) {
                    self.files[number].clear();
                }
                (file, number, true)
            }
        };
        let size = self.files[number].len() as u64;
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
                space.free < needed.max(2 * self.rules.spare),
                "write {target}: {written} of {len}, {space:?}"
            );
            self.filled += 1;
        }
        let contents = &mut self.files[number];
        if written > 0 {
            let end = offset as usize + written;
            if contents.len() < end {
                contents.resize(end, 0);
            }
            contents[offset as usize..end].copy_from_slice(&data[..written]);
        }
        assert_eq!(volume.size(file), Ok(contents.len() as u64));
        if self.random.below(12) == 0 {
            volume.sync_file(file).unwrap();
        }
        if opened {
            volume.close(file).unwrap();
        }
    }

    fn truncate(&mut self, volume: &mut dyn Volume) {
        if self.open.is_empty() {
            return;
        }
        let pick = self.random.below(self.open.len() as u64) as usize;
        let (file, number) = self.open[pick];
        let contents = &mut self.files[number];
        let size = self
            .random
            .below(contents.len() as u64 * 2 + 10)
            .min(2 << 20);
        match volume.truncate(file, size) {
            Ok(()) => contents.resize(size as usize, 0),
            Err(error) => assert_eq!(error, Error::NoSpace, "truncate"),
        }
        assert_eq!(volume.size(file), Ok(contents.len() as u64));
    }

    fn read(&mut self, volume: &mut dyn Volume, target: &str) {
        let (file, number, opened) = match self.random.below(2) {
            0 if !self.open.is_empty() => {
                let pick = self.random.below(self.open.len() as u64) as usize;
                (self.open[pick].0, self.open[pick].1, false)
            }
            _ => {
                let expected = match (self.parent_error(target), self.names.get(target)) {
                    (Some(error), _) => Err(error),
                    (None, None) => Err(Error::NotFound),
                    (None, Some(Entry::Directory)) => Err(Error::IsDirectory),
                    (None, Some(Entry::Link(_))) => Err(Error::Unsupported),
                    (None, Some(Entry::File(number))) => Ok(*number),
                };
                match (volume.open(target, OpenFlags::READ), expected) {
                    (Ok(file), Ok(number)) => (file, number, true),
                    (opened, expected) => {
                        return assert_eq!(opened.err(), expected.err(), "open {target}");
                    }
                }
            }
        };
        let contents = &self.files[number];
        let offset = self.random.below(contents.len() as u64 + 10) as usize;
        let mut buf = vec![0xa5; self.random.below(60_000) as usize];
        let rest = contents.get(offset..).unwrap_or_default();
        let again = buf.len();
        self.answered += from_memory(&self.disk, volume, (file, offset, again), rest);
        let count = volume.read_at(file, offset as u64, &mut buf).unwrap();
        assert_eq!(count, rest.len().min(buf.len()), "read {target}");
        assert!(buf[..count] == rest[..count], "read {target} at {offset}");
        self.answered += from_memory(&self.disk, volume, (file, offset, again), rest);
        let len = self.random.below(200_000) as usize;
        self.leases.lend(volume, file, (offset, len), contents);
        if opened {
            volume.close(file).unwrap();
        }
    }

    fn link(&mut self, volume: &mut dyn Volume, target: &str, absent: Result<(), Error>) {
        let from = self.path();
        let expected = match (self.parent_error(&from), self.names.get(&from)) {
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::NotFound),
            (None, Some(Entry::Directory)) => Err(Error::IsDirectory),
            _ => absent,
        };
        let made = volume.link(&from, target);
        if self.check(volume, made, expected, &format!("link {from} {target}")) {
            let entry = self.names[&from].clone();
            self.names.insert(target.to_string(), entry);
        }
    }

    /// Whether a file can't lose its name because it is open.
    fn is_pinned(&self, path: &str) -> bool {
        !self.rules.posix
            && self.names.get(path).is_some_and(|entry| {
                let mut open = self.open.iter();
                open.any(|(_, number)| *entry == Entry::File(*number))
            })
    }

    fn renamed(&self, from: &str, to: &str, inside: bool) -> Result<(), Error> {
        match (self.parent_error(from), self.names.get(from)) {
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::NotFound),
            (None, Some(Entry::Directory)) if inside => Err(Error::Invalid),
            (None, Some(source)) => match (self.parent_error(to), source, self.names.get(to)) {
                (Some(error), ..) => Err(error),
                (None, Entry::Directory, Some(Entry::Directory)) if from == to => Ok(()),
                (None, Entry::Directory, Some(Entry::Directory)) if self.has_children(to) => {
                    Err(Error::NotEmpty)
                }
                (None, Entry::Directory, Some(Entry::Directory) | None) => Ok(()),
                (None, Entry::Directory, Some(_)) => Err(Error::NotDirectory),
                (None, _, Some(Entry::Directory)) => Err(Error::IsDirectory),
                _ => Ok(()),
            },
        }
    }

    /// The expected result if several errors apply and FAT returns another, and if files are open.
    fn renamed_on_fat(&self, from: &str, to: &str, inside: bool) -> Result<(), Error> {
        if let Some(error) = self.parent_error(from).or(self.parent_error(to)) {
            return Err(error);
        }
        match (self.names.get(from), self.names.get(to)) {
            (None, _) => Err(Error::NotFound),
            _ if from == to => Ok(()),
            (Some(Entry::Directory), _) if inside => Err(Error::Invalid),
            (Some(_), None) => Ok(()),
            (Some(Entry::File(_)), Some(Entry::Directory)) => Err(Error::IsDirectory),
            (Some(Entry::Directory), Some(Entry::File(_))) => Err(Error::NotDirectory),
            _ if self.is_pinned(to) => Err(Error::Busy),
            (Some(Entry::Directory), Some(_)) if self.has_children(to) => Err(Error::NotEmpty),
            _ => Ok(()),
        }
    }

    fn rename(&mut self, volume: &mut dyn Volume, from: &str) {
        let to = self.path();
        let inside = to.starts_with(&format!("{from}/"));
        let expected = if self.rules.posix {
            self.renamed(from, &to, inside)
        } else {
            self.renamed_on_fat(from, &to, inside)
        };
        let renamed = volume.rename(from, &to);
        if !self.check(volume, renamed, expected, &format!("rename {from} {to}")) || from == to {
            return;
        }
        let (source, target) = (&self.names[from], self.names.get(&to));
        if matches!(source, Entry::File(_)) && Some(source) == target {
            return; // two names of one file: both stay
        }
        let mut moved = vec![from.to_string()];
        if *source == Entry::Directory {
            moved.extend(self.below(from).cloned());
        }
        if target == Some(&Entry::Directory) {
            self.forget_directory(&to);
        }
        for old in moved {
            let entry = self.names.remove(&old).unwrap();
            let new = format!("{to}{}", &old[from.len()..]);
            if entry == Entry::Directory {
                self.forget_directory(&old);
                self.note_directory(&new);
            }
            self.names.insert(new, entry);
        }
    }

    fn compare(&self, volume: &mut dyn Volume) {
        for (path, entry) in &self.names {
            let stat = volume
                .stat(path)
                .unwrap_or_else(|error| panic!("stat {path}: {error}"));
            match entry {
                Entry::Directory => assert_eq!(stat.kind, Kind::Directory, "{path}"),
                Entry::Link(_) => assert_eq!(stat.kind, Kind::Symlink, "{path}"),
                Entry::File(number) => {
                    assert!(
                        !self.rules.posix || stat.links == self.links(*number),
                        "{path}"
                    );
                    let file = volume.open(path, OpenFlags::READ).unwrap();
                    assert!(
                        read_all(volume, file).unwrap() == self.files[*number],
                        "contents of {path}"
                    );
                    volume.close(file).unwrap();
                }
            }
        }
        for (file, number) in &self.open {
            if volume.size(*file).is_ok() {
                assert!(
                    read_all(volume, *file).unwrap() == self.files[*number],
                    "an open file"
                );
            }
        }
    }
}

/// Reads from memory only, and returns whether that was possible. Otherwise nothing has happened.
fn from_memory(
    disk: &Disk,
    volume: &mut dyn Volume,
    (file, offset, len): (FileId, usize, usize),
    rest: &[u8],
) -> u32 {
    let mut buf = vec![0x5a; len];
    disk.state().away = true;
    let now = volume.read_at(file, offset as u64, &mut buf);
    disk.state().away = false;
    match now {
        Ok(count) => assert!(buf[..count] == rest[..rest.len().min(len)]),
        Err(error) => assert_eq!(error, Error::Io),
    }
    u32::from(now.is_ok())
}

/// Runs `steps` operations on a new volume, with a few checks on the way, and returns the disk.
pub fn run_model(
    file_system: &FileSystem,
    rules: &'static Rules,
    (name, len, args): (&str, u64, &[&str]),
    steps: u32,
    options: VolumeOptions,
) -> (Run, Disk) {
    let image = (file_system.mkfs)(len, args);
    // The superblock's `s_free_inodes_count`.
    let inodes = image[1024 + 0x10..].first_chunk().copied();
    let inodes = inodes.map(|count| u32::from_le_bytes(count) as usize);
    let disk = Disk::new(image, 512);
    let mut volume = (file_system.mount_with)(&disk, options);
    let seed = from_environment("SOIL_FS_SEED", 0x5011);
    let mut run = Run {
        rules,
        names: BTreeMap::new(),
        directories: Vec::new(),
        files: Vec::new(),
        open: Vec::new(),
        leases: Leases::default(),
        disk: disk.clone(),
        inodes: inodes.filter(|_| rules.posix),
        answered: 0,
        random: Random(seed + len + args.len() as u64),
        filled: 0,
    };
    for step in 1..=steps {
        run.step(&mut *volume);
        if step % 1000 == 0 {
            run.forget();
        }
        if step % (steps / 4) == 0 && !args.contains(&"^has_journal") {
            volume.sync().unwrap();
            (file_system.fsck_mounted)(&disk.bytes())
                .unwrap_or_else(|text| panic!("{name}, step {step}: {text}"));
        }
    }
    run.compare(&mut *volume);
    drop(volume);
    run.leases.check();
    assert!(
        run.answered > steps / 200,
        "{} reads from memory only",
        run.answered
    );
    run.open.clear();
    (file_system.fsck)(&disk.bytes()).unwrap_or_else(|text| panic!("{name}: {text}"));
    let mut fresh = (file_system.mount_with)(&disk, VolumeOptions::default());
    run.compare(&mut *fresh);
    println!(
        "{name}: {} names, {} writes that didn't fit, {} reads from memory only",
        run.names.len(),
        run.filled,
        run.answered
    );
    (run, disk)
}

/// Options with which all data goes to the device at once.
pub fn tiny() -> VolumeOptions {
    VolumeOptions {
        cache_bytes: 0,
        stream_bytes: 0,
        ..VolumeOptions::default()
    }
}

/// Runs the model on each kind of volume; `check` reads the disk independently.
pub fn run_models(
    file_system: &FileSystem,
    rules: &'static Rules,
    volumes: &[(&str, u64, &[&str])],
    check: impl Fn(&Run, &Disk),
) {
    let steps = from_environment("SOIL_FS_STEPS", 1500) as u32;
    for volume in volumes {
        let (run, disk) = run_model(file_system, rules, *volume, steps, VolumeOptions::default());
        check(&run, &disk);
        // The smallest volumes have to fill up.
        assert!(
            volume.1 > 2 << 20 || steps < 1500 || run.filled > 0,
            "{} was never full",
            volume.0
        );
    }
}
