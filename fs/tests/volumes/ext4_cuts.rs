//! Power cuts while blocks move from directories to files and back, on a volume with little room
//! and a journal that wraps many times: synced data exists, no file has another's data, and e2fsck
//! finds nothing. Then the same with a journal that lacks something, which the test must detect.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount};
use crate::common::recorder::cut;
use crate::common::{Random, from_environment, names, read_file, write_file};
use fs::fake::{Disk, Event};
use fs::{Error, OpenFlags, Volume};

/// Contents that identify their file: a number for each life of a file, repeated throughout.
fn contents(life: u32, len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8) as u32).flat_map(|n| [life.to_le_bytes(), n.to_le_bytes()]);
    let mut bytes: Vec<u8> = words.flatten().collect();
    bytes.truncate(len);
    bytes
}

/// A life and a length.
type State = Option<(u32, usize)>;

/// State when `sync` returned, and the changes since.
#[derive(Clone)]
struct Epoch {
    synced_at: usize,
    files: BTreeMap<String, (u32, usize)>,
    directories: BTreeSet<String>,
    /// States of paths since, without the one at the sync.
    touched: BTreeMap<String, BTreeSet<State>>,
    touched_directories: BTreeSet<String>,
}

struct Recording {
    image: Vec<u8>,
    log: Vec<Event>,
    epochs: Vec<Epoch>,
}

