//! What a power cut leaves of an ext4 volume: the writes that reached the disk up to every point,
//! with any of those since the last flush missing; then Soil's own replay, and `e2fsck -p`.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::ext4::{fsck, fsck_stopped, mkfs, mount};
use common::{Random, read_file, write_file};
use fs::fake::{Disk, Event};
use fs::{Error, OpenFlags, Volume};

type Files = BTreeMap<String, Vec<u8>>;

/// What was true of the volume when it was synced, and what happened afterwards.
struct Epoch {
    /// Events in the log when `sync` had returned.
    synced_at: usize,
    files: Files,
    /// All the states that a file has had since, `None` for having been absent.
    touched: BTreeMap<String, Vec<Option<Vec<u8>>>>,
}

struct Recorder {
    disk: Disk,
    volume: Box<dyn Volume>,
    now: Files,
    epochs: Vec<Epoch>,
}

impl Recorder {
    fn new(image: &[u8]) -> Self {
        let disk = Disk::new(image.to_vec(), 512);
        disk.state().log = Some(Vec::new());
        let volume = mount(&disk);
        let mut recorder = Self {
            disk,
            volume,
            now: Files::new(),
            epochs: Vec::new(),
        };
        recorder.sync();
        recorder
    }

    fn touch(&mut self, path: &str) {
        let state = self.now.get(path).cloned();
        let epoch = self.epochs.last_mut().unwrap();
        let states = epoch.touched.entry(path.to_string()).or_default();
        states.push(state);
    }

