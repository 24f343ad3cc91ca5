//! What a crash leaves: the writes that reached the disk are replayed up to every point, and (for
//! power cuts) with some of those since the last flush missing.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::{Image, NEW, Random, mkfs, mount, read_file, run, write_file};
use fs::fake::{Disk, Event};
use fs::{Error, OpenFlags, Volume};

/// Files and their contents.
type Files = BTreeMap<String, Vec<u8>>;

/// What was true of the volume when it was synced, and what happened afterwards.
struct Epoch {
    /// Events in the log when `sync` had returned.
    synced_at: usize,
    files: Files,
    /// Files whose state after a crash is not told by `files`: all the contents they have had
    /// since, `None` for having been absent.
    touched: BTreeMap<String, Vec<Option<Vec<u8>>>>,
}

struct Recorder {
    disk: Disk,
    volume: Box<dyn Volume>,
    now: Files,
    epochs: Vec<Epoch>,
}

impl Recorder {
    fn new(image: Vec<u8>) -> Self {
        let disk = Disk::new(image, 512);
        disk.state().log = Some(Vec::new());
        let volume = mount(&disk);
        let first = Epoch {
            synced_at: 0,
            files: Files::new(),
            touched: BTreeMap::new(),
        };
        Self {
            disk,
            volume,
            now: Files::new(),
            epochs: vec![first],
        }
    }

    fn touch(&mut self, path: &str) {
        let state = self.now.get(path).cloned();
        let epoch = self.epochs.last_mut().unwrap();
        epoch
            .touched
            .entry(path.to_string())
            .or_default()
            .push(state);
    }

    fn write(&mut self, path: &str, data: Vec<u8>) {
        self.touch(path);
        write_file(&mut *self.volume, path, &data).unwrap();
        self.now.insert(path.to_string(), Vec::new());
        self.touch(path);
        self.now.insert(path.to_string(), data);
        self.touch(path);
    }

    fn append(&mut self, path: &str, data: &[u8]) {
        self.touch(path);
        let flags = OpenFlags::WRITE | OpenFlags::APPEND;
        let file = self.volume.open(path, flags).unwrap();
        self.volume.write_at(file, 0, data).unwrap();
        self.volume.close(file).unwrap();
        self.now.get_mut(path).unwrap().extend_from_slice(data);
        self.touch(path);
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.touch(from);
        self.touch(to);
        self.volume.rename(from, to).unwrap();
        let data = self.now.remove(from).unwrap();
        self.now.insert(to.to_string(), data);
        self.touch(from);
        self.touch(to);
    }

    fn unlink(&mut self, path: &str) {
        self.touch(path);
        self.volume.unlink(path).unwrap();
        self.now.remove(path);
        self.touch(path);
    }

    fn sync(&mut self) {
        self.volume.sync().unwrap();
        let synced_at = self.disk.state().log.as_ref().unwrap().len();
        let files = self.now.clone();
        self.epochs.push(Epoch {
            synced_at,
            files,
            touched: BTreeMap::new(),
        });
    }
}

/// Something of everything, with syncs in between.
fn workload(image: Vec<u8>, seed: u64, rounds: u64) -> Recorder {
    let mut r = Recorder::new(image);
    let mut random = Random(seed);
    r.volume.mkdir("d").unwrap();
    for n in 0..rounds {
        let name = |n: u64| format!("d/file number {n}.txt");
        let len = random.below(9000) as usize;
        r.write(&name(n), random.bytes(len));
        if random.below(2) == 0 {
            r.sync();
        }
        let data = random.bytes(random.0 as usize % 3000);
        r.append(&name(n), &data);
        // The way to replace a file: write another, sync, rename.
        r.write("d/new", random.bytes(len / 2 + 1));
        r.sync();
        r.rename("d/new", "d/current");
        if n > 2 && random.below(3) == 0 {
            r.unlink(&name(n - 2));
        }
        if n > 3 && n % 4 == 0 && r.now.contains_key(&name(n - 3)) {
            r.rename(&name(n - 3), &format!("moved {n}"));
        }
        if random.below(3) == 0 {
            r.sync();
        }
    }
    r.sync();
    r
}

/// A disk image in a file, so that `fsck.fat` can look at each state without copying it.
struct Replay(Image);

impl Replay {
    fn write(&self, first: u64, data: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&self.0.0)
            .unwrap();
        file.write_all_at(data, first * 512).unwrap();
    }

    fn fsck(&self, mode: &str) -> (bool, String) {
        run("fsck.fat", &[mode, self.0.0.to_str().unwrap()])
    }
}