struct Worker {
    disk: Disk,
    volume: Box<dyn Volume>,
    now: Epoch,
    epochs: Vec<Epoch>,
    life: u32,
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Worker {
    fn touch(&mut self, path: &str) {
        let state = self.now.files.get(path).copied();
        let states = self.now.touched.entry(path.to_string()).or_default();
        states.insert(state);
        self.now
            .touched_directories
            .insert(parent_of(path).to_string());
    }

    fn write(&mut self, path: &str, len: usize) {
        self.life += 1;
        self.touch(path);
        match write_file(&mut *self.volume, path, &contents(self.life, len)) {
            Ok(()) => {
                self.now.files.insert(path.to_string(), (self.life, len));
            }
            Err(error) => {
                // A full volume stores part of it.
                assert_eq!(error, Error::NoSpace, "{path}");
                match self.volume.stat(path) {
                    Ok(found) => {
                        let state = (self.life, found.size as usize);
                        self.now.files.insert(path.to_string(), state);
                    }
                    Err(_) => drop(self.now.files.remove(path)),
                }
            }
        }
        let states = self.now.touched.entry(path.to_string()).or_default();
        states.insert(Some((self.life, 0)));
        self.touch(path);
    }

    fn cut(&mut self, path: &str, len: usize) {
        self.touch(path);
        let file = self.volume.open(path, OpenFlags::WRITE).unwrap();
        self.volume.truncate(file, len as u64).unwrap();
        self.volume.close(file).unwrap();
        self.now.files.get_mut(path).unwrap().1 = len;
        self.touch(path);
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.touch(from);
        self.touch(to);
        self.volume.rename(from, to).unwrap();
        let state = self.now.files.remove(from).unwrap();
        self.now.files.insert(to.to_string(), state);
        self.touch(from);
        self.touch(to);
    }

    fn unlink(&mut self, path: &str) {
        self.touch(path);
        self.volume.unlink(path).unwrap();
        self.now.files.remove(path);
        self.touch(path);
    }

    fn mkdir(&mut self, path: &str) -> bool {
        self.now.touched_directories.insert(path.to_string());
        self.now
            .touched_directories
            .insert(parent_of(path).to_string());
        let made = self.volume.mkdir(path);
        if made.is_ok() {
            self.now.directories.insert(path.to_string());
        }
        made.is_ok()
    }

    fn rmdir(&mut self, path: &str) {
        self.now.touched_directories.insert(path.to_string());
        self.now
            .touched_directories
            .insert(parent_of(path).to_string());
        self.volume.rmdir(path).unwrap();
        self.now.directories.remove(path);
    }

    fn sync(&mut self) {
        self.volume.sync().unwrap();
        self.epochs.push(self.now.clone());
        self.now.synced_at = self.disk.state().log.as_ref().unwrap().len();
        self.now.touched.clear();
        self.now.touched_directories.clear();
    }
}

/// Directories of many blocks come and go, and files fill the freed ones.
fn record(image: Vec<u8>, (seed, rounds): (u64, u32)) -> Recording {
    let disk = Disk::new(image.clone(), 512);
    disk.state().log = Some(Vec::new());
    let now = Epoch {
        synced_at: 0,
        files: BTreeMap::new(),
        directories: BTreeSet::new(),
        touched: BTreeMap::new(),
        touched_directories: BTreeSet::new(),
    };
    let mut w = Worker {
        volume: mount(&disk),
        disk,
        now,
        epochs: Vec::new(),
        life: 0,
    };
    w.sync();
    let mut random = Random(seed);
    let free = w.volume.space().unwrap().free as usize;
    w.write("filler", free - (400 << 10));
    w.sync();
    for round in 0..rounds {
        let directory = format!("d{}", round % 4);
        if w.now.directories.contains(&directory) {
            let inside: Vec<String> = w.now.files.keys().cloned().collect();
            for path in inside.iter().filter(|path| parent_of(path) == directory) {
                w.unlink(path);
            }
            w.rmdir(&directory);
        } else if w.mkdir(&directory) {
            let long = "n".repeat(30 + random.below(200) as usize);
            for n in 0..20 + random.below(30) {
                w.write(
                    &format!("{directory}/{n}{long}"),
                    random.below(3) as usize * 700,
                );
                if random.below(40) == 0 {
                    w.sync();
                }
            }
        }
        if random.below(3) != 0 {
            w.sync();
        }
        // Reuse the blocks of removed directories for contents.
        let file = format!("file {}", random.below(5));
        w.write(&file, random.below(150_000) as usize);
        match random.below(4) {
            0 => w.rename(&file, &format!("file {}", 5 + random.below(3))),
            1 if w.now.files[&file].1 > 4096 => {
                let to = w.now.files[&file].1 / 2048 * 1024;
                w.cut(&file, to);
            }
            2 => w.unlink(&file),
            _ => {}
        }
        if random.below(3) == 0 {
            w.sync();
        }
    }
    w.sync();
    w.epochs.push(w.now.clone());
    let log = w.disk.state().log.take().unwrap();
    drop(w.volume);
    Recording {
        image,
        log,
        epochs: w.epochs,
    }
}

/// Returns the first defect of a disk after a cut at event `end`, replayed by Soil.
fn wrong(bytes: Vec<u8>, recording: &Recording, end: usize) -> Result<(), String> {
    let disk = Disk::new(bytes, 512);
    let mut volume = fs::ext4::mount(Box::new(disk.clone()), Default::default())
        .map_err(|error| format!("not mounted: {error}"))?;
    let mut epochs = recording.epochs.iter().rev();
    let epoch = epochs.find(|epoch| epoch.synced_at <= end).unwrap();
    let paths: BTreeSet<&String> = epoch.files.keys().chain(epoch.touched.keys()).collect();
    for path in paths {
        let found = match read_file(&mut *volume, path) {
            Ok(found) => Some(found),
            Err(Error::NotFound) => None,
            Err(error) => return Err(format!("{path}: {error}")),
        };
        let Some(states) = epoch.touched.get(path) else {
            let (life, len) = epoch.files[path];
            if found != Some(contents(life, len)) {
                return Err(format!("{path} was synced, and is damaged"));
            }
            continue;
        };
        let Some(found) = found else {
            if !states.contains(&None) {
                return Err(format!("{path} is gone, though it always was there"));
            }
            continue;
        };
        // Contents of one life of the file, at most as long as that life, with zeros in unwritten
        // parts.
        let is_of = |state: &State| {
            let Some((life, _)) = state else { return false };
            let whole = contents(*life, found.len());
            let mut words = found.chunks(8).zip(whole.chunks(8));
            words.all(|(found, whole)| found == whole || found.iter().all(|byte| *byte == 0))
        };
        if !states.iter().any(is_of) {
            return Err(format!("{path} is another's: {} bytes", found.len()));
        }
    }
    for directory in &epoch.directories {
        if epoch.touched_directories.contains(directory) {
            continue;
        }
        let listed = names(&mut *volume, directory).map_err(|error| format!("{error}"))?;
        let all = epoch
            .files
            .keys()
            .filter(|path| parent_of(path) == directory);
        let expected: BTreeSet<&str> = all.map(|path| path.rsplit_once('/').unwrap().1).collect();
        let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        if listed != expected {
            return Err(format!("{directory} was synced, and has other names"));
        }
    }
    // The volume is usable.
    let _ = volume.unlink("filler");
    let made = write_file(&mut *volume, "used", &[b'u'; 300_000]);
    made.map_err(|error| format!("writing: {error}"))?;
    volume.sync().map_err(|error| format!("sync: {error}"))?;
    drop(volume);
    fsck(&disk.bytes()).map_err(|text| format!("after Soil's replay: {text}"))
}

/// Returns the disk after a cut that loses some of the sectors since the last flush.
fn cut_at(
    recording: &Recording,
    log: &[Event],
    end: usize,
    random: Option<&mut Random>,
) -> Vec<u8> {
    let mut epochs = recording.epochs.iter().rev();
    let synced = epochs
        .find(|epoch| epoch.synced_at <= end)
        .unwrap()
        .synced_at;
    cut(&recording.image, log, end, synced, random)
}

const KINDS: &[(u64, &[&str])] = &[
    (5 << 20, &["-b", "1024", "-J", "size=1", "-N", "512"]),
    (
        5 << 20,
        &[
            "-b",
            "1024",
            "-J",
            "size=1",
            "-N",
            "512",
            "-O",
            "^metadata_csum,^64bit",
        ],
    ),
    (14 << 20, &["-b", "4096", "-J", "size=4", "-N", "512"]),
    (
        5 << 20,
        &[
            "-b",
            "1024",
            "-J",
            "size=1",
            "-N",
            "512",
            "-O",
            "^extent,^64bit",
        ],
    ),
];

#[test]
fn blocks_that_change_hands_survive_power_cuts() {
    let count = from_environment("SOIL_FS_CUTS", 96) / KINDS.len() as u64;
    for (len, args) in KINDS {
        let recording = record(mkfs(*len, args), (4711 + len, 60));
        let events = recording.log.len() as u64;
        let mut random = Random(815 + len);
        for n in 0..count {
            let end = (n * events / count + random.below(events / count + 1)).min(events) as usize;
            let losing = (n % 4 != 0).then_some(&mut random);
            let bytes = cut_at(&recording, &recording.log, end, losing);
            let when = format!("{args:?}, cut {n} at event {end} of {events}");
            wrong(bytes.clone(), &recording, end).unwrap_or_else(|text| panic!("{when}: {text}"));
            if n % 3 == 0 {
                let other = fsck_stopped(&bytes).unwrap_or_else(|text| panic!("{when}: {text}"));
                wrong(other, &recording, end)
                    .unwrap_or_else(|text| panic!("{when}, after e2fsck -p: {text}"));
            }
        }
        println!("{args:?}: {count} cuts in {events} events");
    }
}

/// Changes each block of one type of the journal, in the recorded writes.
fn without(log: &[Event], kind: u8, change: &dyn Fn(&mut [u8])) -> (Vec<Event>, u32) {
    let mut changed = 0;
    let mut log = log.to_vec();
    let mark = [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, kind];
    for event in &mut log {
        if let Event::Batch(writes) = event {
            for block in writes
                .iter_mut()
                .flat_map(|(_, data)| data.chunks_mut(1024))
            {
                if block.starts_with(&mark) {
                    change(block);
                    changed += 1;
                }
            }
        }
    }
    (log, changed)
}

/// Returns how many of `count` cuts caused a defect.
fn harmed(recording: &Recording, log: &[Event], count: u64) -> u32 {
    let mut random = Random(99);
    let events = log.len() as u64;
    let cuts = (0..count).map(|n| (n * events / count) as usize);
    let harmed = cuts.filter(|end| {
        let bytes = cut_at(recording, log, *end, Some(&mut random));
        wrong(bytes, recording, *end).is_err()
    });
    harmed.count() as u32
}

/// A transaction may revoke more blocks than one block of the journal lists.
#[test]
fn all_lists_of_revoked_blocks_of_a_transaction_count() {
    const DIRECTORIES: usize = 400;
    let args = ["-b", "1024", "-N", "1024", "-J", "size=4"];
    let disk = Disk::new(mkfs(16 << 20, &args), 512);
    let mut volume = mount(&disk);
    for n in 0..DIRECTORIES {
        volume.mkdir(&n.to_string()).unwrap();
    }
    volume.sync().unwrap();
    for n in 0..DIRECTORIES {
        volume.rmdir(&n.to_string()).unwrap();
    }
    volume.sync().unwrap();
    // Their blocks among all others.
    let free = volume.space().unwrap().free as usize;
    let all = Random(5).bytes(free - (64 << 10));
    write_file(&mut *volume, "all", &all).unwrap();
    volume.sync().unwrap();
    let stopped = Disk::new(disk.bytes(), 512);
    let mut again = mount(&stopped);
    assert!(read_file(&mut *again, "all").unwrap() == all);
    drop(again);
    fsck(&stopped.bytes()).unwrap();
}

/// Controls: the test fails without revoke blocks, without the flush after the commit block, and
/// without all flushes.
#[test]
fn what_the_journal_needs_is_noticed_when_it_is_left_out() {
    let (len, args) = KINDS[1];
    let recording = record(mkfs(len, args), (4711 + len, 60));
    assert_eq!(harmed(&recording, &recording.log, 30), 0);
    // An empty revoke block.
    let (log, lists) = without(&recording.log, 5, &|block| {
        block[12..16].copy_from_slice(&16u32.to_be_bytes());
    });
    let unrevoked = harmed(&recording, &log, 120);
    println!("without {lists} lists of revoked blocks {unrevoked} of 120 cuts did harm");
    assert!(lists > 10 && unrevoked > 3, "{lists} {unrevoked}");
    let unordered: Vec<Event> = recording
        .log
        .iter()
        .map(|event| match event {
            Event::Flush => Event::FlushUnordered,
            other => other.clone(),
        })
        .collect();
    let unflushed = harmed(&recording, &unordered, 60);
    println!("without flushes {unflushed} of 60 cuts did harm");
    assert!(unflushed > 3);
}