    fn write(&mut self, path: &str, data: Vec<u8>) {
        self.touch(path);
        write_file(&mut *self.volume, path, &data).unwrap();
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

    fn link(&mut self, from: &str, to: &str) {
        self.touch(to);
        self.volume.link(from, to).unwrap();
        let data = self.now[from].clone();
        self.now.insert(to.to_string(), data);
        self.touch(to);
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
fn workload(image: &[u8], seed: u64, rounds: u64) -> Recorder {
    let mut r = Recorder::new(image);
    let mut random = Random(seed);
    r.volume.mkdir("d").unwrap();
    for n in 0..rounds {
        let name = |n: u64| format!("d/file number {n}.txt");
        let len = random.below(30_000) as usize;
        r.write(&name(n), random.bytes(len));
        if random.below(2) == 0 {
            r.sync();
        }
        let data = random.bytes(random.0 as usize % 6000);
        r.append(&name(n), &data);
        // The way to replace a file: write another, sync, rename.
        r.write("d/new", random.bytes(len / 2 + 1));
        r.sync();
        r.rename("d/new", "d/current");
        if n > 2 && random.below(3) == 0 {
            // Open while it goes: an orphan for some time.
            let open = r.volume.open(&name(n - 2), OpenFlags::READ).unwrap();
            r.unlink(&name(n - 2));
            r.sync();
            r.volume.close(open).unwrap();
        }
        if n > 3 && n % 4 == 0 && r.now.contains_key(&name(n - 3)) {
            r.rename(&name(n - 3), &format!("moved {n}"));
            r.link(&format!("moved {n}"), &format!("d/linked {n}"));
        }
        if n % 3 == 0 {
            r.volume.mkdir(&format!("d/directory {n}")).unwrap();
        }
        if random.below(3) == 0 {
            r.sync();
        }
    }
    r.sync();
    r
}

/// The disk after the first `end` events, with each of the writes since the last flush kept or lost
/// by chance if `losing`, and else all there.
fn cut(image: &[u8], log: &[Event], end: usize, losing: Option<&mut Random>) -> Vec<u8> {
    let flushed = log[..end]
        .iter()
        .rposition(|event| *event == Event::Flush)
        .unwrap_or(0);
    let mut bytes = image.to_vec();
    let mut losing = losing;
    for (n, event) in log[..end].iter().enumerate() {
        let writes = match event {
            Event::Write(first, data) => vec![(*first, data.clone())],
            Event::Batch(writes) => writes.clone(),
            Event::Flush => continue,
        };
        for (first, data) in writes {
            // Devices write sectors whole, and nothing larger.
            for (at, sector) in data.chunks(512).enumerate() {
                let kept = n < flushed || losing.as_mut().is_none_or(|random| random.below(2) == 0);
                if kept {
                    let at = (first as usize + at) * 512;
                    bytes[at..at + 512].copy_from_slice(sector);
                }
            }
        }
    }
    bytes
}

/// What is wrong with the files on a disk after a cut at event `end`, if anything.
fn wrong_files(bytes: Vec<u8>, epochs: &[Epoch], end: usize) -> Result<(), String> {
    let disk = Disk::new(bytes, 512);
    let mut volume = fs::ext4::mount(Box::new(disk.clone()), Default::default())
        .map_err(|error| format!("not mounted: {error}"))?;
    let epoch = epochs.iter().rev().find(|epoch| epoch.synced_at <= end);
    let Some(epoch) = epoch else {
        return Ok(());
    };
    let mut paths: Vec<&String> = epoch.files.keys().chain(epoch.touched.keys()).collect();
    paths.dedup();
    for path in paths {
        let found = match read_file(&mut *volume, path) {
            Ok(found) => Some(found),
            Err(Error::NotFound) => None,
            Err(error) => return Err(format!("{path}: {error}")),
        };
        let old = epoch.files.get(path);
        let Some(states) = epoch.touched.get(path) else {
            if found.as_ref() != old {
                return Err(format!("{path} was synced, and is damaged"));
            }
            continue;
        };
        // Writing in place may leave a part of what was written: each byte old, new or zero.
        let mixed = found.as_ref().is_some_and(|found| {
            states.iter().flatten().any(|state| {
                found.len() <= state.len()
                    && found.iter().enumerate().all(|(at, byte)| {
                        *byte == state[at]
                            || *byte == 0
                            || old.and_then(|old| old.get(at)) == Some(byte)
                    })
            })
        });
        if !states.contains(&found) && found.as_ref() != old && !mixed {
            let lengths: Vec<_> = states
                .iter()
                .map(|state| state.as_ref().map(Vec::len))
                .collect();
            let found = found.map(|found| found.len());
            return Err(format!(
                "{path} is neither old nor new: {found:?} bytes, of {lengths:?}"
            ));
        }
    }
    volume.sync().map_err(|error| format!("sync: {error}"))?;
    drop(volume);
    fsck(&disk.bytes()).map_err(|text| format!("after Soil's replay: {text}"))
}

fn check(
    image: &[u8],
    recorder: &Recorder,
    end: usize,
    random: Option<&mut Random>,
    by_others: bool,
) -> Result<(), String> {
    let log = recorder.disk.state().log.clone().unwrap();
    let bytes = cut(image, &log, end, random);
    wrong_files(bytes.clone(), &recorder.epochs, end)?;
    if !by_others {
        return Ok(());
    }
    let repaired = fsck_stopped(&bytes).map_err(|text| format!("e2fsck: {text}"))?;
    wrong_files(repaired, &recorder.epochs, end).map_err(|text| format!("after e2fsck -p: {text}"))
}

fn cuts(default: u64) -> u64 {
    let asked = std::env::var("SOIL_FS_CUTS")
        .ok()
        .and_then(|n| n.parse().ok());
    asked.unwrap_or(default)
}

const VOLUMES: &[(u64, &[&str])] = &[
    (8 << 20, &["-b", "1024", "-J", "size=1"]),
    (12 << 20, &["-b", "4096", "-J", "size=4"]),
];

#[test]
fn after_a_power_cut_what_was_synced_is_there_and_the_rest_is_old_or_new() {
    let mut points = 0;
    for (len, args) in VOLUMES {
        let image = mkfs(*len, args);
        let recorder = workload(&image, 77 + len, 14);
        let events = recorder.disk.state().log.as_ref().unwrap().len() as u64;
        let first = recorder.epochs[0].synced_at as u64;
        let mut random = Random(4711);
        let count = cuts(340) / VOLUMES.len() as u64;
        for n in 0..count {
            let end = (first + n * (events - first) / count) as usize;
            // Every other one loses nothing: the machine was killed, and the power stayed.
            let losing = (n % 2 == 0).then_some(&mut random);
            check(&image, &recorder, end, losing, n % 5 < 2)
                .unwrap_or_else(|text| panic!("{args:?}, cut at event {end} of {events}: {text}"));
            points += 1;
        }
    }
    println!("{points} cuts");
}

/// The test has to fail without what it tests.
#[test]
fn without_a_journal_the_same_cuts_do_harm() {
    let image = mkfs(8 << 20, &["-b", "1024", "-O", "^has_journal"]);
    let recorder = workload(&image, 77, 14);
    let events = recorder.disk.state().log.as_ref().unwrap().len() as u64;
    let mut random = Random(4711);
    let mut harmed = 0;
    for n in 0..30 {
        let end = (n * events / 30) as usize;
        let log = recorder.disk.state().log.clone().unwrap();
        let bytes = cut(&image, &log, end, Some(&mut random));
        harmed += u32::from(
            wrong_files(bytes.clone(), &recorder.epochs, end).is_err() || fsck(&bytes).is_err(),
        );
    }
    assert!(harmed > 3, "only {harmed} of 30 cuts were noticed");
    println!("without a journal {harmed} of 30 cuts did harm");
}
