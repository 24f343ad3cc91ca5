//! Recorded writes of a workload, the state at each sync, and disks that lost some of the writes.

use std::collections::BTreeMap;

use fs::fake::{Disk, Event};
use fs::{OpenFlags, Volume};

use super::{FileSystem, Random, write_file};

/// Files and their contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// State of the volume at a sync, and the changes afterwards.
pub struct Epoch {
    /// Number of events in the log when `sync` had returned.
    pub synced_at: usize,
    pub files: Files,
    /// All states of a file since the sync, `None` for an absent file.
    pub touched: BTreeMap<String, Vec<Option<Vec<u8>>>>,
}

pub struct Recorder {
    pub disk: Disk,
    pub volume: Box<dyn Volume>,
    pub now: Files,
    pub epochs: Vec<Epoch>,
}

impl Recorder {
    fn new(file_system: &FileSystem, image: &[u8]) -> Self {
        let disk = Disk::new(image.to_vec(), 512);
        disk.state().log = Some(Vec::new());
        let volume = file_system.mount(&disk);
        let mut recorder = Self {
            disk,
            volume,
            now: Files::new(),
            epochs: Vec::new(),
        };
        recorder.sync();
        recorder
    }

    /// Returns the writes that reached the disk, in order.
    pub fn log(&self) -> Vec<Event> {
        self.disk.state().log.clone().unwrap()
    }

    /// Returns the disk after the first `end` events; see [`cut`].
    pub fn cut(&self, image: &[u8], end: usize, losing: Option<&mut Random>) -> Vec<u8> {
        let synced = self.epoch(end).map_or(0, |epoch| epoch.synced_at);
        cut(image, &self.log(), end, synced, losing)
    }

    /// Returns the last sync before event `end`.
    pub fn epoch(&self, end: usize) -> Option<&Epoch> {
        let mut epochs = self.epochs.iter().rev();
        epochs.find(|epoch| epoch.synced_at <= end)
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

    fn link(&mut self, from: &str, to: &str) {
        self.touch(to);
        self.volume.link(from, to).unwrap();
        let data = self.now[from].clone();
        self.now.insert(to.to_string(), data);
        self.touch(to);
    }

    fn sync(&mut self) {
        self.volume.sync().unwrap();
        self.synced();
    }

    /// Freezes the volume, runs `meanwhile` on it, and thaws it.
    fn freeze(&mut self, meanwhile: impl FnOnce(&mut dyn Volume)) {
        self.volume.freeze().unwrap();
        self.synced();
        meanwhile(&mut *self.volume);
        self.volume.thaw().unwrap();
    }

    fn synced(&mut self) {
        let synced_at = self.disk.state().log.as_ref().unwrap().len();
        let files = self.now.clone();
        self.epochs.push(Epoch {
            synced_at,
            files,
            touched: BTreeMap::new(),
        });
    }
}

/// Runs all kinds of operations, with syncs in between: files of `size` bytes at most, and with
/// `posix` links and files that are removed while they are open.
pub fn workload(
    file_system: &FileSystem,
    image: &[u8],
    (seed, rounds, size): (u64, u64, u64),
    posix: bool,
) -> Recorder {
    let mut r = Recorder::new(file_system, image);
    let mut random = Random(seed);
    r.volume.mkdir("d").unwrap();
    for n in 0..rounds {
        let name = |n: u64| format!("d/file number {n}.txt");
        let len = random.below(size) as usize;
        r.write(&name(n), random.bytes(len));
        if random.below(2) == 0 {
            r.sync();
        }
        let data = random.bytes((random.0 % (size / 4)) as usize);
        r.append(&name(n), &data);
        // The safe way to replace a file: write another, sync, rename.
        r.write("d/new", random.bytes(len / 2 + 1));
        r.sync();
        r.rename("d/new", "d/current");
        if n > 2 && random.below(3) == 0 {
            // Open while it is removed: an orphan for some time.
            let open = posix.then(|| r.volume.open(&name(n - 2), OpenFlags::READ).unwrap());
            r.unlink(&name(n - 2));
            if let Some(open) = open
                && n % 2 == 0
            {
                r.sync();
                r.volume.close(open).unwrap();
            } else if let Some(open) = open {
                r.freeze(|volume| volume.close(open).unwrap());
            }
        }
        if n > 3 && n % 4 == 0 && r.now.contains_key(&name(n - 3)) {
            r.rename(&name(n - 3), &format!("moved {n}"));
            if posix {
                r.link(&format!("moved {n}"), &format!("d/linked {n}"));
            }
        }
        if posix && n % 3 == 0 {
            r.volume.mkdir(&format!("d/directory {n}")).unwrap();
        }
        if random.below(3) == 0 {
            r.sync();
        }
        if n % 5 == 1 {
            r.freeze(|_| {});
        }
    }
    r.sync();
    r
}

/// Returns the disk after the first `end` events. With `losing`, each write that may be lost is
/// kept or lost at random; otherwise all are kept. No write is lost that precedes a flush before
/// later writes, or event `synced`, when a `sync` had returned.
pub fn cut(
    image: &[u8],
    log: &[Event],
    end: usize,
    synced: usize,
    losing: Option<&mut Random>,
) -> Vec<u8> {
    let ordered = log[..end]
        .iter()
        .rposition(|event| *event == Event::Flush)
        .unwrap_or(0);
    let flushed = ordered.max(synced);
    let mut bytes = image.to_vec();
    let mut losing = losing;
    for (n, event) in log[..end].iter().enumerate() {
        let writes = writes(event);
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

/// Returns the single writes of an event.
pub fn writes(event: &Event) -> Vec<(u64, Vec<u8>)> {
    match event {
        Event::Write(first, data) => vec![(*first, data.clone())],
        Event::Batch(writes) => writes.clone(),
        Event::Flush | Event::FlushUnordered => Vec::new(),
    }
}
