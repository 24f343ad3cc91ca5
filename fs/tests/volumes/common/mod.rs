//! Disk images made, checked and read by dosfstools and mtools.
#![allow(dead_code, missing_docs)] // each test program uses its part

pub mod ext4;
pub mod leases;
pub mod memory;
pub mod model;
pub mod operations;
pub mod recorder;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use fs::fake::Disk;
use fs::fat::{self, Options};
use fs::{CacheBudget, Error, FileId, OpenFlags, Volume, VolumeOptions};

/// File that is removed when it is dropped.
pub struct Image(pub PathBuf);

impl Image {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("soil-fs-test-{}-{n}.img", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub fn with(bytes: &[u8]) -> Self {
        let image = Self::new();
        write_sparse(&image.0, bytes);
        image
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn write_sparse(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (n, chunk) in bytes.chunks(64 << 10).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.write_all_at(chunk, n as u64 * (64 << 10)).unwrap();
        }
    }
}

/// Returns the path of a tool, or its name if it isn't found. With a path, and without a `PATH` of
/// its own, `Command` calls `posix_spawn`; `fork` would copy the page tables of all the disks that
/// a test holds in memory, which took two thirds of the tests' time.
fn tool(program: &str) -> PathBuf {
    // dosfstools are in /usr/sbin, which not every user has in PATH.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.into())
}

/// Runs a tool; returns whether it succeeded, and its output.
pub fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(tool(program))
        .args(args)
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}: install the packages dosfstools, mtools and e2fsprogs")
        });
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Creates a file system of `len` bytes: `mkfs.fat` with `args`.
pub fn mkfs(len: u64, args: &[&str]) -> Vec<u8> {
    mkfs_start(len, len, args)
}

/// Returns the first `start` bytes of such a file system.
pub fn mkfs_start(len: u64, start: u64, args: &[&str]) -> Vec<u8> {
    use std::io::Read;
    let image = Image::new();
    std::fs::File::create(&image.0)
        .unwrap()
        .set_len(len)
        .unwrap();
    let mut all = args.to_vec();
    all.push(image.0.to_str().unwrap());
    let (ok, text) = run("mkfs.fat", &all);
    assert!(ok, "mkfs.fat {args:?}: {text}");
    let mut bytes = Vec::new();
    std::fs::File::open(&image.0)
        .unwrap()
        .take(start)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// File system under test.
pub struct FileSystem {
    pub mkfs: fn(u64, &[&str]) -> Vec<u8>,
    pub mount_with: fn(&Disk, VolumeOptions) -> Box<dyn Volume>,
    /// Returns the findings on a disk that was unmounted.
    pub fsck: fn(&[u8]) -> Result<(), String>,
    /// Returns the findings on a disk that was synced and is still mounted.
    pub fsck_mounted: fn(&[u8]) -> Result<(), String>,
}

impl FileSystem {
    pub fn mount(&self, disk: &Disk) -> Box<dyn Volume> {
        (self.mount_with)(disk, VolumeOptions::default())
    }
}

pub const FAT: FileSystem = FileSystem {
    mkfs,
    mount_with,
    fsck,
    fsck_mounted: fsck,
};

pub const EXT4: FileSystem = FileSystem {
    mkfs: ext4::mkfs,
    mount_with: ext4::mount_with,
    fsck: ext4::fsck,
    fsck_mounted: |bytes| ext4::fsck_stopped(bytes).map(|_| ()),
};

/// Returns a number from the environment.
pub fn from_environment(name: &str, default: u64) -> u64 {
    let asked = std::env::var(name).ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(default)
}

/// Checks that a refusal is one line that contains these words.
pub fn check_line(detail: &str, words: &[&str]) {
    for word in words {
        assert!(
            detail.contains(word),
            "\"{detail}\" should contain \"{word}\""
        );
    }
    assert!(!detail.contains('\n'));
}

/// Returns the findings of `fsck.fat -n`.
pub fn fsck(bytes: &[u8]) -> Result<(), String> {
    let image = Image::with(bytes);
    match run("fsck.fat", &["-n", "-V", image.0.to_str().unwrap()]) {
        (true, _) => Ok(()),
        (false, text) => Err(text),
    }
}

/// Budget of all volumes of a test program: too small for their reads.
pub static BUDGET: CacheBudget = CacheBudget::new(3 << 20);

pub fn mount(disk: &Disk) -> Box<dyn Volume> {
    mount_with(disk, Options::default())
}

pub fn mount_with(disk: &Disk, options: Options) -> Box<dyn Volume> {
    let budget = Some(&BUDGET);
    let options = Options { budget, ..options };
    fat::mount(Box::new(disk.clone()), options).unwrap_or_else(|error| panic!("{error}"))
}

pub const NEW: OpenFlags = OpenFlags::READ
    .union(OpenFlags::WRITE)
    .union(OpenFlags::CREATE)
    .union(OpenFlags::TRUNCATE);

pub fn write_file(volume: &mut dyn Volume, path: &str, data: &[u8]) -> Result<(), Error> {
    let file = volume.open(path, NEW)?;
    let written = volume.write_at(file, 0, data);
    volume.close(file)?;
    if written? < data.len() {
        Err(Error::NoSpace)
    } else {
        Ok(())
    }
}

pub fn read_all(volume: &mut dyn Volume, file: FileId) -> Result<Vec<u8>, Error> {
    let mut data = vec![0; volume.size(file)? as usize];
    let count = volume.read_at(file, 0, &mut data)?;
    assert_eq!(count, data.len());
    Ok(data)
}

pub fn read_file(volume: &mut dyn Volume, path: &str) -> Result<Vec<u8>, Error> {
    let file = volume.open(path, OpenFlags::READ)?;
    let data = read_all(volume, file);
    volume.close(file)?;
    data
}

pub fn names(volume: &mut dyn Volume, path: &str) -> Result<Vec<String>, Error> {
    let directory = volume.open(path, OpenFlags::DIRECTORY)?;
    let mut names = Vec::new();
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        cursor = volume.list(directory, from, &mut |entry| {
            names.push(entry.name.to_string());
            true
        })?;
    }
    volume.close(directory)?;
    names.sort();
    Ok(names)
}

/// Pseudorandom numbers, the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Kinds of volume that tests run on: name, bytes, options of mkfs.fat.
pub const VOLUMES: &[(&str, u64, &[&str])] = &[
    ("FAT12, 512 B clusters", 2 << 20, &["-F", "12", "-s", "1"]),
    (
        "FAT12, 16 KiB clusters",
        16 << 20,
        &["-F", "12", "-s", "32"],
    ),
    ("FAT16, 512 B clusters", 12 << 20, &["-F", "16", "-s", "1"]),
    ("FAT16, 4 KiB clusters", 32 << 20, &["-F", "16", "-s", "8"]),
    (
        "FAT16, one table",
        16 << 20,
        &["-F", "16", "-s", "4", "-f", "1"],
    ),
    (
        "FAT16, 2 KiB sectors",
        32 << 20,
        &["-F", "16", "-S", "2048", "-s", "1"],
    ),
    ("FAT32, 512 B clusters", 36 << 20, &["-F", "32", "-s", "1"]),
    ("FAT32, 1 KiB clusters", 70 << 20, &["-F", "32", "-s", "2"]),
];