/// Checks that after a repair all that was synced is there.
fn check_files(bytes: Vec<u8>, epochs: &[Epoch], events: usize, when: &str) {
    let image = Image::with(&bytes);
    let (_, text) = run("fsck.fat", &["-a", image.0.to_str().unwrap()]);
    let mut volume = mount(&Disk::new(image.bytes(), 512));
    let epoch = epochs
        .iter()
        .rev()
        .find(|epoch| epoch.synced_at <= events)
        .unwrap();
    for (path, data) in &epoch.files {
        let found = match read_file(&mut *volume, path) {
            Ok(found) => Some(found),
            Err(Error::NotFound) => None,
            Err(error) => panic!("{when}: {path}: {error}\n{text}"),
        };
        let Some(states) = epoch.touched.get(path) else {
            assert!(
                found.as_ref() == Some(data),
                "{when}: {path} was damaged\n{text}"
            );
            continue;
        };
        // Appending in place may leave a part of what was appended; and of the two names that a
        // file has in the middle of being renamed, `fsck.fat` leaves one its contents.
        let appended = found.as_ref().is_some_and(|found| found.starts_with(data));
        let other = |volume: &mut dyn Volume| {
            epoch
                .touched
                .keys()
                .any(|other| read_file(volume, other).as_ref() == Ok(data))
        };
        assert!(
            states.contains(&found) || appended || other(&mut *volume),
            "{when}: {path} is neither old nor new\n{text}"
        );
    }
}

/// Replays every prefix. Returns how many there were, and how many of those inside a batch
/// `fsck.fat -n` found something to say about.
fn replay_prefixes(before: &[u8], recorder: &Recorder) -> (u32, u32) {
    let replay = Replay(Image::with(before));
    let log = recorder.disk.state().log.clone().unwrap();
    let (mut points, mut unclean) = (0, 0);
    for (n, event) in log.iter().enumerate() {
        let writes = match event {
            Event::Write(first, data) => std::slice::from_ref(&(*first, data.clone())).to_vec(),
            Event::Batch(writes) => writes.clone(),
            Event::Flush => continue,
        };
        for (at, (first, data)) in writes.iter().enumerate() {
            replay.write(*first, data);
            points += 1;
            let when = format!("event {n}, write {at} of {}", writes.len());
            let (clean, text) = replay.fsck("-n");
            if at + 1 == writes.len() {
                assert!(clean, "{when}: {text}");
            } else if !clean {
                unclean += 1;
            }
            if !clean || points % 7 == 0 {
                check_files(replay.0.bytes(), &recorder.epochs, n, &when);
            }
        }
    }
    (points, unclean)
}

#[test]
fn every_point_of_a_crash_is_clean_or_repaired_with_all_that_was_synced() {
    let volumes: &[(u64, &[&str], u64)] = &[
        (1 << 20, &["-F", "12", "-s", "1"], 9),
        (9 << 20, &["-F", "16", "-s", "2"], 8),
        (35 << 20, &["-F", "32", "-s", "1"], 4),
    ];
    for (len, args, rounds) in volumes {
        let image = mkfs(*len, args);
        let recorder = workload(image.clone(), 77, *rounds);
        let (points, unclean) = replay_prefixes(&image, &recorder);
        println!("{args:?}: {points} points, {unclean} of them inside a commit and to be repaired");
        assert!(points > 30);
    }
}

#[test]
fn a_power_cut_that_loses_some_unflushed_writes_keeps_what_was_synced() {
    let image = mkfs(9 << 20, &["-F", "16", "-s", "2"]);
    let recorder = workload(image.clone(), 99, 12);
    let log = recorder.disk.state().log.clone().unwrap();
    let mut random = Random(4711);
    for cut in 0..80 {
        let end = random.below(log.len() as u64 + 1) as usize;
        let flushed = log[..end]
            .iter()
            .rposition(|event| *event == Event::Flush)
            .unwrap_or(0);
        let mut bytes = image.clone();
        for (n, event) in log[..end].iter().enumerate() {
            let writes = match event {
                Event::Write(first, data) => vec![(*first, data.clone())],
                Event::Batch(writes) => writes.clone(),
                Event::Flush => continue,
            };
            for (first, data) in writes {
                if n < flushed || random.below(2) == 0 {
                    let at = first as usize * 512;
                    bytes[at..at + data.len()].copy_from_slice(&data);
                }
            }
        }
        check_untouched(
            bytes,
            &recorder.epochs,
            end,
            &format!("cut {cut} at event {end}"),
        );
    }
}

/// Checks that what was synced, and not changed since, is there after a repair.
fn check_untouched(bytes: Vec<u8>, epochs: &[Epoch], events: usize, when: &str) {
    let image = Image::with(&bytes);
    let (_, text) = run("fsck.fat", &["-a", image.0.to_str().unwrap()]);
    let mut volume = mount(&Disk::new(image.bytes(), 512));
    let epoch = epochs
        .iter()
        .rev()
        .find(|epoch| epoch.synced_at <= events)
        .unwrap();
    for (path, data) in &epoch.files {
        if !epoch.touched.contains_key(path) {
            let found = read_file(&mut *volume, path);
            assert!(
                found.as_ref() == Ok(data),
                "{when}: {path} was damaged\n{text}"
            );
        }
    }
}

#[test]
fn without_a_sync_the_disk_stays_as_it_was() {
    let image = mkfs(1 << 20, &["-F", "12"]);
    let disk = Disk::new(image.clone(), 512);
    let mut volume = mount(&disk);
    let file = volume.open("a", NEW).unwrap();
    volume.write_at(file, 0, &[1; 100]).unwrap();
    assert!(disk.bytes() == image);
    volume.sync_file(file).unwrap();
    assert!(disk.bytes() != image);
    let flushes = disk.state().flushes;
    volume.sync().unwrap();
    assert_eq!(disk.state().flushes, flushes, "nothing to flush");
}
